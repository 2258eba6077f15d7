//! A residual recurrent layer, `[N, H, W, 2h] → [N, H, W, 2h]`.

use super::config::Layer;
use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec};
use crate::model::levels::{Mask, colour_mask};
use crate::model::scales::Told;
use crate::nn::{ImageLstm, LstmSpec};
use crate::op::{Taps, Walk};
use crate::tensor::GATES;

/// What a layer is made of.
pub(super) struct Shape {
    pub(super) layer: Layer,
    pub(super) image: [usize; 2],
    pub(super) hidden: usize,
    pub(super) kernel: usize,
    pub(super) ordered: usize,
    pub(super) classes: usize,
    /// Channels of the map of a coarser image; 0 where there is none.
    pub(super) map: usize,
}

/// A recurrent layer, a 1×1 convolution of its hidden states, and a short-cut around both.
pub(super) struct Recurrent {
    image: [usize; 2],
    /// One, or that from the upper left and that from the upper right corner.
    lstms: Vec<ImageLstm>,
    weight: StateId,
    bias: StateId,
    mask: Option<StateId>,
}

impl Recurrent {
    pub(super) fn new(spec: &mut StateSpec, group: usize, name: &str, shape: &Shape) -> Self {
        let Shape { layer, image, hidden: h, kernel, ordered, classes, map } = *shape;
        let mut lstm = |name: &str, walk: Walk, inputs: usize| {
            // Each gate's columns are dealt to the colours by themselves.
            let own = Taps::pointwise(image);
            let mask = (ordered > 1).then(|| colour_mask(&own, [2 * h, GATES * h], ordered, Mask::B, GATES));
            ImageLstm::new(spec, group, name, LstmSpec { walk, image, channels: [2 * h, h], inputs, mask, classes, map })
        };
        let lstms = match layer {
            Layer::Row => vec![lstm(name, Walk::Rows { kernel }, kernel / 2 + 1)],
            Layer::Diagonal => {
                vec![lstm(&format!("{name}.rightward"), Walk::Rightward, 1), lstm(&format!("{name}.leftward"), Walk::Leftward, 1)]
            }
        };
        let bound = 1.0 / (h as f32).sqrt();
        let mask = (ordered > 1).then(|| colour_mask(&Taps::pointwise(image), [h, 2 * h], ordered, Mask::B, 1));
        let init = mask.as_ref().map_or(Init::Uniform(bound), |mask| Init::UniformMasked(bound, mask.clone()));
        let layout = Layout::Conv { kernel: [1, 1], taps: vec![[0, 0]] };
        let weight = spec.tensor(group, &format!("{name}.up.weight"), [1, h, 2 * h], init, layout, true);
        let bias = spec.tensor(group, &format!("{name}.up.bias"), [2 * h], Init::Uniform(bound), Layout::Plain, true);
        let mask = mask.map(|m| spec.tensor(group, &format!("{name}.up.mask"), [1, h, 2 * h], Init::Values(m), Layout::Derived, false));
        Self { image, lstms, weight, bias, mask }
    }

    /// Applies the layer. The hidden states from the right are those of the row above, so that no pixel sees what comes after it: shifting
    /// down, adding and the convolution are two convolutions with the same weights (paper, section 3.2).
    pub(super) fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, told: Told) -> Result<NodeId> {
        let bias = g.state(spec, self.bias);
        let mut weight = g.state(spec, self.weight);
        if let Some(mask) = self.mask {
            let mask = g.state(spec, mask);
            weight = g.mul(weight, mask)?;
        }
        let mut sum = g.add(x, bias)?;
        for (lstm, shift) in self.lstms.iter().zip([0, -1]) {
            let hidden = lstm.apply(g, spec, x, [told.labels, told.map])?;
            let taps = Taps { offsets: vec![[shift, 0]], stride: 1, input: self.image, output: self.image };
            let up = g.conv(hidden, weight, taps)?;
            sum = g.add(up, sum)?;
        }
        Ok(sum)
    }
}
