//! Carrying a band out.

use std::ops::Range;

use crate::parallel::prelude::*;

use super::{Band, LANES};
use crate::cpu::Number;
use crate::graph::{Action, Batching, Eval, Place, Plan, Shape, Signature, Step};
use crate::tensor::Precision;

/// Buffers that lanes share; each touches its own parts.
struct Shared<T>(Vec<(*mut T, usize)>);

// SAFETY: lanes write disjoint ranges, and read only ranges they wrote themselves or that nobody writes: `find` saw to that.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// Nobody may write the range meanwhile.
    unsafe fn read(&self, buffer: usize, range: Range<usize>) -> &[T] {
        let (start, len) = self.0[buffer];
        assert!(range.start <= range.end && range.end <= len);
        // SAFETY: within the buffer; the caller's promise.
        unsafe { std::slice::from_raw_parts(start.add(range.start), range.len()) }
    }

    /// # Safety
    /// Nobody else may touch the range meanwhile.
    #[allow(clippy::mut_from_ref)] // the ranges handed out are disjoint
    unsafe fn write(&self, buffer: usize, range: Range<usize>) -> &mut [T] {
        let (start, len) = self.0[buffer];
        assert!(range.start <= range.end && range.end <= len);
        // SAFETY: within the buffer; the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(start.add(range.start), range.len()) }
    }
}

/// Carries out a band. `outside` reads places that are no slots; what is summed is handed back, in order of the actions.
///
/// # Safety
/// [`super::find`] must have found the band in this very plan, and the slots must be the plan's.
pub unsafe fn run<'a, T: Number>(
    band: &Band,
    plan: &Plan,
    slots: &mut [Vec<T>],
    outside: impl Fn(Place, &Shape) -> &'a [T] + Sync,
    step: &Step,
    precision: Precision,
) -> Vec<(usize, Vec<T>)> {
    let shared = Shared(slots.iter_mut().map(|s| (s.as_mut_ptr(), s.len())).collect());
    let actions = &plan.actions[band.actions.clone()];
    let parts = band.items.div_ceil(band.part);
    let lanes = parts.min(LANES);
    let lane = |lane: usize, kept: &mut [T]| -> Vec<Vec<T>> {
        let kept = Shared(vec![(kept.as_mut_ptr(), kept.len())]);
        let mut sums: Vec<Vec<T>> = vec![Vec::new(); actions.len()];
        for part in lane * parts / lanes..(lane + 1) * parts / lanes {
            let first = part * band.part;
            let count = band.part.min(band.items - first);
            let step = Step { first_item: step.first_item + first as u32, ..*step };
            for (at, (action, sum)) in actions.iter().zip(&mut sums).enumerate() {
                let Action::Compute { op, inputs, shapes, output, shape } = action else { continue };
                if band.put_off.contains(&(band.actions.start + at)) {
                    continue;
                }
                let homes = &band.homes[at];
                let mut part_shapes = Vec::with_capacity(shapes.len());
                let mut slices = Vec::with_capacity(shapes.len());
                for (k, (place, s)) in inputs.iter().zip(shapes).enumerate() {
                    let split = op.has_items(k, s, band.items, shape);
                    let each = s.len() / band.items;
                    let range = if split { first * each..(first + count) * each } else { 0..s.len() };
                    slices.push(match (*place, homes.inputs[k]) {
                        // SAFETY: what a lane keeps is its own, and the output of an action lies over none of its inputs.
                        (_, Some(home)) => unsafe { kept.read(0, home..home + count * each) },
                        // SAFETY: a part of a slot is written by this lane alone, and whole slots by none.
                        (Place::Slot(slot), None) => unsafe { shared.read(slot, range) },
                        (other, None) => &outside(other, s)[range],
                    });
                    part_shapes.push(if split { with_items(s, count) } else { s.clone() });
                }
                let batching = op.batching(&Signature { inputs: shapes.iter().collect(), output: shape });
                let partial = matches!(batching, Batching::Partial(_));
                let part_shape = if partial { shape.clone() } else { with_items(shape, count) };
                let evaluate = |output: &mut [T]| {
                    let (inputs, shapes) = (slices.clone(), part_shapes.iter().collect());
                    T::evaluate(
                        op.as_ref(),
                        Eval { inputs, shapes, shape: &part_shape, output, step: &step, precision, items: Some(count) },
                    );
                };
                let each = shape.len() / band.items;
                match (*output, homes.output) {
                    // SAFETY: the lane's own, and no input's.
                    (_, Some(home)) => evaluate(unsafe { kept.write(0, home..home + count * each) }),
                    // SAFETY: this part of the slot is this lane's own, and no input's.
                    (Place::Slot(slot), None) if !partial => evaluate(unsafe { shared.write(slot, first * each..(first + count) * each) }),
                    _ if sum.is_empty() => {
                        sum.resize(shape.len(), T::default());
                        evaluate(sum);
                    }
                    _ => T::with_scratch(shape.len(), |part| {
                        evaluate(part);
                        sum.iter_mut().zip(part.iter()).for_each(|(s, p)| *s = s.plus(*p));
                    }),
                }
            }
        }
        sums
    };
    let in_memory = |at: usize| T::with_scratch(band.kept, |kept| lane(at, kept));
    let per_lane: Vec<Vec<Vec<T>>> = (0..lanes).into_par_iter().map(in_memory).collect();
    let mut totals = Vec::new();
    for k in (0..actions.len()).filter(|k| !per_lane[0][*k].is_empty()) {
        let mut total = vec![0.0f64; per_lane[0][k].len()];
        for lane in &per_lane {
            total.iter_mut().zip(&lane[k]).for_each(|(t, p)| *t += p.wide());
        }
        totals.push((band.actions.start + k, total.into_iter().map(T::of).collect()));
    }
    totals
}

fn with_items(shape: &Shape, count: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    dims[0] = count;
    Shape::new(&dims)
}
