//! Convolutions whose weights are a direction and a length, with a start that depends on the data (Salimans and Kingma, 2016, "Weight
//! normalization").

use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec};
use crate::op::{Reduction, Taps};

/// Standard deviation of the first directions.
const DIRECTION: f32 = 0.05;
/// Added to a variance whose root divides.
const EPSILON: f64 = 1e-10;

/// By how much a layer's output is moved, zeros (without the bias) entering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Not at all.
    None,
    /// One row down.
    Down,
    /// One column to the right.
    Right,
}

/// Whether layers are used as they are, or set from a batch first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// They are used.
    Use,
    /// Each is set, so that its output channels have the mean 0 and the layer's standard deviation on this batch, and then used. What is set
    /// depends on the directions and the batch alone, so it may be done again.
    Start,
}

/// What a weight-normalised convolution is made of.
#[derive(Clone, Debug)]
pub struct NormedSpec {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Row and column of the kernel that lie on the position itself.
    pub origin: [usize; 2],
    /// Step of the input position per output position; of a transposed convolution, the other way round.
    pub stride: usize,
    /// Whether it is the transposed ("fractional-strided") convolution, which makes images larger.
    pub transposed: bool,
    /// By how much the output is moved.
    pub shift: Shift,
    /// Height and width of the smaller image: of the output, or of the input of a transposed convolution.
    pub image: [usize; 2],
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Standard deviation of its output channels after a start.
    pub deviation: f64,
}

/// A convolution by W = g · v / ‖v‖, the norm taken for each output channel, with a bias: `[N, H, W, C] → [N, H', W', D]`.
#[derive(Clone, Debug)]
pub struct WeightNorm {
    taps: Taps,
    /// The same without the shift.
    unmoved: Taps,
    transposed: bool,
    deviation: f64,
    direction: StateId,
    gain: StateId,
    bias: StateId,
    /// 1 where the bias is added, 0 in the row or column that enters.
    told: Option<StateId>,
}

