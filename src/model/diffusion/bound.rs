//! The variational bound, −ln p(x) ≤ L_T + Σ L_t + L_0 (Ho, Jain and Abbeel, 2020, equation 5), one term a pass of one graph.
//!
//! A chain of fewer steps than the network was trained with is a model of its own, with a bound of its own, looser but no estimate: every
//! term is there. x̂₀ is cut to the range of the values, as it is where items are drawn.

use super::Diffusion;
use super::variance::{between, divergence};
use crate::error::{Error, Result};
use crate::graph::{Binary, Distribution, Graph};
use crate::model::noise::{Level, Variance};
use crate::model::{Denoises, Score, Scores, Told, discretised};

/// The random stream of the noise that items are scored with; the step is the pass, the element is the item's.
const SCORING: u32 = 0x6469_6603;
/// Numbers of a pass: α, σ, the head's four, the item's share in the mean of the step back, ln β̃, the logarithms of the variances between
/// which the model's own lies, whether the step ends at the clean item, and the factor of x² in L_T.
const ROW: usize = 12;
/// Steps of a bound where nobody says how many.
const STEPS: usize = 50;

/// A pass's numbers for the step back to `to`, of a chain `levels` from most to least noise, the clean one last.
fn row(model: &dyn Denoises, levels: &[Level], i: usize) -> Vec<f32> {
    let process = model.process();
    let [from, to] = [levels[i], levels[i + 1]];
    let back = process.back(from, to);
    let last = to.sigma == 0.0;
    let small = match i.checked_sub(1) {
        _ if !last => back.small,
        // The variance of the last step given x₀ is 0: that of the step before is the least there is (Ho, Jain and Abbeel, 2020).
        Some(before) if process.steps() > 0 => process.back(levels[before], from).small,
        // That of an item of which nothing is known but its noised values.
        _ => (from.sigma / from.alpha).powi(2),
    };
    let [low, high] = match model.variance() {
        Variance::FixedSmall => [small, small],
        Variance::FixedLarge => [back.large, back.large],
        Variance::Learnt => [small, back.large],
    };
    let head = process.head(from).row().map(f64::from);
    let prior = if i == 0 { (from.alpha / from.sigma).powi(2) / 2.0 } else { 0.0 };
    let own = [back.of_item, small.ln(), low.ln(), high.ln(), f64::from(u8::from(last)), prior];
    [from.alpha, from.sigma].into_iter().chain(head).chain(own).map(|v| v as f32).collect()
}

/// The passes of a network's bound of so many steps (unsaid: as suits it), each a value of the input `pass` of [`bound_graph`].
///
/// # Errors
/// [`Error::Usage`] where it has none of so many.
pub fn bound_passes(network: &dyn Denoises, steps: Option<usize>) -> Result<Vec<Vec<f32>>> {
    let most = network.process().steps();
    let own = if most > 0 { STEPS.min(most) } else { STEPS };
    let steps = steps.unwrap_or(own);
    if steps < 2 || (most > 0 && steps > most) {
        let most = if most > 0 { format!("2 to {most}") } else { "2 or more".into() };
        return Err(Error::usage(format!("steps of a bound of this run are {most}, not {steps}")));
    }
    let levels = network.process().ladder(steps);
    Ok((0..steps).map(|i| row(network, &levels, i)).collect())
}

/// One pass of a network's bound: inputs `x` `[N, H, W, C]`, `labels` `[N, classes]` where it takes them and `pass`; outputs as of
/// [`Scores::likelihood_graph`], with the parts `prior`, `between` and `decoder`.
///
/// # Errors
/// [`Error::Shape`] where the graph cannot be built.
pub fn bound_graph(network: &dyn Denoises, batch: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let [h, w, c] = network.dims();
    let shape = [batch, h, w, c];
    let x = g.input("x", shape);
    let labels = match network.classes() {
        0 => None,
        classes => {
            let labels = g.input("labels", [batch, classes]);
            let none = g.fill([batch, 1], 0.0)?;
            Some(g.concat(labels, none, 1)?)
        }
    };
    let numbers = g.input("pass", [1, 1, 1, ROW]);
    let number = |g: &mut Graph, k: usize| g.slice(numbers, 3, k, 1);
    let [alpha, sigma] = [number(&mut g, 0)?, number(&mut g, 1)?];
    let noised = g.map_to(&[x, alpha, sigma], shape, |b, v| {
        let noise = b.random(Distribution::Normal, SCORING);
        let (item, noise) = (b.mul(v[0], v[1]), b.mul(v[2], noise));
        b.add(item, noise)
    })?;
    let head = g.slice(numbers, 3, 2, 4)?;
    let head = g.reshape(head, [1, 4])?;
    let heads = g.map_to(&[head], [batch, 4], |_, v| v[0])?;
    let shown = network.shown().map(|shown| shown.of_images(&mut g, x)).transpose()?;
    let found = network.denoise(&mut g, noised, heads, Told { labels, shown })?;
    let mut item = found.x0;
    if network.value_levels().is_some() {
        item = g.map(&[item], |b, v| {
            let (low, high) = (b.constant(-1.0), b.constant(1.0));
            let above = b.binary(Binary::Max, v[0], low);
            b.binary(Binary::Min, above, high)
        })?;
    }
    let [of_item, log_small, low, high] = [number(&mut g, 6)?, number(&mut g, 7)?, number(&mut g, 8)?, number(&mut g, 9)?];
    let [last, prior] = [number(&mut g, 10)?, number(&mut g, 11)?];
    let log_var = match found.share {
        Some(share) => between(&mut g, [share, low, high])?,
        None => low,
    };
    let divergence = divergence(&mut g, [x, item, of_item, log_small, log_var])?;
    let told = match network.value_levels() {
        Some(levels) => discretised::nll(&mut g, [x, item, log_var], levels)?,
        None => discretised::density_nll(&mut g, [x, item, log_var])?,
    };
    let start = g.map(&[x, prior], |b, v| {
        let square = b.mul(v[0], v[0]);
        b.mul(square, v[1])
    })?;
    let steps = g.map(&[divergence, last], |b, v| {
        let zero = b.constant(0.0);
        b.select(v[1], zero, v[0])
    })?;
    let decoder = g.map(&[told, last], |b, v| {
        let zero = b.constant(0.0);
        b.select(v[1], v[0], zero)
    })?;
    let map = g.map(&[start, steps, decoder], |b, v| {
        let sum = b.add(v[0], v[1]);
        b.add(sum, v[2])
    })?;
    let nll = g.sum_items(map)?;
    g.output("nll", nll);
    g.output("nll_map", map);
    for (name, part) in [("prior", start), ("between", steps), ("decoder", decoder)] {
        let part = g.sum_items(part)?;
        g.output(name, part);
    }
    Ok(g)
}

impl Scores for Diffusion {
    fn score(&self) -> Score {
        Score::Bound
    }

    fn parts(&self) -> &'static [(&'static str, &'static str)] {
        &[("prior", "L_T"), ("between", "all L_t"), ("decoder", "L_0")]
    }

    fn passes(&self, steps: Option<usize>) -> Result<Vec<Vec<f32>>> {
        bound_passes(self, steps)
    }

    fn likelihood_graph(&self, batch: usize) -> Result<Graph> {
        bound_graph(self, batch)
    }
}
