//! Hyper-parameters of recurrent networks over series.

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
    /// `gru` or `lstm`.
    pub cell: Cell,
    /// Recurrent layers, one above another.
    #[schemars(range(min = 1, max = 100))]
    pub layers: usize,
    /// Hidden units of a layer. Unsaid: 64, or the next multiple of the channels told one after another.
    #[schemars(range(min = 1, max = 8192))]
    pub hidden: Option<usize>,
    /// Probability that an element is dropped while training, between layers.
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
    /// Whether series are modelled given their labels: a vector for each class is added to what the first layer reads.
    pub conditional: bool,
}

/// The recurrent cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Cho et al., 2014, as PyTorch has it.
    Gru,
    /// Hochreiter and Schmidhuber, 1997, with forget gates.
    Lstm,
}

impl Default for Config {
    /// One layer of a GRU of 64.
    fn default() -> Self {
        Self {
            cell: Cell::Gru,
            layers: 1,
            hidden: None,
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
    /// Hidden units, where so many channels of a step are told one after another.
    ///
    /// # Errors
    /// [`Error::Usage`] for what makes no network.
    pub fn units(&self, ordered: usize) -> Result<usize> {
        let hidden = self.hidden.unwrap_or(64usize.next_multiple_of(ordered));
        keys::check("rnn", self)?;
        if !hidden.is_multiple_of(ordered) {
            return Err(Error::usage(format!("rnn: hidden={hidden} must be a multiple of the {ordered} channels of a step")));
        }
        Ok(hidden)
    }
}
