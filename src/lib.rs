//! kiln trains, scores and samples deep generative models on any GPU through hand-written WGSL kernels, and on the CPU without one.
//!
//! What a program of one's own uses: [`data`] to read or make items, [`graph`] with [`nn`] and [`model`] to say what is computed, [`runtime`] to
//! compute it, [`train`] for whole runs in folders, [`eval`] and [`sample`] for what they are good for, [`report`] for pictures and pages, and
//! [`wait`] where nothing else is to be done meanwhile. `examples/own_model.rs` embeds a training in eighty lines.
//!
//! Modules that this page does not list are open to kiln's own program, tests and benchmarks alone, and may change in any release.

#![warn(missing_docs)]

// In a browser there is no command line, which is who else uses some of these.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(crate) mod cache;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod cpu;
pub mod data;
pub mod error;
pub mod eval;
#[doc(hidden)]
pub mod gpu;
pub mod graph;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod heap;
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(crate) mod keys;
pub mod lanes;
pub mod model;
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(crate) mod native;
mod nearest;
pub mod nn;
pub mod op;
#[cfg(target_family = "wasm")]
pub mod page;
pub(crate) mod parallel;
pub mod random;
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub mod ranks;
pub mod report;
pub mod runtime;
pub mod sample;
#[doc(hidden)]
pub mod shader;
pub mod shares;
pub mod tensor;
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(crate) mod timing;
pub mod train;
pub mod wait;

pub use error::{Error, Result};
