//! The executor on the CPU: the meaning of every plan in `f64`, and the device of last resort in `f32`.

mod bands;
mod executor;
pub(crate) mod memory;
mod number;
mod optimiser;

pub use executor::{CpuProgram, CpuState};
pub use number::Number;

pub use crate::native::vector_widths;
pub use crate::tensor::Arena;
