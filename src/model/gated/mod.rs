//! Gated PixelCNN: a vertical and a horizontal stack of gated convolutions without a blind spot (van den Oord et al., 2016, "Conditional
//! image generation with PixelCNN decoders").
//!
//! With kernels k₀ and k behind it and dilations d, what a pixel sees is the rectangle of the rows above within
//! k₀/2 + Σ d·(k/2) columns and rows, without a hole, and as many pixels of its own row to the left.

mod config;
mod layer;

pub use config::Config;
use layer::{Flow, Layer};

use super::levels::{Levels, Mask, colour_mask};
use super::{DataSpec, Defaults, Model, Optimiser, Raster, Score, Scores, size};
use crate::data::Scale;
use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec, Update};
use crate::nn::{Conv2d, ConvSpec, Start};
use crate::op::Taps;

/// The model.
pub struct GatedPixelCnn {
    spec: StateSpec,
    pixels: Levels,
    /// Classes that it tells apart; 0 where it is not conditional.
    classes: usize,
    layers: Vec<Layer>,
    head: [Conv2d; 2],
}

impl GatedPixelCnn {
    /// A model for images of `data.dims`.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let [h, w, colours] = data.dims;
        let pixels = Levels::new("gated-pixelcnn", config.levels, data)?;
        let config = config.resolved(colours);
        let [hidden, head] = config.channels();
        config.check(colours, data.classes)?;
        // Masks of colours are as large as the weights, and stand beside them twice.
        size::room("gated-pixelcnn", config.weights(colours, pixels.outputs()).saturating_mul(if colours > 1 { 3 } else { 1 }))?;
        let classes = if config.conditional { data.classes } else { 0 };
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let layers = (0..config.layers).map(|at| Layer::new(&mut spec, group, &config, at, data.dims, classes)).collect();
        let mut conv = |name: &str, channels: [usize; 2]| {
            let taps = Taps::pointwise([h, w]);
            let masked = (colours > 1).then(|| colour_mask(&taps, channels, colours, Mask::B, 1));
            let conv = ConvSpec { taps, kernel: 1, centre: 0, channels, bias: true, start: Start::FanIn };
            Conv2d::masked(&mut spec, group, name, conv, masked)
        };
        let head = [conv("head.0", [hidden, head]), conv("head.1", [head, pixels.outputs()])];
        Ok(Self { spec, pixels, classes, layers, head })
    }

    /// Logits of every pixel given those before it (and the labels).
    fn logits(&self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        let batch = g.shape(x).dims()[0];
        let labels = (self.classes > 0).then(|| g.input("labels", [batch, self.classes]));
        let x = self.pixels.shown(g, x)?;
        let mut flow = Flow { vertical: x, horizontal: x, skip: None };
        for layer in &self.layers {
            flow = layer.apply(g, &self.spec, flow, labels)?;
        }
        let mut h = flow.skip.unwrap_or(x);
        for layer in &self.head {
            h = g.relu(h)?;
            h = layer.apply(g, &self.spec, h)?;
        }
        Ok(h)
    }

    fn nll_map(&self, g: &mut Graph, batch: usize) -> Result<NodeId> {
        let x = self.pixels.input(g, batch)?;
        let logits = self.logits(g, x)?;
        self.pixels.nll_map(g, logits, x)
    }
}

impl Model for GatedPixelCnn {
    fn name(&self) -> &'static str {
        "gated-pixelcnn"
    }

    fn state(&self) -> &StateSpec {
        &self.spec
    }

    fn defaults(&self) -> Defaults {
        Defaults {
            batch: 32,
            steps: 10_000,
            learning_rate: vec![1e-3],
            rate_decay: 0.999_977,
            ema: 0.0,
            optimiser: Optimiser::Adam,
            betas: [0.9, 0.999],
        }
    }

    fn scale(&self) -> Scale {
        self.pixels.scale()
    }

    fn conditional(&self) -> bool {
        self.classes > 0
    }

    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        let mut g = Graph::new();
        let nll = self.nll_map(&mut g, batch)?;
        let total = g.sum_all(nll)?;
        let loss = g.scale(total, 1.0 / batch as f64)?;
        g.output("loss", loss);
        let update = update(0);
        let gradients = g.group_gradients(loss, &self.spec, &update)?;
        g.update(&self.spec, update, &gradients)?;
        Ok(g)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        vec![("loss", "nats")]
    }

    fn scores(&self) -> Option<&dyn Scores> {
        Some(self)
    }

    fn raster(&self) -> Option<&dyn Raster> {
        Some(self)
    }
}

impl Scores for GatedPixelCnn {
    fn score(&self) -> Score {
        Score::Exact
    }

    fn likelihood_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let map = self.nll_map(&mut g, batch)?;
        let nll = g.sum_items(map)?;
        g.output("nll", nll);
        g.output("nll_map", map);
        Ok(g)
    }
}

impl Raster for GatedPixelCnn {
    fn levels(&self) -> usize {
        self.pixels.levels
    }

    fn raster_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let [h, w, c] = self.pixels.dims;
        let x = g.input("x", [batch, h, w, c]);
        let logits = self.logits(&mut g, x)?;
        g.output("logits", logits);
        Ok(g)
    }
}
