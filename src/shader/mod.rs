//! WGSL text in, checked module out: templates, generated pointwise programs, and what an operation asks of the device.

mod expr;
mod launch;
mod merge;
mod pointwise;
mod sources;
mod template;
mod variant;

pub use expr::function;
pub use launch::{Access, Binding, Bindings, Class, Launch, Matrices, Stage, Target};
pub use merge::{Part, Share, merge};
pub use pointwise::{Pointwise, can_widen};
pub use sources::kernels_digest;
pub use template::expand;
pub use variant::{Choice, Choices, Tile, Variant};
