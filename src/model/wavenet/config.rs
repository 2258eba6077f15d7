//! Hyper-parameters of WaveNet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::keys;
use crate::model::dropout::Dropout;
use crate::model::levels::Likelihood;

/// Hyper-parameters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Channels between layers, R. Unsaid: 32, or the next multiple of the channels told one after another.
    #[schemars(range(min = 1, max = 8192))]
    pub residual: Option<usize>,
    /// Channels that layers hand to the head. Unsaid: 128, or as before.
    #[schemars(range(min = 1, max = 8192))]
    pub skip: Option<usize>,
    /// Channels within the head. Unsaid: 128, or as before.
    #[schemars(range(min = 1, max = 8192))]
    pub head: Option<usize>,
    /// Layers of a stack; layer l looks 2ˡ steps back.
    #[schemars(range(min = 1, max = 16))]
    pub depth: usize,
    /// Stacks, each beginning with a dilation of 1 again.
    #[schemars(range(min = 1, max = 100))]
    pub stacks: usize,
    /// Taps of a dilated convolution.
    #[schemars(range(min = 2, max = 16))]
    pub kernel: usize,
    /// Probability that an element is dropped while training, of every gated map.
    pub dropout: Dropout,
    /// Values a channel can take: 2 (Bernoulli) or up to 256 (categorical); 0 takes 2 for bits and 256 for other data.
    #[schemars(range(max = 256))]
    pub levels: usize,
    /// How values are told: by logits of their levels, by a mixture of logistics, or, if they are continuous, by a mixture of Gaussians.
    /// Unsaid: by logits, or by Gaussians.
    pub likelihood: Option<Likelihood>,
    /// Logistics of a mixture, 10; or its Gaussians, 5.
    #[schemars(range(min = 1, max = 64))]
    pub mixtures: Option<usize>,
    /// Whether a linear map of the step before is added to the means of continuous values, which starts as that step's values: what the
    /// network learns is then what changes.
    pub difference: bool,
    /// Whether series are modelled given their labels: a vector for each class enters the gates of every layer.
    pub conditional: bool,
}

impl Default for Config {
    /// 2 stacks of 8 layers, R = 32, 128 and 128 channels: a field of 512 steps.
    fn default() -> Self {
        Self {
            residual: None,
            skip: None,
            head: None,
            depth: 8,
            stacks: 2,
            kernel: 2,
            dropout: Dropout::NONE,
            levels: 0,
            likelihood: None,
            mixtures: None,
            difference: false,
            conditional: false,
        }
    }
}

impl Config {
    /// Channels between layers, handed to the head, and within it, where so many channels of a step are told one after another.
    ///
    /// # Errors
    /// [`Error::Usage`] for what makes no network.
    pub fn channels(&self, ordered: usize) -> Result<[usize; 3]> {
        let or = |asked: Option<usize>, usual: usize| asked.unwrap_or(usual.next_multiple_of(ordered));
        let [residual, skip, head] = [or(self.residual, 32), or(self.skip, 128), or(self.head, 128)];
        keys::check("wavenet", self)?;
        if [residual, skip, head].iter().any(|channels| channels % ordered != 0) {
            return Err(Error::usage(format!(
                "wavenet: residual={residual}, skip={skip} and head={head} must be multiples of the {ordered} channels of a step"
            )));
        }
        Ok([residual, skip, head])
    }
}
