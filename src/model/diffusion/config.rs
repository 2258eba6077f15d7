//! Hyper-parameters of diffusion models, and which of them can be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::unet::{UNetPreset, UNetSize};
use crate::error::{Error, Result};
use crate::keys;
use crate::model::Task;
use crate::model::dropout::Dropout;
use crate::model::noise::{Schedule, Target, Variance};
use crate::model::size::{DEEPEST, WIDEST};

/// Hyper-parameters; `--set` takes each of these keys. Those of the network that are left out are as `preset` says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A named size of the network.
    pub preset: Option<UNetPreset>,
    /// Channels of the first feature map.
    #[schemars(range(min = 4, max = 8192))]
    pub filters: Option<usize>,
    /// Factor on `filters` at each size of the image, each half of the one before.
    pub multipliers: Option<Vec<usize>>,
    /// Residual blocks at each size, on the way down.
    #[schemars(range(min = 1, max = 1000))]
    pub blocks: Option<usize>,
    /// Heights of the feature maps behind whose blocks attention stands.
    pub attention: Option<Vec<usize>>,
    /// Heads of attention.
    #[schemars(range(min = 1))]
    pub heads: Option<usize>,
    /// Channels of each head, in place of their number: wider maps have more heads.
    #[schemars(range(min = 4))]
    pub head_channels: Option<usize>,
    /// Groups that channels are normalised in; unsaid: a quarter of the channels, at most 32.
    #[schemars(range(min = 1))]
    pub groups: Option<usize>,
    /// Whether the time scales and shifts feature maps, and is not only added to them.
    pub film: Option<bool>,
    /// Probability that an element is dropped inside a block while training.
    pub dropout: Option<Dropout>,
    /// Units of each hidden layer, of points.
    #[schemars(range(min = 2, max = WIDEST))]
    pub hidden: Option<usize>,
    /// Hidden layers, of points.
    #[schemars(range(min = 1, max = DEEPEST))]
    pub layers: Option<usize>,
    /// How much noise there is at which time.
    pub noise: Schedule,
    /// What the network is asked for, of linear and cosine schedules.
    pub target: Option<Target>,
    /// Steps from the item to noise, of linear and cosine schedules; 1000.
    #[schemars(range(min = 2, max = MOST_TIMESTEPS))]
    pub timesteps: Option<usize>,
    /// Variance of a step back, of linear and cosine schedules.
    pub variance: Option<Variance>,
    /// Whether times whose losses are large are trained on more often (Nichol and Dhariwal, 2021, section 3.3).
    pub importance: bool,
    /// Whether labels are told: p(x|y).
    pub conditional: bool,
    /// What each image is drawn from, if not from nothing: `colorize` from its luma, `upscale` from a small image.
    pub task: Option<Task>,
    /// How much `task=upscale` enlarges: 2 or 4.
    pub factor: Option<usize>,
    /// Probability that an item's label is withheld while training, so that guidance is possible; .1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub label_dropout: Option<f64>,
}

/// What a fully connected network for points is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct MlpSize {
    pub hidden: usize,
    pub layers: usize,
}

/// Most steps from an item to noise: a table of this length is read in each training step.
const MOST_TIMESTEPS: usize = 100_000;

