//! ln p of a diffusion model by its probability-flow ODE (Song et al., 2021, "Score-based generative modeling through stochastic
//! differential equations", section 4.3), with Hutchinson's estimate of the trace.
//!
//! In y = x/α over s = σ/α the flow is dy/ds = (y − x̂₀)/s, which is straight where nothing of the item is left, and along it ln p falls by
//! (D − α·tr ∂x̂₀/∂x) d ln s. With the terms that cancel taken out, ln p(y₀) = −D/2·ln 2π − D·ln s₀ − |y_T|²/2s_T² − ∫ α·tr ∂x̂₀/∂x d ln s.

use std::sync::Arc;

use super::LikelihoodOptions;
use crate::data::{Source, one_hot};
use crate::error::{Error, Result};
use crate::graph::{Binary, Distribution, Graph, Step};
use crate::model::noise::Level;
use crate::model::{Denoises, Model, Told, need};
use crate::random;
use crate::runtime::{Device, Program, State};
use crate::shares::Share;

/// The random stream of the signs that the trace is estimated by; the step is 0, so that they stay on the whole way.
const SIGNS: u32 = 0x6469_6604;
/// The random stream of what is added to values on a grid.
const ROUNDED: u32 = 0x6469_6605;
/// Numbers of a run: α, 1/s, the length of the step in s, and whether this is its second half.
const ROW: usize = 4;

/// −ln p of every image by the flow, in nats.
#[derive(Clone, Debug, Default)]
pub struct FlowScores {
    /// By all steps.
    pub nll: Vec<f64>,
    /// By half as many: how far these lie from the others tells what the steps cost.
    pub halved: Vec<f64>,
}

/// One question on the way: inputs `at`, `base`, `before` `[N, H, W, C]`, `head` `[1, 4]`, `row` `[4]` and `labels`; outputs `next`, `kept`,
/// `slope` and `trace` `[N]`.
fn graph(network: &dyn Denoises, n: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let [h, w, c] = network.dims();
    let shape = [n, h, w, c];
    let [at, base, before] = ["at", "base", "before"].map(|name| g.input(name, shape));
    let head = g.input("head", [1, 4]);
    let heads = g.map_to(&[head], [n, 4], |_, v| v[0])?;
    let labels = match network.classes() {
        0 => None,
        classes => {
            let labels = g.input("labels", [n, classes]);
            let none = g.fill([n, 1], 0.0)?;
            Some(g.concat(labels, none, 1)?)
        }
    };
    let numbers = g.input("row", [1, 1, 1, ROW]);
    let [alpha, scale] = [g.slice(numbers, 3, 0, 1)?, g.slice(numbers, 3, 1, 1)?];
    let [length, second] = [g.slice(numbers, 3, 2, 1)?, g.slice(numbers, 3, 3, 1)?];
    let x = g.mul(at, alpha)?;
    let item = network.denoise(&mut g, x, heads, Told { labels, shown: None })?.x0;
    let signs = g.random(Distribution::Uniform, SIGNS, shape)?;
    let signs = g.map(&[signs], |b, v| {
        let (half, one, less) = (b.constant(0.5), b.constant(1.0), b.constant(-1.0));
        let is_upper = b.binary(Binary::Greater, v[0], half);
        b.select(is_upper, one, less)
    })?;
    let turned = g.pullback(item, signs, &[x])?[0];
    let products = g.map(&[turned, signs, alpha], |b, v| {
        let product = b.mul(v[0], v[1]);
        b.mul(product, v[2])
    })?;
    let trace = g.sum_items(products)?;
    let slope = g.map(&[at, item, scale], |b, v| {
        let noise = b.sub(v[0], v[1]);
        b.mul(noise, v[2])
    })?;
    let next = g.map(&[at, base, before, slope, length, second], |b, v| {
        let whole = b.mul(v[3], v[4]);
        let straight = b.add(v[0], whole);
        let both = b.add(v[2], v[3]);
        let both = b.mul(both, v[4]);
        let both = b.scale(both, 0.5);
        let corrected = b.add(v[1], both);
        b.select(v[5], corrected, straight)
    })?;
    // The point where the step began.
    let kept = g.map(&[second, base, at], |b, v| b.select(v[0], v[1], v[2]))?;
    g.output("next", next);
    g.output("kept", kept);
    g.output("slope", slope);
    g.output("trace", trace);
    Ok(g)
}

/// ln σ/α.
fn log_noise(level: Level) -> f64 {
    -level.lambda()
}

