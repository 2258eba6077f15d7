//! kiln trains, scores and samples deep generative models on any GPU through hand-written WGSL kernels, and on the CPU without one.

pub mod cpu;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod op;
pub mod random;
pub mod shader;

pub use error::{Error, Result};
