//! A network with p(y|x) in its loss, as a recipe's keys say.

use super::autoregressive::{Given, Network};
use super::dropout::Dropout;
use super::label_loss::{LabelKeys, LabelLoss};
use super::levels::Levels;
use super::{Defaults, Model};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};

/// Other classes, where nobody says how many.
const OTHER_CLASSES: usize = 3;

/// A network, with p(y|x) in its loss where the keys say so.
///
/// # Errors
/// [`Error::Usage`] where the keys are no numbers that fit, or the network has no labels.
pub fn with_labels<N: Network + 'static>(network: N, keys: &LabelKeys) -> Result<Box<dyn Model>> {
    let refused = |reason: String| Err(Error::usage(format!("{}: {reason}", N::NAME)));
    let weight = keys.label_weight.unwrap_or(0.0);
    if !(weight >= 0.0 && weight.is_finite()) {
        return refused(format!("label_weight must be a number, not below 0, not {weight}"));
    }
    if weight == 0.0 {
        return match keys.label_others {
            Some(_) => {
                refused("label_others counts classes of the label's part of the loss; take label_weight=1, say, or leave it out".into())
            }
            None => Ok(Box::new(network)),
        };
    }
    let classes = network.classes();
    if classes < 2 {
        return refused(
            "label_weight needs p(x|y) of two classes or more; take conditional=true and labelled data, or leave it out".into(),
        );
    }
    let others = keys.label_others.unwrap_or(OTHER_CLASSES.min(classes - 1));
    if !(1..classes).contains(&others) {
        return refused(format!("label_others must be 1 to {}, the classes besides an image's own, not {others}", classes - 1));
    }
    Ok(Box::new(Labelled { network, loss: LabelLoss { weight, others } }))
}

/// A network with p(y|x) in its loss.
struct Labelled<N> {
    network: N,
    loss: LabelLoss,
}

impl<N: Network> Network for Labelled<N> {
    const NAME: &'static str = N::NAME;
    const STARTS: bool = N::STARTS;

    fn tensors(&self) -> &StateSpec {
        self.network.tensors()
    }

    fn pixels(&self) -> &Levels {
        self.network.pixels()
    }

    fn classes(&self) -> usize {
        self.network.classes()
    }

    fn dropout(&self) -> Dropout {
        self.network.dropout()
    }

    fn scales(&self) -> usize {
        self.network.scales()
    }

    fn colours(&self) -> bool {
        self.network.colours()
    }

    fn preferences(&self) -> Defaults {
        self.network.preferences()
    }

    fn label_loss(&self) -> Option<LabelLoss> {
        Some(self.loss)
    }

    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        self.network.logits(g, x, given)
    }

    fn middle(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        self.network.middle(g, x, given)
    }

    fn start(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        self.network.start(g, x, given)
    }
}
