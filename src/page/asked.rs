//! What a page asks for, as JSON.

use serde::Deserialize;

use crate::error::{Error, Result};

/// How images are to be drawn.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How many.
    pub count: usize,
    /// Seed of their draws.
    pub seed: u32,
    /// Their class; each in turn where none is named.
    #[serde(default)]
    pub label: Option<u32>,
    /// Divides the logits of what is drawn value by value.
    #[serde(default = "one")]
    pub temperature: f32,
    /// Moves from noise, where it is taken away.
    #[serde(default)]
    pub steps: Option<usize>,
}

fn one() -> f32 {
    1.0
}

/// What is to be trained on the digits that are built in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The model's name.
    pub model: String,
    /// Steps of the whole run.
    pub steps: u64,
    /// Items a step.
    pub batch: usize,
    /// The model's own where it is none.
    #[serde(default)]
    pub learning_rate: Option<f64>,
    /// Seed of weights, order and noise.
    pub seed: u32,
    /// Steps between samples.
    pub sample_every: u64,
}

impl Options {
    /// Of its text.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(text: &str) -> Result<Self> {
        let options: Self = parsed(text)?;
        if options.count == 0 || options.count > 1024 {
            return Err(Error::usage(format!("1 to 1,024 images are drawn at a time, not {}", options.count)));
        }
        if !(options.temperature > 0.0 && options.temperature.is_finite()) {
            return Err(Error::usage(format!("a temperature is above 0, not {}", options.temperature)));
        }
        Ok(options)
    }
}

impl Request {
    /// Of its text.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(text: &str) -> Result<Self> {
        parsed(text)
    }
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::usage(format!("what the page asks for is not understood: {e}")))
}
