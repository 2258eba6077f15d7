//! The graph of one move.

use std::str::FromStr;

use super::solver::Move;
use crate::error::{Error, Result};
use crate::graph::{Binary, Distribution, Graph, NodeId, Unary};
use crate::model::noise::Variance;
use crate::model::{Denoises, Told};
use crate::op::Reduction;

/// Numbers of a move that the graph reads.
pub(super) const ROW: usize = 10;
/// The random stream of fresh noise; the step is the move, the element is the item's.
const FRESH: u32 = 0x6469_6601;
/// The random stream of the noise on what is given.
const GIVEN: u32 = 0x6469_6602;
/// Halvings in which the threshold of an item is found: to a millionth of the way from 1 to its largest value.
const HALVINGS: usize = 20;

/// What becomes of x̂₀ beyond −1..1, where values stand on a grid between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// It stays.
    None,
    /// It is cut to −1..1.
    Static,
    /// An item's values are cut to ±s and divided by s, with s the quantile of their sizes, at least 1 (Saharia et al., 2022, section 2.3).
    Dynamic(f64),
}

impl FromStr for Threshold {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "none" => Ok(Self::None),
            "static" => Ok(Self::Static),
            _ => match word.parse() {
                Ok(quantile) if quantile > 0.0 && quantile < 1.0 => Ok(Self::Dynamic(quantile)),
                _ => Err(Error::usage(format!("a threshold is none, static, or the quantile of a dynamic one, such as .995, not {word}"))),
            },
        }
    }
}

/// What a sampler is prepared for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// x̂₀ is that without a label plus `guidance` times what the label makes of it (Ho and Salimans, 2021): 1 is the model's own p(x|y), 0 its
    /// p(x).
    pub guidance: f64,
    /// What becomes of x̂₀ beyond −1..1.
    pub threshold: Threshold,
    /// Whether jobs keep given values.
    pub region: bool,
    /// Whether what items seem to be is moved from outside.
    pub pushed: bool,
}

impl Options {
    /// The model's own distribution, values cut to −1..1.
    pub const PLAIN: Self = Self { guidance: 1.0, threshold: Threshold::Static, region: false, pushed: false };

    /// Refuses what a network cannot be asked.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self, network: &dyn Denoises) -> Result<()> {
        if !self.guidance.is_finite() || self.guidance < 0.0 {
            return Err(Error::usage(format!("--guidance must be a number from 0, not {}", self.guidance)));
        }
        if self.guidance != 1.0 && network.classes() == 0 {
            return Err(Error::usage("--guidance needs a run that was trained with labels and without: one of --set conditional=true"));
        }
        Ok(())
    }
}

/// What the graph reads of a move.
pub(super) fn row(m: &Move) -> [f32; ROW] {
    let [small, large] = m.learnt.unwrap_or([0.0; 2]);
    let fresh = if m.learnt.is_some() { 1.0 } else { m.noise };
    let ends = f64::from(u8::from(m.ends));
    [m.base, m.at, m.item, m.before, fresh, ends, small, large, m.to.alpha, m.to.sigma].map(|v| v as f32)
}

/// Inputs `at`, `base`, `before` `[N, H, W, C]`, `head` `[4]`, `move` `[10]`, and `labels` `[N, classes + 1]`, `shown`, `mask`, `given` and `push` (what is added to x̂₀)
/// where there are any, to outputs `next`, `kept` (where the next move's step began) and `x0`.
pub(super) fn step_graph(network: &dyn Denoises, options: &Options, n: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let [h, w, c] = network.dims();
    let shape = [n, h, w, c];
    let [at, base, before] = ["at", "base", "before"].map(|name| g.input(name, shape));
    let numbers = g.input("move", [1, 1, 1, ROW]);
    let number = |g: &mut Graph, k: usize| g.slice(numbers, 3, k, 1);
    let (mut x0, share) = ask(&mut g, network, options.guidance, at)?;
    if options.pushed {
        let push = g.input("push", shape);
        x0 = g.add(x0, push)?;
    }
    if network.value_levels().is_some() {
        x0 = cut(&mut g, x0, options.threshold)?;
    }
    let learnt = share.filter(|_| network.variance() == Variance::Learnt);
    let [by_base, by_at, by_item, by_before] = [number(&mut g, 0)?, number(&mut g, 1)?, number(&mut g, 2)?, number(&mut g, 3)?];
    let mut next = g.map(&[base, at, x0, before, by_base, by_at, by_item, by_before], |b, v| {
        let parts = [0, 1, 2, 3].map(|k| b.mul(v[k], v[k + 4]));
        let [first, second] = [b.add(parts[0], parts[1]), b.add(parts[2], parts[3])];
        b.add(first, second)
    })?;
    let fresh = number(&mut g, 4)?;
    next = match learnt {
        Some(share) => {
            let [small, large] = [number(&mut g, 6)?, number(&mut g, 7)?];
            g.map(&[next, fresh, share, small, large], |b, v| {
                let noise = b.random(Distribution::Normal, FRESH);
                let width = b.sub(v[4], v[3]);
                let above = b.mul(v[2], width);
                let log_var = b.add(v[3], above);
                let half = b.scale(log_var, 0.5);
                let deviation = b.unary(Unary::Exp, half);
                let deviation = b.mul(deviation, v[1]);
                let away = b.mul(deviation, noise);
                b.add(v[0], away)
            })?
        }
        None => g.map(&[next, fresh], |b, v| {
            let noise = b.random(Distribution::Normal, FRESH);
            let away = b.mul(v[1], noise);
            b.add(v[0], away)
        })?,
    };
    if options.region {
        let [mask, given] = ["mask", "given"].map(|name| g.input(name, shape));
        let [alpha, sigma] = [number(&mut g, 8)?, number(&mut g, 9)?];
        next = g.map(&[next, mask, given, alpha, sigma], |b, v| {
            let noise = b.random(Distribution::Normal, GIVEN);
            let (item, noise) = (b.mul(v[2], v[3]), b.mul(v[4], noise));
            let known = b.add(item, noise);
            b.select(v[1], known, v[0])
        })?;
    }
    let ends = number(&mut g, 5)?;
    let kept = g.map(&[ends, next, base], |b, v| b.select(v[0], v[1], v[2]))?;
    g.output("next", next);
    g.output("kept", kept);
    g.output("x0", x0);
    Ok(g)
}

