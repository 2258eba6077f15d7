//! Convolutions, their adjoints and their weight gradients by lists of taps: fast in `f32`, as defined in `f64`.
//!
//! No patch matrix is made: [`geometry`] copies an image into a padded window of which register tiles gather rows through a table of
//! offsets. Where taps fall apart into 2×2 kernels, [`winograd`] takes nine products for sixteen, and for 3×3 ones sixteen for thirty-six.

mod forward;
mod geometry;
mod oracle;
mod panels;
mod product;
mod weight;
mod winograd;

use super::simd::{self, Packing};
use super::{Evaluator, Operand, Real};
use crate::tensor::{Expr, Gather, Precision, Shape, Step};

/// A convolution or its adjoint, seen from the destination.
pub struct Convolution<'a, T> {
    /// What each destination position gathers.
    pub gather: &'a Gather,
    /// Whether weights are read as `[taps, destination, source]` instead of `[taps, source, destination]` channels.
    pub transposed: bool,
    /// Source images.
    pub source: &'a [T],
    /// Channels of source and destination.
    pub channels: [usize; 2],
    /// Weights.
    pub weights: &'a [T],
    /// Program the source is read through.
    pub prologue: Option<&'a Expr>,
    /// What products are computed in.
    pub precision: Precision,
    /// Program over the sums (input 0) and `operands`.
    pub epilogue: Option<&'a Expr>,
    /// The epilogue's further inputs.
    pub operands: &'a [Operand<'a, T>],
    /// Shape of the output.
    pub shape: &'a Shape,
    /// The step's seed and counters.
    pub step: &'a Step,
}

/// A weight gradient.
pub struct WeightGradient<'a, T> {
    /// The forward gather.
    pub gather: &'a Gather,
    /// Source images.
    pub source: &'a [T],
    /// Gradient of the convolution's output.
    pub upstream: &'a [T],
    /// Channels of source and upstream.
    pub channels: [usize; 2],
    /// What products are computed in.
    pub precision: Precision,
    /// Program the source is read through.
    pub prologue: Option<&'a Expr>,
    /// The step's seed and counters.
    pub step: &'a Step,
}

/// Number types that convolutions are computed in.
pub trait Convolve: Real {
    /// Carries out a convolution or its adjoint.
    fn convolve(job: &Convolution<'_, Self>, output: &mut [Self]);
    /// Carries out a weight gradient.
    fn weight_gradient(job: &WeightGradient<'_, Self>, output: &mut [Self]);
}

impl Convolve for f32 {
    fn convolve(job: &Convolution<'_, Self>, output: &mut [Self]) {
        forward::convolve(job, output);
    }

    fn weight_gradient(job: &WeightGradient<'_, Self>, output: &mut [Self]) {
        weight::weight_gradient(job, output);
    }
}

impl Convolve for f64 {
    fn convolve(job: &Convolution<'_, Self>, output: &mut [Self]) {
        oracle::convolve(job, output);
    }

    fn weight_gradient(job: &WeightGradient<'_, Self>, output: &mut [Self]) {
        oracle::weight_gradient(job, output);
    }
}

impl WeightGradient<'_, f32> {
    /// How factors lie whose sums run over positions.
    fn packing(&self) -> Packing {
        if self.precision == Precision::Mixed && simd::has_pairs() { Packing::Stacked } else { Packing::Single }
    }
}

impl Convolution<'_, f32> {
    /// How factors lie whose sums run over so many channels of one place after another.
    fn packing(&self, channels: usize) -> Packing {
        if self.precision == Precision::Mixed && channels.is_multiple_of(2) && simd::has_pairs() {
            Packing::Adjacent
        } else {
            Packing::Single
        }
    }

    /// Carries out the epilogue on output elements from `start` on.
    fn finish(&self, start: usize, out: &mut [f32]) {
        if let Some(expr) = self.epilogue {
            Evaluator::in_place(expr, self.operands, self.shape, self.step).run(start, out);
        }
    }
}
