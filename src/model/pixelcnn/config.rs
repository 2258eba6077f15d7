//! Hyper-parameters of the PixelCNN, and which of them can be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::keys;
use crate::model::dropout::Dropout;
use crate::model::levels::Likelihood;

/// Hyper-parameters. Those that are left out are as `preset` says; widths are then rounded up to a multiple of the colours.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Residual blocks; 15.
    #[schemars(range(min = 1, max = 1000))]
    pub blocks: Option<usize>,
    /// Channels inside a block, h; between blocks there are 2h.
    #[schemars(range(min = 1, max = 8192))]
    pub hidden: Option<usize>,
    /// Channels of the head.
    #[schemars(range(min = 1, max = 8192))]
    pub head: Option<usize>,
    /// Kernel of the first, mask A convolution; 7.
    #[schemars(range(min = 1, max = 99))]
    pub first_kernel: Option<usize>,
    /// Kernel of the mask B convolutions; 3.
    #[schemars(range(min = 1, max = 99))]
    pub kernel: Option<usize>,
    /// Probability that an element is dropped while training, before the last layer of every block.
    pub dropout: Dropout,
    /// Values a pixel can take: 2 (Bernoulli) or up to 256 (categorical); 0 takes 2 for binary data and 256 for other.
    #[schemars(range(max = 256))]
    pub levels: usize,
    /// How values are told: by logits of their levels, or by a mixture of logistics.
    pub likelihood: Likelihood,
    /// Logistics of a mixture; 10.
    #[schemars(range(min = 1, max = 64))]
    pub mixtures: Option<usize>,
    /// Whether a vector for each class enters the first layer and every block: p(x|y).
    pub conditional: bool,
    /// Scales that an image is drawn in, each of every second pixel of the next; 1.
    #[schemars(range(min = 1))]
    pub scales: Option<usize>,
    /// Channels of what a finer scale is told of the coarser one; 2h.
    pub scale_channels: Option<usize>,
    /// A named size, which the sizes above do not change: `tiny` (h = 16, head 32: 53,569 parameters on binary 28×28) or `paper` (h = 128,
    /// head 1024).
    pub preset: Preset,
}

/// Named sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The network of the benchmarks.
    Tiny,
    /// The paper's.
    Paper,
    /// As the other keys say, or else as the tiny one.
    #[default]
    Custom,
}

/// Sizes of the network, settled.
pub(super) struct Sizes {
    pub blocks: usize,
    pub hidden: usize,
    pub head: usize,
    pub first_kernel: usize,
    pub kernel: usize,
}

impl Config {
    /// The sizes for images of so many colours.
    pub(super) fn sizes(&self, colours: usize) -> Result<Sizes> {
        let given = [
            ("blocks", self.blocks),
            ("hidden", self.hidden),
            ("head", self.head),
            ("first_kernel", self.first_kernel),
            ("kernel", self.kernel),
        ];
        if let (true, Some((key, _))) = (self.preset != Preset::Custom, given.iter().find(|(_, value)| value.is_some())) {
            return Err(Error::usage(format!("pixelcnn: a preset settles {key}; leave out preset= or {key}=")));
        }
        let [hidden, head]: [usize; 2] = if self.preset == Preset::Paper { [128, 1024] } else { [16, 32] };
        let sizes = Sizes {
            blocks: self.blocks.unwrap_or(15),
            hidden: self.hidden.unwrap_or(hidden.next_multiple_of(colours)),
            head: self.head.unwrap_or(head.next_multiple_of(colours)),
            first_kernel: self.first_kernel.unwrap_or(7),
            kernel: self.kernel.unwrap_or(3),
        };
        keys::check("pixelcnn", self)?;
        if let Some((key, value)) = [("hidden", sizes.hidden), ("head", sizes.head)].into_iter().find(|(_, v)| v % colours != 0) {
            let (below, above) = (value / colours * colours, value.next_multiple_of(colours));
            let near = if below == 0 { format!("{above}") } else { format!("{below} or {above}") };
            return Err(Error::usage(format!("pixelcnn: {key}={value} cannot be dealt equally to {colours} colours; take {key}={near}")));
        }
        if let Some((key, value)) =
            [("first_kernel", sizes.first_kernel), ("kernel", sizes.kernel)].into_iter().find(|(_, v)| v.is_multiple_of(2))
        {
            return Err(Error::usage(format!("pixelcnn: kernels must be odd, so {key} is {} or {}, not {value}", value - 1, value + 1)));
        }
        Ok(sizes)
    }
}

impl Sizes {
    /// Weights of all convolutions.
    pub fn weights(&self, colours: usize, outputs: usize) -> u64 {
        let [blocks, h, head, colours, outputs] = [self.blocks, self.hidden, self.head, colours, outputs].map(|v| v as u64);
        let [first, kernel] = [self.first_kernel, self.kernel].map(|k| (k * k / 2 + 1) as u64);
        first * colours * 2 * h + blocks * (4 * h * h + kernel * h * h) + 2 * h * head + head * outputs
    }
}
