//! Reductions in a fixed order: chunks of fixed size are reduced apart and combined in order, so results do not depend on the number of
//! cores.

use crate::parallel::prelude::*;

use super::simd::{self, Job};
use super::{Evaluator, Operand, Real};
use crate::tensor::Reduction;
use crate::tensor::{Expr, Shape, Step};

/// Elements one task reduces.
const TASK: usize = 16 * 1024;

/// Reduces the middle of `[outer, reduced, inner]`.
pub fn reduce<T: Real>(
    kind: Reduction,
    expr: &Expr,
    operands: &[Operand<'_, T>],
    full: &Shape,
    [outer, reduced, inner]: [usize; 3],
    step: &Step,
    out: &mut [T],
) {
    let evaluator = Evaluator::new(expr, operands, full, step);
    if reduced == 0 {
        out.fill(T::of(kind.of_none()));
        return;
    }
    if kind == Reduction::Variance {
        return variance(&evaluator, [outer, reduced, inner], out);
    }
    let rows_each = (TASK / inner.max(1)).clamp(1, reduced);
    let chunks = reduced.div_ceil(rows_each);
    if chunks == 1 {
        // Many short reductions: a task takes several whole ones.
        let group = (TASK / (reduced * inner).max(1)).max(1);
        out.par_chunks_mut(group * inner).enumerate().for_each(|(g, out)| {
            let count = out.len() / inner;
            evaluator.read(g * group * reduced * inner, reduced * inner * count, |values| {
                for (values, out) in values.chunks(reduced * inner).zip(out.chunks_mut(inner)) {
                    reduce_rows(kind, values, inner, out);
                }
            });
        });
        return;
    }
    let mut partials = vec![T::default(); outer * chunks * inner];
    partials.par_chunks_mut(inner).enumerate().for_each(|(task, partial)| {
        let (o, c) = (task / chunks, task % chunks);
        let first = c * rows_each;
        let rows = rows_each.min(reduced - first);
        evaluator.read((o * reduced + first) * inner, rows * inner, |values| reduce_rows(kind, values, inner, partial));
    });
    for (partials, out) in partials.chunks(chunks * inner).zip(out.chunks_mut(inner)) {
        combine(kind, partials, inner, out);
    }
}

/// Lanes that a row of one column is summed in.
const LANES: usize = 16;

fn reduce_rows<T: Real>(kind: Reduction, values: &[T], inner: usize, out: &mut [T]) {
    match kind {
        Reduction::Sum | Reduction::Mean if inner == 1 => {
            let mut lanes = [T::default(); LANES];
            for row in values.chunks(LANES) {
                row.iter().zip(&mut lanes).for_each(|(v, lane)| *lane = lane.plus(*v));
            }
            out[0] = T::of(lanes.iter().map(|l| l.wide()).sum());
        }
        Reduction::Sum | Reduction::Mean => simd::dispatch(Columns { values, inner, about: None, out }),
        _ => combine(kind, values, inner, out),
    }
}

/// The biased variance of each column. Chunks have a mean and a sum of squares about it of their own, both made while the chunk is in cache,
/// which are joined in double precision (Chan, Golub and LeVeque, 1983).
fn variance<T: Real>(evaluator: &Evaluator<'_, T>, [outer, reduced, inner]: [usize; 3], out: &mut [T]) {
    let rows_each = (TASK / inner.max(1)).clamp(1, reduced);
    let chunks = reduced.div_ceil(rows_each);
    let rows_of = |chunk: usize| rows_each.min(reduced - chunk * rows_each);
    let mut partials = vec![T::default(); outer * chunks * 2 * inner];
    partials.par_chunks_mut(2 * inner).enumerate().for_each(|(task, partial)| {
        let (o, chunk) = (task / chunks, task % chunks);
        let rows = rows_of(chunk);
        let (means, squares) = partial.split_at_mut(inner);
        evaluator.read((o * reduced + chunk * rows_each) * inner, rows * inner, |values| {
            simd::dispatch(Columns { values, inner, about: None, out: means });
            means.iter_mut().for_each(|mean| *mean = mean.over(T::of(rows as f64)));
            simd::dispatch(Columns { values, inner, about: Some(means), out: squares });
        });
    });
    for (partials, out) in partials.chunks(chunks * 2 * inner).zip(out.chunks_mut(inner)) {
        for (i, out) in out.iter_mut().enumerate() {
            let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
            for (chunk, partial) in partials.chunks(2 * inner).enumerate() {
                let rows = rows_of(chunk) as f64;
                let away = partial[i].wide() - mean;
                squares += partial[inner + i].wide() + away * away * count * rows / (count + rows);
                count += rows;
                mean += away * rows / count;
            }
            *out = T::of(squares / count);
        }
    }
}

/// Sums columns, each from its first row to its last: their values, or squares of what these are away from a number a column.
struct Columns<'a, T> {
    values: &'a [T],
    inner: usize,
    about: Option<&'a [T]>,
    out: &'a mut [T],
}

impl<T: Real> Job for Columns<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let Self { values, inner, about, out } = self;
        let square = |v: T, mean: T| v.minus(mean).times(v.minus(mean));
        let (lanes, rest) = out.as_chunks_mut::<LANES>();
        for (at, lane) in lanes.iter_mut().enumerate() {
            let of = |row: &'_ [T]| -> [T; LANES] { *row[at * LANES..].first_chunk().expect("a row is as long as the sums") };
            // Sums that stay in a register.
            let mut sums = [T::default(); LANES];
            match about.map(of) {
                None => values.chunks_exact(inner).for_each(|row| {
                    sums.iter_mut().zip(of(row)).for_each(|(sum, v)| *sum = sum.plus(v));
                }),
                Some(means) => values.chunks_exact(inner).for_each(|row| {
                    sums.iter_mut().zip(of(row)).zip(means).for_each(|((sum, v), mean)| *sum = sum.plus(square(v, mean)));
                }),
            }
            *lane = sums;
        }
        let first = inner - rest.len();
        rest.fill(T::default());
        for row in values.chunks_exact(inner) {
            for (k, (sum, v)) in rest.iter_mut().zip(&row[first..]).enumerate() {
                *sum = sum.plus(about.map_or(*v, |means| square(*v, means[first + k])));
            }
        }
    }
}

/// Combines rows one by one, sums in double precision.
fn combine<T: Real>(kind: Reduction, rows: &[T], inner: usize, out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        let column = || rows.iter().skip(i).step_by(inner).map(|v| v.wide());
        let largest = || column().fold(f64::NEG_INFINITY, |m, v| if v > m || v.is_nan() { v } else { m });
        *out = T::of(match kind {
            Reduction::Sum | Reduction::Mean | Reduction::Variance => column().sum(),
            Reduction::Max => largest(),
            Reduction::LogSumExp => {
                let top = largest();
                if top.is_finite() { top + column().map(|v| (v - top).exp()).sum::<f64>().ln() } else { top }
            }
        });
    }
}
