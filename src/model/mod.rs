//! One file a model: its architecture and what it can do.

mod classifier;
pub mod gan;
mod pixelcnn;
mod trunk;
pub mod vae;

pub use classifier::Classifier;
pub use gan::Gan;
pub use pixelcnn::PixelCnn;
pub use vae::{Autoencoder, Vae};

use serde::{Deserialize, Serialize};

use crate::data::{Binarization, Kind, Scale};
use crate::error::{Error, Result};
use crate::graph::{Graph, StateSpec, Update};

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

/// What a sampler must know of an autoregressive model: its graph from image to logits, and how logits become pixel values.
pub struct Raster {
    /// Input `x` `[N, H, W, C]` to output `logits` `[N, H, W, C·L]` (L = 1: Bernoulli).
    pub graph: Graph,
    /// Levels of a pixel: 2, or as many as the categorical has.
    pub levels: usize,
}

/// A generative model: what it is made of, and graphs for what it can do.
///
/// Graphs read inputs by name: `x` `[N, H, W, C]` in the model's [`Model::scale`], `labels` `[N, classes]` one-hot, `z` `[N, latent]`.
pub trait Model: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Its persistent tensors.
    fn state(&self) -> &StateSpec;

    /// How it prefers to be trained.
    fn defaults(&self) -> Defaults;

    /// The scale of its input.
    fn scale(&self) -> Scale;

    /// Whether training and sampling take labels.
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

    /// −ln p(x) of each item, in nats, or an upper bound of it: output `nll` `[N]`, and `nll_map` `[N, H, W, C]` where it is a sum over
    /// pixels.
    fn likelihood_graph(&self, _batch: usize) -> Result<Option<Graph>> {
        Ok(None)
    }

    /// What must be known to read its likelihood, where that is not plain.
    fn likelihood_note(&self) -> Option<&'static str> {
        None
    }

    /// What a raster sampler needs, where the model is autoregressive.
    fn raster(&self, _batch: usize) -> Result<Option<Raster>> {
        Ok(None)
    }

    /// Length of the latent vector, where there is one.
    fn latent(&self) -> Option<usize> {
        None
    }

    /// Images from latents: inputs `z` (standard normals), `labels`; output `x` `[N, H, W, C]` in 0..1.
    fn decode_graph(&self, _batch: usize) -> Result<Option<Graph>> {
        Ok(None)
    }

    /// Latents from images: input `x`, `labels`; output `mean` (and `log_var`) `[N, latent]`.
    fn encode_graph(&self, _batch: usize) -> Result<Option<Graph>> {
        Ok(None)
    }

    /// Log importance weights of `samples` latents of each item: input `x`, `labels`; output `log_weight` `[N, samples]`, drawn anew for
    /// each [`crate::graph::Step::step`]. The log of their mean is a bound of ln p(x) that rises with their number.
    fn bound_graph(&self, _batch: usize, _samples: usize) -> Result<Option<Graph>> {
        Ok(None)
    }

    /// Whether latents have a distribution to draw samples from.
    fn has_prior(&self) -> bool {
        self.latent().is_some()
    }

    /// A classifier's judgement of each item: inputs `x`, `labels`; outputs `nll` = −ln p(label) and `correct`, 0 or 1, each `[N]`.
    fn judge_graph(&self, _batch: usize) -> Result<Option<Graph>> {
        Ok(None)
    }

    /// What a classifier sees: input `x`; outputs `features` `[N, F]` of its last hidden layer and `logits` `[N, classes]`.
    fn features_graph(&self, _batch: usize) -> Result<Option<Graph>> {
        Ok(None)
    }
}

/// Names of all models.
pub const NAMES: [&str; 9] = ["autoencoder", "classifier", "cvae", "dcgan", "gan", "pixelcnn", "vae", "wgan", "wgan-gp"];

/// Makes a model for some data from its hyper-parameters.
///
/// # Errors
/// [`Error::Usage`] for an unknown model, an unknown key, or a value that does not fit.
pub fn build(name: &str, hyper: &toml::Table, data: &DataSpec) -> Result<Box<dyn Model>> {
    let adversarial = [gan::Family::Gan, gan::Family::Dcgan, gan::Family::Wgan, gan::Family::WganGp];
    if let Some(family) = adversarial.into_iter().find(|f| f.name() == name) {
        return Ok(Box::new(Gan::new(family, hyper, data)?));
    }
    match name {
        "autoencoder" => Ok(Box::new(Autoencoder::new(parse(name, hyper)?, data)?)),
        "classifier" => Ok(Box::new(Classifier::new(parse(name, hyper)?, data)?)),
        "pixelcnn" => Ok(Box::new(PixelCnn::new(parse(name, hyper)?, data)?)),
        "cvae" => Ok(Box::new(Vae::conditional(parse(name, hyper)?, data)?)),
        "vae" => Ok(Box::new(Vae::new(parse(name, hyper)?, data)?)),
        _ => Err(Error::usage(format!("there is no model {name}; there are {}", NAMES.join(", ")))),
    }
}

/// Reads a model's hyper-parameters.
fn parse<T: serde::de::DeserializeOwned>(model: &str, hyper: &toml::Table) -> Result<T> {
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
