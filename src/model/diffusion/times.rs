//! The times of a training batch, drawn on the device, and what belongs to each.
//!
//! Times are spread evenly over a batch, from one uniform draw: item i of N takes the quantile frac(u + i/N), which halves the noise of
//! the loss (Kingma et al., 2021, appendix I.1).

use super::importance::{Importance, Weighed};
use crate::error::Result;
use crate::graph::{Binary, Builder, Distribution, Graph, Init, Layout, NodeId, StateId, StateSpec, Unary, Value};
use crate::model::noise::{LOG_SIGMA, Level, Process, SIGMA_DATA, SIGMAS, Schedule, TIMES};
use crate::op::Reduction;

/// Columns of the table of a process in steps.
const COLUMNS: [&str; 5] = ["alpha", "sigma", "time", "asked_item", "asked_noise"];

/// What a training step knows of each item's level, each `[N, 1, 1, 1]`.
pub struct Levels {
    /// Factor of the item.
    pub alpha: NodeId,
    /// Factor of the noise.
    pub sigma: NodeId,
    /// Factor of what the network reads, where it is not 1.
    pub input: Option<NodeId>,
    /// What the network is told.
    pub time: NodeId,
    /// Factors of the item and of the noise in what it is asked for.
    pub asked: [NodeId; 2],
    /// The step, from 0, where there are steps.
    pub step: Option<NodeId>,
    /// How the times were drawn, where not evenly.
    pub weighed: Option<Weighed>,
}

/// The tables of a process in steps, one row a column of them.
pub struct Table {
    steps: usize,
    columns: Vec<StateId>,
}

impl Table {
    /// Registers the table of a process; columns beside those of every process are `more`.
    pub fn new(spec: &mut StateSpec, group: usize, process: &Process, more: &[(&str, Vec<f64>)]) -> Self {
        let steps = process.steps();
        let column = |pick: fn(&Process, Level) -> f64| (0..steps).map(|t| pick(process, process.step(t))).collect::<Vec<f64>>();
        let own: [Vec<f64>; 5] = [
            column(|_, l| l.alpha),
            column(|_, l| l.sigma),
            column(|_, l| l.time),
            column(|p, l| p.asked(l)[0]),
            column(|p, l| p.asked(l)[1]),
        ];
        let columns = COLUMNS.into_iter().zip(&own).chain(more.iter().map(|(name, values)| (*name, values)));
        let columns = columns.map(|(name, values)| {
            let values = values.iter().map(|v| *v as f32).collect();
            spec.tensor(group, &format!("schedule.{name}"), [1, steps], Init::Values(values), Layout::Derived, false)
        });
        Self { steps, columns: columns.collect() }
    }

    /// Column `k` at each item's step, `[N, 1, 1, 1]`. Picked by a sum with one term, so that it is exact in every precision.
    pub fn at(&self, g: &mut Graph, spec: &StateSpec, step: NodeId, k: usize) -> Result<NodeId> {
        let n = g.shape(step).len();
        let step = g.reshape(step, [n, 1])?;
        let column = g.state(spec, self.columns[k]);
        let picked = g.map_to(&[step, column], [n, self.steps], |b, v| {
            let (at, zero) = (b.channel(), b.constant(0.0));
            let hit = b.binary(Binary::Equal, at, v[0]);
            b.select(hit, v[1], zero)
        })?;
        let found = g.reduce(Reduction::Sum, picked, 1..2)?;
        g.reshape(found, [n, 1, 1, 1])
    }

    /// Column `k` of those that were registered beside those of every process.
    pub fn more(&self, g: &mut Graph, spec: &StateSpec, step: NodeId, k: usize) -> Result<NodeId> {
        self.at(g, spec, step, COLUMNS.len() + k)
    }
}

/// frac(u + channel / n): the quantile of each of n items.
fn spread(b: &mut Builder, u: Value, n: usize) -> Value {
    let item = b.channel();
    let share = b.scale(item, 1.0 / n as f64);
    let sum = b.add(u, share);
    let whole = b.unary(Unary::Floor, sum);
    b.sub(sum, whole)
}

