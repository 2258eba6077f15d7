//! One file (or folder) a model: its architecture, and the traits by which it says what it can do.

pub mod ability;
mod autoregressive;
mod causal;
mod classifier;
pub mod diffusion;
mod discretised;
mod dropout;
pub mod gan;
mod gated;
mod label_loss;
mod labelled;
mod law;
mod levels;
pub mod need;
pub mod noise;
mod pixelcnn;
mod pixelcnn_pp;
mod pixelrnn;
mod rnn;
mod scales;
mod shown;
mod size;
mod steps;
mod trunk;
pub mod vae;
mod wavenet;

pub use ability::{Bounds, Decodes, Denoised, Denoises, Encodes, Features, Judges, Raster, Score, Scores, Starts, Told};
pub use classifier::Classifier;
pub use diffusion::Diffusion;
pub use gan::Gan;
pub use gated::GatedPixelCnn;
pub use law::Law;
pub use pixelcnn::PixelCnn;
pub use pixelcnn_pp::PixelCnnPp;
pub use pixelrnn::PixelRnn;
pub use rnn::Rnn;
pub use shown::{Shown, Task, luma};
pub use vae::{Autoencoder, Vae};
pub use wavenet::WaveNet;

use serde::{Deserialize, Serialize};

use crate::data::{Binarization, Kind, Scale};
use crate::error::{Error, Result};
use crate::graph::{Graph, StateSpec, Update};
use crate::nearest;

/// What a model must know of the data it is made for.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSpec {
    /// Height, width and channels.
    pub dims: [usize; 3],
    /// Number of classes; 0 where items have no labels.
    pub classes: usize,
    /// What the values are.
    pub kind: Kind,
    /// How pixels become bits.
    pub binarization: Binarization,
    /// Mean of each value of the training data in 0..1, where a model asked for it.
    pub mean: Option<Vec<f32>>,
}

impl DataSpec {
    /// Values of one item.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether items have no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every value is 0 or 1.
    pub fn is_binary(&self) -> bool {
        self.kind == Kind::Binary || self.binarization != Binarization::None
    }
}

/// How a model prefers to be trained; a recipe may say otherwise.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Items a step.
    pub batch: usize,
    /// Steps of a whole run.
    pub steps: u64,
    /// Learning rate of each optimiser group.
    pub learning_rate: Vec<f32>,
    /// Factor on the learning rate from step to step.
    pub rate_decay: f64,
    /// Steps over which the rate rises from 0.
    pub warmup: u64,
    /// Largest norm of a gradient; 0 does not clip.
    pub clip_norm: f32,
    /// Weight of the old average of the weights; 0 keeps none.
    pub ema: f32,
    /// The optimiser's rule.
    pub optimiser: Optimiser,
    /// Decays of its moments.
    pub betas: [f32; 2],
}

/// The rules an optimiser can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimiser {
    /// Adam.
    Adam,
    /// RMSprop, with decay the second of the betas.
    Rmsprop,
    /// Stochastic gradient descent, with momentum the first of the betas.
    Sgd,
}

/// A model: what it is made of, how it is trained, and by which traits it can be used.
///
/// Graphs read inputs by name: `x` `[N, H, W, C]` in the model's [`Model::scale`], `labels` `[N, classes]` one-hot, `z` `[N, latent]`.
/// What a model can do beyond being trained it hands out as traits of [`ability`]; a command asks for one through [`need`].
pub trait Model: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Its persistent tensors.
    fn state(&self) -> &StateSpec;

    /// How it prefers to be trained.
    fn defaults(&self) -> Defaults;

    /// The scale of its input.
    fn scale(&self) -> Scale;

    /// Whether training, scoring and sampling take labels.
    fn conditional(&self) -> bool {
        false
    }

    /// Batches of data one step reads (discriminator steps a generator step).
    fn batches(&self) -> usize {
        1
    }

    /// One training step: forward, backward and updates. Inputs hold `batch · batches()` items; output `loss` and the metrics are scalars.
    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph>;

    /// Names of the scalar outputs of the training graph that are worth a curve, `loss` first, with their unit.
    fn metrics(&self) -> Vec<(&'static str, &'static str)>;

    /// A sentence where recent metrics (their means over a while, in the order of [`Model::metrics`]) tell of a known failure; `heard`
    /// counts the times that metrics were logged so far.
    fn warning(&self, _heard: usize, _recent: &[f32]) -> Option<String> {
        None
    }

    /// Updates that each optimiser group has had after `step` steps.
    fn updates_at(&self, step: u64) -> [u32; 4] {
        [step as u32; 4]
    }

    /// First weights that are set from a batch.
    fn starts(&self) -> Option<&dyn Starts> {
        None
    }

    /// −ln p(x), or a bound of it.
    fn scores(&self) -> Option<&dyn Scores> {
        None
    }

    /// A tighter bound of ln p(x), by importance sampling.
    fn bounds(&self) -> Option<&dyn Bounds> {
        None
    }

    /// Images drawn value by value in raster order.
    fn raster(&self) -> Option<&dyn Raster> {
        None
    }

    /// Images from latents.
    fn decodes(&self) -> Option<&dyn Decodes> {
        None
    }

    /// Noise taken away.
    fn denoises(&self) -> Option<&dyn Denoises> {
        None
    }

    /// Latents from images.
    fn encodes(&self) -> Option<&dyn Encodes> {
        None
    }

    /// Labels told from images.
    fn judges(&self) -> Option<&dyn Judges> {
        None
    }

    /// Features of images.
    fn features(&self) -> Option<&dyn Features> {
        None
    }
}

