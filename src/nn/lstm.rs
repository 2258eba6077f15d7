//! Recurrent layers over an image.

use super::{Conv2d, OneHot, Start};
use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec};
use crate::op::{Taps, Walk};
use crate::tensor::{GATES, Gating};

/// An LSTM whose cells are the pixels of an image: `[N, H, W, C] → [N, H, W, h]`. What the input adds to the gates is one convolution
/// over the whole map; what neighbours add is a [`crate::op::Scan`].
#[derive(Clone, Debug)]
pub struct ImageLstm {
    walk: Walk,
    taps: Taps,
    weight: StateId,
    bias: StateId,
    /// A 0/1 tensor of the weight's shape, where channels are masked.
    mask: Option<StateId>,
    state: StateId,
    initial: StateId,
    label: Option<OneHot>,
    coarser: Option<Conv2d>,
}

/// What an [`ImageLstm`] is made of.
#[derive(Clone, Debug)]
pub struct LstmSpec {
    /// The order of the cells.
    pub walk: Walk,
    /// Height and width.
    pub image: [usize; 2],
    /// Channels in, and hidden units.
    pub channels: [usize; 2],
    /// Pixels of its own row that a cell reads: its own, and those left of it.
    pub inputs: usize,
    /// For each input channel and column of the gates 0 or 1, at the cell's own pixel; elsewhere all channels are read.
    pub mask: Option<Vec<f32>>,
    /// Classes of the labels that are added to the gates; 0 where none are.
    pub classes: usize,
    /// Channels of a further map that is added to the gates; 0 where there is none.
    pub map: usize,
}

impl ImageLstm {
    /// Registers `name.input_to_state`, `name.state_to_state.weight`, `name.initial` (hidden and cell state before the first cells) and,
    /// where they are read, `name.label.weight` and `name.coarser.weight`.
    ///
    /// Weights start as PyTorch's convolutions do, the bias of the forget gates one higher (Jozefowicz et al., 2015), initial states at zero.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, lstm: LstmSpec) -> Self {
        let LstmSpec { walk, image, channels: [c, h], inputs, mask, classes, map } = lstm;
        let gates = GATES * h;
        let offsets: Vec<[i32; 2]> = (0..inputs as i32).map(|k| [0, k + 1 - inputs as i32]).collect();
        let taps = Taps { offsets, stride: 1, input: image, output: image };
        let bound = 1.0 / ((c * inputs) as f32).sqrt();
        let shape = [inputs, c, gates];
        let mask = mask.map(|own| [vec![1.0; (inputs - 1) * c * gates], own].concat());
        let init = match &mask {
            Some(mask) => Init::UniformMasked(bound, mask.clone()),
            None => Init::Uniform(bound),
        };
        let layout = Layout::Conv { kernel: [1, inputs], taps: (0..inputs).map(|k| [0, k]).collect() };
        let weight = spec.tensor(group, &format!("{name}.input_to_state.weight"), shape, init, layout, true);
        let forget = (0..gates).map(|column| if column / h == 1 { 1.0 } else { 0.0 }).collect();
        let init = Init::UniformAround(bound, forget);
        let bias = spec.tensor(group, &format!("{name}.input_to_state.bias"), [gates], init, Layout::Plain, true);
        let mask = mask.map(|m| spec.tensor(group, &format!("{name}.mask"), shape, Init::Values(m), Layout::Derived, false));
        let count = walk.taps().len();
        // The rows of the paper are convolved along themselves, the columns of its skewed map along themselves.
        let layout = match walk {
            Walk::Rows { .. } => Layout::Conv { kernel: [1, count], taps: (0..count).map(|k| [0, k]).collect() },
            _ => Layout::Conv { kernel: [count, 1], taps: (0..count).map(|k| [k, 0]).collect() },
        };
        let init = Init::Uniform(1.0 / ((count * h) as f32).sqrt());
        let state = spec.tensor(group, &format!("{name}.state_to_state.weight"), [count, h, gates], init, layout, true);
        let initial = spec.tensor(group, &format!("{name}.initial"), [2, h], Init::Constant(0.0), Layout::Plain, true);
        let label = (classes > 0).then(|| OneHot::new(spec, group, &format!("{name}.label"), [classes, gates], Start::FanIn));
        let coarser = (map > 0).then(|| Conv2d::pointwise(spec, group, &format!("{name}.coarser"), image, [map, gates]));
        Self { walk, taps, weight, bias, mask, state, initial, label, coarser }
    }

    /// Applies the layer; `labels` are `[N, classes]`, one-hot, and `map` is `[N, H, W, K]`, which every gate may see.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where x does not fit.
    pub fn apply(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId, [labels, map]: [Option<NodeId>; 2]) -> Result<NodeId> {
        let state = graph.state(spec, self.state);
        let initial = graph.state(spec, self.initial);
        let bias = graph.state(spec, self.bias);
        let mut weight = graph.state(spec, self.weight);
        if let Some(mask) = self.mask {
            let mask = graph.state(spec, mask);
            weight = graph.mul(weight, mask)?;
        }
        let sums = graph.conv(x, weight, self.taps.clone())?;
        let mut sums = graph.add(sums, bias)?;
        if let (Some(label), Some(labels)) = (&self.label, labels) {
            sums = label.add_to(graph, spec, sums, labels)?;
        }
        if let (Some(layer), Some(map)) = (&self.coarser, map) {
            let more = layer.apply(graph, spec, map)?;
            sums = graph.add(more, sums)?;
        }
        graph.scan(sums, state, initial, self.walk, Gating::Lstm)
    }
}
