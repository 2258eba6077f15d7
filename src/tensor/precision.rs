//! What products are computed in.

use std::str::FromStr;

use crate::error::{Error, Result};

/// What products are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Everything in f32.
    #[default]
    F32,
    /// Operands of large products rounded to sixteen bits (f16 on a GPU, bf16 on the CPU), sums in f32; weights, moments and everything
    /// else stay in f32.
    Mixed,
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "mixed" => Ok(Self::Mixed),
            _ => Err(Error::usage(format!("a precision is f32 or mixed, not {text}"))),
        }
    }
}