impl Config {
    /// Checks what does not depend on the data; returns schedule, target, steps, variance.
    pub(super) fn process(&self) -> Result<(Schedule, Target, usize, Variance)> {
        let refuse = |reason: String| Err(Error::usage(format!("diffusion: {reason}")));
        keys::check("diffusion", self)?;
        let timed = matches!(self.noise, Schedule::Linear | Schedule::Cosine);
        let learnt = self.preset == Some(UNetPreset::Iddpm);
        if !timed {
            if learnt {
                return refuse("preset=iddpm learns variances, which linear and cosine schedules have; take another preset".into());
            }
            let given = [("target", self.target.is_some()), ("timesteps", self.timesteps.is_some()), ("variance", self.variance.is_some())];
            if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
                return refuse(format!("{key} belongs to linear and cosine schedules; leave it out, or take noise=linear or cosine"));
            }
        }
        let steps = self.timesteps.unwrap_or(1000);
        if self.label_dropout.is_some() && !self.conditional {
            return refuse("label_dropout withholds labels, and this run has none; take conditional=true, or leave it out".into());
        }
        let variance = match self.variance {
            None if learnt => Variance::Learnt,
            other => other.unwrap_or_default(),
        };
        Ok((self.noise, self.target.unwrap_or_default(), steps, variance))
    }

    /// The U-Net for images of height `h`, and what it drops.
    pub fn unet(&self, h: usize) -> Result<(UNetSize, Dropout)> {
        self.refuse_given("images", &[("hidden", self.hidden.is_some()), ("layers", self.layers.is_some())])?;
        let given = [
            ("filters", self.filters.is_some()),
            ("multipliers", self.multipliers.is_some()),
            ("blocks", self.blocks.is_some()),
            ("attention", self.attention.is_some()),
            ("heads", self.heads.is_some()),
            ("head_channels", self.head_channels.is_some()),
            ("groups", self.groups.is_some()),
            ("film", self.film.is_some()),
        ];
        if let (true, Some((key, _))) = (self.preset.is_some(), given.iter().find(|(_, given)| *given)) {
            return Err(Error::usage(format!("diffusion: a preset settles {key}; leave out preset= or {key}=")));
        }
        if self.heads.is_some() && self.head_channels.is_some() {
            return Err(Error::usage("diffusion: heads and head_channels both say how attention is divided; leave one of them out"));
        }
        // Small networks lose more by dropout than they gain.
        let drops = match self.preset {
            Some(UNetPreset::CifarSmall | UNetPreset::Ddpm) => Dropout::TENTH,
            Some(UNetPreset::Iddpm) => Dropout::THREE_TENTHS,
            _ => Dropout::NONE,
        };
        let named = self.preset.unwrap_or(UNetPreset::Small).size(h);
        let multipliers = self.multipliers.clone().unwrap_or(named.multipliers);
        let lowest = h >> multipliers.len().saturating_sub(1).min(16);
        let attention = self.attention.clone().unwrap_or_else(|| named.attention.into_iter().filter(|at| *at >= lowest).collect());
        let size = UNetSize {
            channels: self.filters.unwrap_or(named.channels),
            multipliers,
            blocks: self.blocks.unwrap_or(named.blocks),
            attention,
            heads: self.heads.unwrap_or(named.heads),
            head_channels: self.head_channels,
            groups: self.groups,
            film: self.film.unwrap_or(named.film),
        };
        Ok((size, self.dropout.unwrap_or(drops)))
    }

    /// The fully connected network for points.
    pub(super) fn mlp(&self) -> Result<(MlpSize, Dropout)> {
        let of_images = [
            ("preset", self.preset.is_some()),
            ("filters", self.filters.is_some()),
            ("multipliers", self.multipliers.is_some()),
            ("blocks", self.blocks.is_some()),
            ("attention", self.attention.is_some()),
            ("heads", self.heads.is_some()),
            ("head_channels", self.head_channels.is_some()),
            ("groups", self.groups.is_some()),
            ("film", self.film.is_some()),
            ("task", self.task.is_some()),
            ("factor", self.factor.is_some()),
        ];
        self.refuse_given("points", &of_images)?;
        let size = MlpSize { hidden: self.hidden.unwrap_or(128), layers: self.layers.unwrap_or(3) };
        Ok((size, self.dropout.unwrap_or(Dropout::NONE)))
    }

    fn refuse_given(&self, items: &str, keys: &[(&str, bool)]) -> Result<()> {
        match keys.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(Error::usage(format!("diffusion: {key} says nothing of a network for {items}; leave it out"))),
            None => Ok(()),
        }
    }
}
