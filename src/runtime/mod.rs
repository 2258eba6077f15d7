//! One face for the two executors: where a graph's persistent tensors live and how its plan is run.

mod device;
mod program;
mod state;

pub use crate::gpu::Weights;
pub use crate::timing::{Clock, StageTime};
pub use device::{Device, Listed};
pub use program::{Program, Spent};
pub(crate) use state::elsewhere;
pub use state::{Reading, State};
