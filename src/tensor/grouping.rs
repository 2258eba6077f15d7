//! How channels are grouped to be normalised.

/// What a group normalisation is: how the channels are grouped, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grouping {
    /// Groups of adjacent channels, each normalised by its own mean and variance over an image.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether `x·σ(x)` follows (SiLU).
    pub silu: bool,
}
