//! kiln trains, scores and samples deep generative models on any GPU through hand-written WGSL kernels, and on the CPU without one.

pub mod cache;
#[cfg(not(target_family = "wasm"))]
pub mod cli;
pub mod cpu;
pub mod data;
pub mod error;
pub mod eval;
pub mod gpu;
pub mod graph;
pub mod keys;
pub mod model;
pub mod native;
mod nearest;
pub mod nn;
pub mod op;
#[cfg(target_family = "wasm")]
pub mod page;
pub(crate) mod parallel;
pub mod random;
pub mod report;
pub mod runtime;
pub mod sample;
pub mod shader;
pub mod tensor;
pub mod timing;
pub mod train;
pub mod wait;

pub use error::{Error, Result};
