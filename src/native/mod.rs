//! Machine code for the CPU: register tiles, convolutions, the interpreter of pointwise programs and reductions, fast in `f32`, and as
//! their definitions say in `f64`.

pub(crate) mod attention;
mod convolution;
pub(crate) mod distance;
pub(crate) mod group_norm;
mod math;
pub mod mixture;
pub mod pointwise;
pub(crate) mod product;
mod real;
pub mod reduction;
pub(crate) mod scan;
pub(crate) mod scratch;
pub(crate) mod simd;

pub use convolution::{Convolution, Convolve, WeightGradient};
pub use pointwise::{Evaluator, Operand};
pub use real::Real;
pub use scan::ScanJob;

/// The vector widths that `KILN_SIMD` may name on this machine, the one that is taken otherwise last.
pub fn vector_widths() -> Vec<&'static str> {
    simd::levels().into_iter().map(simd::Level::name).collect()
}
