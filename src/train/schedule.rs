//! The ways in which a learning rate falls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate falls after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// By the factor `rate_decay` from step to step.
    Exponential,
    /// By half a cosine, to zero (Loshchilov and Hutter, 2017, without restarts).
    Cosine,
    /// In a straight line, to zero.
    Linear,
}
