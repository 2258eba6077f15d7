//! Likelihoods and sample quality.

mod likelihood;

pub use likelihood::{Figure, LikelihoodOptions, Scores, check_data, one_hot, score};
