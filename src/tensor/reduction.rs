//! Kinds of reductions.

/// What a reduction does with its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Σ x
    Sum,
    /// Σ x / n
    Mean,
    /// Σ (x − mean)² / n, in one pass over the elements; 0 of none
    Variance,
    /// The largest; every element equal to it gets the whole gradient.
    Max,
    /// ln Σ eˣ, without overflow
    LogSumExp,
}

impl Reduction {
    /// What comes of no elements.
    pub fn of_none(self) -> f64 {
        match self {
            Self::Sum | Self::Mean | Self::Variance => 0.0,
            Self::Max | Self::LogSumExp => f64::NEG_INFINITY,
        }
    }
}
