//! What a network's outputs at a pixel say of its values.

use crate::tensor::Mixture;

/// The law of a pixel's values given its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// One logit a colour: that of the value 1 against 0.
    Bernoulli,
    /// One logit for each level of each colour, the levels of a colour side by side.
    Categorical {
        /// Levels of a value.
        levels: usize,
    },
    /// The parameters of a mixture of discretised logistics, which couples the colours of a pixel itself.
    Mixture(Mixture),
}

impl Law {
    /// Levels of a value.
    pub fn levels(&self) -> usize {
        match self {
            Self::Bernoulli => 2,
            Self::Categorical { levels } => *levels,
            Self::Mixture(mixture) => mixture.levels,
        }
    }

    /// Outputs of a pixel of so many colours.
    pub fn outputs(&self, colours: usize) -> usize {
        match self {
            Self::Bernoulli => colours,
            Self::Categorical { levels } => colours * levels,
            Self::Mixture(mixture) => mixture.parameters(),
        }
    }

    /// The first colour whose law an output of `[outputs, colours]` tells: it may depend on the values before that one.
    pub fn colour(&self, output: usize, [outputs, colours]: [usize; 2]) -> usize {
        match self {
            Self::Bernoulli | Self::Categorical { .. } => output * colours / outputs,
            Self::Mixture(_) => 0,
        }
    }

    /// Whether the outputs of a pixel are the same whatever its own colours are.
    pub fn is_of_pixels(&self) -> bool {
        matches!(self, Self::Mixture(_))
    }
}
