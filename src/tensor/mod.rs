//! What tensors are and what is done with their elements: shapes, the pointwise language, a convolution's taps, persistent tensors and
//! the numbers of a step. Knows no graph and no device; the floor that text and machine code for kernels stand on.

mod expr;
mod gating;
mod gaussians;
mod grouping;
mod mixture;
mod precision;
mod reach;
mod reduction;
mod shape;
mod state;
mod step;
mod taps;
mod walk;

pub use expr::{Binary, Builder, Distribution, Expr, Instr, Unary, Value, operands};
pub use gating::Gating;
pub use gaussians::{Gaussians, LEAST_DEVIATION};
pub use grouping::Grouping;
pub use mixture::{LEAST_LOG_SCALE, Mixture};
pub use precision::Precision;
pub use reach::Reach;
pub(crate) use reach::classify;
pub use reduction::Reduction;
pub use shape::Shape;
pub use state::{ALIGNMENT, Arena, Group, Init, Layout, StateId, StateSpec, Stretch, TensorSpec};
pub use step::Step;
pub use taps::{Gather, Phase, Taps};
pub use walk::{GATES, Read, Walk};
