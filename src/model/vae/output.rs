//! What a decoder's output says of the pixels: the likelihoods p(x|z).

use std::f64::consts::{LN_2, PI};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Kind, Scale};
use crate::error::{Error, Result};
use crate::graph::{Binary, Builder, Graph, Init, Layout, NodeId, Shape, StateId, StateSpec, Unary, Value};
use crate::model::DataSpec;

/// A decoder's likelihood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likelihood {
    /// Bernoulli for pixels, Gaussian for points.
    Auto,
    /// Independent bits; of grey pixels in 0..1 it is a cross-entropy, and no likelihood.
    Bernoulli,
    /// A density; of 8-bit pixels it says nothing about their probabilities.
    Gaussian,
    /// The logistic distribution, integrated over each of the 256 levels (Kingma et al., 2016, "Improved variational inference with
    /// inverse autoregressive flow", appendix; Salimans et al., 2017).
    Logistic,
}

/// Whether the scale of a likelihood is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variance {
    /// One number for all values, trained with the rest (Rybkin et al., 2021, "Simple and effective VAE training with calibrated decoders").
    Learnt,
    /// As given.
    Fixed,
}

/// Least log scale: a decoder that fits exactly must not run away.
const LEAST_LOG_SCALE: f64 = -7.0;
/// Levels of a pixel less one.
const TOP: f64 = 255.0;

/// A likelihood with its scale.
pub(super) struct Output {
    kind: Likelihood,
    scale: LogScale,
    /// Whether values lie in 0..1, so that means outside are clamped for pictures.
    bounded: bool,
    /// Whether values are bits.
    binary: bool,
}

enum LogScale {
    Fixed(f64),
    Learnt(StateId),
}

impl Output {
    /// Registers `decoder.log_scale` where it is trained; `scale` is a standard deviation, or a logistic's scale, in the data's unit.
    pub fn new(
        spec: &mut StateSpec,
        group: usize,
        model: &str,
        (kind, variance, scale): (Likelihood, Variance, f64),
        data: &DataSpec,
    ) -> Result<Self> {
        let kind = match kind {
            Likelihood::Auto if data.kind == Kind::Points => Likelihood::Gaussian,
            Likelihood::Auto => Likelihood::Bernoulli,
            kind => kind,
        };
        let refuse = |reason: &str| Err(Error::usage(format!("{model}: {reason}")));
        match kind {
            Likelihood::Bernoulli if data.kind == Kind::Points => {
                return refuse(
                    "likelihood=bernoulli needs values in 0..1, and these are points of no fixed range; take likelihood=gaussian",
                );
            }
            Likelihood::Logistic if data.kind == Kind::Points || data.is_binary() => {
                return refuse(
                    "likelihood=logistic needs 8-bit grey or colour pixels; take likelihood=bernoulli for bits, gaussian for points",
                );
            }
            _ => {}
        }
        if !(scale.is_finite() && scale >= LEAST_LOG_SCALE.exp()) {
            return refuse(&format!("scale must be a finite number of at least 0.001, not {scale}"));
        }
        let learnt = variance == Variance::Learnt && kind != Likelihood::Bernoulli;
        let init = Init::Constant(scale.ln() as f32);
        let scale = if learnt {
            LogScale::Learnt(spec.tensor(group, "decoder.log_scale", [1], init, Layout::Plain, true))
        } else {
            LogScale::Fixed(scale.ln())
        };
        Ok(Self { kind, scale, bounded: data.kind != Kind::Points, binary: data.is_binary() })
    }

    /// The scale that data must come in.
    pub fn data_scale(&self) -> Scale {
        if self.bounded { Scale::Unit } else { Scale::Raw }
    }

