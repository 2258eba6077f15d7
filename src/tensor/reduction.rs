//! Kinds of reductions.

/// What a reduction does with its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Σ x
    Sum,
    /// The largest; every element equal to it gets the whole gradient.
    Max,
    /// ln Σ eˣ, without overflow
    LogSumExp,
}