/// Scores every image of a source by the flow, in `steps` steps of Heun's method and in half as many; `progress` hears how many are done.
/// Of values on a grid it is the bound that uniform noise within the grid's cells gives.
///
/// # Errors
/// [`Error::Usage`] where the model takes no noise away or there are no such steps; errors of the source and the device.
pub async fn flow_likelihood(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    source: Arc<dyn Source>,
    (options, steps): (&LikelihoodOptions, usize),
    progress: impl FnMut(usize),
) -> Result<FlowScores> {
    let share = Share::of(&options.ranks, source.len());
    let own = flow_own(device, model, state, (source, &share), (options, steps), progress).await;
    let mut scores = options.ranks.agree(own)?;
    share.join(&mut scores.nll)?;
    share.join(&mut scores.halved)?;
    Ok(scores)
}

/// Scores of a share of a source.
async fn flow_own(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    (source, share): (Arc<dyn Source>, &Share),
    (options, steps): (&LikelihoodOptions, usize),
    mut progress: impl FnMut(usize),
) -> Result<FlowScores> {
    let network = need::denoises(model)?;
    let most = network.process().steps();
    if steps < 4 || (most > 0 && steps >= most) {
        let bound = if most > 0 { format!("4 to {}", most - 1) } else { "4 or more".into() };
        return Err(Error::usage(format!("ode is a number of steps, {bound} of this run, not {steps}")));
    }
    let (mut program, _, batch) =
        Program::of_items(device, state, options.weights, share.at_once(device, options.batch), |n| graph(network, n)).await?;
    let item: usize = source.dims().iter().product();
    let classes = source.classes();
    let cell = network.value_levels().map(|levels| 2.0 / (levels.max(2) - 1) as f32);
    let mut scores = FlowScores::default();
    for part in options.batches(source, share, batch, model) {
        let mut part = part?;
        let (count, first) = (part.indices.len(), share.own().start + scores.nll.len());
        if let Some(cell) = cell {
            let word = |i: usize| random::unit(random::word(options.seed, ROUNDED, 0, (first * item + i) as u64));
            part.values.iter_mut().enumerate().for_each(|(i, v)| *v += cell * (word(i) - 0.5));
        }
        part.values.resize(batch * item, 0.0);
        if model.conditional() {
            program.write("labels", &one_hot(&part.labels, classes, batch))?;
        }
        let step = Step { seed: options.seed, first_item: first as u32, ..Step::default() };
        for (steps, into) in [(steps, &mut scores.nll), (steps / 2, &mut scores.halved)] {
            let mut found = gone(&mut program, state, network, &part.values, (steps, &step)).await?;
            found.truncate(count);
            // Of a cell's probability: its width times the density.
            into.extend(found.iter().map(|log_p| -log_p - cell.map_or(0.0, |cell| item as f64 * f64::from(cell).ln())));
        }
        progress(share.done(scores.nll.len()));
    }
    Ok(scores)
}

/// ln of the density of each item, on the way to noise.
async fn gone(
    program: &mut Program,
    state: &mut State,
    network: &dyn Denoises,
    items: &[f32],
    (steps, step): (usize, &Step),
) -> Result<Vec<f64>> {
    let mut levels = network.process().ladder(steps + 1);
    levels.pop();
    levels.reverse();
    let len: usize = network.dims().iter().product();
    let mut traces = vec![0.0; items.len() / len];
    program.write("at", items)?;
    for pair in levels.windows(2) {
        let [from, to] = [pair[0], pair[1]].map(log_noise);
        let (length, ratio) = (to.exp() - from.exp(), to - from);
        for (half, level) in pair.iter().enumerate() {
            program.write("head", &network.process().head(*level).row())?;
            let scale = (-log_noise(*level)).exp();
            program.write("row", &[level.alpha, scale, length, half as f64].map(|v| v as f32))?;
            program.run(state, step).await?;
            let found = program.read(state, "trace").await?;
            traces.iter_mut().zip(found).for_each(|(sum, trace)| *sum += ratio / 2.0 * f64::from(trace));
            for (output, input) in [("kept", "base"), ("slope", "before"), ("next", "at")] {
                program.carry(state, output, input)?;
            }
        }
    }
    let last = program.read(state, "next").await?;
    let (first, end) = (log_noise(levels[0]), log_noise(levels[levels.len() - 1]).exp());
    let d = len as f64;
    let log_p = last.chunks(len).zip(&traces).map(|(y, trace)| {
        let square: f64 = y.iter().map(|v| (f64::from(*v) / end).powi(2)).sum();
        -d / 2.0 * (2.0 * std::f64::consts::PI).ln() - d * first - square / 2.0 - trace
    });
    Ok(log_p.collect())
}
