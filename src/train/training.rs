//! How a run is trained: the keys of every model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::error::{Error, Result};
use crate::graph::{Accumulate, Rule, StateId, StateSpec, Update};
use crate::model::{Defaults, Optimiser};
use crate::tensor::Precision;

/// Most steps of a run: a step's counters are 32-bit words, and Adam's is signed.
const MOST_STEPS: u64 = i32::MAX as u64;

/// What an update of a group keeps beside the model's own tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extras {
    /// Its loss scale.
    pub loss_scale: Option<StateId>,
    /// The first of the sums of its gradients.
    pub sums: Option<StateId>,
}

/// Most items of a step: more than any device holds, and few enough to count with.
const LARGEST_BATCH: usize = 1 << 20;

/// Most shares of a batch: more than any job has processes.
const MOST_LANES: usize = 1 << 16;

/// How a run is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Items of a pass.
    #[schemars(range(min = 1, max = LARGEST_BATCH))]
    pub batch: usize,
    /// Passes of a step, whose gradients are averaged: a step of 4 passes of 16 items is one of 64 items, in the memory of 16.
    #[schemars(range(min = 1))]
    pub accumulate: usize,
    /// Equal shares of each batch that are taken apart and averaged before an update, a power of two; as many processes at most may share
    /// the run, with the same bits whatever their number. Batch statistics are those of a share. (With several processes: their number.)
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = MOST_LANES))]
    pub lanes: usize,
    /// Steps of the whole run.
    #[schemars(range(max = MOST_STEPS))]
    pub steps: u64,
    /// Learning rate of each optimiser group.
    pub learning_rate: Vec<f32>,
    /// How the learning rate falls after its warm-up.
    pub schedule: Schedule,
    /// Factor on the learning rate from step to step, where the schedule is exponential; else 1.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub rate_decay: f64,
    /// The step at which a cosine or linear schedule ends; 0 takes `steps`.
    #[schemars(range(max = MOST_STEPS))]
    pub decay_steps: u64,
    /// Steps over which the rate rises linearly from 0.
    #[schemars(range(max = MOST_STEPS))]
    pub warmup: u64,
    /// The optimiser's rule.
    pub optimiser: Optimiser,
    /// Decay of Adam's first moment, or the momentum of SGD.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f32,
    /// Decay of Adam's second moment, or of RMSprop's mean square.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f32,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub epsilon: f32,
    /// Largest norm of a group's gradient; 0 does not clip.
    #[schemars(range(min = 0))]
    pub clip_norm: f32,
    /// Largest size of each element of a gradient, after that; 0 does not clip.
    #[schemars(range(min = 0))]
    pub clip_value: f32,
    /// Share of a weight that a step takes away, times the learning rate, apart from its gradient (Loshchilov and Hutter, 2019: AdamW).
    #[schemars(range(min = 0))]
    pub weight_decay: f32,
    /// Weight of the old average of the weights; 0 keeps no average. Early on it is less: (1 + s) / (10 + s) at step s.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub ema: f32,
    /// Steps between metrics.
    #[schemars(range(min = 1))]
    pub log_every: u64,
    /// Steps between pictures; 0 draws none.
    pub sample_every: u64,
    /// Steps between scores of the validation split; 0 scores none.
    pub valid_every: u64,
    /// Validation items scored each time.
    pub valid_items: usize,
    /// Scores of the validation split without a better one after which the run ends; 0 trains to the last step.
    pub patience: u64,
    /// Steps between checkpoints.
    #[schemars(range(min = 1))]
    pub save_every: u64,
    /// What the products of a training step are computed in.
    #[serde(default)]
    pub precision: Precision,
    /// Whether the run folder holds an event file for TensorBoard: metrics, pictures of samples, hyper-parameters.
    #[serde(default = "yes")]
    pub tensorboard: bool,
    /// Steps between histograms of the weights in that file; 0 writes none.
    #[serde(default)]
    pub histogram_every: u64,
}

/// What a recipe from before the key means.
fn yes() -> bool {
    true
}

/// Likewise.
fn one() -> usize {
    1
}

fn is_one(lanes: &usize) -> bool {
    *lanes == 1
}

impl TrainRecipe {
    /// A model's own preferences.
    pub fn new(defaults: &Defaults) -> Self {
        let steps = defaults.steps;
        Self {
            batch: defaults.batch,
            accumulate: 1,
            lanes: 1,
            steps,
            learning_rate: defaults.learning_rate.clone(),
            schedule: if defaults.rate_decay == 1.0 { Schedule::Constant } else { Schedule::Exponential },
            rate_decay: defaults.rate_decay,
            decay_steps: 0,
            warmup: defaults.warmup,
            optimiser: defaults.optimiser,
            beta1: defaults.betas[0],
            beta2: defaults.betas[1],
            epsilon: 1e-8,
            clip_norm: defaults.clip_norm,
            clip_value: 0.0,
            weight_decay: 0.0,
            ema: defaults.ema,
            log_every: 10,
            sample_every: 500,
            valid_every: 500,
            valid_items: 500,
            patience: 0,
            save_every: 500,
            precision: Precision::F32,
            tensorboard: true,
            histogram_every: 0,
        }
    }

