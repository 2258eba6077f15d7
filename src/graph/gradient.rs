//! Reverse-mode differentiation: gradients are nodes of the same graph, so they can be differentiated again.

use super::{Graph, Kind, NodeId};
use crate::error::{Error, Result};

impl Graph {
    /// Gradients of the scalar `loss` with respect to each of `wrt`.
    ///
    /// # Errors
    /// [`Error::Gradient`] where `loss` is not one number, does not depend on one of `wrt`, or an operation on the way has no gradient.
    pub fn gradients(&mut self, loss: NodeId, wrt: &[NodeId]) -> Result<Vec<NodeId>> {
        if self.shape(loss).len() != 1 {
            return Err(Error::Gradient(format!("the loss must be one number, not {}", self.shape(loss))));
        }
        let seed = self.fill(self.shape(loss).clone(), 1.0)?;
        self.pullback(loss, seed, wrt)
    }

    /// Gradients of ⟨`y`, `upstream`⟩ with respect to each of `wrt`.
    pub fn pullback(&mut self, y: NodeId, upstream: NodeId, wrt: &[NodeId]) -> Result<Vec<NodeId>> {
        let mut leads = vec![false; y.0 + 1];
        for &w in wrt {
            if w.0 <= y.0 {
                leads[w.0] = true;
            }
        }
        for at in 0..=y.0 {
            leads[at] |= self.nodes[at].inputs.iter().any(|i| leads[i.0]);
        }
        let mut adjoint: Vec<Option<NodeId>> = vec![None; y.0 + 1];
        adjoint[y.0] = Some(upstream);
        for at in (0..=y.0).rev() {
            let Some(g) = adjoint[at] else { continue };
            let node = self.nodes[at].clone();
            let wanted: Vec<bool> = node.inputs.iter().map(|i| leads[i.0]).collect();
            if !wanted.contains(&true) {
                continue;
            }
            let terms = match &node.kind {
                Kind::Op(op) => op.gradient(self, NodeId(at), g, &wanted)?,
                Kind::Reshape => vec![Some(self.reshape(g, self.shape(node.inputs[0]).clone())?)],
                Kind::Input(_) | Kind::State(_) | Kind::Assign(_) | Kind::Update(_) => Vec::new(),
            };
            for ((&input, term), wanted) in node.inputs.iter().zip(terms).zip(wanted) {
                if let (Some(term), true) = (term, wanted) {
                    adjoint[input.0] = Some(match adjoint[input.0] {
                        Some(sum) => self.add(sum, term)?,
                        None => term,
                    });
                }
            }
        }
        wrt.iter()
            .map(|w| match adjoint.get(w.0).copied().flatten() {
                Some(g) => Ok(g),
                None if w.0 <= y.0 => self.fill(self.shape(*w).clone(), 0.0),
                None => Err(Error::Gradient("the loss does not depend on a tensor it was to be differentiated by".into())),
            })
            .collect()
    }
}
