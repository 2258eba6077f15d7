//! Convolution layers.

use super::Start;
use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec};
use crate::op::Taps;

/// The weights of a mask over the taps of a kernel.
type Mask<'a> = &'a dyn Fn(&Taps) -> Vec<f32>;

/// A convolution with a bias: `[N, H, W, C] → [N, H', W', D]`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    taps: Taps,
    weight: StateId,
    bias: Option<StateId>,
    /// A 0/1 tensor of the weight's shape, where channels are masked.
    mask: Option<StateId>,
}

/// What a convolution is made of.
#[derive(Clone, Debug)]
pub struct ConvSpec {
    /// Geometry.
    pub taps: Taps,
    /// Height and width of the kernel the taps are part of.
    pub kernel: usize,
    /// Row and column of the position itself within the kernel.
    pub centre: usize,
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Whether there is a bias.
    pub bias: bool,
    /// How weights start.
    pub start: Start,
}

impl Conv2d {
    /// Registers a layer's tensors as `name.weight` and `name.bias`.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, conv: ConvSpec) -> Self {
        Self::masked(spec, group, name, conv, None)
    }

    /// A layer whose weights are multiplied by a fixed 0/1 mask of shape `[taps, C, D]`.
    pub fn masked(spec: &mut StateSpec, group: usize, name: &str, conv: ConvSpec, mask: Option<Vec<f32>>) -> Self {
        let ConvSpec { taps, kernel, centre, channels, bias, start } = conv;
        let layout = taps.layout([kernel, kernel], centre as i32);
        Self::laid_out(spec, group, name, (taps, layout, channels[0] * kernel * kernel), channels, mask, bias, start)
    }

    /// A layer whose taps are the cells of a `kernel` (rows, columns) that begins `dilation · origin` before the position, its cells
    /// `dilation` apart: a tap for each cell, the kernel of the checkpoint.
    #[allow(clippy::too_many_arguments)] // the words of a convolution, in the order papers give them
    pub fn rectangle(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        image: [usize; 2],
        channels: [usize; 2],
        (kernel, origin, dilation): ([usize; 2], [usize; 2], usize),
        mask: Option<Mask<'_>>,
        start: Start,
    ) -> Self {
        let cells: Vec<[usize; 2]> = (0..kernel[0]).flat_map(|r| (0..kernel[1]).map(move |c| [r, c])).collect();
        let offset = |cell: &[usize; 2]| [0, 1].map(|a| (cell[a] as i32 - origin[a] as i32) * dilation as i32);
        let taps = Taps { offsets: cells.iter().map(offset).collect(), stride: 1, input: image, output: image };
        let mask = mask.map(|mask| mask(&taps));
        let layout = Layout::Conv { kernel, taps: cells };
        Self::laid_out(spec, group, name, (taps, layout, channels[0] * kernel[0] * kernel[1]), channels, mask, true, start)
    }

    #[allow(clippy::too_many_arguments)] // what the two ways to write a convolution have in common
    fn laid_out(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        (taps, layout, fan_in): (Taps, Layout, usize),
        [c, d]: [usize; 2],
        mask: Option<Vec<f32>>,
        bias: bool,
        start: Start,
    ) -> Self {
        let shape = [taps.offsets.len(), c, d];
        let init = match (&mask, start.weight(fan_in)) {
            (Some(mask), Init::Uniform(bound)) => Init::UniformMasked(bound, mask.clone()),
            (_, init) => init,
        };
        let weight = spec.tensor(group, &format!("{name}.weight"), shape, init, layout, true);
        let bias = bias.then(|| spec.tensor(group, &format!("{name}.bias"), [d], start.bias(fan_in), Layout::Plain, true));
        let mask = mask.map(|m| spec.tensor(group, &format!("{name}.mask"), shape, Init::Values(m), Layout::Derived, false));
        Self { taps, weight, bias, mask }
    }

    /// A 1×1 convolution without bias or mask: what another map adds to a layer's sums.
    pub fn pointwise(spec: &mut StateSpec, group: usize, name: &str, image: [usize; 2], channels: [usize; 2]) -> Self {
        let taps = Taps::pointwise(image);
        Self::new(spec, group, name, ConvSpec { taps, kernel: 1, centre: 0, channels, bias: false, start: Start::FanIn })
    }

    /// A dense `kernel`×`kernel` convolution.
    #[allow(clippy::too_many_arguments)] // the words of a convolution, in the order papers give them
    pub fn dense(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        image: [usize; 2],
        channels: [usize; 2],
        (kernel, stride, padding): (usize, usize, usize),
        bias: bool,
        start: Start,
    ) -> Result<Self> {
        let taps = Taps::dense([kernel, kernel], stride, padding, image)?;
        Ok(Self::new(spec, group, name, ConvSpec { taps, kernel, centre: padding, channels, bias, start }))
    }

    /// A convolution that sees a whole image at once and gives one position.
    pub fn to_vector(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        image: [usize; 2],
        [c, d]: [usize; 2],
        bias: bool,
        start: Start,
    ) -> Result<Self> {
        let taps = Taps::dense(image, 1, 0, image)?;
        let layout = taps.layout(image, 0);
        let fan_in = c * image[0] * image[1];
        let weight = spec.tensor(group, &format!("{name}.weight"), [taps.offsets.len(), c, d], start.weight(fan_in), layout, true);
        let bias = bias.then(|| spec.tensor(group, &format!("{name}.bias"), [d], start.bias(fan_in), Layout::Plain, true));
        Ok(Self { taps, weight, bias, mask: None })
    }

    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        self.taps.output
    }

    /// Applies the layer.
    pub fn apply(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let mut weight = graph.state(spec, self.weight);
        if let Some(mask) = self.mask {
            let mask = graph.state(spec, mask);
            weight = graph.mul(weight, mask)?;
        }
        let y = graph.conv(x, weight, self.taps.clone())?;
        add_bias(graph, spec, y, self.bias)
    }
}

