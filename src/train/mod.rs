//! Recipe, loop, checkpoint and run folder.

pub mod checkpoint;
mod judge;
mod layout;
mod metrics;
mod pictures;
mod recipe;
mod run;
mod trainer;
mod transfer;

pub use judge::classifier;
pub use layout::{from_torch, to_torch, torch_shape};
pub use recipe::{DataRecipe, FORMAT, Recipe, TrainRecipe, apply_settings, parse_settings};
pub use run::{RunFolder, Trained};
pub use trainer::{Observer, Outcome, Silent, Trainer, open_data};
pub use transfer::adopt;
