//! One file an operation: its shape, its gradient, its GPU launch and its CPU meaning.

mod attention;
mod build;
mod concat;
mod concat_elu;
mod conv;
mod gate;
mod group;
mod group_norm;
pub(crate) mod launch;
mod map;
mod mixture;
mod norm;
mod product;
mod reduce;
mod residual;
mod scan;
mod slice;

pub use attention::{Attention, AttentionGradient};
pub use concat::Concat;
pub use concat_elu::{ConcatElu, ConcatEluGradient};
pub use conv::{Conv, ConvWeight};
pub use gate::{Gate, GateGradient};
pub use group_norm::{GroupNorm, GroupNormInput, GroupNormSums};
pub use map::Map;
pub use mixture::{MixtureNll, MixtureNllGradient};
pub use norm::BatchNorm;
pub use product::Product;
pub use reduce::Reduce;
pub use residual::{GatedResidual, GatedResidualGradient};
pub use scan::{Scan, ScanAdjoint};
pub use slice::{Embed, Slice};

pub use crate::tensor::{Gather, Gating, Gaussians, Grouping, Mixture, Phase, Reduction, Taps, Walk};
