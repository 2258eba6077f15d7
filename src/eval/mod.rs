//! Likelihoods and sample quality.

mod accuracy;
mod bound;
mod codes;
mod likelihood;
mod outliers;

pub use accuracy::{Accuracy, accuracy};
pub use bound::importance_bound;
pub use codes::{Codes, encode};
pub use likelihood::{Figure, LikelihoodOptions, Scores, check_data, one_hot, score};
pub use outliers::auroc;
