//! A cell and its way back, in vectors.

use crate::native::math;
use crate::tensor::Gating;

/// Elements of a vector; the last of a row may be fewer.
const LANES: usize = 16;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + math::exp(-x))
}

/// Applies a function to every element, in vectors of known length.
#[inline(always)]
fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    let (blocks, rest) = values.as_chunks_mut::<LANES>();
    for block in blocks {
        for v in block {
            *v = f(*v);
        }
    }
    for v in rest {
        *v = f(*v);
    }
}

/// Sums of a cell's gates to their values: i, f, g, o of an LSTM; r, z, m as it is, and the candidate of a GRU.
#[inline(always)]
pub(super) fn activate(gates: &mut [f32], n: usize, gating: Gating) {
    let (before, rest) = gates.split_at_mut(2 * n);
    let (third, fourth) = rest.split_at_mut(n);
    each(before, sigmoid);
    match gating {
        Gating::Lstm => {
            each(third, math::tanh);
            each(fourth, sigmoid);
        }
        Gating::Gru => {
            for ((candidate, m), r) in fourth.iter_mut().zip(third.iter()).zip(before.iter()) {
                *candidate = math::tanh(*candidate + r * m);
            }
        }
    }
}

/// Calls `$work` with the range of each vector of `0..$n`, whose length is known where it is a whole one.
macro_rules! in_vectors {
    ($n:expr, |$range:ident| $work:expr) => {
        let whole = $n - $n % LANES;
        for first in (0..whole).step_by(LANES) {
            let $range = first..first + LANES;
            $work
        }
        if whole < $n {
            let $range = whole..$n;
            $work
        }
    };
}

/// The state that a cell goes on from to its own, and to its hidden state: c ← f·c + i·g, h = o·tanh c of an LSTM, h ← ñ + z·(h − ñ) of a
/// GRU.
#[inline(always)]
pub(super) fn advance(gating: Gating, gates: &[f32], cell: &mut [f32], hidden: &mut [f32]) {
    match gating {
        Gating::Lstm => advance_lstm(gates, cell, hidden),
        Gating::Gru => advance_gru(gates, cell, hidden),
    }
}

#[inline(always)]
fn advance_gru(gates: &[f32], state: &mut [f32], hidden: &mut [f32]) {
    let n = state.len();
    let (z, candidate) = (&gates[n..2 * n], &gates[3 * n..4 * n]);
    in_vectors!(n, |range| {
        let (z, candidate) = (&z[range.clone()], &candidate[range.clone()]);
        let (state, hidden) = (&mut state[range.clone()], &mut hidden[range]);
        for k in 0..state.len() {
            state[k] = candidate[k] + z[k] * (state[k] - candidate[k]);
            hidden[k] = state[k];
        }
    });
}

#[inline(always)]
fn advance_lstm(gates: &[f32], cell: &mut [f32], hidden: &mut [f32]) {
    let n = cell.len();
    let (i, rest) = gates.split_at(n);
    let (f, rest) = rest.split_at(n);
    let (g, o) = rest.split_at(n);
    in_vectors!(n, |range| {
        let (i, f, g, o) = (&i[range.clone()], &f[range.clone()], &g[range.clone()], &o[range.clone()]);
        let (cell, hidden) = (&mut cell[range.clone()], &mut hidden[range]);
        for k in 0..cell.len() {
            let c = f[k] * cell[k] + i[k] * g[k];
            cell[k] = c;
            hidden[k] = o[k] * math::tanh(c);
        }
    });
}

/// The gates' values to the gradients of their sums; `d_cell`, the gradient that later cells ask of the state they go on from, to that of
/// the state before.
#[inline(always)]
pub(super) fn retreat(gating: Gating, gates: &mut [f32], cell: &[f32], before: &[f32], d_hidden: &[f32], d_cell: &mut [f32]) {
    match gating {
        Gating::Lstm => retreat_lstm(gates, cell, before, d_hidden, d_cell),
        Gating::Gru => retreat_gru(gates, before, d_hidden, d_cell),
    }
}

#[inline(always)]
fn retreat_gru(gates: &mut [f32], before: &[f32], d_hidden: &[f32], d_state: &mut [f32]) {
    let n = d_state.len();
    let (r, rest) = gates.split_at_mut(n);
    let (z, rest) = rest.split_at_mut(n);
    let (m, candidate) = rest.split_at_mut(n);
    in_vectors!(n, |range| {
        let (r, z) = (&mut r[range.clone()], &mut z[range.clone()]);
        let (m, candidate) = (&mut m[range.clone()], &mut candidate[range.clone()]);
        let (before, d_hidden, d_state) = (&before[range.clone()], &d_hidden[range.clone()], &mut d_state[range]);
        for k in 0..d_state.len() {
            let d = d_state[k] + d_hidden[k];
            let dn = d * (1.0 - z[k]) * (1.0 - candidate[k] * candidate[k]);
            let dr = dn * m[k] * r[k] * (1.0 - r[k]);
            d_state[k] = d * z[k];
            m[k] = dn * r[k];
            z[k] = d * (before[k] - candidate[k]) * z[k] * (1.0 - z[k]);
            r[k] = dr;
            candidate[k] = dn;
        }
    });
}

#[inline(always)]
fn retreat_lstm(gates: &mut [f32], cell: &[f32], before: &[f32], d_hidden: &[f32], d_cell: &mut [f32]) {
    let n = cell.len();
    let (i, rest) = gates.split_at_mut(n);
    let (f, rest) = rest.split_at_mut(n);
    let (g, o) = rest.split_at_mut(n);
    in_vectors!(n, |range| {
        let (i, f) = (&mut i[range.clone()], &mut f[range.clone()]);
        let (g, o) = (&mut g[range.clone()], &mut o[range.clone()]);
        let (cell, before) = (&cell[range.clone()], &before[range.clone()]);
        let (d_hidden, d_cell) = (&d_hidden[range.clone()], &mut d_cell[range]);
        for k in 0..cell.len() {
            let squashed = math::tanh(cell[k]);
            let dh = d_hidden[k];
            let dc = d_cell[k] + dh * o[k] * (1.0 - squashed * squashed);
            let (di, df, dg) = (dc * g[k], dc * before[k], dc * i[k]);
            d_cell[k] = dc * f[k];
            i[k] = di * i[k] * (1.0 - i[k]);
            f[k] = df * f[k] * (1.0 - f[k]);
            g[k] = dg * (1.0 - g[k] * g[k]);
            o[k] = dh * squashed * o[k] * (1.0 - o[k]);
        }
    });
}
