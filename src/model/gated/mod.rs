//! Gated PixelCNN: a vertical and a horizontal stack of gated convolutions without a blind spot (van den Oord et al., 2016, "Conditional
//! image generation with PixelCNN decoders").
//!
//! With kernels k₀ and k behind it and dilations d, what a pixel sees is the rectangle of the rows above within
//! k₀/2 + Σ d·(k/2) columns and rows, without a hole, and as many pixels of its own row to the left.

mod config;
mod layer;

pub use config::Config;
use layer::{Flow, Layer};

use super::autoregressive::{Given, Network};
use super::chroma::LumaMap;
use super::dropout::Dropout;
use super::levels::{Levels, Mask, colour_mask};
use super::scales::{Place, Pyramid, Scales, Told};
use super::{DataSpec, Defaults, Optimiser, size};
use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Conv2d, ConvSpec, Start};
use crate::op::Taps;

/// The model.
pub struct GatedPixelCnn {
    spec: StateSpec,
    pixels: Levels,
    /// Classes that it tells apart; 0 where it is not conditional.
    classes: usize,
    /// Whether it tells the colours of images whose luma is given.
    colours: bool,
    dropout: Dropout,
    nets: Pyramid<Net>,
}

/// The network of one scale.
struct Net {
    layers: Vec<Layer>,
    head: [Conv2d; 2],
}

impl GatedPixelCnn {
    /// A model for images of `data.dims`.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let colours = config.colours()?;
        let pixels = match colours {
            true => Levels::chroma("gated-pixelcnn", data)?,
            false => Levels::new("gated-pixelcnn", config.levels, data)?.told_by("gated-pixelcnn", config.likelihood, config.mixtures)?,
        };
        let config = config.resolved(pixels.ordered());
        let [hidden, _] = config.channels();
        config.check(pixels.ordered(), data.classes)?;
        let scales = Scales::new("gated-pixelcnn", [config.scales, config.scale_channels], hidden, data.dims)?;
        // Masks of colours are as large as the weights, and stand beside them twice.
        let channels = pixels.dims[2];
        let each = config.weights(channels, pixels.outputs()).saturating_mul(if pixels.ordered() > 1 { 3 } else { 1 });
        let map = if colours { LumaMap::weights(hidden as u64) } else { 0 };
        let weights = scales.weights(each, (config.layers * 4 * hidden) as u64, channels).saturating_add(map);
        size::room("gated-pixelcnn", weights)?;
        let classes = if config.conditional { data.classes } else { 0 };
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let make = |spec: &mut StateSpec, group: usize, place: Place<'_>| Net::new(spec, group, &config, &place, classes, pixels.outputs());
        let nets = match colours {
            true => Pyramid::of_colours(&mut spec, group, hidden, &pixels, make)?,
            false => Pyramid::new(&mut spec, group, scales, &pixels, make)?,
        };
        Ok(Self { spec, pixels, classes, colours, dropout: config.dropout, nets })
    }
}

impl Net {
    fn new(spec: &mut StateSpec, group: usize, config: &Config, place: &Place<'_>, classes: usize, outputs: usize) -> Self {
        let ([h, w, _], ordered) = (place.dims, place.ordered);
        let [hidden, head] = config.channels();
        let layers = (0..config.layers).map(|at| Layer::new(spec, group, config, at, place, classes)).collect();
        let mut conv = |name: &str, channels: [usize; 2]| {
            let taps = Taps::pointwise([h, w]);
            let masked = (ordered > 1).then(|| colour_mask(&taps, channels, ordered, Mask::B, 1));
            let conv = ConvSpec { taps, kernel: 1, centre: 0, channels, bias: true, start: Start::FanIn };
            Conv2d::masked(spec, group, &format!("{}{name}", place.prefix), conv, masked)
        };
        let head = [conv("head.0", [hidden, head]), conv("head.1", [head, outputs])];
        Self { layers, head }
    }

    /// What flows behind the first so many layers.
    fn flow(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, told: Told, layers: usize) -> Result<Flow> {
        let mut flow = Flow { vertical: x, horizontal: x, skip: None };
        for layer in &self.layers[..layers] {
            flow = layer.apply(g, spec, flow, told)?;
        }
        Ok(flow)
    }

    fn logits(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, told: Told) -> Result<NodeId> {
        let flow = self.flow(g, spec, x, told, self.layers.len())?;
        let mut h = flow.skip.unwrap_or(x);
        for layer in &self.head {
            h = g.relu(h)?;
            h = layer.apply(g, spec, h)?;
        }
        Ok(h)
    }
}

impl Network for GatedPixelCnn {
    const NAME: &'static str = "gated-pixelcnn";

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
            batch: 32,
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

    fn colours(&self) -> bool {
        self.colours
    }

    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let (net, told) = self.nets.at(g, &self.spec, given)?;
        net.logits(g, &self.spec, x, told)
    }

    fn middle(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let (net, told) = self.nets.at(g, &self.spec, given)?;
        let flow = net.flow(g, &self.spec, x, told, net.layers.len().div_ceil(2))?;
        let sum = g.relu(flow.skip.unwrap_or(x))?;
        g.concat(flow.vertical, sum, 3)
    }
}
