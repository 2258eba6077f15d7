//! Bands: runs of actions that are carried out for a few items at a time, so that what one writes the next still finds in cache.
//!
//! A band's actions treat items apart, or sum over them. Parts of fixed size go through the whole band one after the other in a fixed
//! number of lanes, each lane summing what it sums apart, and lanes are added in order: results do not depend on the number of cores. Of
//! what nobody wants after the band, a lane keeps just the part it is at.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use rayon::prelude::*;

use super::Number;
use crate::graph::{Action, Batching, Eval, Place, Plan, Shape, Signature, Step};

/// Bytes of the largest tensor's part that goes through a band at once.
const PART_BYTES: usize = 256 * 1024;
/// Lanes at most.
const LANES: usize = 16;
/// Bands shorter than this are not worth their bookkeeping.
const SHORTEST: usize = 3;
/// Elements that an action put off to the end of its band may make at most.
const PUT_OFF: usize = 4096;

/// A run of actions that may be carried out part by part.
#[derive(Clone, Debug)]
pub struct Band {
    /// Which actions.
    pub actions: Range<usize>,
    /// Those among them that are carried out after the others, whole: what the loss is made of, and the like.
    pub put_off: Vec<usize>,
    /// Items of every tensor that has items.
    items: usize,
    /// Items of a part.
    part: usize,
    /// Where each action finds and leaves its tensors.
    homes: Vec<Homes>,
    /// Elements that a lane keeps.
    kept: usize,
}

/// Where tensors begin in what a lane keeps; `None` for those that lie elsewhere, all items of them.
#[derive(Clone, Debug, Default)]
struct Homes {
    inputs: Vec<Option<usize>>,
    output: Option<usize>,
}

/// How a plan's actions fall into bands; actions outside them are carried out whole.
pub fn find(plan: &Plan) -> Vec<Band> {
    let ends = ends(plan);
    let mut bands = Vec::new();
    let mut at = 0;
    while at < plan.actions.len() {
        let mut draft = Draft::default();
        let mut end = at;
        while end < plan.actions.len() && draft.take(end, &plan.actions[end]) {
            end += 1;
        }
        while end - at >= SHORTEST && (draft.put_off.contains(&(end - 1)) || clashes(plan, at..end, &ends, &draft)) {
            end -= 1;
        }
        bands.extend(draft.close(plan, at..end, &ends));
        at = end.max(at + 1);
    }
    bands
}

/// What an action reads and writes.
fn places(action: &Action) -> (&[Place], Option<Place>) {
    match action {
        Action::Compute { inputs, output, .. } => (inputs, Some(*output)),
        Action::Copy { from, to, .. } => (std::slice::from_ref(from), Some(*to)),
        Action::Update(_) => (&[], None),
    }
}

/// The last action that reads what each action writes into a slot (or the action itself), and `usize::MAX` for results of the plan.
fn ends(plan: &Plan) -> Vec<usize> {
    let end = |(at, action): (usize, &Action)| {
        let Some(place @ Place::Slot(_)) = places(action).1 else { return at };
        let mut last = at;
        for (later, action) in plan.actions.iter().enumerate().skip(at + 1) {
            let (reads, write) = places(action);
            if reads.contains(&place) {
                last = later;
            }
            if write == Some(place) {
                return last;
            }
        }
        if plan.outputs.iter().any(|(_, output, _)| *output == place) { usize::MAX } else { last }
    };
    plan.actions.iter().enumerate().map(end).collect()
}

/// Whether tensors that are wanted before and after a run of actions would lie over each other in a slot: lanes are at different items.
fn clashes(plan: &Plan, actions: Range<usize>, ends: &[usize], draft: &Draft) -> bool {
    let Some(items) = draft.items else { return false };
    let mut written = HashSet::new();
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    let mut whole = HashSet::new();
    for at in actions.clone().filter(|at| !draft.put_off.contains(at)) {
        let Action::Compute { op, inputs, shapes, output, shape } = &plan.actions[at] else { continue };
        for (k, (place, s)) in inputs.iter().zip(shapes).enumerate() {
            let Place::Slot(slot) = *place else { continue };
            if written.contains(&slot) {
                continue;
            }
            if !op.has_items(k, s, items, shape) {
                whole.insert(slot);
            } else if *lengths.entry(slot).or_insert(s.len()) != s.len() {
                return true;
            }
        }
        if let Place::Slot(slot) = *output {
            written.insert(slot);
            let sums = matches!(op.batching(&Signature { inputs: shapes.iter().collect(), output: shape }), Batching::Partial(_));
            if !sums && ends[at] >= actions.end && *lengths.entry(slot).or_insert(shape.len()) != shape.len() {
                return true;
            }
        }
    }
    let wanted = |slot: &usize| {
        let writes = |at: &usize| places(&plan.actions[*at]).1 == Some(Place::Slot(*slot));
        actions.clone().filter(writes).any(|at| ends[at] >= actions.end)
    };
    whole.iter().any(|slot| lengths.contains_key(slot) || wanted(slot))
}

