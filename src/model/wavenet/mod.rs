//! WaveNet: dilated causal convolutions with gates, residual and skip paths (van den Oord et al., 2016, "WaveNet: a generative model for
//! raw audio", sections 2.1 to 2.5).
//!
//! With kernels k and dilations d, what a step sees are the 1 + Σ d·(k − 1) steps before it.

mod config;

pub use config::Config;

use super::autoregressive::{Given, Network};
use super::dropout::Dropout;
use super::levels::{Levels, Mask, colour_mask};
use super::steps::{self, Before, Front};
use super::{DataSpec, Defaults, Optimiser, size};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Conv2d, OneHot, Start};
use crate::op::Taps;

/// The model.
pub struct WaveNet {
    spec: StateSpec,
    values: Levels,
    /// Classes that it tells apart; 0 where it is not conditional.
    classes: usize,
    dropout: Dropout,
    front: Front,
    layers: Vec<Layer>,
    head: [Conv2d; 2],
    before: Option<Before>,
}

/// A dilated convolution with a gate, and what it gives to the next layer and to the head.
struct Layer {
    conv: Conv2d,
    classes: Option<OneHot>,
    /// None of the last, behind which there is no layer.
    residual: Option<Conv2d>,
    skip: Conv2d,
}

impl WaveNet {
    /// A model for series of `data.dims` = `[T, 1, C]`.
    ///
    /// # Errors
    /// [`Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let values = steps::told("wavenet", config.levels, (config.likelihood, config.mixtures), data)?;
        let before = Before::wanted("wavenet", config.difference, &values)?;
        let classes = steps::classes("wavenet", config.conditional, data)?;
        let (ordered, [length, _, _]) = (values.ordered(), data.dims);
        let [residual, skip, head] = config.channels(ordered)?;
        let count = config.depth * config.stacks;
        let [r, s, e, k] = [residual, skip, head, config.kernel].map(|v| v as u64);
        let each = 2 * k * r * r + r * r + r * s + 2 * r * classes as u64;
        let rest = s * e + e * values.outputs() as u64 + Front::weights(&values, residual);
        size::room("wavenet", (count as u64 * each + rest).saturating_mul(if ordered > 1 { 3 } else { 1 }))?;
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let front = Front::new(&mut spec, group, "embed", &values, residual);
        let conv = |spec: &mut StateSpec, name: &str, channels: [usize; 2], (kernel, dilation, parts): (usize, usize, usize)| {
            let mask = |taps: &Taps| colour_mask(taps, channels, ordered, Mask::B, parts);
            let masked = (ordered > 1).then_some(&mask as &dyn Fn(&Taps) -> Vec<f32>);
            let geometry = ([kernel, 1], [kernel - 1, 0], dilation);
            Conv2d::rectangle(spec, group, name, [length, 1], channels, geometry, masked, Start::FanIn)
        };
        let own = (1, 1, 1);
        let mut layers = Vec::with_capacity(count);
        for at in 0..count {
            let name = |part: &str| format!("layers.{at}.{part}");
            let dilated = (config.kernel, 1 << (at % config.depth), 2);
            layers.push(Layer {
                conv: conv(&mut spec, &name("conv"), [residual, 2 * residual], dilated),
                classes: (classes > 0).then(|| OneHot::new(&mut spec, group, &name("cond"), [classes, 2 * residual], Start::Normal(1.0))),
                residual: (at + 1 < count).then(|| conv(&mut spec, &name("res"), [residual, residual], own)),
                skip: conv(&mut spec, &name("skip"), [residual, skip], own),
            });
        }
        let head = [conv(&mut spec, "head.0", [skip, head], own), conv(&mut spec, "head.1", [head, values.outputs()], own)];
        let before = before.then(|| Before::new(&mut spec, group, &values));
        Ok(Self { spec, values, classes, dropout: config.dropout, front, layers, head, before })
    }
}

impl Network for WaveNet {
    const NAME: &'static str = "wavenet";

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
            batch: 8,
            steps: 10_000,
            learning_rate: vec![1e-3],
            rate_decay: 0.999_95,
            warmup: 0,
            clip_norm: steps::clip_norm(&self.values),
            ema: 0.0,
            optimiser: Optimiser::Adam,
            betas: [0.9, 0.999],
        }
    }

    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let spec = &self.spec;
        let mut h = self.skips(g, x, given, self.layers.len())?;
        for layer in &self.head {
            h = g.relu(h)?;
            h = layer.apply(g, spec, h)?;
        }
        self.before.as_ref().map_or(Ok(h), |before| before.add_to(g, spec, h, x))
    }

    fn middle(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let skips = self.skips(g, x, given, self.layers.len().div_ceil(2))?;
        g.relu(skips)
    }
}

impl WaveNet {
    /// The sum of what the first so many layers hand to the head.
    fn skips(&self, g: &mut Graph, x: NodeId, given: Given, layers: usize) -> Result<NodeId> {
        let spec = &self.spec;
        let mut h = self.front.apply(g, spec, x)?;
        let mut skips = None;
        for layer in &self.layers[..layers] {
            let mut sums = layer.conv.apply(g, spec, h)?;
            if let (Some(classes), Some(labels)) = (&layer.classes, given.labels) {
                sums = classes.add_to(g, spec, sums, labels)?;
            }
            let gated = g.gate(sums)?;
            let gated = g.dropout(gated)?;
            let skip = layer.skip.apply(g, spec, gated)?;
            skips = Some(match skips {
                None => skip,
                Some(sum) => g.add(skip, sum)?,
            });
            if let Some(residual) = &layer.residual {
                let own = residual.apply(g, spec, gated)?;
                h = g.add(own, h)?;
            }
        }
        skips.ok_or_else(|| Error::Shape("a WaveNet has one layer at least".into()))
    }
}