    /// The `--set` keys that belong to training.
    pub const KEYS: [&str; 26] = [
        "batch",
        "accumulate",
        "lanes",
        "steps",
        "learning_rate",
        "schedule",
        "rate_decay",
        "decay_steps",
        "warmup",
        "optimiser",
        "beta1",
        "beta2",
        "epsilon",
        "clip_norm",
        "clip_value",
        "weight_decay",
        "ema",
        "log_every",
        "sample_every",
        "valid_every",
        "valid_items",
        "patience",
        "save_every",
        "precision",
        "tensorboard",
        "histogram_every",
    ];

    /// Those of them that may change when a run goes on: what a step is stays, how far it goes may change.
    pub const CHANGEABLE: [&str; 16] = [
        "steps",
        "learning_rate",
        "schedule",
        "rate_decay",
        "decay_steps",
        "warmup",
        "clip_norm",
        "clip_value",
        "weight_decay",
        "log_every",
        "sample_every",
        "valid_every",
        "patience",
        "save_every",
        "tensorboard",
        "histogram_every",
    ];

    /// Whether a `--set` key belongs to training.
    pub fn is_key(key: &str) -> bool {
        Self::KEYS.contains(&key)
    }

    /// Items of a step, of a model that reads so many batches each.
    ///
    /// # Errors
    /// [`Error::Usage`] where that is no number of this machine.
    pub fn items(&self, batches: usize) -> Result<usize> {
        let items = self.batch.checked_mul(self.accumulate).and_then(|items| items.checked_mul(batches));
        items.ok_or_else(|| {
            Error::usage(format!("accumulate: {} passes of {} items are beyond counting; take fewer", self.accumulate, self.batch))
        })
    }

    /// Items of a pass that one lane takes.
    pub fn lane(&self) -> usize {
        self.batch / self.lanes
    }

    /// A model's persistent tensors with those that training adds, and what each group's update keeps in them.
    pub fn state(&self, model: &StateSpec) -> (StateSpec, Vec<Extras>) {
        let mut extras = vec![Extras::default(); model.groups.len()];
        let mut spec = model.clone();
        if self.precision == Precision::Mixed {
            let (scaled, scales) = model.with_loss_scales();
            spec = scaled;
            extras.iter_mut().zip(scales).for_each(|(extra, scale)| extra.loss_scale = scale);
        }
        if self.accumulate > 1 {
            let (summed, sums) = spec.with_sums(model.groups.len());
            spec = summed;
            extras.iter_mut().zip(sums).for_each(|(extra, first)| extra.sums = first);
        }
        (spec, extras)
    }

    /// A group's optimiser, without what [`TrainRecipe::state`] adds.
    pub fn update(&self, group: usize) -> Update {
        let rule = match self.optimiser {
            Optimiser::Adam => Rule::Adam { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon },
            Optimiser::Rmsprop => Rule::RmsProp { decay: self.beta2, epsilon: self.epsilon },
            Optimiser::Sgd => Rule::Sgd { momentum: self.beta1 },
        };
        let limit = |limit: f32| (limit > 0.0).then_some(limit);
        Update {
            clip_norm: limit(self.clip_norm),
            clip_value: limit(self.clip_value),
            weight_decay: self.weight_decay,
            average: self.ema > 0.0,
            ..Update::new(group, rule)
        }
    }

    /// A group's optimiser in one pass of a step: the last one moves the weights.
    pub fn pass(&self, group: usize, extras: &[Extras], last: bool) -> Update {
        let Extras { loss_scale, sums } = extras[group];
        let accumulate = sums.map(|first| Accumulate { first, passes: self.accumulate as u32, last });
        Update { loss_scale, accumulate, ..self.update(group) }
    }