impl WeightNorm {
    /// Registers `name.v`, `name.g` and `name.b`.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, layer: NormedSpec) -> Self {
        let NormedSpec { kernel, origin, stride, transposed, shift, image, channels: [c, d], deviation } = layer;
        let cells: Vec<[usize; 2]> = (0..kernel[0]).flat_map(|r| (0..kernel[1]).map(move |c| [r, c])).collect();
        let offsets = cells.iter().map(|cell| [0, 1].map(|a| cell[a] as i32 - origin[a] as i32)).collect();
        let unmoved = Taps { offsets, stride, input: image.map(|side| side * stride), output: image };
        let back = match shift {
            Shift::None => [0, 0],
            Shift::Down => [1, 0],
            Shift::Right => [0, 1],
        };
        let moved = unmoved.offsets.iter().map(|[dy, dx]| [dy - back[0], dx - back[1]]).collect();
        let taps = Taps { offsets: moved, ..unmoved.clone() };
        let (shape, layout) = match transposed {
            true => ([cells.len(), d, c], Layout::ConvTransposed { kernel }),
            false => ([cells.len(), c, d], Layout::Conv { kernel, taps: cells }),
        };
        let mut tensor = |part: &str, shape: &[usize], init: Init, layout: Layout, trained: bool| {
            spec.tensor(group, &format!("{name}.{part}"), shape, init, layout, trained)
        };
        let direction = tensor("v", &shape, Init::Normal(DIRECTION), layout, true);
        let gain = tensor("g", &[d], Init::Constant(1.0), Layout::Plain, true);
        let bias = tensor("b", &[d], Init::Constant(0.0), Layout::Plain, true);
        let mut told = |shape: &[usize]| {
            let values = (0..shape.iter().product()).map(|i: usize| if i == 0 { 0.0 } else { 1.0 }).collect();
            tensor("told", shape, Init::Values(values), Layout::Derived, false)
        };
        let told = match shift {
            Shift::None => None,
            Shift::Down => Some(told(&[image[0], 1, 1])),
            Shift::Right => Some(told(&[image[1], 1])),
        };
        Self { taps, unmoved, transposed, deviation, direction, gain, bias, told }
    }

    /// The weights: of directions alone, or times their gains.
    fn weights(&self, g: &mut Graph, spec: &StateSpec, gained: bool) -> Result<NodeId> {
        let v = g.state(spec, self.direction);
        let squares = g.mul(v, v)?;
        let norm = match self.transposed {
            true => {
                let taps = g.reduce(Reduction::Sum, squares, 0..1)?;
                g.reduce(Reduction::Sum, taps, 2..3)?
            }
            false => g.reduce(Reduction::Sum, squares, 0..2)?,
        };
        let length = if gained { g.state(spec, self.gain) } else { g.fill(spec.spec(self.gain).shape.clone(), 1.0)? };
        let length = g.reshape(length, g.shape(norm).clone())?;
        let factor = g.map(&[length, norm], |e, v| {
            let root = e.unary(crate::graph::Unary::Sqrt, v[1]);
            e.div(v[0], root)
        })?;
        g.mul(v, factor)
    }

    /// The convolution of `inputs` by weights.
    fn sums(&self, g: &mut Graph, inputs: &[NodeId], weights: NodeId, taps: &Taps) -> Result<NodeId> {
        let widths: Vec<usize> = inputs.iter().map(|x| g.shape(*x).channels() / 2).collect();
        let (mut sum, mut first) = (None, 0);
        for (&x, width) in inputs.iter().zip(&widths) {
            let own = match inputs.len() {
                1 => weights,
                _ => {
                    let half = |g: &mut Graph, from: usize| g.slice(weights, 1, from, *width);
                    let (up, down) = (half(g, first)?, half(g, widths.iter().sum::<usize>() + first)?);
                    g.concat(up, down, 1)?
                }
            };
            let part = if self.transposed { g.conv_transposed(x, own, taps.clone())? } else { g.conv(x, own, taps.clone())? };
            sum = Some(match sum {
                Some(sum) => g.add(sum, part)?,
                None => part,
            });
            first += width;
        }
        sum.ok_or_else(|| crate::error::Error::Shape("a convolution reads one image at least".into()))
    }

    fn add_bias(&self, g: &mut Graph, spec: &StateSpec, y: NodeId, bias: NodeId) -> Result<NodeId> {
        let Some(told) = self.told else { return g.add(y, bias) };
        let told = g.state(spec, told);
        g.map(&[y, bias, told], |e, v| {
            let here = e.mul(v[1], v[2]);
            e.add(v[0], here)
        })
    }

    /// Applies the layer to an image, or to the concatenation of several that went through [`Graph::concat_elu`] each by itself: then the
    /// weights are those of the concatenated ELU of the concatenation, so that it need not be made.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, inputs: &[NodeId], pass: Pass) -> Result<NodeId> {
        if pass == Pass::Start {
            return self.start(g, spec, inputs);
        }
        let weights = self.weights(g, spec, true)?;
        let y = self.sums(g, inputs, weights, &self.taps)?;
        let bias = g.state(spec, self.bias);
        self.add_bias(g, spec, y, bias)
    }

    /// Sets gain and bias by what the directions make of these inputs, before the shift, and applies the layer.
    fn start(&self, g: &mut Graph, spec: &StateSpec, inputs: &[NodeId]) -> Result<NodeId> {
        let weights = self.weights(g, spec, false)?;
        let unmoved = self.sums(g, inputs, weights, &self.unmoved)?;
        let [mean, variance] = g.channel_moments(unmoved)?;
        let shape = spec.spec(self.gain).shape.clone();
        let deviation = self.deviation;
        let gain = g.map(&[variance], |e, v| {
            let above = e.offset(v[0], EPSILON);
            let root = e.unary(crate::graph::Unary::Sqrt, above);
            let wanted = e.constant(deviation);
            e.div(wanted, root)
        })?;
        let bias = g.map(&[mean, gain], |e, v| {
            let product = e.mul(v[0], v[1]);
            e.neg(product)
        })?;
        let (gain, bias) = (g.reshape(gain, shape.clone())?, g.reshape(bias, shape)?);
        g.assign(spec, self.gain, gain)?;
        g.assign(spec, self.bias, bias)?;
        let y = if self.taps == self.unmoved { unmoved } else { self.sums(g, inputs, weights, &self.taps)? };
        let y = g.mul(y, gain)?;
        self.add_bias(g, spec, y, bias)
    }
}
