//! The recipe: everything needed to repeat a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::{Binarization, Digest, Kind};
use crate::error::{Error, Result};
use crate::graph::{Rule, StateId, StateSpec, Update};
use crate::model::{DataSpec, Defaults, Optimiser};
use crate::runtime::Device;
use crate::shader::{Choices, Precision};

/// Version of the run folder; another version is refused.
pub const FORMAT: u32 = 2;

/// Everything needed to repeat a run; `recipe.toml` in the run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of the run folder.
    pub format: u32,
    /// Version of kiln that made it.
    pub kiln: String,
    /// The model's name.
    pub model: String,
    /// Seed of weights, order, binarization and noise.
    pub seed: u64,
    /// The device it was trained on.
    pub device: String,
    /// Run whose trained encoder the first weights come from, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PathBuf>,
    /// What it is trained on.
    pub data: DataRecipe,
    /// How it is trained.
    pub train: TrainRecipe,
    /// The model's own hyper-parameters.
    #[serde(default)]
    pub hyper: toml::Table,
    /// Kernel variants that the training step ran with, by problem, so that it can be repeated bit for bit on `device`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kernels: BTreeMap<String, String>,
    /// What was changed since the run was started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Change>,
}

/// A change to a run that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Steps done when it was made.
    pub step: u64,
    /// What was changed, from what to what.
    pub what: String,
}

impl Recipe {
    /// The device as this run's training steps use it: in its precision, and with its kernel variants where it is the device it was
    /// trained on.
    ///
    /// # Errors
    /// [`Error::Usage`] where a variant's name is none or the device cannot compute in the precision.
    pub fn on(&self, device: &Device) -> Result<Device> {
        let device = device.with_precision(self.train.precision)?;
        let known = self.device == device.name() && !self.kernels.is_empty();
        if known { Ok(device.with_choices(Choices::parse(&self.kernels)?)) } else { Ok(device) }
    }
}

/// What a run is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// The source, as the command line names it.
    pub source: String,
    /// Height, width and channels.
    pub dims: [usize; 3],
    /// Number of items, before a limit.
    pub count: usize,
    /// Number of classes, 0 without labels.
    pub classes: usize,
    /// Their names, in the order of the labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// What the data is known by again; see [`Digest`].
    pub digest: String,
    /// What was read for the digest.
    pub digest_of: String,
    /// Whether the source holds bits, and not grey levels.
    pub binary: bool,
    /// Whether the source holds points, and not pixels.
    pub points: bool,
    /// How grey levels become bits.
    pub binarization: Binarization,
    /// A seeded random so many items alone, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// A seeded random so many items of each class alone, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_per_class: Option<usize>,
    /// Side of the square that images are scaled and cropped to, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Mean of each value, where the model starts from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
}

impl DataRecipe {
    /// What the values are.
    pub fn kind(&self) -> Kind {
        match (self.points, self.binary) {
            (true, _) => Kind::Points,
            (_, true) => Kind::Binary,
            _ => Kind::Pixels,
        }
    }

    /// What the data is known by again.
    pub fn digest(&self) -> Digest {
        Digest { hash: self.digest.clone(), of: self.digest_of.clone() }
    }

    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// [`Error::Usage`] where there are not as many names as classes, or one name twice.
    pub fn check(&self) -> Result<()> {
        let mut names = self.class_names.clone();
        names.sort();
        names.dedup();
        if names.len() == self.classes && self.class_names.len() == self.classes {
            return Ok(());
        }
        Err(Error::usage(format!("class_names must be {} different names, one a class", self.classes)))
    }

    /// What a model must know of the data.
    pub fn spec(&self) -> DataSpec {
        let kind = self.kind();
        DataSpec { dims: self.dims, classes: self.classes, kind, binarization: self.binarization, mean: self.mean.clone() }
    }
}