/// x̂₀ and the share of the variance, guided; with and without labels in one batch where both are needed.
fn ask(g: &mut Graph, network: &dyn Denoises, guidance: f64, at: NodeId) -> Result<(NodeId, Option<NodeId>)> {
    let n = g.shape(at).dims()[0];
    let head = g.input("head", [1, 4]);
    let shown = network.shown().map(|shown| {
        let [h, w, c] = shown.dims(network.dims());
        g.input("shown", [n, h, w, c])
    });
    let heads = |g: &mut Graph, n: usize| g.map_to(&[head], [n, 4], |_, v| v[0]);
    let classes = network.classes();
    if classes == 0 {
        let head = heads(g, n)?;
        let found = network.denoise(g, at, head, Told { labels: None, shown })?;
        return Ok((found.x0, found.share));
    }
    let labels = g.input("labels", [n, classes + 1]);
    let none = g.map_to(&[], [n, classes + 1], |b, _| {
        let (channel, last) = (b.channel(), b.constant(classes as f64));
        b.binary(Binary::Equal, channel, last)
    })?;
    if guidance == 1.0 || guidance == 0.0 {
        let head = heads(g, n)?;
        let found = network.denoise(g, at, head, Told { labels: Some(if guidance == 1.0 { labels } else { none }), shown })?;
        return Ok((found.x0, found.share));
    }
    let both = g.concat(at, at, 0)?;
    let labels = g.concat(labels, none, 0)?;
    let head = heads(g, 2 * n)?;
    let shown = shown.map(|shown| g.concat(shown, shown, 0)).transpose()?;
    let found = network.denoise(g, both, head, Told { labels: Some(labels), shown })?;
    let [told, untold] = [g.slice(found.x0, 0, 0, n)?, g.slice(found.x0, 0, n, n)?];
    let x0 = g.map(&[told, untold], |b, v| {
        let more = b.sub(v[0], v[1]);
        let more = b.scale(more, guidance);
        b.add(v[1], more)
    })?;
    // The variance is that of p(x|y): only means are guided (Nichol et al., 2021).
    let share = found.share.map(|share| g.slice(share, 0, 0, n)).transpose()?;
    Ok((x0, share))
}

fn cut(g: &mut Graph, x0: NodeId, threshold: Threshold) -> Result<NodeId> {
    match threshold {
        Threshold::None => Ok(x0),
        Threshold::Static => g.map(&[x0], |b, v| {
            let (low, high) = (b.constant(-1.0), b.constant(1.0));
            let above = b.binary(Binary::Max, v[0], low);
            b.binary(Binary::Min, above, high)
        }),
        Threshold::Dynamic(quantile) => {
            let size = g.map(&[x0], |b, v| b.unary(Unary::Abs, v[0]))?;
            let limit = quantile_of(g, size, quantile)?;
            g.map(&[x0, limit], |b, v| {
                let low = b.neg(v[1]);
                let above = b.binary(Binary::Max, v[0], low);
                let within = b.binary(Binary::Min, above, v[1]);
                b.div(within, v[1])
            })
        }
    }
}

/// The quantile of each item's values `[N, H, W, C]`, at least 1, by halving: `[N, 1, 1, 1]`.
fn quantile_of(g: &mut Graph, sizes: NodeId, quantile: f64) -> Result<NodeId> {
    let dims = g.shape(sizes).dims().to_vec();
    let count = dims[1..].iter().product::<usize>() as f64;
    let one = [dims[0], 1, 1, 1];
    let most = g.reduce(Reduction::Max, sizes, 1..4)?;
    let mut high = g.map(&[most], |b, v| {
        let one = b.constant(1.0);
        b.binary(Binary::Max, v[0], one)
    })?;
    let mut low = g.fill(one, 1.0)?;
    for _ in 0..HALVINGS {
        let middle = g.map(&[low, high], |b, v| {
            let sum = b.add(v[0], v[1]);
            b.scale(sum, 0.5)
        })?;
        let above = g.map(&[sizes, middle], |b, v| b.binary(Binary::Greater, v[0], v[1]))?;
        let above = g.reduce(Reduction::Sum, above, 1..4)?;
        let is_low = g.map(&[above], |b, v| {
            let limit = b.constant((1.0 - quantile) * count);
            b.binary(Binary::Greater, v[0], limit)
        })?;
        let moved = [
            g.map(&[is_low, middle, low], |b, v| b.select(v[0], v[1], v[2]))?,
            g.map(&[is_low, high, middle], |b, v| b.select(v[0], v[1], v[2]))?,
        ];
        [low, high] = moved;
    }
    Ok(high)
}
