//! The key that tells how much a network drops while it is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Probability that [`Graph::dropout`](crate::graph::Graph::dropout) drops an element: at least 0 and below 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
#[serde(try_from = "f64", into = "f64")]
pub struct Dropout(f64);

impl Dropout {
    /// Half of all elements.
    pub const HALF: Self = Self(0.5);
    /// Three elements of ten.
    pub const THREE_TENTHS: Self = Self(0.3);
    /// One element of ten.
    pub const TENTH: Self = Self(0.1);
    /// None.
    pub const NONE: Self = Self(0.0);
}

impl TryFrom<f64> for Dropout {
    type Error = String;

    fn try_from(probability: f64) -> Result<Self, String> {
        let fits = (0.0..1.0).contains(&probability);
        fits.then_some(Self(probability)).ok_or_else(|| "dropout must be at least 0 and below 1".into())
    }
}

impl From<Dropout> for f64 {
    fn from(dropout: Dropout) -> Self {
        dropout.0
    }
}
