//! Recipe, loop, checkpoint and run folder.

pub mod checkpoint;
mod data;
mod digest;
mod events;
mod import;
mod judge;
mod layout;
mod lock;
mod metrics;
mod order;
mod page;
mod pictures;
mod place;
mod recipe;
mod run;
mod schedule;
mod settings;
mod shared;
mod start;
mod steps;
mod trainer;
mod training;
mod transfer;

pub use data::{DataRequest, absolute, chosen, open_data, training_data, validation_data};
pub use import::{Import, Imported, Weights};
pub use judge::{JUDGE_SEED, JUDGE_VERSION, Judge, JudgeFacts};
pub use layout::{from_torch, to_torch, torch_shape};
pub use order::{Order, epoch_steps, whole_setting};
pub use place::Files;
pub use recipe::{Change, DataRecipe, FORMAT, Recipe, vectors};
pub use run::{RunFolder, Trained};
pub use schedule::Schedule;
pub use settings::{apply_settings, parse_settings, whole_number};
pub use trainer::{Observer, Outcome, Silent, Trainer};
pub use training::{Extras, TrainRecipe};
pub use transfer::adopt;
