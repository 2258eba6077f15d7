//! Where lanes that go through one plan have to agree: before each update of the weights.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Action, Place, Plan, StateId, Update};

/// A run of a plan's actions that each lane carries out with its own share of a batch, and what follows it once for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What each lane does by itself.
    pub actions: Range<usize>,
    /// Gradients of later updates that nothing changes after an action, in the order of those actions.
    pub gradients: Vec<(usize, StateId)>,
    /// Tensors that the actions overwrite.
    pub assigned: Vec<StateId>,
    /// The updates that follow.
    pub updates: Range<usize>,
}

impl Plan {
    /// Cuts the plan at its updates.
    pub fn parts(&self) -> Vec<Part> {
        let is_update = |at: &usize| matches!(self.actions[*at], Action::Update(_));
        let mut parts = Vec::new();
        let mut at = 0;
        while at < self.actions.len() {
            let first = (at..self.actions.len()).find(is_update).unwrap_or(self.actions.len());
            let end = (first..self.actions.len()).find(|at| !is_update(at)).unwrap_or(self.actions.len());
            let assigned = self.actions[at..first].iter().filter_map(|action| match action {
                Action::Copy { to: Place::State(id), .. } => Some(*id),
                _ => None,
            });
            let mut assigned: Vec<StateId> = assigned.collect();
            assigned.sort_unstable();
            assigned.dedup();
            parts.push(Part { actions: at..first, gradients: Vec::new(), assigned, updates: first..end });
            at = end;
        }
        for (id, written) in self.last_written() {
            if let Some(part) = parts.iter_mut().find(|part| part.actions.contains(&written)) {
                part.gradients.push((written, id));
            }
        }
        parts.iter_mut().for_each(|part| part.gradients.sort_unstable());
        parts
    }

    /// The last action before each update that writes each gradient that it reads.
    fn last_written(&self) -> Vec<(StateId, usize)> {
        let mut latest: BTreeMap<StateId, usize> = BTreeMap::new();
        let mut found = Vec::new();
        for (at, action) in self.actions.iter().enumerate() {
            match action {
                Action::Compute { output: Place::Gradient(id), .. } | Action::Copy { to: Place::Gradient(id), .. } => {
                    latest.insert(*id, at);
                }
                Action::Update(Update { group, .. }) => {
                    let (read, kept) = latest.into_iter().partition(|(id, _)| id.group == *group);
                    latest = kept;
                    found.extend(read);
                }
                Action::Compute { .. } | Action::Copy { .. } => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Graph, Init, Layout, Rule, StateSpec};
    use super::*;
    use crate::error::Result;

    #[test]
    fn a_plan_is_cut_at_each_update_and_gradients_are_ready_before_it() -> Result<()> {
        let mut spec = StateSpec::default();
        let mut tensors = Vec::new();
        for name in ["a", "b"] {
            let group = spec.group(name);
            tensors.push(spec.tensor(group, "weight", [8], Init::Constant(1.0), Layout::Plain, true));
        }
        let seen = spec.tensor(0, "seen", [8], Init::Constant(0.0), Layout::Plain, false);
        let mut g = Graph::new();
        let x = g.input("x", [8]);
        for group in 0..2 {
            let weight = g.state(&spec, tensors[group]);
            let product = g.mul(x, weight)?;
            let loss = g.sum_all(product)?;
            let update = Update::new(group, Rule::Sgd { momentum: 0.0 });
            let gradients = g.group_gradients(loss, &spec, &update)?;
            g.update(&spec, update, &gradients)?;
            if group == 0 {
                g.assign(&spec, seen, product)?;
            }
            g.output(["first", "second"][group], loss);
        }
        let plan = Plan::new(&g, &spec, true);
        let parts = plan.parts();
        assert_eq!(parts.len(), 2);
        for (group, part) in parts.iter().enumerate() {
            let (written, id) = part.gradients[0];
            assert_eq!((part.gradients.len(), id), (1, tensors[group]));
            assert!(part.actions.contains(&written));
            assert!(plan.actions[part.updates.clone()].iter().all(|a| matches!(a, Action::Update(u) if u.group == group)));
        }
        assert_eq!((parts[0].assigned.clone(), parts[1].assigned.clone()), (vec![], vec![seen]));
        assert_eq!(parts[1].updates.end, plan.actions.len());
        Ok(())
    }
}