fn add_bias(graph: &mut Graph, spec: &StateSpec, y: NodeId, bias: Option<StateId>) -> Result<NodeId> {
    match bias {
        Some(bias) => {
            let bias = graph.state(spec, bias);
            graph.add(y, bias)
        }
        None => Ok(y),
    }
}

/// A transposed ("fractional-strided") convolution with a bias: `[N, H, W, C] → [N, H', W', D]`, H' = (H − 1)·stride − 2·padding + kernel.
#[derive(Clone, Debug)]
pub struct ConvTransposed2d {
    taps: Taps,
    weight: StateId,
    bias: Option<StateId>,
}

impl ConvTransposed2d {
    /// Registers a layer's tensors as `name.weight` and `name.bias`.
    #[allow(clippy::too_many_arguments)] // the words of a convolution, in the order papers give them
    pub fn new(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        image: [usize; 2],
        channels: [usize; 2],
        (kernel, stride, padding): (usize, usize, usize),
        bias: bool,
        start: Start,
    ) -> Result<Self> {
        let size = |n: usize| (n - 1) * stride + kernel - 2 * padding;
        let taps = Taps::dense([kernel, kernel], stride, padding, [size(image[0]), size(image[1])])?;
        Ok(Self::of_taps(spec, group, name, taps, [kernel, kernel], channels, bias, start))
    }

    /// A transposed convolution of one position to a whole image.
    pub fn from_vector(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        image: [usize; 2],
        channels: [usize; 2],
        bias: bool,
        start: Start,
    ) -> Result<Self> {
        let taps = Taps::dense(image, 1, 0, image)?;
        Ok(Self::of_taps(spec, group, name, taps, image, channels, bias, start))
    }

    #[allow(clippy::too_many_arguments)] // as above
    fn of_taps(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        taps: Taps,
        kernel: [usize; 2],
        [c, d]: [usize; 2],
        bias: bool,
        start: Start,
    ) -> Self {
        // PyTorch counts the fan-in of a transposed convolution over its output channels.
        let fan_in = d * kernel[0] * kernel[1];
        let layout = Layout::ConvTransposed { kernel };
        let shape = [taps.offsets.len(), d, c];
        let weight = spec.tensor(group, &format!("{name}.weight"), shape, start.weight(fan_in), layout, true);
        let bias = bias.then(|| spec.tensor(group, &format!("{name}.bias"), [d], start.bias(fan_in), Layout::Plain, true));
        Self { taps, weight, bias }
    }

    /// Height and width of the output.
    #[expect(clippy::misnamed_getters, reason = "the output of the adjoint is the convolution's input")]
    pub fn output(&self) -> [usize; 2] {
        self.taps.input
    }

    /// Applies the layer.
    pub fn apply(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let weight = graph.state(spec, self.weight);
        let y = graph.conv_transposed(x, weight, self.taps.clone())?;
        add_bias(graph, spec, y, self.bias)
    }
}
