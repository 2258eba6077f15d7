//! Gradients of several passes added up before one update, so that a large batch is trained in the memory of a small one. The sums are
//! persistent tensors, empty between steps, so checkpoints hold none of them.

use super::{Graph, Init, Kind, Layout, NodeId, Shape, StateId, StateSpec, Update};
use crate::error::Result;

/// What an update does with the gradients of one pass among several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accumulate {
    /// The sum of the group's first trained tensor; those of the others follow it (see [`StateSpec::with_sums`]).
    pub first: StateId,
    /// Passes of a step.
    pub passes: u32,
    /// Whether this pass is the step's last: it updates by the mean of all and empties the sums. The others change the sums alone.
    pub last: bool,
}

impl StateSpec {
    /// The same tensors and one sum for each trained tensor of the first `groups` groups, in a group of their own; with the first sum of
    /// each group that has any.
    pub fn with_sums(&self, groups: usize) -> (Self, Vec<Option<StateId>>) {
        let mut spec = self.clone();
        let own = spec.group("optimizer.sum");
        let mut sums = |group: usize| {
            let made = self.trained(group).into_iter().map(|id| {
                let tensor = self.spec(id);
                spec.tensor(own, &tensor.name, tensor.shape.clone(), Init::Constant(0.0), Layout::Derived, false)
            });
            made.collect::<Vec<_>>().first().copied()
        };
        let first = (0..groups).map(&mut sums).collect();
        (spec, first)
    }
}

impl Graph {
    /// Adds one pass's gradients to their sums and, in the last, updates by the mean.
    pub(super) fn accumulate(&mut self, spec: &StateSpec, update: Update, how: Accumulate, gradients: &[NodeId]) -> Result<()> {
        let sum = |at: usize| StateId { index: how.first.index + at, ..how.first };
        let mut totals = Vec::new();
        for (at, &gradient) in gradients.iter().enumerate() {
            // Read from a spec that knows the sums: the model's own does not.
            let before = self.sum(sum(at), self.shape(gradient).clone());
            let total = if how.last {
                let share = 1.0 / f64::from(how.passes);
                self.map(&[before, gradient], |b, v| {
                    let total = b.add(v[0], v[1]);
                    b.scale(total, share)
                })?
            } else {
                self.add(before, gradient)?
            };
            totals.push(total);
        }
        if how.last {
            self.update(spec, Update { accumulate: None, ..update }, &totals)?;
        }
        for (at, total) in totals.into_iter().enumerate() {
            let shape = self.shape(total).clone();
            let value = if how.last { self.fill(shape.clone(), 0.0)? } else { total };
            self.push(Kind::Assign(sum(at)), vec![value], shape);
        }
        Ok(())
    }

    fn sum(&mut self, id: StateId, shape: Shape) -> NodeId {
        let known = self.states.get(&(id, self.changes)).copied();
        let node = known.unwrap_or_else(|| self.push(Kind::State(id), Vec::new(), shape));
        self.states.insert((id, self.changes), node);
        node
    }
}
