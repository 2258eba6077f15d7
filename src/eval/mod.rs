//! Likelihoods and sample quality.

mod likelihood;
pub mod theory;

pub use likelihood::{Figure, LikelihoodOptions, Scores, check_data, one_hot, score};
