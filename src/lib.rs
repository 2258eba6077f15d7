//! kiln trains, scores and samples deep generative models on any GPU through hand-written WGSL kernels, and on the CPU without one.

pub mod data;
pub mod error;
pub mod graph;
pub mod random;
pub mod report;

pub use error::{Error, Result};