/// Elements of slots that a run of a plan touches: what lanes keep, and all of what lies elsewhere.
pub fn touched(plan: &Plan, bands: &[Band]) -> usize {
    let mut whole = vec![false; plan.slots.len()];
    for (at, action) in plan.actions.iter().enumerate() {
        let band = bands.iter().find(|band| band.actions.contains(&at) && !band.put_off.contains(&at));
        let homes = band.map(|band| &band.homes[at - band.actions.start]);
        let (reads, write) = places(action);
        let kept = |k: usize| homes.is_some_and(|homes| homes.inputs.get(k).is_some_and(Option::is_some));
        let reads = reads.iter().enumerate().filter(|(k, _)| !kept(*k)).map(|(_, place)| *place);
        let write = write.filter(|_| homes.is_none_or(|homes| homes.output.is_none()));
        for place in reads.chain(write) {
            if let Place::Slot(slot) = place {
                whole[slot] = true;
            }
        }
    }
    let kept = bands.iter().map(|band| band.kept).max().unwrap_or(0) * rayon::current_num_threads().min(LANES);
    kept + plan.slots.iter().zip(whole).filter(|(_, whole)| *whole).map(|(len, _)| len).sum::<usize>()
}

/// What a slot holds within a band.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Items that the band's actions wrote.
    Items,
    /// A sum that is known after the band, or what is made of one.
    Late,
}

/// A band being put together.
#[derive(Default)]
struct Draft {
    items: Option<usize>,
    /// What the band wrote into slots, where it did.
    held: HashMap<usize, Held>,
    /// Other places whose contents are sums.
    sums: Vec<Place>,
    /// Actions that wait for sums, and the places they touch.
    put_off: Vec<usize>,
    waited_for: Vec<Place>,
    largest: usize,
    count: usize,
}

impl Draft {
    /// Adds an action, if it fits.
    fn take(&mut self, at: usize, action: &Action) -> bool {
        self.take_part(action) || self.put_off(at, action)
    }

    fn is_late(&self, place: &Place) -> bool {
        match place {
            Place::Slot(slot) => self.held.get(slot) == Some(&Held::Late),
            other => self.sums.contains(other),
        }
    }

    fn take_part(&mut self, action: &Action) -> bool {
        let Action::Compute { op, inputs, shapes, output, shape } = action else { return false };
        let batching = op.batching(&Signature { inputs: shapes.iter().collect(), output: shape });
        let items = match batching {
            Batching::Whole => return false,
            Batching::Items(items) | Batching::Partial(items) => items,
        };
        if items < 2 || self.items.is_some_and(|n| n != items) || inputs.iter().chain([output]).any(|place| self.is_late(place)) {
            return false;
        }
        if self.waited_for.contains(output) {
            return false;
        }
        // What has no items is read whole, so no part of the band may write it.
        let is_part = |place: &Place| matches!(place, Place::Slot(slot) if self.held.contains_key(slot));
        if inputs.iter().zip(shapes).enumerate().any(|(k, (place, s))| is_part(place) && !op.has_items(k, s, items, shape)) {
            return false;
        }
        match (batching, *output) {
            (Batching::Items(_), Place::Slot(slot)) => drop(self.held.insert(slot, Held::Items)),
            (Batching::Partial(_), Place::Slot(slot)) => drop(self.held.insert(slot, Held::Late)),
            (Batching::Partial(_), place) => self.sums.push(place),
            _ => return false,
        }
        self.items = Some(items);
        self.largest = self.largest.max(shape.len()).max(shapes.iter().map(Shape::len).max().unwrap_or(0));
        self.count += 1;
        true
    }

