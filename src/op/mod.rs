//! One file an operation: its shape, its gradient, its GPU launch and its CPU meaning.

mod build;
mod concat;
mod conv;
pub(crate) mod launch;
mod map;
mod norm;
mod reduce;
mod slice;
mod taps;

pub use concat::Concat;
pub use conv::{Conv, ConvWeight};
pub use map::Map;
pub use norm::BatchNorm;
pub use reduce::{Reduce, Reduction};
pub use slice::{Embed, Slice};
pub use taps::{Gather, Phase, Taps};
