//! Reductions in a fixed order: chunks of fixed size are reduced apart and combined in order, so results do not depend on the number of
//! cores.

use rayon::prelude::*;

use super::{Evaluator, Operand, Real};
use crate::graph::{Expr, Shape, Step};
use crate::op::Reduction;

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
            let mut values = vec![T::default(); reduced * inner * count];
            evaluator.run(g * group * reduced * inner, &mut values);
            for (values, out) in values.chunks(reduced * inner).zip(out.chunks_mut(inner)) {
                reduce_rows(kind, values, inner, out);
            }
        });
        return;
    }
    let partials: Vec<T> = (0..outer * chunks)
        .into_par_iter()
        .flat_map_iter(|task| {
            let (o, c) = (task / chunks, task % chunks);
            let first = c * rows_each;
            let rows = rows_each.min(reduced - first);
            let mut values = vec![T::default(); rows * inner];
            evaluator.run((o * reduced + first) * inner, &mut values);
            let mut partial = vec![T::default(); inner];
            reduce_rows(kind, &values, inner, &mut partial);
            partial
        })
        .collect();
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
        Reduction::Sum => {
            out.fill(T::default());
            for row in values.chunks(inner) {
                row.iter().zip(out.iter_mut()).for_each(|(v, sum)| *sum = sum.plus(*v));
            }
        }
        _ => combine(kind, values, inner, out),
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
