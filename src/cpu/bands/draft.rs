//! A band being put together.

use std::collections::HashMap;
use std::ops::Range;

use super::room::Room;
use super::{Band, Homes};
use crate::graph::{Action, Batching, Place, Plan, Shape, Signature};

/// Bytes of the largest tensor's part that goes through a band at once.
const PART_BYTES: usize = 256 * 1024;
/// Bands shorter than this are not worth their bookkeeping.
pub(super) const SHORTEST: usize = 3;
/// Elements that an action put off to the end of its band may make at most.
const PUT_OFF: usize = 4096;

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
pub(super) struct Draft {
    pub(super) items: Option<usize>,
    /// What the band wrote into slots, where it did.
    held: HashMap<usize, Held>,
    /// Other places whose contents are sums.
    sums: Vec<Place>,
    /// Actions that wait for sums, and the places they touch.
    pub(super) put_off: Vec<usize>,
    waited_for: Vec<Place>,
    largest: usize,
    count: usize,
}

impl Draft {
    /// Adds an action, if it fits.
    pub(super) fn take(&mut self, at: usize, action: &Action) -> bool {
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
    pub(super) fn close(self, plan: &Plan, actions: Range<usize>, ends: &[usize]) -> Option<Band> {
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
