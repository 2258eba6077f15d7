//! Times that are trained on more often where the loss is large, with each loss weighed down by as much (Nichol and Dhariwal, 2021,
//! section 3.3). What is remembered of the losses is a persistent tensor, so that a resumed run draws the same times.

use crate::error::Result;
use crate::graph::{Binary, Graph, Init, Layout, NodeId, StateId, StateSpec, Unary};
use crate::op::Reduction;

/// Parts of the time, of each of which the losses are remembered.
const PARTS: usize = 64;
/// Weight of what is remembered when a new loss is heard.
const MEMORY: f64 = 0.9;
/// Share of the draws that is spread evenly, so that no part is forgotten.
const EVEN: f64 = 0.05;

/// The running mean of squared losses in each part of the time.
pub struct Importance {
    squares: StateId,
    numbers: StateId,
}

/// Times drawn by importance, each `[N, 1]`.
pub struct Weighed {
    /// The quantile of the time, in 0..1.
    pub quantile: NodeId,
    /// Even density over the one it was drawn by.
    pub weight: NodeId,
    /// The part it lies in, from 0.
    part: NodeId,
}

impl Importance {
    /// Registers its tensors; all parts start equal.
    pub fn new(spec: &mut StateSpec, group: usize) -> Self {
        let mut tensor = |name: &str, shape: [usize; 2], init: Init, layout: Layout| {
            spec.tensor(group, &format!("importance.{name}"), shape, init, layout, false)
        };
        let numbers = (0..PARTS).map(|part| part as f32).collect();
        Self {
            squares: tensor("squares", [1, PARTS], Init::Constant(1.0), Layout::Plain),
            numbers: tensor("numbers", [PARTS, 1], Init::Values(numbers), Layout::Derived),
        }
    }

    /// Even quantiles `[N]` bent so that parts with large losses are drawn more often.
    pub fn bend(&self, g: &mut Graph, spec: &StateSpec, quantile: NodeId) -> Result<Weighed> {
        let n = g.shape(quantile).len();
        let quantile = g.reshape(quantile, [n, 1])?;
        let (squares, numbers) = (g.state(spec, self.squares), g.state(spec, self.numbers));
        let roots = g.map(&[squares], |b, v| b.unary(Unary::Sqrt, v[0]))?;
        let sum = g.reduce(Reduction::Sum, roots, 1..2)?;
        let shares = g.map(&[roots, sum], |b, v| {
            let share = b.div(v[0], v[1]);
            let share = b.scale(share, 1.0 - EVEN);
            b.offset(share, EVEN / PARTS as f64)
        })?;
        // The share of all parts up to each, itself included.
        let up_to = g.map_to(&[numbers, shares], [PARTS, PARTS], |b, v| {
            let (part, zero) = (b.channel(), b.constant(0.0));
            let beyond = b.binary(Binary::Greater, part, v[0]);
            b.select(beyond, zero, v[1])
        })?;
        let up_to = g.reduce(Reduction::Sum, up_to, 1..2)?;
        let up_to = g.reshape(up_to, [1, PARTS])?;
        // The part is the number of those that end before the quantile; the sum of all shares may round to a little less than 1.
        let passed = g.map_to(&[quantile, up_to], [n, PARTS], |b, v| {
            let (one, zero) = (b.constant(1.0), b.constant(0.0));
            let ahead = b.binary(Binary::Greater, v[1], v[0]);
            b.select(ahead, zero, one)
        })?;
        let part = g.reduce(Reduction::Sum, passed, 1..2)?;
        let part = g.map(&[part], |b, v| {
            let last = b.constant(PARTS as f64 - 1.0);
            b.binary(Binary::Min, v[0], last)
        })?;
        let picked = |g: &mut Graph, before: bool| {
            let terms = g.map_to(&[part, shares], [n, PARTS], |b, v| {
                let (at, zero) = (b.channel(), b.constant(0.0));
                let hit = if before { b.binary(Binary::Greater, v[0], at) } else { b.binary(Binary::Equal, at, v[0]) };
                b.select(hit, v[1], zero)
            })?;
            g.reduce(Reduction::Sum, terms, 1..2)
        };
        let (below, width) = (picked(g, true)?, picked(g, false)?);
        let bent = g.map(&[quantile, below, width, part], |b, v| {
            let (zero, most) = (b.constant(0.0), b.constant(1.0 - 1e-6));
            let beyond = b.sub(v[0], v[1]);
            let within = b.div(beyond, v[2]);
            let within = b.binary(Binary::Max, within, zero);
            let within = b.binary(Binary::Min, within, most);
            let at = b.add(v[3], within);
            b.scale(at, 1.0 / PARTS as f64)
        })?;
        let weight = g.map(&[width], |b, v| {
            let share = b.scale(v[0], PARTS as f64);
            b.unary(Unary::Recip, share)
        })?;
        Ok(Weighed { quantile: bent, weight, part })
    }

    /// Remembers the losses `[N]` of a batch. Changes a persistent tensor, so it belongs behind what is to fuse.
    pub fn remember(&self, g: &mut Graph, spec: &StateSpec, drawn: &Weighed, losses: NodeId) -> Result<()> {
        let n = g.shape(losses).len();
        let (losses, part) = (g.reshape(losses, [1, n])?, g.reshape(drawn.part, [1, n])?);
        let numbers = g.state(spec, self.numbers);
        let hits = g.map_to(&[numbers, part], [PARTS, n], |b, v| b.binary(Binary::Equal, v[0], v[1]))?;
        let heard = g.map_to(&[numbers, part, losses], [PARTS, n], |b, v| {
            let (hit, zero) = (b.binary(Binary::Equal, v[0], v[1]), b.constant(0.0));
            let square = b.mul(v[2], v[2]);
            b.select(hit, square, zero)
        })?;
        let (hits, heard) = (g.reduce(Reduction::Sum, hits, 1..2)?, g.reduce(Reduction::Sum, heard, 1..2)?);
        let (hits, heard) = (g.reshape(hits, [1, PARTS])?, g.reshape(heard, [1, PARTS])?);
        let before = g.state(spec, self.squares);
        let now = g.map(&[before, hits, heard], |b, v| {
            let mean = b.div(v[2], v[1]);
            let fresh = b.scale(mean, 1.0 - MEMORY);
            let old = b.scale(v[0], MEMORY);
            let sum = b.add(old, fresh);
            b.select(v[1], sum, v[0])
        })?;
        g.assign(spec, self.squares, now)
    }
}
