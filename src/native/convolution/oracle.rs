//! Convolutions as their definition says, for the `f64` oracle.

use crate::parallel::prelude::*;

use super::{Convolution, WeightGradient};
use crate::native::{Evaluator, Operand, Real};
use crate::tensor::{Expr, Gather, Phase, Shape, Step};

/// The source element a phase position and tap meet, if it is inside the image.
fn meet(gather: &Gather, [y, x]: [usize; 2], offset: [i32; 2]) -> Option<usize> {
    let row = (gather.step_source * y) as i64 + i64::from(offset[0]);
    let column = (gather.step_source * x) as i64 + i64::from(offset[1]);
    let [h, w] = gather.source.map(|e| e as i64);
    (row >= 0 && row < h && column >= 0 && column < w).then(|| (row * w + column) as usize)
}

fn positions(phase: &Phase) -> impl Iterator<Item = [usize; 2]> + use<> {
    let [rows, columns] = phase.extent;
    (0..rows).flat_map(move |y| (0..columns).map(move |x| [y, x]))
}

fn read_through<T: Real>(source: &[T], prologue: Option<&Expr>, step: &Step) -> Vec<T> {
    let mut values = source.to_vec();
    if let Some(expr) = prologue {
        let shape = Shape::from([values.len()]);
        let operands: [Operand<'_, T>; 0] = [];
        Evaluator::in_place(expr, &operands, &shape, step).run(0, &mut values);
    }
    values
}

/// `out[p] = epilogue(Σ_t source[p + t] · W_t)`
pub fn convolve<T: Real>(job: &Convolution<'_, T>, output: &mut [T]) {
    let [cs, cd] = job.channels;
    let gather = job.gather;
    let source = read_through(job.source, job.prologue, job.step);
    let size = gather.source[0] * gather.source[1] * cs;
    let dest = gather.dest[0] * gather.dest[1] * cd;
    output.par_chunks_mut(dest.max(1)).enumerate().for_each(|(n, out)| {
        let image = &source[n * size..(n + 1) * size];
        for phase in &gather.phases {
            for [y, x] in positions(phase) {
                let at = (phase.origin[0] + gather.step_dest * y) * gather.dest[1] + phase.origin[1] + gather.step_dest * x;
                for d in 0..cd {
                    let mut sum = T::default();
                    for (offset, tap) in &phase.taps {
                        let Some(from) = meet(gather, [y, x], *offset) else { continue };
                        for c in 0..cs {
                            let w = if job.transposed { tap * cs * cd + d * cs + c } else { tap * cs * cd + c * cd + d };
                            sum = sum.plus(image[from * cs + c].times(job.weights[w]));
                        }
                    }
                    out[at * cd + d] = sum;
                }
            }
        }
    });
    if let Some(expr) = job.epilogue {
        Evaluator::in_place(expr, job.operands, job.shape, job.step).run(0, output);
    }
}

/// `out[t, c, d] = Σ_p source[p + t, c] · upstream[p, d]`
pub fn weight_gradient<T: Real>(job: &WeightGradient<'_, T>, output: &mut [T]) {
    let [cs, cd] = job.channels;
    let gather = job.gather;
    let source = read_through(job.source, job.prologue, job.step);
    let size = gather.source[0] * gather.source[1] * cs;
    let dest = gather.dest[0] * gather.dest[1] * cd;
    output.fill(T::default());
    for (image, upstream) in source.chunks(size.max(1)).zip(job.upstream.chunks(dest.max(1))) {
        for phase in &gather.phases {
            for ([y, x], g) in positions(phase).zip(upstream.chunks(cd.max(1))) {
                for (offset, tap) in &phase.taps {
                    let Some(from) = meet(gather, [y, x], *offset) else { continue };
                    for c in 0..cs {
                        let row = &mut output[(tap * cs + c) * cd..][..cd];
                        row.iter_mut().zip(g).for_each(|(sum, g)| *sum = sum.plus(image[from * cs + c].times(*g)));
                    }
                }
            }
        }
    }
}
