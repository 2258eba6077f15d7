//! Hyper-parameters of the PixelCNN++, and which of them can be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::keys;
use crate::model::dropout::Dropout;

/// Hyper-parameters. Those that are left out are as `preset` says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Sizes of the image that the network works at, each half of the one before; 3.
    #[schemars(range(min = 1, max = 16))]
    pub stages: Option<usize>,
    /// Residual blocks of each stream at each size, on the way down.
    #[schemars(range(min = 1, max = 1000))]
    pub blocks: Option<usize>,
    /// Channels of a feature map, F.
    #[schemars(range(min = 1, max = 8192))]
    pub filters: Option<usize>,
    /// Logistics of the mixture that tells grey and colour values; bits need none.
    #[schemars(range(min = 1, max = 64))]
    pub mixtures: Option<usize>,
    /// Probability that an element is dropped inside a block while training.
    pub dropout: Option<Dropout>,
    /// Whether a vector for each class enters every block: p(x|y).
    pub conditional: bool,
    /// A named size.
    pub preset: Preset,
}

/// Named sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// 2 sizes, 1 block, F = 16, 3 logistics: 89,506 parameters on grey images.
    Tiny,
    /// 3 sizes, 2 blocks, F = 32, 5 logistics: 973,156 parameters on images in colour.
    Small,
    /// What the authors' programs train: 3 sizes, 5 blocks, F = 160, 10 logistics.
    Repo,
    /// The paper's: F = 192.
    Paper,
    /// As the other keys say, or else as the small one.
    #[default]
    Custom,
}

/// Sizes of the network, settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub stages: usize,
    pub blocks: usize,
    pub filters: usize,
    pub mixtures: usize,
    pub dropout: Dropout,
}

impl Config {
    /// The sizes for images of `dims`.
    pub(super) fn sizes(&self, [h, w, _]: [usize; 3]) -> Result<Sizes> {
        let refuse = |reason: String| Err(Error::usage(format!("pixelcnn-pp: {reason}")));
        let given = [("stages", self.stages), ("blocks", self.blocks), ("filters", self.filters), ("mixtures", self.mixtures)];
        if let (true, Some((key, _))) = (self.preset != Preset::Custom, given.iter().find(|(_, value)| value.is_some())) {
            return refuse(format!("a preset settles {key}; leave out preset= or {key}="));
        }
        // Below about a million weights dropout loses more than it saves.
        let (stages, blocks, filters, mixtures, drops) = match self.preset {
            Preset::Tiny => (2, 1, 16, 3, Dropout::NONE),
            Preset::Small | Preset::Custom => (3, 2, 32, 5, Dropout::NONE),
            Preset::Repo => (3, 5, 160, 10, Dropout::HALF),
            Preset::Paper => (3, 5, 192, 10, Dropout::HALF),
        };
        let sizes = Sizes {
            stages: self.stages.unwrap_or(stages),
            blocks: self.blocks.unwrap_or(blocks),
            filters: self.filters.unwrap_or(filters),
            mixtures: self.mixtures.unwrap_or(mixtures),
            dropout: self.dropout.unwrap_or(drops),
        };
        let stages = sizes.stages;
        keys::check("pixelcnn-pp", self)?;
        let halvings = h.trailing_zeros().min(w.trailing_zeros()) as usize;
        if stages > halvings + 1 {
            let words = format!("stages={stages} halves images {} times, and {h}×{w} can be halved {halvings} times", stages - 1);
            return refuse(format!("{words}; take stages={}, or images of another size by resize=", halvings + 1));
        }
        Ok(sizes)
    }
}

impl Sizes {
    /// Weights of all convolutions, about.
    pub fn weights(&self, outputs: usize) -> u64 {
        let [stages, blocks, f, outputs] = [self.stages, self.blocks, self.filters, outputs].map(|v| v as u64);
        // Of a pair of blocks: kernels of 6 and 4 taps from 2F to F and from 2F to 2F; beside them 1×1 of 2F and 6F.
        let pair = |beside: u64| (60 + beside) * f * f;
        stages * blocks * pair(2) + (stages * blocks + stages - 1) * pair(6) + (stages - 1) * 20 * f * f + f * outputs
    }
}
