//! Hyper-parameters of the gated PixelCNN, and which of them can be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Task;
use crate::model::dropout::Dropout;
use crate::model::levels::Likelihood;

/// Hyper-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Layers of both stacks.
    #[schemars(range(min = 1))]
    pub layers: usize,
    /// Channels of a feature map, C; gates have twice as many. Unsaid: 64, or the next number that the colours divide.
    #[schemars(range(min = 1))]
    pub hidden: Option<usize>,
    /// Channels of the head; unsaid as before.
    #[schemars(range(min = 1))]
    pub head: Option<usize>,
    /// Kernel of the first layer.
    pub first_kernel: usize,
    /// Kernel of the others.
    pub kernel: usize,
    /// Steps between the taps of the layers behind the first, over and over; none: 1.
    pub dilations: Vec<usize>,
    /// Probability that an element is dropped while training, of every gated map.
    pub dropout: Dropout,
    /// Values a pixel can take: 2 (Bernoulli) or up to 256 (categorical); 0 takes 2 for binary data and 256 for other.
    #[schemars(range(max = 256))]
    pub levels: usize,
    /// How values are told: by logits of their levels, or by a mixture of logistics.
    pub likelihood: Likelihood,
    /// Logistics of a mixture; 10.
    #[schemars(range(min = 1, max = 64))]
    pub mixtures: Option<usize>,
    /// Whether a vector for each class enters both gates of every layer: p(x|y).
    pub conditional: bool,
    /// Scales that an image is drawn in, each of every second pixel of the next; 1.
    #[schemars(range(min = 1))]
    pub scales: Option<usize>,
    /// Channels of what a finer scale is told of the coarser one; unsaid: C.
    pub scale_channels: Option<usize>,
    /// What images are drawn from, if not from nothing: `colorize` from their luma, whose colours then have an exact probability.
    pub task: Option<Task>,
    /// A named size.
    pub preset: Preset,
}

/// Named sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// 6 layers of 24, head 32: 69,953 parameters on binary images.
    Tiny,
    /// 8 layers of 64, head 64: the benchmarks' network, 666,753 parameters.
    Small,
    /// 8 layers of 32 with kernels of 5, head 64.
    K5,
    /// 15 layers of 32 whose dilations see every earlier pixel of 28×28, head 64.
    Whole,
    /// The paper's: 20 layers of 384 with kernels of 5, head 1024.
    Paper,
    /// As the other keys say.
    Custom,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            layers: 8,
            hidden: None,
            head: None,
            first_kernel: 7,
            kernel: 3,
            dilations: Vec::new(),
            dropout: Dropout::NONE,
            levels: 0,
            likelihood: Likelihood::default(),
            mixtures: None,
            conditional: false,
            scales: None,
            scale_channels: None,
            task: None,
            preset: Preset::Custom,
        }
    }
}

impl Config {
    /// The sizes that a preset names, for images of so many colours.
    pub fn resolved(self, colours: usize) -> Self {
        let Self { preset, dropout, levels, likelihood, mixtures, conditional, scales, scale_channels, task, .. } = self;
        let small = Self { preset, dropout, levels, likelihood, mixtures, conditional, scales, scale_channels, task, ..Self::default() };
        let sized = |hidden: usize, head: usize, like: Self| Self {
            hidden: like.hidden.or(Some(hidden.next_multiple_of(colours.max(1)))),
            head: like.head.or(Some(head.next_multiple_of(colours.max(1)))),
            ..like
        };
        match self.preset {
            Preset::Tiny => sized(24, 32, Self { layers: 6, ..small }),
            Preset::Small => sized(64, 64, small),
            Preset::K5 => sized(32, 64, Self { kernel: 5, ..small }),
            Preset::Whole => sized(32, 64, Self { layers: 15, dilations: vec![1, 2, 1, 4, 1, 2, 1], ..small }),
            Preset::Paper => sized(384, 1024, Self { layers: 20, kernel: 5, ..small }),
            Preset::Custom => sized(64, 64, self),
        }
    }

