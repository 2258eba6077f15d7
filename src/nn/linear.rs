//! Fully connected layers.

use super::Start;
use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec};
use crate::op::Taps;

/// `[N, C] → [N, D]`, with a bias.
#[derive(Clone, Debug)]
pub struct Linear {
    channels: [usize; 2],
    weight: StateId,
    bias: StateId,
}

impl Linear {
    /// Registers a layer's tensors as `name.weight` and `name.bias`.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, channels: [usize; 2], start: Start) -> Self {
        Self::between(spec, group, name, channels, [None, None], start)
    }

    /// A layer whose input or output features are a flattened `[h, w, c]` image, so that checkpoints hold them channels first.
    pub fn between(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        [c, d]: [usize; 2],
        [input_image, output_image]: [Option<[usize; 3]>; 2],
        start: Start,
    ) -> Self {
        let layout = Layout::Linear { input_image, output_image };
        let weight = spec.tensor(group, &format!("{name}.weight"), [1, c, d], start.weight(c), layout, true);
        let bias_layout = output_image.map_or(Layout::Plain, Layout::ImageVector);
        let bias = spec.tensor(group, &format!("{name}.bias"), [d], start.bias(c), bias_layout, true);
        Self { channels: [c, d], weight, bias }
    }

    /// Starts the bias at given values.
    pub fn with_bias(self, spec: &mut StateSpec, values: Vec<f32>) -> Self {
        spec.groups[self.bias.group].tensors[self.bias.index].init = Init::Values(values);
        self
    }

    /// Applies the layer to `[N, …]`, whose items are flattened, giving `[N, D]`.
    pub fn apply(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let y = self.apply_wide(graph, spec, x)?;
        let [n, d] = [graph.shape(y).dims()[0], self.channels[1]];
        graph.reshape(y, [n, d])
    }

    /// As [`Linear::apply`], giving `[N, 1, 1, D]`: the shape in which a pointwise function that follows fuses into the layer's kernel.
    pub fn apply_wide(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let c = self.channels[0];
        let n = graph.shape(x).len() / c;
        let x = graph.reshape(x, [n, 1, 1, c])?;
        let weight = graph.state(spec, self.weight);
        let y = graph.conv(x, weight, Taps::pointwise([1, 1]))?;
        let bias = graph.state(spec, self.bias);
        graph.add(y, bias)
    }
}
