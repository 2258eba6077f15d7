//! What changes from step to step.

/// The numbers that change from step to step, the same for every operation of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Seed of every random draw.
    pub seed: u64,
    /// Step counter of every random draw.
    pub step: u32,
    /// Number of the first item of this batch in the whole job, so that draws do not depend on how a job is split.
    pub first_item: u32,
    /// Learning rates by optimiser group, before bias correction.
    pub learning_rate: [f32; 4],
    /// Weight of the old average in the exponential moving average of the weights.
    pub ema_decay: f32,
    /// Updates that each optimiser group has had at the end of this run (bias correction of Adam).
    pub updates: [u32; 4],
}
