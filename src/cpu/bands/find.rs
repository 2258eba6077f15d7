//! Where a plan falls into bands.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::draft::{Draft, SHORTEST};
use super::{Band, places};
use crate::graph::{Action, Batching, Place, Plan, Signature};

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
