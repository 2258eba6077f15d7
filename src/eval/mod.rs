//! Likelihoods and sample quality.

mod accuracy;
mod bound;
mod classify;
mod codes;
pub mod forecast;
mod likelihood;
mod ode;
mod outliers;
mod posterior;
pub mod quality;
mod surprise;
pub mod theory;

pub use accuracy::{Accuracy, accuracy};
pub use bound::{ImportanceFigure, ImportanceScores, importance_bound};
pub use classify::{Judged, judge, linear_accuracy};
pub use codes::{Codes, encode};
pub use likelihood::{Figure, LikelihoodOptions, Scores, score};
pub use ode::{FlowScores, flow_likelihood};
pub use outliers::{auroc, complexity, share_between, upper_quantile};
pub use posterior::{ClassScores, Posterior, TEMPERATURES, Verdict, class_scores, log_prior, mean_and_error};
pub use surprise::{Stretch, Surprise, surprise};
