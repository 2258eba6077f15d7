//! A recurrent layer over series, `[N, T, 1, C] → [N, T, 1, h]`, with PyTorch's weights.

use super::config::Cell;
use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec};
use crate::model::levels::{Mask, colour_mask};
use crate::op::{Gating, Taps, Walk};
use crate::tensor::GATES;

/// The weights of a layer.
pub struct Recurrent {
    taps: Taps,
    cell: Cell,
    channels: [usize; 2],
    /// What the input adds to the gates, and what the hidden state before adds: weights and biases.
    input: [StateId; 2],
    state: [StateId; 2],
    /// A 0/1 tensor of the shape of the first, spread over the four gates, where channels of a step are kept in order.
    mask: Option<StateId>,
}

impl Recurrent {
    /// Registers `rnn.weight_ih_lK`, `weight_hh`, `bias_ih` and `bias_hh` of layer K.
    pub fn new(
        spec: &mut StateSpec,
        group: usize,
        layer: usize,
        cell: Cell,
        (steps, channels, ordered): (usize, [usize; 2], usize),
    ) -> Self {
        let [c, h] = channels;
        let gates = gating(cell).entered() * h;
        let init = || Init::Uniform(1.0 / (h as f32).sqrt());
        let linear = || Layout::Linear { input_image: None, output_image: None };
        let mut tensor =
            |name: &str, shape: &[usize], layout| spec.tensor(group, &format!("rnn.{name}_l{layer}"), shape, init(), layout, true);
        let input = [tensor("weight_ih", &[1, c, gates], linear()), tensor("bias_ih", &[gates], Layout::Plain)];
        let state = [tensor("weight_hh", &[1, h, gates], linear()), tensor("bias_hh", &[gates], Layout::Plain)];
        let taps = Taps::pointwise([steps, 1]);
        let mask = (ordered > 1).then(|| {
            let mask = colour_mask(&taps, [c, GATES * h], ordered, Mask::B, GATES);
            spec.tensor(group, &format!("rnn.mask_l{layer}"), [1, c, GATES * h], Init::Values(mask), Layout::Derived, false)
        });
        Self { taps, cell, channels, input, state, mask }
    }

    /// Applies the layer, from hidden (and cell) states of zero on.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where x does not fit.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let [c, h] = self.channels;
        let [weight, bias] = self.input.map(|id| g.state(spec, id));
        let [state, own_bias] = self.state.map(|id| g.state(spec, id));
        let (mut weight, bias) = match self.cell {
            Cell::Lstm => (weight, g.add(bias, own_bias)?),
            Cell::Gru => {
                // Gates r, z, m, n: the input does not enter m, and the candidate's own bias is all that it begins with.
                let nothing = g.fill([1, c, h], 0.0)?;
                let weight = self.spread(g, weight, 2, nothing)?;
                let before = g.slice(own_bias, 0, 0, 2 * h)?;
                let candidate = g.slice(own_bias, 0, 2 * h, h)?;
                let first = g.slice(bias, 0, 0, 2 * h)?;
                let first = g.add(first, before)?;
                let rest = g.slice(bias, 0, 2 * h, h)?;
                let first = g.concat(first, candidate, 0)?;
                (weight, g.concat(first, rest, 0)?)
            }
        };
        if let Some(mask) = self.mask {
            let mask = g.state(spec, mask);
            weight = g.mul(weight, mask)?;
        }
        let sums = g.conv(x, weight, self.taps.clone())?;
        let sums = g.add(sums, bias)?;
        let gating = gating(self.cell);
        let initial = g.fill([gating.states(), h], 0.0)?;
        g.scan(sums, state, initial, Walk::Rows { kernel: 1 }, gating)
    }

    /// `between` set behind the first two gates of a tensor along `axis`.
    fn spread(&self, g: &mut Graph, x: NodeId, axis: usize, between: NodeId) -> Result<NodeId> {
        let [_, h] = self.channels;
        let first = g.slice(x, axis, 0, 2 * h)?;
        let rest = g.slice(x, axis, 2 * h, h)?;
        let first = g.concat(first, between, axis)?;
        g.concat(first, rest, axis)
    }
}

fn gating(cell: Cell) -> Gating {
    match cell {
        Cell::Gru => Gating::Gru,
        Cell::Lstm => Gating::Lstm,
    }
}
