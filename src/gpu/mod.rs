//! The GPU executor: the only folder that names wgpu.
//!
//! [`Gpu`] is an opened adapter, [`GpuState`] a model's persistent tensors on it, [`GpuProgram`] a plan compiled for it.

mod adapter;
mod allocate;
mod build;
mod device;
mod disk;
mod dispatch;
mod draft;
mod faults;
mod kernels;
mod lock;
mod matrix;
mod open;
mod pacing;
mod pipeline;
mod probe;
mod profile;
mod program;
mod schedule;
mod standalone;
mod state;
mod tuned;
mod unchecked;

pub use adapter::{AdapterDescription, Choice, adapters};
pub use device::Gpu;
pub use kernels::{KernelText, kernels};
pub use open::Options;
pub use program::{GpuProgram, Stats};
pub use standalone::Standalone;
pub use state::{GpuState, Pending, Staging, Weights};
pub use tuned::Tuning;
