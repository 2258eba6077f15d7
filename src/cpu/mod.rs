//! The reference executor: the meaning of every operation in `f64`, and the device of last resort in `f32`.

mod bands;
mod convolution;
mod executor;
mod geometry;
mod math;
pub(crate) mod memory;
mod optimiser;
mod oracle;
pub mod pointwise;
mod real;
pub mod reduction;
mod scratch;
pub(crate) mod simd;
mod winograd;

pub use convolution::{Convolution, WeightGradient};
pub use executor::{Arena, CpuProgram, CpuState};
pub use pointwise::{Evaluator, Operand};
pub use real::Real;

/// The vector widths that `KILN_SIMD` may name on this machine, the one that is taken otherwise last.
pub fn vector_widths() -> Vec<&'static str> {
    simd::levels().into_iter().map(simd::Level::name).collect()
}
