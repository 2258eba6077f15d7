//! Layers that read a label.

use super::Start;
use crate::error::Result;
use crate::graph::{Graph, Layout, NodeId, StateId, StateSpec};

/// One vector a class, picked by a one-hot label: `[N, classes] → [N, D]`. PyTorch's `Embedding`.
///
/// Added to a layer's sum, it is what concatenating the one-hot label to that layer's input comes to, without the concatenation.
#[derive(Clone, Debug)]
pub struct OneHot {
    channels: usize,
    weight: StateId,
}

impl OneHot {
    /// Registers `name.weight`, `[classes, D]`.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, channels: [usize; 2], start: Start) -> Self {
        Self::of_image(spec, group, name, channels, None, start)
    }

    /// A layer whose vectors are flattened images `[h, w, c]`, so that checkpoints hold them channels first.
    pub fn of_image(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        [classes, channels]: [usize; 2],
        image: Option<[usize; 3]>,
        start: Start,
    ) -> Self {
        let layout = image.map_or(Layout::Plain, Layout::ImageVector);
        let weight = spec.tensor(group, &format!("{name}.weight"), [classes, channels], start.weight(classes), layout, true);
        Self { channels, weight }
    }

    /// The vectors of `labels`.
    pub fn apply(&self, graph: &mut Graph, spec: &StateSpec, labels: NodeId) -> Result<NodeId> {
        let weight = graph.state(spec, self.weight);
        graph.matmul(labels, weight)
    }

    /// `x` `[N, …, D]` with the vectors of `labels` added at every position.
    pub fn add_to(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId, labels: NodeId) -> Result<NodeId> {
        let vectors = self.apply(graph, spec, labels)?;
        let mut dims = vec![1; graph.shape(x).rank()];
        dims[0] = graph.shape(vectors).dims()[0];
        let last = dims.len() - 1;
        dims[last] = self.channels;
        let vectors = graph.reshape(vectors, dims.as_slice())?;
        graph.add(x, vectors)
    }
}