    /// Channels of a feature map and of the head.
    pub fn channels(&self) -> [usize; 2] {
        [self.hidden.unwrap_or(0), self.head.unwrap_or(0)]
    }

    /// Weights of all convolutions, about: of a layer a kernel for each stack's two gates and four products of one pixel.
    pub fn weights(&self, colours: usize, outputs: usize) -> u64 {
        let [layers, first, kernel, colours, outputs] = [self.layers, self.first_kernel, self.kernel, colours, outputs].map(|v| v as u64);
        let [c, head] = self.channels().map(|v| v as u64);
        let stacks = |kernel: u64, from: u64| from * 2 * c * (kernel * (kernel / 2 + 1) + kernel / 2 + 1);
        stacks(first, colours) + layers * (stacks(kernel, c) + 8 * c * c) + c * head + head * outputs
    }

    /// Whether colours are told, given a luma.
    ///
    /// # Errors
    /// [`Error::Usage`] for a task that the network has none of, and for keys that say something else of its images.
    pub fn colours(&self) -> Result<bool> {
        let refuse = |reason: String| Err(Error::usage(format!("gated-pixelcnn: {reason}")));
        match self.task {
            None => return Ok(false),
            Some(Task::Upscale) => {
                return refuse(
                    "task=upscale is of diffusion models; take scales=2, whose runs kiln upscale takes, or kiln train diffusion".into(),
                );
            }
            Some(Task::Colorize) => {}
        }
        let said = [
            ("levels", self.levels != 0),
            ("likelihood", self.likelihood != Likelihood::Logits),
            ("mixtures", self.mixtures.is_some()),
            ("scales", self.scales.is_some_and(|scales| scales != 1)),
            ("scale_channels", self.scale_channels.is_some()),
        ];
        match said.iter().find(|(_, said)| *said) {
            Some((key, _)) => {
                refuse(format!("task=colorize settles {key}: colours are told by logits of their 511 levels; leave {key} out"))
            }
            None => Ok(true),
        }
    }

    /// Step between the taps of a layer.
    pub fn dilation(&self, layer: usize) -> usize {
        match (layer.checked_sub(1), self.dilations.len()) {
            (Some(at), 1..) => self.dilations[at % self.dilations.len()],
            _ => 1,
        }
    }

    /// Refuses what makes no network for images of so many colours.
    ///
    /// # Errors
    /// [`Error::Usage`] with the way out.
    pub fn check(&self, colours: usize, classes: usize) -> Result<()> {
        let Self { layers, first_kernel, kernel, .. } = *self;
        let [hidden, head] = self.channels();
        let refuse = |reason: String| Err(Error::usage(format!("gated-pixelcnn: {reason}")));
        if first_kernel % 2 == 0 || kernel % 2 == 0 {
            return refuse(format!("kernels must be odd, not {first_kernel} and {kernel}"));
        }
        if first_kernel < 3 {
            return refuse("first_kernel=1 sees no earlier pixel; take 3 or more".into());
        }
        if layers == 0 {
            return refuse("layers must be at least 1".into());
        }
        // Far beyond any use, and short of sizes that no machine could even be asked for.
        for (key, value, most) in [
            ("layers", layers, 1000),
            ("hidden", hidden, 8192),
            ("head", head, 8192),
            ("first_kernel", first_kernel, 99),
            ("kernel", kernel, 99),
            ("dilations", self.dilations.iter().copied().max().unwrap_or(1), 1000),
        ] {
            if value > most {
                return refuse(format!("{key} must be at most {most}, not {value}"));
            }
        }
        if self.dilations.contains(&0) {
            return refuse("dilations must be at least 1".into());
        }
        if hidden == 0 || head == 0 || hidden % colours != 0 || head % colours != 0 {
            return refuse(format!("hidden={hidden} and head={head} must be positive multiples of the {colours} colours"));
        }
        if self.conditional && classes == 0 {
            return refuse("conditional=true needs labels, and these data have none; take labelled data or leave it out".into());
        }
        Ok(())
    }
}
