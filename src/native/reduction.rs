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
        out.fill(if kind == Reduction::Sum { T::default() } else { T::of(f64::NEG_INFINITY) });
        return;
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
        Reduction::Sum if inner == 1 => {
            let mut lanes = [T::default(); LANES];
            for row in values.chunks(LANES) {
                row.iter().zip(&mut lanes).for_each(|(v, lane)| *lane = lane.plus(*v));
            }
            out[0] = T::of(lanes.iter().map(|l| l.wide()).sum());
        }
        Reduction::Sum => simd::dispatch(Columns { values, inner, out }),
        _ => combine(kind, values, inner, out),
    }
}

/// Sums columns, each from its first row to its last.
struct Columns<'a, T> {
    values: &'a [T],
    inner: usize,
    out: &'a mut [T],
}

impl<T: Real> Job for Columns<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let Self { values, inner, out } = self;
        let (lanes, rest) = out.as_chunks_mut::<LANES>();
        for (at, lane) in lanes.iter_mut().enumerate() {
            // Sums that stay in a register.
            let mut sums = [T::default(); LANES];
            for row in values.chunks_exact(inner) {
                let values: &[T; LANES] = row[at * LANES..].first_chunk().expect("a row is as long as the sums");
                sums.iter_mut().zip(values).for_each(|(sum, v)| *sum = sum.plus(*v));
            }
            *lane = sums;
        }
        let first = inner - rest.len();
        rest.fill(T::default());
        for row in values.chunks_exact(inner) {
            rest.iter_mut().zip(&row[first..]).for_each(|(sum, v)| *sum = sum.plus(*v));
        }
    }
}

/// Combines rows one by one, sums in double precision.
fn combine<T: Real>(kind: Reduction, rows: &[T], inner: usize, out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        let column = || rows.iter().skip(i).step_by(inner).map(|v| v.wide());
        let largest = || column().fold(f64::NEG_INFINITY, |m, v| if v > m || v.is_nan() { v } else { m });
        *out = T::of(match kind {
            Reduction::Sum => column().sum(),
            Reduction::Max => largest(),
            Reduction::LogSumExp => {
                let top = largest();
                if top.is_finite() { top + column().map(|v| (v - top).exp()).sum::<f64>().ln() } else { top }
            }
        });
    }
}