/// How a run is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Items a step.
    pub batch: usize,
    /// Steps of the whole run.
    pub steps: u64,
    /// Learning rate of each optimiser group.
    pub learning_rate: Vec<f32>,
    /// Factor on the learning rate from step to step.
    pub rate_decay: f64,
    /// Steps over which the rate rises linearly from 0.
    pub warmup: u64,
    /// The optimiser's rule.
    pub optimiser: Optimiser,
    /// Decay of Adam's first moment, or the momentum of SGD.
    pub beta1: f32,
    /// Decay of Adam's second moment, or of RMSprop's mean square.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Largest norm of a group's gradient; 0 does not clip.
    pub clip_norm: f32,
    /// Weight of the old average of the weights; 0 keeps no average.
    pub ema: f32,
    /// Steps between metrics.
    pub log_every: u64,
    /// Steps between pictures; 0 draws none.
    pub sample_every: u64,
    /// Steps between scores of the validation split; 0 scores none.
    pub valid_every: u64,
    /// Validation items scored each time.
    pub valid_items: usize,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// What the products of a training step are computed in.
    #[serde(default)]
    pub precision: Precision,
}

impl TrainRecipe {
    /// A model's own preferences.
    pub fn new(defaults: &Defaults) -> Self {
        let steps = defaults.steps;
        Self {
            batch: defaults.batch,
            steps,
            learning_rate: defaults.learning_rate.clone(),
            rate_decay: defaults.rate_decay,
            warmup: 0,
            optimiser: defaults.optimiser,
            beta1: defaults.betas[0],
            beta2: defaults.betas[1],
            epsilon: 1e-8,
            clip_norm: 0.0,
            ema: defaults.ema,
            log_every: 10,
            sample_every: 500,
            valid_every: 500,
            valid_items: 500,
            save_every: 500,
            precision: Precision::F32,
        }
    }

    /// The `--set` keys that belong to training.
    pub const KEYS: [&str; 17] = [
        "batch",
        "steps",
        "learning_rate",
        "rate_decay",
        "warmup",
        "optimiser",
        "beta1",
        "beta2",
        "epsilon",
        "clip_norm",
        "ema",
        "log_every",
        "sample_every",
        "valid_every",
        "valid_items",
        "save_every",
        "precision",
    ];

    /// Whether a `--set` key belongs to training.
    pub fn is_key(key: &str) -> bool {
        Self::KEYS.contains(&key)
    }

    /// A model's persistent tensors with those that training in this precision adds, and the loss scale of each group.
    pub fn state(&self, model: &StateSpec) -> (StateSpec, Vec<Option<StateId>>) {
        match self.precision {
            Precision::F32 => (model.clone(), vec![None; model.groups.len()]),
            Precision::Mixed => model.with_loss_scales(),
        }
    }

    /// A group's optimiser, without a loss scale (see [`TrainRecipe::state`]).
    pub fn update(&self, group: usize) -> Update {
        let rule = match self.optimiser {
            Optimiser::Adam => Rule::Adam { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon },
            Optimiser::Rmsprop => Rule::RmsProp { decay: self.beta2, epsilon: self.epsilon },
            Optimiser::Sgd => Rule::Sgd { momentum: self.beta1 },
        };
        let clip_norm = (self.clip_norm > 0.0).then_some(self.clip_norm);
        Update { clip_norm, average: self.ema > 0.0, ..Update::new(group, rule) }
    }

    /// Learning rates at a step, counted from 1.
    pub fn rates(&self, step: u64) -> [f32; 4] {
        let rise = if step < self.warmup { step as f64 / self.warmup as f64 } else { 1.0 };
        let factor = rise * self.rate_decay.powf(step.saturating_sub(1) as f64);
        let rate = |group: usize| self.learning_rate.get(group).or(self.learning_rate.last()).copied().unwrap_or(0.0);
        std::array::from_fn(|group| (f64::from(rate(group)) * factor) as f32)
    }

    /// Refuses values that cannot be trained with.
    pub fn check(&self) -> Result<()> {
        let positive =
            [("batch", self.batch > 0), ("steps", self.steps > 0), ("log_every", self.log_every > 0), ("save_every", self.save_every > 0)];
        if let Some((key, _)) = positive.iter().find(|(_, fits)| !fits) {
            return Err(Error::usage(format!("{key} must be at least 1")));
        }
        if self.learning_rate.is_empty() || self.learning_rate.iter().any(|r| !r.is_finite() || *r < 0.0) {
            return Err(Error::usage("learning_rate must be a finite number, not below 0"));
        }
        if !(0.0..1.0).contains(&self.ema) {
            return Err(Error::usage(format!("ema must be at least 0 and below 1, not {}", self.ema)));
        }
        Ok(())
    }
}

