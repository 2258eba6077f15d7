//! One file (or folder) a model: its architecture, and the traits by which it says what it can do.

pub mod ability;
mod autoregressive;
mod causal;
pub mod chroma;
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
mod registry;
mod rnn;
mod scales;
mod shown;
mod size;
mod steps;
mod trunk;
pub mod vae;
mod wavenet;

pub use ability::{Bounds, Decodes, Denoised, Denoises, Encodes, Features, Judges, Raster, Represents, Score, Scores, Starts, Told};
pub use classifier::{Classifier, Learnt};
pub use diffusion::Diffusion;
pub use gan::Gan;
pub use gated::GatedPixelCnn;
pub use law::Law;
pub use pixelcnn::PixelCnn;
pub use pixelcnn_pp::PixelCnnPp;
pub use pixelrnn::PixelRnn;
pub use registry::{about, build, check_name, keys, names};
pub use rnn::Rnn;
pub use shown::{Shown, Task, luma};
pub use vae::{Autoencoder, Vae};
pub use wavenet::WaveNet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Binarization, Kind, Scale};
use crate::error::Result;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

    /// Colours of images whose luma is given, drawn value by value: such a run draws no other images.
    fn colours(&self) -> Option<&dyn Raster> {
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

    /// Features of images, learnt without labels.
    fn represents(&self) -> Option<&dyn Represents> {
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
