//! What networks of series have in common: the data they are made for, and how earlier steps are shown to them.

use super::levels::{Levels, Likelihood, Mask, colour_mask};
use super::{DataSpec, Law};
use crate::data::Kind;
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec, Unary};
use crate::nn::{Conv2d, Start};
use crate::op::Taps;

/// The values of series as a recipe wants them told.
///
/// # Errors
/// [`Error::Usage`] for images, for what continuous values are not told by, and as of [`Levels`].
pub fn told(model: &str, levels: usize, (likelihood, mixtures): (Option<Likelihood>, Option<usize>), data: &DataSpec) -> Result<Levels> {
    let [h, w, _] = data.dims;
    if w != 1 {
        return Err(Error::usage(format!(
            "{model} draws series step by step, and these are images of {h}×{w}; take pixelcnn, or data of steps such as a .csv"
        )));
    }
    if data.kind != Kind::Points {
        return Levels::new(model, levels, data)?.told_by(model, likelihood.unwrap_or_default(), mixtures);
    }
    if !matches!(likelihood, None | Some(Likelihood::Gaussian)) {
        let words = "only levels are told by logits or a mixture of logistics, and these values are continuous";
        return Err(Error::usage(format!("{model}: {words}; take quantize=linear or mulaw, or likelihood=gaussian")));
    }
    if levels != 0 {
        return Err(Error::usage(format!("{model}: continuous values have no levels; leave levels={levels} out, or take quantize=linear")));
    }
    Levels::continuous(model, mixtures, data)
}

/// The norm that gradients are clipped to where nothing is said: densities have no bound that training could lean on, chances have.
pub fn clip_norm(values: &Levels) -> f32 {
    if matches!(values.law, Law::Gaussian(_)) { 1.0 } else { 0.0 }
}

/// Classes that a model reads.
///
/// # Errors
/// [`Error::Usage`] where labels are asked for and there are none.
pub fn classes(model: &str, conditional: bool, data: &DataSpec) -> Result<usize> {
    match (conditional, data.classes) {
        (false, _) => Ok(0),
        (true, 0) => Err(Error::usage(format!("{model}: conditional=true needs labels, and these data have none; leave it out"))),
        (true, classes) => Ok(classes),
    }
}

/// The steps before each, shown to a network: `[N, T, 1, C] → [N, T, 1, D]`. The level of a single channel is shown by a vector of its own,
/// as an embedding shows it; of several channels, or of bits, their values are, and where channels are told one after another also the
/// earlier ones of the step itself.
pub struct Front {
    conv: Conv2d,
    /// Levels that have vectors.
    levels: Option<usize>,
}

impl Front {
    /// Registers `name.weight` and `name.bias`.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, values: &Levels, channels: usize) -> Self {
        let [steps, _, c] = values.dims;
        let levels = match values.law {
            Law::Categorical { levels } if c == 1 => Some(levels),
            _ => None,
        };
        let ordered = values.ordered();
        let inputs = levels.unwrap_or(c);
        let kernel = if ordered > 1 { [2, 1] } else { [1, 1] };
        let mask = |taps: &Taps| colour_mask(taps, [inputs, channels], ordered, Mask::A, 1);
        let masked = (ordered > 1).then_some(&mask as &dyn Fn(&Taps) -> Vec<f32>);
        // An embedding starts with vectors of the standard normal.
        let start = if levels.is_some() { Start::Normal(1.0) } else { Start::FanIn };
        let conv = Conv2d::rectangle(spec, group, name, [steps, 1], [inputs, channels], (kernel, [1, 0], 1), masked, start);
        Self { conv, levels }
    }

    /// Numbers that it is made of, about.
    pub fn weights(values: &Levels, channels: usize) -> u64 {
        (channels * values.levels().max(values.dims[2])) as u64
    }

    /// What is known before each step, from values as [`Levels::shown`] shows them.
    ///
    /// # Errors
    /// [`Error::Shape`] where x does not fit.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let Some(levels) = self.levels else { return self.conv.apply(g, spec, x) };
        let &[n, steps, _, _] = g.shape(x).dims() else { return Err(Error::Shape(format!("{} is no series", g.shape(x)))) };
        let half = (levels as f64 - 1.0) / 2.0;
        let hot = g.map_to(&[x], [n, steps, 1, levels], |b, v| {
            let (own, channel) = (b.offset(v[0], 1.0), b.channel());
            let level = b.scale(own, half);
            let apart = b.sub(level, channel);
            let apart = b.unary(Unary::Abs, apart);
            // Within half a level, whatever rounding left of it.
            let apart = b.offset(apart, -0.5);
            let other = b.unary(Unary::Step, apart);
            let same = b.neg(other);
            b.offset(same, 1.0)
        })?;
        self.conv.apply(g, spec, hot)
    }
}

/// A linear map of the step before to the means among the outputs, `[N, T, 1, C] → [N, T, 1, outputs]`, which starts as its values. Logits
/// and spreads are left to the network, whose units are bounded: a deviation that grows with the values has no end.
pub struct Before {
    taps: Taps,
    weight: StateId,
    mask: StateId,
}

impl Before {
    /// Whether there is to be one.
    ///
    /// # Errors
    /// [`Error::Usage`] where values are levels.
    pub fn wanted(model: &str, asked: bool, values: &Levels) -> Result<bool> {
        if asked && !matches!(values.law, Law::Gaussian(_)) {
            return Err(Error::usage(format!("{model}: difference=true is for continuous values; take quantize=none, or leave it out")));
        }
        Ok(asked)
    }

    /// Registers `before.weight`, of PyTorch's `[outputs, C]`, zero but in the rows of means.
    pub fn new(spec: &mut StateSpec, group: usize, values: &Levels) -> Self {
        let ([steps, _, c], d) = (values.dims, values.outputs());
        let taps = Taps { offsets: vec![[-1, 0]], stride: 1, input: [steps, 1], output: [steps, 1] };
        let (each, k) = (d / c, d / c / 3);
        let is_mean = |to: usize| (k..2 * k).contains(&(to % each));
        let cells = |is: &dyn Fn(usize, usize) -> bool| (0..c * d).map(|at| f32::from(u8::from(is(at / d, at % d)))).collect();
        let first = cells(&|from, to| is_mean(to) && to / each == from);
        let layout = Layout::Linear { input_image: None, output_image: None };
        let weight = spec.tensor(group, "before.weight", [1, c, d], Init::Values(first), layout, true);
        let means = Init::Values(cells(&|_, to| is_mean(to)));
        let mask = spec.tensor(group, "before.mask", [1, c, d], means, Layout::Derived, false);
        Self { taps, weight, mask }
    }

    /// What is told with what the step before, of values x, adds to it; the first has none before it.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fit.
    pub fn add_to(&self, g: &mut Graph, spec: &StateSpec, told: NodeId, x: NodeId) -> Result<NodeId> {
        let [weight, mask] = [self.weight, self.mask].map(|id| g.state(spec, id));
        let weight = g.mul(weight, mask)?;
        let before = g.conv(x, weight, self.taps.clone())?;
        g.add(told, before)
    }
}
