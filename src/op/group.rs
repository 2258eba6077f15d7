//! Gradients of what an optimiser owns, under its loss scale.

use crate::error::{Error, Result};
use crate::graph::{Graph, Kind, NodeId, StateId, StateSpec, Update};

impl Graph {
    /// Gradients of the scalar `loss` with respect to the trained tensors of an update's group, in order, through every reading of them
    /// since the group last changed; multiplied by the update's loss scale, if it has one.
    pub fn group_gradients(&mut self, loss: NodeId, spec: &StateSpec, update: &Update) -> Result<Vec<NodeId>> {
        let group = update.group;
        let since = self.nodes().iter().rposition(|n| matches!(&n.kind, Kind::Update(u) if u.group == group)).unwrap_or(0);
        let mut wrt = Vec::new();
        let mut owners = Vec::new();
        let trained = spec.trained(group);
        for (at, node) in self.nodes().iter().enumerate().take(loss.0 + 1).skip(since) {
            if let Kind::State(id) = node.kind
                && let Some(owner) = trained.iter().position(|t| *t == id)
            {
                wrt.push(NodeId(at));
                owners.push(owner);
            }
        }
        let parts = match self.loss_scale(update)? {
            Some(scale) if self.shape(loss).len() == 1 => {
                let seed = self.reshape(scale, self.shape(loss).clone())?;
                self.pullback(loss, seed, &wrt)?
            }
            _ => self.gradients(loss, &wrt)?,
        };
        let mut sums: Vec<Option<NodeId>> = vec![None; trained.len()];
        for (owner, part) in owners.into_iter().zip(parts) {
            sums[owner] = Some(match sums[owner] {
                Some(sum) => self.add(sum, part)?,
                None => part,
            });
        }
        let missing = |id: &StateId| Error::Gradient(format!("the loss does not depend on {}", spec.spec(*id).name));
        sums.into_iter().zip(&trained).map(|(g, id)| g.ok_or_else(|| missing(id))).collect()
    }

    /// The factor that the loss of an update is multiplied by, `[1]`, if it has one.
    fn loss_scale(&mut self, update: &Update) -> Result<Option<NodeId>> {
        self.loss_scale_tensor(update).map(|tensor| self.slice(tensor, 0, 0, 1)).transpose()
    }

    /// What is in proportion to the gradients of an update, such as their norm, freed of the loss scale.
    pub fn unscaled(&mut self, x: NodeId, update: &Update) -> Result<NodeId> {
        match self.loss_scale(update)? {
            Some(scale) => self.map(&[x, scale], |b, v| b.div(v[0], v[1])),
            None => Ok(x),
        }
    }
}
