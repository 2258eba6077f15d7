//! Bands: runs of actions that are carried out for a few items at a time, so that what one writes the next still finds in cache.
//!
//! A band's actions treat items apart, or sum over them. Parts of fixed size go through the whole band one after the other in a fixed
//! number of lanes, each lane summing what it sums apart, and lanes are added in order: results do not depend on the number of cores.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use super::Real;
use crate::graph::{Action, Batching, Eval, Place, Plan, Shape, Signature, Step};

/// Bytes of the largest tensor's part that goes through a band at once.
const PART_BYTES: usize = 256 * 1024;
/// Lanes at most.
const LANES: usize = 16;
/// Bands shorter than this are not worth their bookkeeping.
const SHORTEST: usize = 3;

/// A run of actions that may be carried out part by part.
#[derive(Clone, Debug)]
pub struct Band {
    /// Which actions.
    pub actions: Range<usize>,
    /// Items of every tensor that has items.
    items: usize,
    /// Items of a part.
    part: usize,
}

/// How a plan's actions fall into bands; actions outside them are carried out whole.
pub fn find(plan: &Plan) -> Vec<Band> {
    let mut bands = Vec::new();
    let mut open: Option<Draft> = None;
    for (at, action) in plan.actions.iter().enumerate() {
        let fits = open.as_mut().is_some_and(|draft| draft.take(action));
        if !fits {
            bands.extend(open.take().and_then(Draft::close));
            let mut draft = Draft::new(at);
            if draft.take(action) {
                open = Some(draft);
            }
        }
    }
    bands.extend(open.and_then(Draft::close));
    bands
}

/// A band being put together.
struct Draft {
    first: usize,
    count: usize,
    items: Option<usize>,
    /// Elements of the tensors in each slot: with items, they must agree, or parts of one would overlap parts of another.
    lengths: HashMap<usize, usize>,
    /// Places whose contents are sums, known only after the band.
    sums: Vec<Place>,
    /// Slots read whole.
    shared: Vec<usize>,
    largest: usize,
}

impl Draft {
    fn new(first: usize) -> Self {
        Self { first, count: 0, items: None, lengths: HashMap::new(), sums: Vec::new(), shared: Vec::new(), largest: 0 }
    }

    /// Adds an action, if it fits.
    fn take(&mut self, action: &Action) -> bool {
        let Action::Compute { op, inputs, shapes, output, shape } = action else { return false };
        let signature = Signature { inputs: shapes.iter().collect(), output: shape };
        let batching = op.batching(&signature);
        let items = match batching {
            Batching::Whole => return false,
            Batching::Items(items) | Batching::Partial(items) => items,
        };
        if items < 2 || self.items.is_some_and(|n| n != items) || inputs.iter().any(|p| self.sums.contains(p)) {
            return false;
        }
        let mut lengths = self.lengths.clone();
        let mut shared = self.shared.clone();
        for (k, (place, s)) in inputs.iter().zip(shapes).enumerate() {
            let Place::Slot(slot) = *place else { continue };
            if op.has_items(k, s, items, shape) {
                if *lengths.entry(slot).or_insert(s.len()) != s.len() || shared.contains(&slot) {
                    return false;
                }
            } else if lengths.contains_key(&slot) {
                return false;
            } else {
                shared.push(slot);
            }
        }
        match (batching, *output) {
            (Batching::Items(_), Place::Slot(slot)) => {
                if *lengths.entry(slot).or_insert(shape.len()) != shape.len() || shared.contains(&slot) {
                    return false;
                }
                if self.sums.contains(output) {
                    return false;
                }
            }
            (Batching::Partial(_), place) => {
                if let Place::Slot(slot) = place
                    && (lengths.contains_key(&slot) || shared.contains(&slot))
                {
                    return false;
                }
                if self.sums.contains(&place) {
                    return false;
                }
                self.sums.push(place);
            }
            _ => return false,
        }
        self.lengths = lengths;
        self.shared = shared;
        self.items = Some(items);
        self.largest = self.largest.max(shape.len()).max(shapes.iter().map(Shape::len).max().unwrap_or(0));
        self.count += 1;
        true
    }

