//! Recurrent networks over series: stacked GRUs or LSTMs that tell each step from those before it (Graves, 2013, "Generating sequences with
//! recurrent neural networks").

mod config;
mod layer;

pub use config::Config;

use layer::Recurrent;

use super::autoregressive::{Given, Network};
use super::dropout::Dropout;
use super::levels::{Levels, Mask, colour_mask};
use super::steps::{self, Before, Front};
use super::{DataSpec, Defaults, Optimiser, size};
use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Conv2d, ConvSpec, OneHot, Start};
use crate::op::Taps;

/// The model.
pub struct Rnn {
    spec: StateSpec,
    values: Levels,
    /// Classes that it tells apart, and their vectors.
    classes: usize,
    label: Option<OneHot>,
    dropout: Dropout,
    front: Front,
    layers: Vec<Recurrent>,
    out: Conv2d,
    before: Option<Before>,
}

impl Rnn {
    /// A model for series of `data.dims` = `[T, 1, C]`.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let values = steps::told("rnn", config.levels, (config.likelihood, config.mixtures), data)?;
        let before = Before::wanted("rnn", config.difference, &values)?;
        let classes = steps::classes("rnn", config.conditional, data)?;
        let (ordered, [length, _, _]) = (values.ordered(), data.dims);
        let hidden = config.units(ordered)?;
        let [h, outputs, layers] = [hidden, values.outputs(), config.layers].map(|v| v as u64);
        let rest = h * outputs + h * classes as u64 + Front::weights(&values, hidden);
        size::room("rnn", (layers * 8 * h * h + rest).saturating_mul(if ordered > 1 { 3 } else { 1 }))?;
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let front = Front::new(&mut spec, group, "embed", &values, hidden);
        let label = (classes > 0).then(|| OneHot::new(&mut spec, group, "cond", [classes, hidden], Start::Normal(1.0)));
        let shape = (length, [hidden, hidden], ordered);
        let layers = (0..config.layers).map(|at| Recurrent::new(&mut spec, group, at, config.cell, shape)).collect();
        let (taps, channels) = (Taps::pointwise([length, 1]), [hidden, values.outputs()]);
        let mask = (ordered > 1).then(|| colour_mask(&taps, channels, ordered, Mask::B, 1));
        let conv = ConvSpec { taps, kernel: 1, centre: 0, channels, bias: true, start: Start::FanIn };
        let out = Conv2d::masked(&mut spec, group, "out", conv, mask);
        let before = before.then(|| Before::new(&mut spec, group, &values));
        Ok(Self { spec, values, classes, label, dropout: config.dropout, front, layers, out, before })
    }
}

impl Rnn {
    /// What the first so many layers make.
    fn features(&self, g: &mut Graph, x: NodeId, given: Given, layers: usize) -> Result<NodeId> {
        let spec = &self.spec;
        let mut h = self.front.apply(g, spec, x)?;
        if let (Some(label), Some(labels)) = (&self.label, given.labels) {
            h = label.add_to(g, spec, h, labels)?;
        }
        for (at, layer) in self.layers[..layers].iter().enumerate() {
            if at > 0 {
                h = g.dropout(h)?;
            }
            h = layer.apply(g, spec, h)?;
        }
        Ok(h)
    }
}

impl Network for Rnn {
    const NAME: &'static str = "rnn";

    fn tensors(&self) -> &StateSpec {
        &self.spec
    }

    fn pixels(&self) -> &Levels {
        &self.values
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
            steps: 10_000,
            learning_rate: vec![2e-3],
            rate_decay: 0.999_95,
            warmup: 0,
            clip_norm: steps::clip_norm(&self.values),
            ema: 0.0,
            optimiser: Optimiser::Adam,
            betas: [0.9, 0.999],
        }
    }

    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let h = self.features(g, x, given, self.layers.len())?;
        let told = self.out.apply(g, &self.spec, h)?;
        self.before.as_ref().map_or(Ok(told), |before| before.add_to(g, &self.spec, told, x))
    }

    /// Hidden states, which are behind nonlinearities already.
    fn middle(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        self.features(g, x, given, self.layers.len().div_ceil(2))
    }
}
