//! Likelihoods and sample quality.

mod classify;
mod likelihood;
pub mod quality;
pub mod theory;

pub use classify::{Judged, judge, linear_accuracy};
pub use likelihood::{Figure, LikelihoodOptions, Scores, check_data, one_hot, score};
