//! An LSTM's cell and its way back, in vectors.

use crate::native::math;

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

/// Sums of the gates i, f, g, o of a cell to their values.
#[inline(always)]
pub(super) fn activate(gates: &mut [f32], n: usize) {
    let (before, rest) = gates.split_at_mut(2 * n);
    let (candidate, output) = rest.split_at_mut(n);
    each(before, sigmoid);
    each(candidate, math::tanh);
    each(output, sigmoid);
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

/// c ← f·c + i·g, h = o·tanh c
#[inline(always)]
pub(super) fn advance(gates: &[f32], cell: &mut [f32], hidden: &mut [f32]) {
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

/// The gates' values to the gradients of their sums; `d_cell`, the gradient of c that later cells ask for, to that of c₋.
#[inline(always)]
pub(super) fn retreat(gates: &mut [f32], cell: &[f32], before: &[f32], d_hidden: &[f32], d_cell: &mut [f32]) {
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
