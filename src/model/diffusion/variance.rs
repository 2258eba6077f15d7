//! Variances of single steps back: fixed, or learnt by the bound itself (Nichol and Dhariwal, 2021, section 3.1).

use super::times::Table;
use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec, Unary};
use crate::model::discretised;
use crate::model::noise::{Back, Head, Level, Process};

/// Weight of the bound beside the mean square, in units of 1/T of its steps: .001 of a sum over a thousand steps.
pub(super) const WEIGHT: f64 = 1e-3;

/// Columns of the table that the bound needs.
pub(super) fn columns(process: &Process) -> Vec<(&'static str, Vec<f64>)> {
    let backs: Vec<Back> = (0..process.steps()).map(|t| process.back(process.step(t), below(process, t))).collect();
    let heads = |pick: fn(&Head) -> f64| (0..process.steps()).map(|t| pick(&process.head(process.step(t)))).collect();
    // The first step has no variance given x₀: that of the second is the least.
    let least = |t: usize| backs[t.max(1).min(backs.len() - 1)].small.ln();
    vec![
        ("log_large", backs.iter().map(|b| b.large.ln()).collect()),
        ("log_small", (0..backs.len()).map(least).collect()),
        ("of_item", backs.iter().map(|b| b.of_item).collect()),
        ("skip", heads(|h| h.skip)),
        ("out", heads(|h| h.out)),
    ]
}

/// The level one step below step `t`.
fn below(process: &Process, t: usize) -> Level {
    if t == 0 { Level::CLEAN } else { process.step(t - 1) }
}

/// What a network says of the variance as a share between small and large, in its logarithm.
pub(super) fn share(g: &mut Graph, spread: NodeId) -> Result<NodeId> {
    g.map(&[spread], |b, v| {
        let half = b.scale(v[0], 0.5);
        b.offset(half, 0.5)
    })
}

/// KL of the step back given x₀ from the model's, of every value: of items `x`, what they seem to be `item`, the share `of_item` that the
/// means' difference has of theirs, ln β̃ `small` and the model's own `log_var`, which broadcast.
pub(super) fn divergence(g: &mut Graph, inputs: [NodeId; 5]) -> Result<NodeId> {
    g.map(&inputs, |b, v| {
        let away = b.sub(v[0], v[1]);
        let away = b.mul(away, v[2]);
        let square = b.mul(away, away);
        let variance = b.unary(Unary::Exp, v[3]);
        let both = b.add(square, variance);
        let precision = b.neg(v[4]);
        let precision = b.unary(Unary::Exp, precision);
        let ratio = b.mul(both, precision);
        let logs = b.sub(v[4], v[3]);
        let sum = b.add(ratio, logs);
        let sum = b.offset(sum, -1.0);
        b.scale(sum, 0.5)
    })
}

/// Between the logarithms of the small and the large variance, as a network's share of the way says.
pub(super) fn between(g: &mut Graph, inputs: [NodeId; 3]) -> Result<NodeId> {
    g.map(&inputs, |b, v| {
        let width = b.sub(v[2], v[1]);
        let above = b.mul(v[0], width);
        b.add(v[1], above)
    })
}

/// The bound's term at each item's step.
pub(super) struct Learnt {
    /// Whether items are points, and not on a grid.
    pub points: bool,
    /// Levels of the grid.
    pub levels: usize,
}

impl Learnt {
    /// The term `[N]` in bits a value, of items `x`, noised ones, what the network `said` and its `spread`. It teaches the spread alone.
    pub fn bits(
        &self,
        g: &mut Graph,
        spec: &StateSpec,
        table: &Table,
        step: NodeId,
        [x, noised, said, spread]: [NodeId; 4],
    ) -> Result<NodeId> {
        let column = |g: &mut Graph, k: usize| table.more(g, spec, step, k);
        let [large, small, of_item] = [column(g, 0)?, column(g, 1)?, column(g, 2)?];
        let [skip, out] = [column(g, 3)?, column(g, 4)?];
        let share = share(g, spread)?;
        let log_var = between(g, [share, small, large])?;
        let item = g.map(&[noised, said, skip, out], |b, v| {
            let (kept, said) = (b.mul(v[0], v[2]), b.mul(v[1], v[3]));
            let sum = b.add(kept, said);
            b.unary(Unary::Held, sum)
        })?;
        let divergence = divergence(g, [x, item, of_item, small, log_var])?;
        let first = if self.points {
            discretised::density_nll(g, [x, item, log_var])?
        } else {
            discretised::nll(g, [x, item, log_var], self.levels)?
        };
        let count = g.shape(x).len() / g.shape(x).dims()[0];
        let factor = 1.0 / (count as f64 * std::f64::consts::LN_2);
        let term = g.map(&[first, divergence, step], |b, v| {
            let term = b.select(v[2], v[1], v[0]);
            b.scale(term, factor)
        })?;
        g.sum_items(term)
    }
}
