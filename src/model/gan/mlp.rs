//! Fully connected networks: the 2014 generator of ReLUs and discriminator of maxout units with dropout, and plain ones for points.

use crate::error::Result;
use crate::graph::{Binary, Distribution, Graph, NodeId, StateSpec};
use crate::nn::{Linear, Start};
use crate::op::Reduction;

/// Slope of the leaky ReLU below 0.
const LEAK: f64 = 0.2;

/// z `[N, latent]` to items `[N, H, W, C]`: in 0..1, or of any size for points.
pub struct MlpGenerator {
    layers: Vec<Linear>,
    last: Linear,
    dims: [usize; 3],
    bounded: bool,
}

impl MlpGenerator {
    /// Registers `layers.0.weight`, …, and `output.weight`. `inputs` counts the classes joined to z; `mean` is that of the data, in 0..1.
    pub fn new(
        spec: &mut StateSpec,
        group: usize,
        [inputs, hidden, count]: [usize; 3],
        dims: [usize; 3],
        bounded: bool,
        mean: Option<&[f32]>,
    ) -> Self {
        // The paper's weights start within .05 of 0 for 784 pixels; points take what their few units need.
        let start = if bounded { Start::Uniform(0.05) } else { Start::FanIn };
        let mut from = inputs;
        let mut layers = Vec::new();
        for i in 0..count {
            layers.push(Linear::new(spec, group, &format!("layers.{i}"), [from, hidden], start));
            from = hidden;
        }
        let outputs = dims.iter().product();
        let mut last = Linear::between(spec, group, "output", [from, outputs], [None, Some(dims)], start);
        if let (true, Some(mean)) = (bounded, mean) {
            let logit = |p: &f32| {
                let p = p.clamp(1e-3, 1.0 - 1e-3);
                (p / (1.0 - p)).ln()
            };
            last = last.with_bias(spec, mean.iter().map(logit).collect());
        }
        Self { layers, last, dims, bounded }
    }

    /// Applies it to z with the classes joined.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, z: NodeId) -> Result<NodeId> {
        let mut h = z;
        for layer in &self.layers {
            h = layer.apply(g, spec, h)?;
            h = g.relu(h)?;
        }
        h = self.last.apply(g, spec, h)?;
        let [height, width, channels] = self.dims;
        let n = g.shape(z).dims()[0];
        h = g.reshape(h, [n, height, width, channels])?;
        if self.bounded { g.sigmoid(h) } else { Ok(h) }
    }
}

/// Items to logits.
pub struct MlpDiscriminator {
    layers: Vec<Linear>,
    last: Linear,
    pieces: usize,
    units: usize,
    dropout: [f64; 2],
}

impl MlpDiscriminator {
    /// Registers `layers.0.weight`, …, and `output.weight`. A maxout unit is `pieces` outputs in a row; `dropout` is that of the input
    /// and of hidden layers.
    pub fn new(
        spec: &mut StateSpec,
        group: usize,
        dims: [usize; 3],
        classes: usize,
        [units, pieces, count]: [usize; 3],
        dropout: [f64; 2],
    ) -> Self {
        let maxout = pieces > 1;
        let start = if maxout { Start::Uniform(0.005) } else { Start::FanIn };
        let mut from = dims.iter().product::<usize>() + classes;
        let mut layers = Vec::new();
        for i in 0..count {
            let image = (i == 0).then_some(dims);
            layers.push(Linear::between(spec, group, &format!("layers.{i}"), [from, units * pieces], [image, None], start));
            from = units;
        }
        let last = Linear::new(spec, group, "output", [from, 1], start);
        Self { layers, last, pieces, units, dropout }
    }

    /// Features `[N, F]` (what the last layer reads) and logits `[N]`; with `training`, units drop out.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, labels: Option<NodeId>, training: bool) -> Result<[NodeId; 2]> {
        let n = g.shape(x).dims()[0];
        let mut h = g.reshape(x, [n, g.shape(x).len() / n])?;
        if let Some(labels) = labels {
            h = g.concat(h, labels, 1)?;
        }
        h = drop_out(g, h, if training { self.dropout[0] } else { 0.0 })?;
        for layer in &self.layers {
            h = layer.apply(g, spec, h)?;
            h = if self.pieces > 1 {
                let pieces = g.reshape(h, [n, self.units, self.pieces])?;
                let largest = g.reduce(Reduction::Max, pieces, 2..3)?;
                g.reshape(largest, [n, self.units])?
            } else {
                g.leaky_relu(h, LEAK)?
            };
            h = drop_out(g, h, if training { self.dropout[1] } else { 0.0 })?;
        }
        let logits = self.last.apply(g, spec, h)?;
        Ok([h, g.reshape(logits, [n])?])
    }
}

/// Sets a share of the values to zero and scales the others up, so that sums stay what they are on the average.
fn drop_out(g: &mut Graph, x: NodeId, share: f64) -> Result<NodeId> {
    if share == 0.0 {
        return Ok(x);
    }
    let stream = g.stream();
    g.map(&[x], |b, v| {
        let draw = b.random(Distribution::Uniform, stream);
        let limit = b.constant(share);
        let keep = b.binary(Binary::Greater, draw, limit);
        let kept = b.scale(v[0], 1.0 / (1.0 - share));
        let zero = b.constant(0.0);
        b.select(keep, kept, zero)
    })
}
