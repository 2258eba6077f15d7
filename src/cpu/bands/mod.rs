//! Bands: runs of actions that are carried out for a few items at a time, so that what one writes the next still finds in cache.
//!
//! A band's actions treat items apart, or sum over them. Parts of fixed size go through the whole band one after the other in a fixed
//! number of lanes, each lane summing what it sums apart, and lanes are added in order: results do not depend on the number of cores. Of
//! what nobody wants after the band, a lane keeps just the part it is at.

mod draft;
mod find;
mod room;
mod run;

use std::ops::Range;

use crate::graph::{Action, Place, Plan};

pub use find::find;
pub use run::run;

/// Lanes at most.
const LANES: usize = 16;

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

/// What an action reads and writes.
fn places(action: &Action) -> (&[Place], Option<Place>) {
    match action {
        Action::Compute { inputs, output, .. } => (inputs, Some(*output)),
        Action::Copy { from, to, .. } => (std::slice::from_ref(from), Some(*to)),
        Action::Update(_) => (&[], None),
    }
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
    let kept = bands.iter().map(|band| band.kept).max().unwrap_or(0) * crate::parallel::current_num_threads().min(LANES);
    kept + plan.slots.iter().zip(whole).filter(|(_, whole)| *whole).map(|(len, _)| len).sum::<usize>()
}