/// `--set key=value` pairs, read as TOML values (bare words are strings).
pub fn parse_settings(pairs: &[String]) -> Result<toml::Table> {
    let mut table = toml::Table::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Error::usage(format!("--set takes key=value, not {pair}")));
        };
        let (key, value) = (key.trim(), value.trim());
        let parsed: Option<toml::Table> = toml::from_str(&format!("value = {value}")).ok();
        let value = parsed.and_then(|mut t| t.remove("value")).unwrap_or_else(|| toml::Value::String(value.to_string()));
        table.insert(key.to_string(), value);
    }
    Ok(table)
}

/// Keys of a serialisable struct.
fn keys(value: &impl Serialize) -> Vec<String> {
    toml::Table::try_from(value).map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

/// Moves the settings that belong to training out of `settings` into `train`; what is left belongs to the model.
pub fn apply_settings(train: &mut TrainRecipe, settings: &mut toml::Table) -> Result<()> {
    let mut table = toml::Table::try_from(&*train).map_err(|e| Error::usage(e.to_string()))?;
    for key in keys(train) {
        let Some(mut value) = settings.remove(&key) else { continue };
        if key == "learning_rate" && !value.is_array() {
            value = toml::Value::Array(vec![value]);
        }
        // Whole numbers stand for fractions where those are meant.
        if let (Some(toml::Value::Float(_)), toml::Value::Integer(i)) = (table.get(&key), &value) {
            value = toml::Value::Float(*i as f64);
        }
        let shown = value.to_string();
        table.insert(key.clone(), value);
        *train = table.clone().try_into().map_err(|e: toml::de::Error| {
            Error::usage(format!("--set {key}={shown}: {}", e.message().lines().next().unwrap_or_default()))
        })?;
    }
    train.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train() -> TrainRecipe {
        let optimiser = Optimiser::Adam;
        TrainRecipe::new(&Defaults {
            batch: 4,
            steps: 9,
            learning_rate: vec![0.1],
            rate_decay: 0.5,
            ema: 0.0,
            optimiser,
            betas: [0.9, 0.999],
        })
    }

    #[test]
    fn settings_go_to_training_or_stay_for_the_model() -> Result<()> {
        let pairs = ["batch=7", "learning_rate=0.01", "clip_norm=1", "blocks=3", "preset=tiny"].map(String::from);
        let mut settings = parse_settings(&pairs)?;
        let mut t = train();
        apply_settings(&mut t, &mut settings)?;
        assert_eq!((t.batch, t.learning_rate.clone(), t.clip_norm), (7, vec![0.01], 1.0));
        assert_eq!(settings.keys().collect::<Vec<_>>(), ["blocks", "preset"]);
        Ok(())
    }

    #[test]
    fn every_key_of_training_is_known() {
        assert!(keys(&train()).iter().all(|key| TrainRecipe::is_key(key)));
        assert!(!TrainRecipe::is_key("blocks"));
    }

    #[test]
    fn wrong_values_are_named() {
        let mut settings = parse_settings(&["batch=many".to_string()]).expect("parses");
        let said = apply_settings(&mut train(), &mut settings).expect_err("refused").to_string();
        assert!(said.contains("batch"), "{said}");
        assert!(parse_settings(&["batch".to_string()]).is_err());
        let mut settings = parse_settings(&["steps=0".to_string()]).expect("parses");
        assert!(apply_settings(&mut train(), &mut settings).is_err());
    }

    #[test]
    fn rates_decay_and_warm_up() {
        let mut t = train();
        assert_eq!(t.rates(1)[0], 0.1);
        assert_eq!(t.rates(2)[0], 0.05);
        t.warmup = 10;
        assert!((t.rates(1)[0] - 0.01).abs() < 1e-8);
    }
}
