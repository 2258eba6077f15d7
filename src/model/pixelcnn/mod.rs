//! PixelCNN: masked convolutions over residual blocks (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, "Pixel recurrent neural networks").

mod config;

pub use config::Config;

use config::Sizes;

use super::autoregressive::{Given, Network};
use super::levels::{Levels, Mask, colour_mask};
use super::{DataSpec, Defaults, Optimiser, size};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Conv2d, ConvSpec, OneHot, Start};
use crate::op::Taps;

/// A residual block: its layers, and the vector of each class where it is conditional.
struct Block {
    layers: [Conv2d; 3],
    label: Option<OneHot>,
}

/// The model.
pub struct PixelCnn {
    spec: StateSpec,
    pixels: Levels,
    /// Classes that it tells apart; 0 where it is not conditional.
    classes: usize,
    input: Conv2d,
    label: Option<OneHot>,
    blocks: Vec<Block>,
    head: [Conv2d; 2],
}

impl PixelCnn {
    /// A model for images of `data.dims`.
    ///
    /// # Errors
    /// [`Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let [h, w, colours] = data.dims;
        let pixels = Levels::new("pixelcnn", config.levels, data)?;
        let sizes = config.sizes(colours)?;
        if config.conditional && data.classes == 0 {
            let words = "conditional=true needs labels, and these data have none; take labelled data or leave it out";
            return Err(Error::usage(format!("pixelcnn: {words}")));
        }
        let classes = if config.conditional { data.classes } else { 0 };
        // Masks of colours are as large as the weights, and stand beside them twice.
        size::room("pixelcnn", sizes.weights(colours, pixels.outputs()).saturating_mul(if colours > 1 { 3 } else { 1 }))?;
        let Sizes { blocks, hidden, head, first_kernel, kernel } = sizes;
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let conv = |spec: &mut StateSpec, name: &str, size: usize, mask: Mask, channels: [usize; 2]| {
            // A kernel of one pixel is a pixel, be it masked.
            let taps = Taps::causal(size, mask == Mask::B || colours > 1 || size == 1, [h, w]);
            let masked = colours > 1 || (mask == Mask::A && size == 1);
            let masked = masked.then(|| colour_mask(&taps, channels, colours, mask, 1));
            let conv = ConvSpec { taps, kernel: size, centre: size / 2, channels, bias: true, start: Start::FanIn };
            Conv2d::masked(spec, group, name, conv, masked)
        };
        let label = |spec: &mut StateSpec, name: &str, width: usize| {
            (classes > 0).then(|| OneHot::new(spec, group, name, [classes, width], Start::Normal(1.0)))
        };
        let input = conv(&mut spec, "input", first_kernel, Mask::A, [colours, 2 * hidden]);
        let first = label(&mut spec, "cond", 2 * hidden);
        let blocks = (0..blocks)
            .map(|i| {
                let layers = [
                    conv(&mut spec, &format!("blocks.{i}.reduce"), 1, Mask::B, [2 * hidden, hidden]),
                    conv(&mut spec, &format!("blocks.{i}.masked"), kernel, Mask::B, [hidden, hidden]),
                    conv(&mut spec, &format!("blocks.{i}.expand"), 1, Mask::B, [hidden, 2 * hidden]),
                ];
                Block { layers, label: label(&mut spec, &format!("blocks.{i}.cond"), hidden) }
            })
            .collect();
        let head =
            [conv(&mut spec, "head.0", 1, Mask::B, [2 * hidden, head]), conv(&mut spec, "head.1", 1, Mask::B, [head, pixels.outputs()])];
        Ok(Self { spec, pixels, classes, input, label: first, blocks, head })
    }
}

impl Network for PixelCnn {
    const NAME: &'static str = "pixelcnn";

    fn tensors(&self) -> &StateSpec {
        &self.spec
    }

    fn pixels(&self) -> &Levels {
        &self.pixels
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn preferences(&self) -> Defaults {
        Defaults {
            batch: 64,
            steps: 10_000,
            learning_rate: vec![1e-3],
            rate_decay: 0.999_977,
            ema: 0.0,
            optimiser: Optimiser::Adam,
            betas: [0.9, 0.999],
        }
    }

    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let spec = &self.spec;
        let told = |g: &mut Graph, h: NodeId, layer: &Option<OneHot>| match (layer, given.labels) {
            (Some(layer), Some(labels)) => layer.add_to(g, spec, h, labels),
            _ => Ok(h),
        };
        let mut h = self.input.apply(g, spec, x)?;
        h = told(g, h, &self.label)?;
        for block in &self.blocks {
            let mut r = h;
            for (at, layer) in block.layers.iter().enumerate() {
                r = g.relu(r)?;
                r = layer.apply(g, spec, r)?;
                // What the class says is known before the block looks around.
                if at == 0 {
                    r = told(g, r, &block.label)?;
                }
            }
            h = g.add(h, r)?;
        }
        for layer in &self.head {
            h = g.relu(h)?;
            h = layer.apply(g, spec, h)?;
        }
        Ok(h)
    }
}