    /// Puts a small action off that nothing in the band depends on so far.
    fn put_off(&mut self, at: usize, action: &Action) -> bool {
        let Action::Compute { inputs, output: output @ Place::Slot(slot), shape, .. } = action else { return false };
        let is_part = |place: &Place| matches!(place, Place::Slot(slot) if self.held.get(slot) == Some(&Held::Items));
        let fits = shape.len() <= PUT_OFF && inputs.iter().any(|place| self.is_late(place)) && !inputs.iter().chain([output]).any(is_part);
        if fits {
            self.held.insert(*slot, Held::Late);
            self.put_off.push(at);
            self.waited_for.extend(inputs);
        }
        fits
    }

    /// The band of the actions taken, up to `actions.end`.
    fn close(self, plan: &Plan, actions: Range<usize>, ends: &[usize]) -> Option<Band> {
        let items = self.items?;
        let put_off: Vec<usize> = self.put_off.into_iter().filter(|at| actions.contains(at)).collect();
        if actions.len() - put_off.len() < SHORTEST {
            return None;
        }
        let bytes = (self.largest * size_of::<f32>() / items).max(1);
        let part = (PART_BYTES / bytes).clamp(1, items.div_ceil(2));
        let mut room = Room::default();
        let mut kept: HashMap<usize, usize> = HashMap::new();
        let mut home = |at: usize| {
            let Action::Compute { op, inputs, shapes, output, shape } = &plan.actions[at] else { return Homes::default() };
            if put_off.contains(&at) {
                return Homes::default();
            }
            let of = |place: &Place| match place {
                Place::Slot(slot) => kept.get(slot).copied(),
                _ => None,
            };
            let inputs = inputs.iter().map(of).collect();
            let sums = matches!(op.batching(&Signature { inputs: shapes.iter().collect(), output: shape }), Batching::Partial(_));
            let mut homes = Homes { inputs, output: None };
            if let Place::Slot(slot) = *output {
                kept.remove(&slot);
                if !sums && ends[at] < actions.end {
                    let first = room.take(at, ends[at], shape.len() / items * part);
                    kept.insert(slot, first);
                    homes.output = Some(first);
                }
            }
            homes
        };
        let homes = actions.clone().map(&mut home).collect();
        Some(Band { actions, put_off, items, part, homes, kept: room.end })
    }
}

/// Memory that tensors share by liveness.
#[derive(Default)]
struct Room {
    /// Elements each tensor takes, and the last action that reads it, by where they begin.
    taken: Vec<(Range<usize>, usize)>,
    end: usize,
}

impl Room {
    /// Room for `len` elements that action `at` writes and `last` reads last.
    fn take(&mut self, at: usize, last: usize, len: usize) -> usize {
        self.taken.retain(|(_, last)| *last >= at);
        // Tensors begin at cache lines of their own.
        let len = len.next_multiple_of(16);
        let mut first = 0;
        for (taken, _) in &self.taken {
            if taken.start >= first + len {
                break;
            }
            first = taken.end;
        }
        self.taken.push((first..first + len, last));
        self.taken.sort_by_key(|(taken, _)| taken.start);
        self.end = self.end.max(first + len);
        first
    }
}

/// Buffers that lanes share; each touches its own parts.
struct Shared<T>(Vec<(*mut T, usize)>);

// SAFETY: lanes write disjoint ranges, and read only ranges they wrote themselves or that nobody writes: `find` saw to that.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// Nobody may write the range meanwhile.
    unsafe fn read(&self, buffer: usize, range: Range<usize>) -> &[T] {
        let (start, len) = self.0[buffer];
        assert!(range.end <= len);
        // SAFETY: within the buffer; the caller's promise.
        unsafe { std::slice::from_raw_parts(start.add(range.start), range.len()) }
    }

    /// # Safety
    /// Nobody else may touch the range meanwhile.
    #[allow(clippy::mut_from_ref)] // the ranges handed out are disjoint
    unsafe fn write(&self, buffer: usize, range: Range<usize>) -> &mut [T] {
        let (start, len) = self.0[buffer];
        assert!(range.end <= len);
        // SAFETY: within the buffer; the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(start.add(range.start), range.len()) }
    }
}

/// Carries out a band. `outside` reads places that are no slots; what is summed is handed to `sum` at the end, in order.
pub fn run<'a, T: Number>(
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
                    T::evaluate(op.as_ref(), Eval { inputs, shapes, shape: &part_shape, output, step: &step, items: Some(count) });
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
