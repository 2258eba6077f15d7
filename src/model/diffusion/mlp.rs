//! The network for points: fully connected, told of the time and of labels at each layer.

use super::config::MlpSize;
use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Linear, OneHot, Start, TimeWaves};

/// Noised points to what is asked for.
pub struct Mlp {
    waves: TimeWaves,
    time: [Linear; 2],
    labels: Option<OneHot>,
    layers: Vec<Linear>,
    told: Vec<Linear>,
    last: Linear,
}

impl Mlp {
    /// Registers `time.0`, `time.1`, `label`, `layers.N`, `told.N` and `output` for items of `len` values.
    pub fn new(size: MlpSize, spec: &mut StateSpec, group: usize, [len, outputs]: [usize; 2], classes: usize) -> Self {
        let MlpSize { hidden, layers: count } = size;
        let waves = TimeWaves::new(spec, group, "waves", hidden & !1);
        let time = [
            Linear::new(spec, group, "time.0", [hidden & !1, hidden], Start::FanIn),
            Linear::new(spec, group, "time.1", [hidden, hidden], Start::FanIn),
        ];
        let labels = (classes > 0).then(|| OneHot::new(spec, group, "label", [classes + 1, hidden], Start::Normal(1.0)));
        let (mut layers, mut told) = (Vec::new(), Vec::new());
        for i in 0..count {
            layers.push(Linear::new(spec, group, &format!("layers.{i}"), [if i == 0 { len } else { hidden }, hidden], Start::FanIn));
            told.push(Linear::new(spec, group, &format!("told.{i}"), [hidden, hidden], Start::FanIn));
        }
        let last = Linear::new(spec, group, "output", [hidden, outputs], Start::Zero);
        Self { waves, time, labels, layers, told, last }
    }

    /// `x` `[N, H, W, C]`, `time` `[N]` in 0..1000 and `labels` `[N, classes + 1]` to `[N, outputs]`.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, time: NodeId, labels: Option<NodeId>) -> Result<NodeId> {
        let waves = self.waves.apply(g, spec, time)?;
        let told = self.time[0].apply(g, spec, waves)?;
        let told = g.silu(told)?;
        let mut told = self.time[1].apply(g, spec, told)?;
        if let (Some(layer), Some(labels)) = (&self.labels, labels) {
            told = layer.add_to(g, spec, told, labels)?;
        }
        let told = g.silu(told)?;
        let mut h = x;
        for (layer, time) in self.layers.iter().zip(&self.told) {
            let (sum, shift) = (layer.apply(g, spec, h)?, time.apply(g, spec, told)?);
            let sum = g.add(sum, shift)?;
            let units = g.silu(sum)?;
            h = g.dropout(units)?;
        }
        self.last.apply(g, spec, h)
    }
}
