//! PixelRNN: recurrent layers over rows or diagonals (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, "Pixel recurrent neural
//! networks", sections 3.1 to 3.4).

mod config;
mod layer;

pub use config::Config;

use layer::{Recurrent, Shape};

use super::autoregressive::{Given, Network};
use super::dropout::Dropout;
use super::levels::{Levels, Mask, colour_mask};
use super::scales::{Place, Pyramid, Scales, Told};
use super::{DataSpec, Defaults, Optimiser, size};
use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Conv2d, ConvSpec, Start};
use crate::op::Taps;

/// The model.
pub struct PixelRnn {
    spec: StateSpec,
    pixels: Levels,
    /// Classes that it tells apart; 0 where it is not conditional.
    classes: usize,
    dropout: Dropout,
    nets: Pyramid<Net>,
}

/// The network of one scale.
struct Net {
    input: Conv2d,
    layers: Vec<Recurrent>,
    head: [Conv2d; 2],
}

impl PixelRnn {
    /// A model for images of `data.dims`.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let pixels = Levels::new("pixelrnn", config.levels, data)?.told_by("pixelrnn", config.likelihood, config.mixtures)?;
        let size = config.size(data, pixels.ordered())?;
        let config::Size { layers, hidden, head, classes } = size;
        let [_, _, colours] = data.dims;
        let scales = Scales::new("pixelrnn", [config.scales, config.scale_channels], 2 * hidden, data.dims)?;
        // Masks of colours are as large as the weights, and stand beside them twice. A layer has two recurrences at most.
        let [units, columns, first] = [hidden, config.kernel, config.first_kernel].map(|v| v as u64);
        let recurrent = layers as u64 * units * units * (16 * (columns / 2 + 1) + 8 * columns + 2);
        let rest = 2 * units * (first * first * colours as u64 + head as u64) + (head * pixels.outputs()) as u64;
        let each = (recurrent + rest).saturating_mul(if pixels.ordered() > 1 { 3 } else { 1 });
        size::room("pixelrnn", scales.weights(each, layers as u64 * 8 * units, colours))?;
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let nets = Pyramid::new(&mut spec, group, scales, &pixels, |spec, group, place| {
            Net::new(spec, group, (&config, &size), &place, pixels.outputs())
        })?;
        Ok(Self { spec, pixels, classes, dropout: config.dropout, nets })
    }
}

impl Net {
    fn new(spec: &mut StateSpec, group: usize, (config, size): (&Config, &config::Size), place: &Place<'_>, outputs: usize) -> Self {
        let config::Size { layers, hidden, head, classes } = *size;
        let ([h, w, colours], ordered) = (place.dims, place.ordered);
        let image = [h, w];
        let name = |part: &str| format!("{}{part}", place.prefix);
        let conv = |spec: &mut StateSpec, part: &str, kernel: usize, mask: Mask, channels: [usize; 2]| {
            let taps = if kernel == 1 && mask == Mask::B { Taps::pointwise(image) } else { Taps::causal(kernel, ordered > 1, image) };
            let masked = (ordered > 1).then(|| colour_mask(&taps, channels, ordered, mask, 1));
            let conv = ConvSpec { taps, kernel, centre: kernel / 2, channels, bias: true, start: Start::FanIn };
            Conv2d::masked(spec, group, &name(part), conv, masked)
        };
        let input = conv(spec, "input", config.first_kernel, Mask::A, [colours, 2 * hidden]);
        let shape = Shape { layer: config.layer, image, hidden, kernel: config.kernel, ordered, classes, map: place.map };
        let layers = (0..layers).map(|i| Recurrent::new(spec, group, &name(&format!("layers.{i}")), &shape)).collect();
        let head = [conv(spec, "head.0", 1, Mask::B, [2 * hidden, head]), conv(spec, "head.1", 1, Mask::B, [head, outputs])];
        Self { input, layers, head }
    }

    /// What the head reads, or what the first so many layers make.
    fn features(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, told: Told, layers: usize) -> Result<NodeId> {
        let mut h = self.input.apply(g, spec, x)?;
        for layer in &self.layers[..layers] {
            h = layer.apply(g, spec, h, told)?;
            h = g.dropout(h)?;
        }
        Ok(h)
    }

    fn logits(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, told: Told) -> Result<NodeId> {
        let mut h = self.features(g, spec, x, told, self.layers.len())?;
        for layer in &self.head {
            h = g.relu(h)?;
            h = layer.apply(g, spec, h)?;
        }
        Ok(h)
    }
}

impl Network for PixelRnn {
    const NAME: &'static str = "pixelrnn";

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
            batch: 16,
            steps: 20_000,
            learning_rate: vec![2e-3],
            rate_decay: 0.9999,
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
        let features = net.features(g, &self.spec, x, told, net.layers.len().div_ceil(2))?;
        g.relu(features)
    }
}
