//! Hyper-parameters of PixelRNN.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::DataSpec;
use crate::model::dropout::Dropout;
use crate::model::levels::Likelihood;

/// Hyper-parameters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `row` (Row LSTM) or `diagonal` (Diagonal BiLSTM).
    pub layer: Layer,
    /// Recurrent layers.
    #[schemars(range(min = 1))]
    pub layers: usize,
    /// Hidden units of a layer, h; between layers there are 2h channels. Left out: 16, or the next multiple of the colours.
    #[schemars(range(min = 1))]
    pub hidden: Option<usize>,
    /// Channels of the head. Left out: 32, or the next multiple of the colours.
    #[schemars(range(min = 1))]
    pub head: Option<usize>,
    /// Kernel of the first, mask A convolution.
    pub first_kernel: usize,
    /// Pixels that a Row LSTM's cell reads of the row above, odd.
    pub kernel: usize,
    /// Probability that an element is dropped while training, between layers.
    pub dropout: Dropout,
    /// Values a pixel can take: 2 (Bernoulli) or up to 256 (categorical); 0 takes 2 for binary data and 256 for other.
    #[schemars(range(max = 256))]
    pub levels: usize,
    /// How values are told: by logits of their levels, or by a mixture of logistics.
    pub likelihood: Likelihood,
    /// Logistics of a mixture; 10.
    #[schemars(range(min = 1, max = 64))]
    pub mixtures: Option<usize>,
    /// Whether images are modelled given their labels: a vector for each class is added to the gates of every layer.
    pub conditional: bool,
    /// Scales that an image is drawn in, each of every second pixel of the next; 1.
    #[schemars(range(min = 1))]
    pub scales: Option<usize>,
    /// Channels of what a finer scale is told of the coarser one; unsaid: 2h.
    pub scale_channels: Option<usize>,
    /// A named size; see [`Preset`].
    pub preset: Preset,
}

/// The two recurrent layers of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Row LSTM: rows from top to bottom; the context is a triangle above the pixel.
    Row,
    /// Diagonal BiLSTM: diagonals from both upper corners; the context is every earlier pixel but one.
    Diagonal,
}

/// Named sizes; hidden units and head are rounded up to a multiple of the colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// h = 16, head 32; 3 rows or 2 diagonals: 26,113 and 20,545 parameters on binary images.
    Small,
    /// The paper's for MNIST: 7 layers, h = 16, head 32.
    Mnist,
    /// The paper's for CIFAR-10: 12 layers, h = 128, head 1024.
    Cifar,
    /// As the other keys say.
    Custom,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            layer: Layer::Diagonal,
            layers: 2,
            hidden: None,
            head: None,
            first_kernel: 7,
            kernel: 3,
            dropout: Dropout::NONE,
            levels: 0,
            likelihood: Likelihood::default(),
            mixtures: None,
            conditional: false,
            scales: None,
            scale_channels: None,
            preset: Preset::Custom,
        }
    }
}

/// What a model is made of, checked.
pub(super) struct Size {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) head: usize,
    /// Classes that are read; 0 where labels are not.
    pub(super) classes: usize,
}

impl Config {
    /// Checks it against the data, and against the colours that are kept in order.
    ///
    /// # Errors
    /// [`Error::Usage`] where it does not fit.
    pub(super) fn size(&self, data: &DataSpec, colours: usize) -> Result<Size> {
        let refuse = |reason: String| Err(Error::usage(format!("pixelrnn: {reason}")));
        let [height, width, _] = data.dims;
        if height < 2 || width < 2 {
            return refuse(format!(
                "recurrent layers go from row to row and along rows, and a {height}×{width} image has one; take pixelcnn"
            ));
        }
        let (layers, hidden, head) = match (self.preset, self.layer) {
            (Preset::Small, Layer::Row) => (3, None, None),
            (Preset::Small, Layer::Diagonal) => (2, None, None),
            (Preset::Mnist, _) => (7, None, None),
            (Preset::Cifar, _) => (12, Some(128usize.next_multiple_of(colours)), Some(1024usize.next_multiple_of(colours))),
            (Preset::Custom, _) => (self.layers, self.hidden, self.head),
        };
        let hidden = hidden.unwrap_or(16usize.next_multiple_of(colours));
        let head = head.unwrap_or(32usize.next_multiple_of(colours));
        if layers == 0 {
            return refuse("layers must be at least 1".into());
        }
        // The first kernel does not see its own pixel: one of a pixel would see nothing.
        for (key, kernel, least) in [("first_kernel", self.first_kernel, 3), ("kernel", self.kernel, 1)] {
            if kernel % 2 == 0 || !(least..=99).contains(&kernel) {
                return refuse(format!("{key} must be odd and from {least} to 99, not {kernel}"));
            }
        }
        // Far beyond any use, and short of sizes that no machine could even be asked for.
        for (key, value, most) in [("layers", layers, 1000), ("hidden", hidden, 8192), ("head", head, 8192)] {
            if value > most {
                return refuse(format!("{key} must be at most {most}, not {value}"));
            }
        }
        if hidden == 0 || head == 0 || hidden % colours != 0 || head % colours != 0 {
            return refuse(format!("hidden={hidden} and head={head} must be positive multiples of the {colours} colours"));
        }
        if self.conditional && data.classes == 0 {
            return refuse("conditional=true needs labels, and these data have none; take data with classes or leave it out".into());
        }
        let classes = if self.conditional { data.classes } else { 0 };
        Ok(Size { layers, hidden, head, classes })
    }
}
