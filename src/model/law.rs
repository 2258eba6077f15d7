//! What a network's outputs at a pixel say of its values.

use crate::tensor::{Gaussians, Mixture};

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
    /// The parameters of a mixture of Gaussians for each colour, whose values are continuous.
    Gaussian(Gaussians),
}

impl Law {
    /// Levels of a value; `None` where values are continuous.
    pub fn levels(&self) -> Option<usize> {
        match self {
            Self::Bernoulli => Some(2),
            Self::Categorical { levels } => Some(*levels),
            Self::Mixture(mixture) => Some(mixture.levels),
            Self::Gaussian(_) => None,
        }
    }

    /// What a value is divided by where it is shown in 0..1: the last level, and of continuous values, which are shown as they are, 1.
    pub fn top(&self) -> f32 {
        self.levels().map_or(1.0, |levels| (levels - 1) as f32)
    }

    /// Outputs of a pixel of so many colours.
    pub fn outputs(&self, colours: usize) -> usize {
        match self {
            Self::Bernoulli => colours,
            Self::Categorical { levels } => colours * levels,
            Self::Mixture(mixture) => mixture.parameters(),
            Self::Gaussian(mixture) => colours * mixture.parameters(),
        }
    }

    /// The first colour whose law an output of `[outputs, colours]` tells: it may depend on the values before that one.
    pub fn colour(&self, output: usize, [outputs, colours]: [usize; 2]) -> usize {
        match self {
            Self::Bernoulli | Self::Categorical { .. } | Self::Gaussian(_) => output * colours / outputs,
            Self::Mixture(_) => 0,
        }
    }

    /// Whether the outputs of a pixel are the same whatever its own colours are.
    pub fn is_of_pixels(&self) -> bool {
        matches!(self, Self::Mixture(_))
    }
}
