//! Normal distributions of values, as densities, and of those that stand on a grid: there the probability of a value is that of all that rounds to it, and the outermost
//! values take everything beyond (Ho, Jain and Abbeel, 2020, equation 13).

use crate::error::Result;
use crate::graph::{Binary, Builder, Graph, NodeId, Unary, Value};

/// Coefficients of ln erfc(z) + z² − ln t in t = 1/(1 + z/2), right to 1.2·10⁻⁷ of erfc for every z ≥ 0 (Press et al., Numerical Recipes,
/// section 6.2).
const SERIES: [f64; 10] = [
    0.170_872_77,
    -0.822_152_23,
    1.488_515_87,
    -1.135_203_98,
    0.278_868_07,
    -0.186_288_06,
    0.096_784_18,
    0.374_091_96,
    1.000_023_68,
    -1.265_512_23,
];
/// The least probability that is told apart from none.
const LEAST: f64 = 1e-30;

/// −ln p of every value of `x`, which stand on a grid of so many `levels` from −1 to 1, under normals of a `mean` and a `log_var` that
/// broadcast to it.
pub fn nll(g: &mut Graph, [x, mean, log_var]: [NodeId; 3], levels: usize) -> Result<NodeId> {
    let half = 1.0 / (levels.max(2) - 1) as f64;
    g.map(&[x, mean, log_var], |b, v| {
        // In units of √2·σ, and mirrored so that the value lies above the mean.
        let scale = b.scale(v[2], -0.5);
        let scale = b.unary(Unary::Exp, scale);
        let scale = b.scale(scale, std::f64::consts::FRAC_1_SQRT_2);
        let away = b.sub(v[0], v[1]);
        let above = b.unary(Unary::Step, away);
        let size = b.unary(Unary::Abs, away);
        let near = b.offset(size, -half);
        let far = b.offset(size, half);
        let (near, far) = (b.mul(near, scale), b.mul(far, scale));
        let (top, bottom, zero) = (b.constant(1.0 - half), b.constant(half - 1.0), b.constant(0.0));
        let (at_top, at_bottom) = (b.binary(Binary::Greater, v[0], top), b.binary(Binary::Greater, bottom, v[0]));
        let outer = b.select(above, at_top, at_bottom);
        let inner = b.select(above, at_bottom, at_top);
        let near_size = b.unary(Unary::Abs, near);
        let [log_near, log_far] = [log_erfc(b, near_size), log_erfc(b, far)];
        // The mean lies within: all but what is below and above.
        let (half_near, half_far) = (tail(b, log_near), tail(b, log_far));
        let below = b.select(inner, zero, half_near);
        let beyond = b.select(outer, zero, half_far);
        let outside = b.add(below, beyond);
        let outside = b.neg(outside);
        let within = b.offset(outside, 1.0);
        let within = at_least(b, within, LEAST);
        let within = b.unary(Unary::Log, within);
        // The mean lies below: the difference of two tails, by the larger's logarithm.
        let ratio = b.sub(log_far, log_near);
        let ratio = b.unary(Unary::Exp, ratio);
        let ratio = b.select(outer, zero, ratio);
        let ratio = b.neg(ratio);
        let rest = b.offset(ratio, 1.0);
        let rest = at_least(b, rest, LEAST);
        let rest = b.unary(Unary::Log, rest);
        let apart = b.add(log_near, rest);
        let apart = b.offset(apart, -std::f64::consts::LN_2);
        let covers = b.unary(Unary::Step, near);
        let apart_alone = b.select(inner, zero, covers);
        let log_p = b.select(apart_alone, apart, within);
        b.neg(log_p)
    })
}

/// −ln of the density of every value of `x` under normals of a `mean` and a `log_var` that broadcast to it.
pub fn density_nll(g: &mut Graph, [x, mean, log_var]: [NodeId; 3]) -> Result<NodeId> {
    g.map(&[x, mean, log_var], |b, v| {
        let away = b.sub(v[0], v[1]);
        let square = b.mul(away, away);
        let precision = b.neg(v[2]);
        let precision = b.unary(Unary::Exp, precision);
        let ratio = b.mul(square, precision);
        let sum = b.add(ratio, v[2]);
        let sum = b.offset(sum, (2.0 * std::f64::consts::PI).ln());
        b.scale(sum, 0.5)
    })
}

fn at_least(b: &mut Builder, x: Value, least: f64) -> Value {
    let least = b.constant(least);
    b.binary(Binary::Max, x, least)
}

/// ½·eˣ
fn tail(b: &mut Builder, log: Value) -> Value {
    let power = b.unary(Unary::Exp, log);
    b.scale(power, 0.5)
}

/// ln erfc(z) for z ≥ 0.
fn log_erfc(b: &mut Builder, z: Value) -> Value {
    let halved = b.scale(z, 0.5);
    let from = b.offset(halved, 1.0);
    let t = b.unary(Unary::Recip, from);
    let mut sum = b.constant(0.0);
    for coefficient in SERIES {
        let more = b.mul(sum, t);
        sum = b.offset(more, coefficient);
    }
    let log_t = b.unary(Unary::Log, t);
    let square = b.mul(z, z);
    let sum = b.add(sum, log_t);
    b.sub(sum, square)
}