    /// What must be known to read a figure of it, where that is not plain.
    pub fn note(&self) -> Option<&'static str> {
        match self.kind {
            Likelihood::Bernoulli if !self.binary => {
                Some("Bernoulli of grey pixels is a cross-entropy: compare it with other grey pixels, not with likelihoods of bits.")
            }
            Likelihood::Gaussian if self.bounded => {
                Some("A density of values in 0..1: it can be above 1, and 8-bit pixels cost up to 8 bits a value more.")
            }
            _ => None,
        }
    }

    /// −ln p of each value of `x` given the decoder's output `y`, as a program that fuses into the sum that reads it; both broadcast to
    /// `shape`.
    pub fn nll(&self, g: &mut Graph, spec: &StateSpec, [y, x]: [NodeId; 2], shape: Shape) -> Result<NodeId> {
        if self.kind == Likelihood::Bernoulli {
            return g.map_to(&[y, x], shape, |b, v| {
                let soft = b.unary(Unary::Softplus, v[0]);
                let hit = b.mul(v[1], v[0]);
                b.sub(soft, hit)
            });
        }
        let mut inputs = vec![y, x];
        if let LogScale::Learnt(id) = self.scale {
            inputs.push(g.state(spec, id));
        }
        let kind = self.kind;
        g.map_to(&inputs, shape, |b, v| {
            let log_scale = match self.scale {
                LogScale::Fixed(value) => b.constant(value),
                LogScale::Learnt(_) => {
                    let least = b.constant(LEAST_LOG_SCALE);
                    b.binary(Binary::Max, v[2], least)
                }
            };
            if kind == Likelihood::Gaussian { gaussian(b, v[0], v[1], log_scale) } else { logistic(b, v[0], v[1], log_scale) }
        })
    }

    /// The mean of p(x|z), a picture's values, from the decoder's output.
    pub fn mean(&self, g: &mut Graph, y: NodeId) -> Result<NodeId> {
        if self.kind == Likelihood::Bernoulli {
            return g.sigmoid(y);
        }
        if !self.bounded {
            return Ok(y);
        }
        g.map(&[y], |b, v| {
            let (zero, one) = (b.constant(0.0), b.constant(1.0));
            let above = b.binary(Binary::Max, v[0], zero);
            b.binary(Binary::Min, above, one)
        })
    }
}

/// ½((x − m)/σ)² + ln σ + ½ ln 2π
fn gaussian(b: &mut Builder, mean: Value, x: Value, log_sigma: Value) -> Value {
    let away = b.sub(x, mean);
    let down = b.neg(log_sigma);
    let inverse = b.unary(Unary::Exp, down);
    let standard = b.mul(away, inverse);
    let square = b.mul(standard, standard);
    let half = b.scale(square, 0.5);
    let sum = b.add(half, log_sigma);
    b.offset(sum, 0.5 * (2.0 * PI).ln())
}

/// −ln of a logistic's mass between x ± ½ level, the outermost levels reaching to ±∞.
///
/// With a, b the upper and lower edge and σ the logistic function, σ(a) − σ(b) = σ(a)·σ(−b)·(1 − e^{b−a}): no difference of nearly equal
/// numbers is taken, so it holds for every mean and scale. With t = tanh((a − b)/2), 1 − e^{b−a} = 2t/(1 + t).
fn logistic(b: &mut Builder, mean: Value, x: Value, log_scale: Value) -> Value {
    let down = b.neg(log_scale);
    let inverse = b.unary(Unary::Exp, down);
    let away = b.sub(x, mean);
    let half_level = 0.5 / TOP;
    let [upper, lower] = [half_level, -half_level].map(|offset| {
        let edge = b.offset(away, offset);
        b.mul(edge, inverse)
    });
    let minus_upper = b.neg(upper);
    let below = b.unary(Unary::Softplus, minus_upper);
    let above = b.unary(Unary::Softplus, lower);
    let half_width = b.scale(inverse, half_level);
    let t = b.unary(Unary::Tanh, half_width);
    let log_t = b.unary(Unary::Log, t);
    let one_more = b.offset(t, 1.0);
    let log_rest = b.unary(Unary::Log, one_more);
    let ratio = b.sub(log_t, log_rest);
    let width = b.offset(ratio, LN_2);
    let zero = b.constant(0.0);
    let (low, high) = (b.constant(half_level), b.constant(1.0 - half_level));
    let is_black = b.binary(Binary::Greater, low, x);
    let is_white = b.binary(Binary::Greater, x, high);
    let below = b.select(is_white, zero, below);
    let above = b.select(is_black, zero, above);
    let edge = b.add(is_black, is_white);
    let width = b.select(edge, zero, width);
    let tails = b.add(below, above);
    b.sub(tails, width)
}
