//! Mixtures of Gaussians: how the channels of a value hold the parameters.

use crate::error::{Error, Result};

/// A mixture of Gaussians over one continuous value.
///
/// Of K components the channels of a value are `[logits, means, s]`, K each; a component's standard deviation is
/// [`LEAST_DEVIATION`] + eˢ, so that a density is bounded however well a value is known, and a narrow component can widen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gaussians {
    /// Components, K.
    pub components: usize,
}

/// The least standard deviation of a component, in the values' own scale.
pub const LEAST_DEVIATION: f64 = 1e-3;

impl Gaussians {
    /// Most components.
    pub const MOST: usize = 64;

    /// A mixture.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such mixture.
    pub fn new(components: usize) -> Result<Self> {
        if (1..=Self::MOST).contains(&components) {
            return Ok(Self { components });
        }
        Err(Error::usage(format!("a mixture has 1 to {} components, not {components}", Self::MOST)))
    }

    /// Channels of a value.
    pub fn parameters(&self) -> usize {
        3 * self.components
    }
}