/// Makes a model from its hyper-parameters and what it must know of the data.
type Make = fn(&'static str, &toml::Table, &DataSpec) -> Result<Box<dyn Model>>;

/// Every model by its name on the command line, in alphabetical order.
const MODELS: [(&str, Make); 15] = [
    ("autoencoder", |name, hyper, data| Ok(Box::new(Autoencoder::new(parse(name, hyper)?, data)?))),
    ("classifier", |name, hyper, data| Ok(Box::new(Classifier::new(parse(name, hyper)?, data)?))),
    ("cvae", |name, hyper, data| Ok(Box::new(Vae::conditional(parse(name, hyper)?, data)?))),
    ("dcgan", |_, hyper, data| Ok(Box::new(Gan::new(gan::Family::Dcgan, hyper, data)?))),
    ("diffusion", |name, hyper, data| Ok(Box::new(Diffusion::new(parse(name, hyper)?, data)?))),
    ("gan", |_, hyper, data| Ok(Box::new(Gan::new(gan::Family::Gan, hyper, data)?))),
    ("gated-pixelcnn", |name, hyper, data| {
        beside_preset(name, hyper, &BESIDE)?;
        labelled::with_labels(hyper, |hyper| GatedPixelCnn::new(parse(name, hyper)?, data))
    }),
    ("pixelcnn", |name, hyper, data| {
        beside_preset(name, hyper, &BESIDE)?;
        labelled::with_labels(hyper, |hyper| PixelCnn::new(parse(name, hyper)?, data))
    }),
    ("pixelcnn-pp", |name, hyper, data| labelled::with_labels(hyper, |hyper| PixelCnnPp::new(parse(name, hyper)?, data))),
    ("pixelrnn", |name, hyper, data| {
        beside_preset(name, hyper, &[&BESIDE[..], &["layer", "first_kernel", "kernel"]].concat())?;
        labelled::with_labels(hyper, |hyper| PixelRnn::new(parse(name, hyper)?, data))
    }),
    ("rnn", |name, hyper, data| labelled::with_labels(hyper, |hyper| Rnn::new(parse(name, hyper)?, data))),
    ("vae", |name, hyper, data| Ok(Box::new(Vae::new(parse(name, hyper)?, data)?))),
    ("wavenet", |name, hyper, data| labelled::with_labels(hyper, |hyper| WaveNet::new(parse(name, hyper)?, data))),
    ("wgan", |_, hyper, data| Ok(Box::new(Gan::new(gan::Family::Wgan, hyper, data)?))),
    ("wgan-gp", |_, hyper, data| Ok(Box::new(Gan::new(gan::Family::WganGp, hyper, data)?))),
];

/// Names of all models.
pub fn names() -> [&'static str; MODELS.len()] {
    MODELS.map(|(name, _)| name)
}

/// Makes a model for some data from its hyper-parameters.
///
/// # Errors
/// [`Error::Usage`] for an unknown model, an unknown key, a value that does not fit, or a model that draws in raster order and looks ahead.
pub fn build(name: &str, hyper: &toml::Table, data: &DataSpec) -> Result<Box<dyn Model>> {
    let (name, make) = known(name)?;
    size::check_data(data)?;
    let model = make(name, hyper, data)?;
    size::check(model.as_ref())?;
    causal::check(model.as_ref())?;
    Ok(model)
}

/// Refuses a name that no model has.
///
/// # Errors
/// [`Error::Usage`], naming those that there are.
pub fn check_name(name: &str) -> Result<()> {
    known(name).map(|_| ())
}

fn known(name: &str) -> Result<(&'static str, Make)> {
    let unknown = || Error::usage(format!("there is no model {name}{}; there are {}", nearest::hint(name, names()), names().join(", ")));
    MODELS.into_iter().find(|(known, _)| *known == name).ok_or_else(unknown)
}

/// Keys of autoregressive models that no named size is about.
const BESIDE: [&str; 9] =
    ["dropout", "levels", "likelihood", "mixtures", "conditional", "scales", "scale_channels", "label_weight", "label_others"];

/// Refuses keys that a named size would override: only those of `free` are not a part of it.
fn beside_preset(model: &str, hyper: &toml::Table, free: &[&str]) -> Result<()> {
    let Some(preset) = hyper.get("preset").and_then(toml::Value::as_str).filter(|preset| *preset != "custom") else { return Ok(()) };
    match hyper.keys().find(|key| *key != "preset" && !free.contains(&key.as_str())) {
        Some(key) => Err(Error::usage(format!("{model}: preset={preset} sets {key} itself; leave one of them out"))),
        None => Ok(()),
    }
}

/// Reads a model's hyper-parameters.
fn parse<T: serde::de::DeserializeOwned>(model: &str, hyper: &toml::Table) -> Result<T> {
    label_loss::refuse(model, hyper)?;
    hyper.clone().try_into().map_err(|e: toml::de::Error| {
        let reason = e.message().lines().next().unwrap_or_default().replace("usize", "a whole number from 0");
        // The reason alone does not say where it lies: the key that is refused by itself does.
        let alone =
            |(key, value): &(&String, &toml::Value)| toml::Table::from_iter([((*key).clone(), (*value).clone())]).try_into::<T>().is_err();
        match hyper.iter().find(alone) {
            Some((key, value)) => Error::usage(format!("{model}: {key}={}: {reason}", value.to_string().trim_matches('"'))),
            None => Error::usage(format!("{model}: {reason}")),
        }
    })
}