impl Levels {
    /// Draws the levels of a batch of `n` items; by the weights of `importance`, where there is one.
    pub fn draw(
        g: &mut Graph,
        spec: &StateSpec,
        n: usize,
        process: &Process,
        table: Option<&Table>,
        importance: Option<&Importance>,
    ) -> Result<Self> {
        let stream = g.stream();
        let u = g.random(Distribution::Uniform, stream, [1])?;
        let even = g.map_to(&[u], [n], |b, v| spread(b, v[0], n))?;
        let weighed = importance.map(|importance| importance.bend(g, spec, even)).transpose()?;
        let quantile = g.reshape(weighed.as_ref().map_or(even, |w| w.quantile), [n, 1, 1, 1])?;
        let levels = match table {
            Some(table) => Self::of_table(g, spec, quantile, table)?,
            None if process.schedule() == Schedule::Edm => Self::of_edm(g, n)?,
            None => Self::of_flow(g, quantile)?,
        };
        Ok(Self { weighed, ..levels })
    }

    fn of_table(g: &mut Graph, spec: &StateSpec, quantile: NodeId, table: &Table) -> Result<Self> {
        let steps = table.steps as f64;
        let step = g.map(&[quantile], |b, v| {
            let at = b.scale(v[0], steps);
            let at = b.unary(Unary::Floor, at);
            let last = b.constant(steps - 1.0);
            b.binary(Binary::Min, at, last)
        })?;
        let mut at = |k: usize| table.at(g, spec, step, k);
        let (alpha, sigma, time, asked) = (at(0)?, at(1)?, at(2)?, [at(3)?, at(4)?]);
        Ok(Self { alpha, sigma, input: None, time, asked, step: Some(step), weighed: None })
    }

    fn of_edm(g: &mut Graph, n: usize) -> Result<Self> {
        let stream = g.stream();
        let shape = [n, 1, 1, 1];
        let [mean, deviation] = LOG_SIGMA;
        let normal = g.random(Distribution::Normal, stream, shape)?;
        let log_sigma = g.map(&[normal], |b, v| {
            let wide = b.scale(v[0], deviation);
            b.offset(wide, mean)
        })?;
        let alpha = g.fill(shape, 1.0)?;
        let sigma = g.map(&[log_sigma], |b, v| b.unary(Unary::Exp, v[0]))?;
        // √(σ² + σ_data²)
        let both = g.map(&[sigma], |b, v| {
            let square = b.mul(v[0], v[0]);
            let sum = b.offset(square, SIGMA_DATA * SIGMA_DATA);
            b.unary(Unary::Sqrt, sum)
        })?;
        let input = g.map(&[both], |b, v| b.unary(Unary::Recip, v[0]))?;
        let [least, most] = SIGMAS.map(f64::ln);
        let time = g.map(&[log_sigma], |b, v| {
            let from = b.offset(v[0], -least);
            b.scale(from, TIMES / (most - least))
        })?;
        // (x₀ − skip·x) / out with skip = σ_data² / both², out = σ·σ_data / both: x₀·σ / (σ_data·both) − ε·σ_data / both.
        let of_item = g.map(&[sigma, both], |b, v| {
            let share = b.div(v[0], v[1]);
            b.scale(share, 1.0 / SIGMA_DATA)
        })?;
        let of_noise = g.map(&[both], |b, v| {
            let share = b.unary(Unary::Recip, v[0]);
            b.scale(share, -SIGMA_DATA)
        })?;
        Ok(Self { alpha, sigma, input: Some(input), time, asked: [of_item, of_noise], step: None, weighed: None })
    }

    fn of_flow(g: &mut Graph, quantile: NodeId) -> Result<Self> {
        let shape = g.shape(quantile).clone();
        let alpha = g.map(&[quantile], |b, v| {
            let one = b.constant(1.0);
            b.sub(one, v[0])
        })?;
        let time = g.scale(quantile, TIMES)?;
        let asked = [g.fill(shape.clone(), -1.0)?, g.fill(shape, 1.0)?];
        Ok(Self { alpha, sigma: quantile, input: None, time, asked, step: None, weighed: None })
    }
}
