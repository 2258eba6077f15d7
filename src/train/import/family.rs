//! What the tensors of other programs' networks are called.

use toml::Table;

use super::file::Weights;
use crate::error::Result;
use crate::train::Recipe;

/// What one of kiln's tensors is made of: tensors of a file, joined along their first axis, times a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Names in the file.
    pub parts: Vec<String>,
    /// A power of two, so that nothing is rounded.
    pub factor: f32,
    /// Whether a matrix may stand for a convolution of one pixel.
    pub flat: bool,
}

impl Source {
    /// A tensor as it stands.
    pub fn of(name: impl Into<String>) -> Self {
        Self { parts: vec![name.into()], factor: 1.0, flat: false }
    }
}

/// A module that other programs have.
pub struct Family {
    /// What it is, in a sentence.
    pub what: &'static str,
    /// The models that are the same network.
    pub models: &'static [&'static str],
    /// Whether a file's tensors are of it.
    pub is: fn(&Weights) -> bool,
    /// Settings of the model that the tensors, and files beside theirs, tell.
    pub settings: fn(&Weights) -> Result<Table>,
    /// Refuses a recipe whose model computes something else, in a part of a sentence that says what would not.
    pub check: fn(&Weights, &Recipe) -> Result<()>,
    /// Where one of kiln's tensors is in a file; none where it belongs to another file.
    pub source: fn(&Weights, &str) -> Option<Source>,
    /// Whether a tensor of the file is none of the network's weights.
    pub beside: fn(&str) -> bool,
}

/// A size as settings hold it.
pub fn size(size: usize) -> toml::Value {
    toml::Value::Integer(i64::try_from(size).unwrap_or(i64::MAX))
}
