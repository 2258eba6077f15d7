//! Layers: named persistent tensors and the operations they enter.

mod conv;
mod group_norm;
mod linear;
mod lstm;
mod norm;
mod one_hot;
mod time;
mod upsample;
mod weight_norm;

pub use conv::{Conv2d, ConvSpec, ConvTransposed2d};
pub use group_norm::GroupNorm2d;
pub use linear::Linear;
pub use lstm::{ImageLstm, LstmSpec};
pub use norm::{BatchMoments, BatchNorm2d};
pub use one_hot::OneHot;
pub use time::TimeWaves;
pub use upsample::UpsampledConv2d;
pub use weight_norm::{NormedSpec, Pass, Shift, WeightNorm};

use crate::graph::Init;

/// How a layer's weights start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Uniform within 1/√fan-in, biases too: what PyTorch's convolution and linear modules start with.
    FanIn,
    /// Normal with this standard deviation, biases zero.
    Normal(f32),
    /// Uniform within this bound, biases zero.
    Uniform(f32),
    /// All zero.
    Zero,
}

impl Start {
    fn weight(self, fan_in: usize) -> Init {
        match self {
            Self::FanIn => Init::Uniform(1.0 / (fan_in as f32).sqrt()),
            Self::Normal(deviation) => Init::Normal(deviation),
            Self::Uniform(bound) => Init::Uniform(bound),
            Self::Zero => Init::Constant(0.0),
        }
    }

    fn bias(self, fan_in: usize) -> Init {
        match self {
            Self::FanIn => Init::Uniform(1.0 / (fan_in as f32).sqrt()),
            _ => Init::Constant(0.0),
        }
    }
}
