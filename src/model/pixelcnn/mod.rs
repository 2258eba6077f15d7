//! PixelCNN: masked convolutions over residual blocks (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, "Pixel recurrent neural networks").

mod config;

pub use config::Config;

use config::Sizes;

use super::autoregressive::{Given, Network};
use super::dropout::Dropout;
use super::levels::{Levels, Mask, colour_mask};
use super::scales::{Place, Pyramid, Scales, Told, from_map, told};
use super::{DataSpec, Defaults, Optimiser, size};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Conv2d, ConvSpec, OneHot, Start};
use crate::op::Taps;

/// What is added to what a layer makes: the vector of a class, and what the coarser image comes to.
struct Aside {
    label: Option<OneHot>,
    coarser: Option<Conv2d>,
}

/// A residual block.
struct Block {
    layers: [Conv2d; 3],
    aside: Aside,
}

/// The network of one scale.
struct Net {
    input: Conv2d,
    aside: Aside,
    blocks: Vec<Block>,
    head: [Conv2d; 2],
}

/// The model.
pub struct PixelCnn {
    spec: StateSpec,
    pixels: Levels,
    /// Classes that it tells apart; 0 where it is not conditional.
    classes: usize,
    dropout: Dropout,
    nets: Pyramid<Net>,
}

impl PixelCnn {
    /// A model for images of `data.dims`.
    ///
    /// # Errors
    /// [`Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let [_, _, colours] = data.dims;
        let pixels = Levels::new("pixelcnn", config.levels, data)?.told_by("pixelcnn", config.likelihood, config.mixtures)?;
        let sizes = config.sizes(pixels.ordered())?;
        if config.conditional && data.classes == 0 {
            let words = "conditional=true needs labels, and these data have none; take labelled data or leave it out";
            return Err(Error::usage(format!("pixelcnn: {words}")));
        }
        let classes = if config.conditional { data.classes } else { 0 };
        let scales = Scales::new("pixelcnn", [config.scales, config.scale_channels], 2 * sizes.hidden, data.dims)?;
        // Masks of colours are as large as the weights, and stand beside them twice.
        let each = sizes.weights(colours, pixels.outputs()).saturating_mul(if pixels.ordered() > 1 { 3 } else { 1 });
        size::room("pixelcnn", scales.weights(each, ((sizes.blocks + 2) * sizes.hidden) as u64, colours))?;
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let nets = Pyramid::new(&mut spec, group, scales, &pixels, |spec, group, place| {
            Net::new(spec, group, &sizes, &place, classes, pixels.outputs())
        })?;
        Ok(Self { spec, pixels, classes, dropout: config.dropout, nets })
    }
}

impl Aside {
    fn new(spec: &mut StateSpec, group: usize, name: &str, place: &Place<'_>, [classes, width]: [usize; 2]) -> Self {
        let start = Start::Normal(1.0);
        Self {
            label: (classes > 0).then(|| OneHot::new(spec, group, &format!("{name}cond"), [classes, width], start)),
            coarser: from_map(spec, group, &format!("{name}coarser"), place, width),
        }
    }

    fn add_to(&self, g: &mut Graph, spec: &StateSpec, mut h: NodeId, Told { labels, map }: Told) -> Result<NodeId> {
        if let (Some(layer), Some(labels)) = (&self.label, labels) {
            h = layer.add_to(g, spec, h, labels)?;
        }
        told(g, spec, h, &self.coarser, map)
    }
}

impl Net {
    fn new(spec: &mut StateSpec, group: usize, sizes: &Sizes, place: &Place<'_>, classes: usize, outputs: usize) -> Self {
        let Sizes { blocks, hidden, head, first_kernel, kernel } = *sizes;
        let ([h, w, colours], ordered) = (place.dims, place.ordered);
        let name = |part: &str| format!("{}{part}", place.prefix);
        let conv = |spec: &mut StateSpec, part: &str, size: usize, mask: Mask, channels: [usize; 2]| {
            // A kernel of one pixel is a pixel, be it masked.
            let taps = Taps::causal(size, mask == Mask::B || ordered > 1 || size == 1, [h, w]);
            let masked = ordered > 1 || (mask == Mask::A && size == 1);
            let masked = masked.then(|| colour_mask(&taps, channels, ordered, mask, 1));
            let conv = ConvSpec { taps, kernel: size, centre: size / 2, channels, bias: true, start: Start::FanIn };
            Conv2d::masked(spec, group, &name(part), conv, masked)
        };
        let input = conv(spec, "input", first_kernel, Mask::A, [colours, 2 * hidden]);
        let aside = Aside::new(spec, group, &name(""), place, [classes, 2 * hidden]);
        let blocks = (0..blocks)
            .map(|i| {
                let layers = [
                    conv(spec, &format!("blocks.{i}.reduce"), 1, Mask::B, [2 * hidden, hidden]),
                    conv(spec, &format!("blocks.{i}.masked"), kernel, Mask::B, [hidden, hidden]),
                    conv(spec, &format!("blocks.{i}.expand"), 1, Mask::B, [hidden, 2 * hidden]),
                ];
                Block { layers, aside: Aside::new(spec, group, &name(&format!("blocks.{i}.")), place, [classes, hidden]) }
            })
            .collect();
        let head = [conv(spec, "head.0", 1, Mask::B, [2 * hidden, head]), conv(spec, "head.1", 1, Mask::B, [head, outputs])];
        Self { input, aside, blocks, head }
    }

    /// What the head reads, or what the first so many blocks make.
    fn features(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, told: Told, blocks: usize) -> Result<NodeId> {
        let mut h = self.input.apply(g, spec, x)?;
        h = self.aside.add_to(g, spec, h, told)?;
        for block in &self.blocks[..blocks] {
            let mut r = h;
            for (at, layer) in block.layers.iter().enumerate() {
                r = g.relu(r)?;
                if at == 2 {
                    r = g.dropout(r)?;
                }
                r = layer.apply(g, spec, r)?;
                // What the class and the coarser image say is known before the block looks around.
                if at == 0 {
                    r = block.aside.add_to(g, spec, r, told)?;
                }
            }
            h = g.add(h, r)?;
        }
        Ok(h)
    }

    fn logits(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, told: Told) -> Result<NodeId> {
        let mut h = self.features(g, spec, x, told, self.blocks.len())?;
        for layer in &self.head {
            h = g.relu(h)?;
            h = layer.apply(g, spec, h)?;
        }
        Ok(h)
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

    fn dropout(&self) -> Dropout {
        self.dropout
    }

    fn preferences(&self) -> Defaults {
        Defaults {
            batch: 64,
            steps: 10_000,
            learning_rate: vec![1e-3],
            rate_decay: 0.999_977,
            warmup: 0,
            clip_norm: 0.0,
            ema: 0.0,
            optimiser: Optimiser::Adam,
            betas: [0.9, 0.999],
        }
    }

    fn scales(&self) -> usize {
        self.nets.len()
    }

    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let (net, told) = self.nets.at(g, &self.spec, given)?;
        net.logits(g, &self.spec, x, told)
    }

    fn middle(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let (net, told) = self.nets.at(g, &self.spec, given)?;
        let features = net.features(g, &self.spec, x, told, net.blocks.len().div_ceil(2))?;
        g.relu(features)
    }
}
