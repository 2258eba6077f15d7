//! Group normalisation layers.

use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec};
use crate::op::Grouping;

/// Added to the variance, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// Group normalisation of `[N, H, W, C]` (Wu and He, 2018). PyTorch's `GroupNorm`.
#[derive(Clone, Debug)]
pub struct GroupNorm2d {
    groups: usize,
    channels: usize,
    weight: StateId,
    bias: StateId,
}

impl GroupNorm2d {
    /// Registers `name.weight`, which starts at 1, and `name.bias`, at 0.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, channels: usize, groups: usize) -> Self {
        let mut tensor =
            |part: &str, value: f32| spec.tensor(group, &format!("{name}.{part}"), [channels], Init::Constant(value), Layout::Plain, true);
        Self { groups, channels, weight: tensor("weight", 1.0), bias: tensor("bias", 0.0) }
    }

    /// The normalised map; with `silu`, x·σ(x) of it.
    pub fn apply(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId, silu: bool) -> Result<NodeId> {
        let [weight, bias] = [self.weight, self.bias].map(|id| graph.state(spec, id));
        graph.group_norm(x, weight, bias, self.grouping(silu))
    }

    /// The normalised map times 1 + a, plus b, where `told` `[N, 1, 1, 2C]` is a, then b, of each image: feature-wise linear modulation
    /// (Perez et al., 2018); with `silu`, x·σ(x) of that.
    pub fn modulated(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId, told: NodeId, silu: bool) -> Result<NodeId> {
        let [weight, bias] = [self.weight, self.bias].map(|id| graph.state(spec, id));
        let c = self.channels;
        let (a, b) = (graph.slice(told, 3, 0, c)?, graph.slice(told, 3, c, c)?);
        // (w·x̂ + s)·(1 + a) + b is a normalisation of another scale and shift.
        let scale = graph.map(&[weight, a], |e, v| {
            let more = e.offset(v[1], 1.0);
            e.mul(v[0], more)
        })?;
        let shift = graph.map(&[bias, a, b], |e, v| {
            let more = e.offset(v[1], 1.0);
            let product = e.mul(v[0], more);
            e.add(product, v[2])
        })?;
        graph.group_norm(x, scale, shift, self.grouping(silu))
    }

    fn grouping(&self, silu: bool) -> Grouping {
        Grouping { groups: self.groups, epsilon: EPSILON, silu }
    }
}