    /// Refuses values that cannot be trained with.
    ///
    /// # Errors
    /// [`Error::Usage`] with the key.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: &str, is: &str, value: &dyn std::fmt::Display| Err(Error::usage(format!("{key} must be {is}, not {value}")));
        let positive = [("batch", self.batch as u64), ("accumulate", self.accumulate as u64), ("log_every", self.log_every)];
        if let Some((key, _)) = positive.iter().chain(&[("save_every", self.save_every)]).find(|(_, value)| *value == 0) {
            return Err(Error::usage(format!("{key} must be at least 1")));
        }
        if self.batch > LARGEST_BATCH {
            return Err(Error::usage(format!("batch must be at most {LARGEST_BATCH}, not {}", self.batch)));
        }
        if !self.lanes.is_power_of_two() || self.lanes > MOST_LANES {
            return refuse("lanes", &format!("a power of two, at most {MOST_LANES}"), &self.lanes);
        }
        if !self.batch.is_multiple_of(self.lanes) {
            let (batch, lanes) = (self.batch, self.lanes);
            return refuse("batch", &format!("a multiple of lanes, which are {lanes}"), &batch);
        }
        for (key, value) in [("steps", self.steps), ("warmup", self.warmup), ("decay_steps", self.decay_steps)] {
            if value > MOST_STEPS {
                return refuse(key, &format!("at most {MOST_STEPS}: a step's counters have 31 bits"), &value);
            }
        }
        if self.learning_rate.is_empty() || self.learning_rate.iter().any(|r| !r.is_finite() || *r < 0.0) {
            return Err(Error::usage("learning_rate must be a finite number, not below 0"));
        }
        if !(self.rate_decay > 0.0 && self.rate_decay <= 1.0) {
            return refuse("rate_decay", "above 0 and at most 1", &self.rate_decay);
        }
        match self.schedule {
            Schedule::Exponential if self.rate_decay == 1.0 => {
                return Err(Error::usage("schedule=exponential needs a rate_decay below 1: the factor from step to step"));
            }
            Schedule::Constant | Schedule::Cosine | Schedule::Linear if self.rate_decay < 1.0 => {
                return Err(Error::usage("rate_decay belongs to schedule=exponential; leave one of them out"));
            }
            Schedule::Cosine | Schedule::Linear if self.warmup > self.decay_end() && self.steps > 0 => {
                return refuse("warmup", &format!("at most {}, where the schedule ends", self.decay_end()), &self.warmup);
            }
            Schedule::Constant | Schedule::Exponential if self.decay_steps > 0 => {
                return Err(Error::usage("decay_steps belongs to schedule=cosine or schedule=linear; set one of them, or leave it out"));
            }
            _ => {}
        }
        for (key, value) in [("ema", self.ema), ("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return refuse(key, "at least 0 and below 1", &value);
            }
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return refuse("epsilon", "above 0", &self.epsilon);
        }
        for (key, value) in [("clip_norm", self.clip_norm), ("clip_value", self.clip_value), ("weight_decay", self.weight_decay)] {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(key, "a finite number, not below 0", &value);
            }
        }
        if self.histogram_every > 0 && !self.tensorboard {
            return Err(Error::usage(
                "histogram_every writes to TensorBoard's file, which tensorboard=false leaves out; leave one of them out",
            ));
        }
        if self.patience > 0 && self.valid_every == 0 {
            return Err(Error::usage("patience waits for scores of the validation split; set valid_every too"));
        }
        Ok(())
    }
}

#[cfg(test)]
impl TrainRecipe {
    /// One to change in tests.
    pub(super) fn example() -> Self {
        let optimiser = Optimiser::Adam;
        let (learning_rate, betas) = (vec![0.1], [0.9, 0.999]);
        Self::new(&Defaults { batch: 4, steps: 9, learning_rate, rate_decay: 0.5, warmup: 0, clip_norm: 0.0, ema: 0.0, optimiser, betas })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_training_is_known() {
        let table = toml::Table::try_from(TrainRecipe::example()).expect("a table");
        assert!(table.keys().all(|key| TrainRecipe::is_key(key)), "{table}");
        assert!(TrainRecipe::CHANGEABLE.iter().all(|key| table.contains_key(*key)));
        assert!(!TrainRecipe::is_key("blocks"));
    }

    #[test]
    fn values_that_cannot_be_trained_with_are_refused_by_name() {
        type Spoil = fn(&mut TrainRecipe);
        let cases: [(&str, Spoil); 19] = [
            ("beta1", |t| t.beta1 = 1.0),
            ("beta1", |t| t.beta1 = -0.1),
            ("beta2", |t| t.beta2 = 1.5),
            ("beta2", |t| t.beta2 = f32::NAN),
            ("epsilon", |t| t.epsilon = 0.0),
            ("epsilon", |t| t.epsilon = -1.0),
            ("clip_norm", |t| t.clip_norm = -1.0),
            ("clip_value", |t| t.clip_value = f32::INFINITY),
            ("weight_decay", |t| t.weight_decay = -1.0),
            ("rate_decay", |t| t.rate_decay = -1.0),
            ("rate_decay", |t| t.rate_decay = f64::NAN),
            ("rate_decay", |t| t.schedule = Schedule::Cosine),
            ("decay_steps", |t| t.decay_steps = 3),
            ("learning_rate", |t| t.learning_rate = vec![f32::INFINITY]),
            ("steps", |t| t.steps = 1 << 31),
            ("accumulate", |t| t.accumulate = 0),
            ("lanes", |t| (t.batch, t.lanes) = (6, 3)),
            ("batch", |t| (t.batch, t.lanes) = (6, 4)),
            ("patience", |t| (t.patience, t.valid_every) = (1, 0)),
        ];
        assert!(TrainRecipe::example().check().is_ok());
        for (key, spoil) in cases {
            let mut t = TrainRecipe::example();
            spoil(&mut t);
            let said = t.check().expect_err(key).to_string();
            assert!(said.contains(key), "{said}");
        }
        assert!(TrainRecipe { batch: usize::MAX, accumulate: 2, ..TrainRecipe::example() }.items(1).is_err());
    }
}