    fn close(self) -> Option<Band> {
        let items = self.items?;
        let bytes = (self.largest * size_of::<f32>() / items).max(1);
        let part = (PART_BYTES / bytes).clamp(1, items.div_ceil(2));
        (self.count >= SHORTEST).then(|| Band { actions: self.first..self.first + self.count, items, part })
    }
}

/// Buffers that lanes share; each touches its own parts.
struct Shared<T>(Vec<(*mut T, usize)>);

// SAFETY: lanes write disjoint ranges, and read only ranges they wrote themselves or that nobody writes: `Draft::take` saw to that.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// Nobody may write the range meanwhile.
    unsafe fn read(&self, slot: usize, range: Range<usize>) -> &[T] {
        let (start, len) = self.0[slot];
        assert!(range.end <= len);
        // SAFETY: within the buffer; the caller's promise.
        unsafe { std::slice::from_raw_parts(start.add(range.start), range.len()) }
    }

    /// # Safety
    /// Nobody else may touch the range meanwhile.
    #[allow(clippy::mut_from_ref)] // the ranges handed out are disjoint
    unsafe fn write(&self, slot: usize, range: Range<usize>) -> &mut [T] {
        let (start, len) = self.0[slot];
        assert!(range.end <= len);
        // SAFETY: within the buffer; the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(start.add(range.start), range.len()) }
    }
}

/// Carries out a band. `outside` reads places that are no slots; what is summed is handed to `sum` at the end, in order.
pub fn run<'a, T: Real>(
    band: &Band,
    plan: &Plan,
    slots: &mut [Vec<T>],
    outside: impl Fn(Place, &Shape) -> &'a [T] + Sync,
    step: &Step,
) -> Vec<(usize, Vec<T>)> {
    let shared = Shared(slots.iter_mut().map(|s| (s.as_mut_ptr(), s.len())).collect());
    let actions = &plan.actions[band.actions.clone()];
    let parts = band.items.div_ceil(band.part);
    let lanes = parts.min(LANES);
    let lane = |lane: usize| -> Vec<Vec<T>> {
        let mut sums: Vec<Vec<T>> = vec![Vec::new(); actions.len()];
        for part in lane * parts / lanes..(lane + 1) * parts / lanes {
            let first = part * band.part;
            let count = band.part.min(band.items - first);
            let step = Step { first_item: step.first_item + first as u32, ..*step };
            for (action, sum) in actions.iter().zip(&mut sums) {
                let Action::Compute { op, inputs, shapes, output, shape } = action else { continue };
                let mut part_shapes = Vec::with_capacity(shapes.len());
                let mut slices = Vec::with_capacity(shapes.len());
                for (k, (place, s)) in inputs.iter().zip(shapes).enumerate() {
                    let split = op.has_items(k, s, band.items, shape);
                    let each = s.len() / band.items;
                    let range = if split { first * each..(first + count) * each } else { 0..s.len() };
                    slices.push(match place {
                        // SAFETY: a part of a slot is written by this lane alone, and whole slots by none.
                        Place::Slot(slot) => unsafe { shared.read(*slot, range) },
                        other => &outside(*other, s)[range],
                    });
                    part_shapes.push(if split { with_items(s, count) } else { s.clone() });
                }
                let batching = op.batching(&Signature { inputs: shapes.iter().collect(), output: shape });
                let partial = matches!(batching, Batching::Partial(_));
                let part_shape = if partial { shape.clone() } else { with_items(shape, count) };
                let evaluate = |output: &mut [T]| {
                    let (inputs, shapes) = (slices.clone(), part_shapes.iter().collect());
                    T::evaluate(op.as_ref(), Eval { inputs, shapes, shape: &part_shape, output, step: &step, items: Some(count) });
                };
                match *output {
                    Place::Slot(slot) if !partial => {
                        let each = shape.len() / band.items;
                        // SAFETY: this part of the slot is this lane's own, and no input's.
                        evaluate(unsafe { shared.write(slot, first * each..(first + count) * each) });
                    }
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
    let per_lane: Vec<Vec<Vec<T>>> = (0..lanes).into_par_iter().map(lane).collect();
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
