//! p(x|y) ∝ p(y|x) p(x) from a model that draws x and a classifier that tells y: by rejection, exactly, and by resampling; and by guidance of
//! diffusion.

use super::diffusion::{Push, Pushed};
use crate::data::one_hot;
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::noise::Level;
use crate::model::{Model, need};
use crate::random;
use crate::runtime::{Device, Program, State, Weights};

/// Images judged at a time.
const CHUNK: usize = 256;
/// The random stream of what is kept; the element is the image's number.
const KEEP: u32 = 0x6775_6901;
/// The random stream of the one draw that resampling takes.
const PICK: u32 = 0x6775_6902;

/// ln p(y|x) of one class y, as a classifier says.
pub struct Guide {
    program: Program,
    chunk: usize,
    item: usize,
    labels: Vec<f32>,
    reads_rows: bool,
}

impl Guide {
    /// A classifier on a device, asked for a class of so many, of up to `most` images at a time.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model is no classifier; errors of the device.
    pub async fn new(
        device: &Device,
        (model, state, weights): (&dyn Model, &State, Weights),
        (class, classes): (u32, usize),
        most: usize,
    ) -> Result<Self> {
        let judging = need::judges(model)?;
        let (program, graph, chunk) = Program::of_items(device, state, weights, CHUNK.min(most), |items| {
            let mut graph = judging.judge_graph(items)?;
            graph.keep_outputs(&["nll"]);
            Ok(graph)
        })
        .await?;
        let item = graph.inputs().get("x").map_or(0, |x| graph.shape(*x).len() / chunk);
        Ok(Self { program, chunk, item, labels: one_hot(&vec![class; chunk], classes, chunk), reads_rows: judging.reads_rows() })
    }

    /// ln p(y|x) of images `[N, H, W, C]` in the scale of the classifier's input.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn log_p(&mut self, state: &mut State, images: &[f32]) -> Result<Vec<f64>> {
        self.log_p_of_rows(state, images, 1.0).await
    }

    /// The same of the first rows alone, a share of all, of a classifier that knows of such ([`crate::model::Judges::reads_rows`]).
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn log_p_of_rows(&mut self, state: &mut State, images: &[f32], share: f64) -> Result<Vec<f64>> {
        let mut log_p = Vec::new();
        if self.reads_rows {
            self.program.write("hidden", &vec![(1.0 - share) as f32; self.chunk])?;
        }
        self.program.write("labels", &self.labels)?;
        for part in images.chunks(self.chunk * self.item) {
            let mut x = part.to_vec();
            x.resize(self.chunk * self.item, 0.0);
            self.program.write("x", &x)?;
            self.program.run(state, &Step::default()).await?;
            let nll = self.program.read(state, "nll").await?;
            log_p.extend(nll[..part.len() / self.item].iter().map(|v| -f64::from(*v)));
        }
        Ok(log_p)
    }
}

/// The slope of ln p(y|x) of one class y, as a classifier says.
pub struct Slopes {
    program: Program,
    chunk: usize,
    item: usize,
    labels: Vec<f32>,
    noised: bool,
}

impl Slopes {
    /// A classifier on a device, asked for a class of so many, of up to `most` images at a time.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model is no classifier; errors of the device.
    pub async fn new(
        device: &Device,
        (model, state, weights): (&dyn Model, &State, Weights),
        (class, classes): (u32, usize),
        most: usize,
    ) -> Result<Self> {
        let judging = need::judges(model)?;
        let (program, graph, chunk) = Program::of_items(device, state, weights, CHUNK.min(most), |items| {
            let mut graph = judging.judge_graph(items)?;
            let output = |name: &str| graph.outputs().iter().find(|(n, _)| n == name).map(|(_, id)| *id);
            let (Some(nll), Some(x)) = (output("nll"), graph.inputs().get("x").copied()) else {
                return Err(Error::Shape("a classifier tells nll of x".into()));
            };
            let total = graph.sum_all(nll)?;
            let log_p = graph.scale(total, -1.0)?;
            let slope = graph.gradients(log_p, &[x])?;
            graph.output("slope", slope[0]);
            graph.keep_outputs(&["nll", "slope"]);
            Ok(graph)
        })
        .await?;
        let item = graph.inputs().get("x").map_or(0, |x| graph.shape(*x).len() / chunk);
        Ok(Self { program, chunk, item, labels: one_hot(&vec![class; chunk], classes, chunk), noised: judging.noised() })
    }

    /// ln p(y|x) of images `[N, H, W, C]` of which noise has a share ([`crate::model::Judges::noised`]), `[N]`, and its slope by each value.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn of(&mut self, state: &mut State, images: &[f32], noise: f32) -> Result<(Vec<f64>, Vec<f32>)> {
        let (mut log_p, mut slopes) = (Vec::new(), Vec::with_capacity(images.len()));
        self.program.write("labels", &self.labels)?;
        if self.noised {
            self.program.write("noise", &vec![noise; self.chunk])?;
        }
        for part in images.chunks(self.chunk * self.item) {
            let mut x = part.to_vec();
            x.resize(self.chunk * self.item, 0.0);
            self.program.write("x", &x)?;
            self.program.run(state, &Step::default()).await?;
            let nll = self.program.read(state, "nll").await?;
            log_p.extend(nll[..part.len() / self.item].iter().map(|v| -f64::from(*v)));
            slopes.extend_from_slice(&self.program.read(state, "slope").await?[..part.len()]);
        }
        Ok((log_p, slopes))
    }
}

/// Guidance by a classifier of noised images (Dhariwal and Nichol, 2021, "Diffusion models beat GANs on image synthesis"): ε̂ − s·σ·∇ ln p(y|x_t),
/// which is x̂₀ + s·σ²/α·∇ ln p(y|x_t).
pub struct ClassPush<'a> {
    /// The classifier.
    pub slopes: &'a mut Slopes,
    /// Its weights.
    pub state: &'a mut State,
    /// s: 1 is p(x|y), more is surer of the class and less varied.
    pub scale: f64,
}

impl Push for ClassPush<'_> {
    fn push<'a>(&'a mut self, level: Level, points: &'a [f32]) -> Pushed<'a> {
        Box::pin(async move {
            let Level { alpha, sigma, .. } = level;
            let length = alpha.hypot(sigma);
            if alpha == 0.0 {
                return Ok(vec![0.0; points.len()]);
            }
            // As the classifier sees it: of variance 1, and 0..1 where it would be −1..1.
            let seen: Vec<f32> = points.iter().map(|v| ((f64::from(*v) / length + 1.0) / 2.0) as f32).collect();
            let (_, slopes) = self.slopes.of(self.state, &seen, (sigma / length) as f32).await?;
            let factor = (self.scale * weight(level) / (2.0 * length)) as f32;
            Ok(slopes.into_iter().map(|slope| slope * factor).collect())
        })
    }
}

/// What x̂₀ moves by where ln p(y|x_t) has the slope 1: σ²/α.
fn weight(level: Level) -> f64 {
    level.sigma * level.sigma / level.alpha
}

/// Draws images of a model, and tells ln p(y|x) of them.
pub trait Proposes {
    /// Images `first..first + count` of the model, `[count, H, W, C]`, and ln p(y|x) of each.
    ///
    /// # Errors
    /// Errors of the device.
    fn propose(&mut self, first: usize, count: usize) -> Result<(Vec<f32>, Vec<f64>)>;
}

/// Images of p(x|y).
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The images, one after another.
    pub images: Vec<f32>,
    /// Which draw each is.
    pub numbers: Vec<usize>,
    /// Images that were drawn for them: by rejection up to the last that was kept.
    pub drawn: usize,
    /// Mean p(y|x) over all that were judged: what the model and the classifier make of p(y).
    pub mean_p: f64,
    /// Effective number of the weights, (Σw)²/Σw², of resampling.
    pub effective: f64,
}

/// Draws until `wanted` images are kept, each with its own probability p(y|x): those are of p(x|y) itself, whatever p(y) is, and 1 of 1/p(y) is
/// kept. Which, depends on the seed and their numbers alone.
///
/// # Errors
/// [`Error::Usage`] where `most` draws are not enough; those of `source`.
pub fn reject(source: &mut dyn Proposes, wanted: usize, most: usize, seed: u64) -> Result<Chosen> {
    let mut chosen = Chosen { images: Vec::new(), numbers: Vec::new(), drawn: 0, mean_p: 0.0, effective: f64::NAN };
    let (mut first, mut sum) = (0, 0.0);
    while chosen.numbers.len() < wanted && first < most {
        // As many as will do if things go on so, and no fewer than go side by side.
        let rate = chosen.numbers.len() as f64 / first.max(1) as f64;
        let likely = ((wanted - chosen.numbers.len()) as f64 / rate.max(0.1)).ceil() as usize;
        let count = likely.clamp(CHUNK, 16 * CHUNK).min(most - first);
        let (images, log_p) = source.propose(first, count)?;
        let item = images.len() / count;
        for (number, (image, log_p)) in (first..).zip(images.chunks(item).zip(log_p)) {
            sum += log_p.exp();
            let draw = f64::from(random::unit(random::word(seed, KEEP, 0, number as u64)));
            if chosen.numbers.len() < wanted && draw < log_p.exp() {
                chosen.images.extend_from_slice(image);
                chosen.numbers.push(number);
                chosen.drawn = number + 1;
            }
        }
        first += count;
    }
    chosen.mean_p = sum / first.max(1) as f64;
    if chosen.numbers.len() < wanted {
        let (found, share) = (chosen.numbers.len(), chosen.mean_p);
        let words = "take fewer with -n, more --draws, or --method importance";
        let share = if share < 1e-6 { "below 0.000001".into() } else { format!("{share:.6}") };
        return Err(Error::usage(format!("{most} draws gave {found} of the {wanted} images, since the mean p(y|x) is {share}; {words}")));
    }
    Ok(chosen)
}

/// Draws `draws` images and takes `wanted` of them in proportion to p(y|x), by one uniform draw (systematic resampling): of p(x|y) as `draws` grows;
/// where few weigh much, an image comes several times.
///
/// # Errors
/// [`Error::Usage`] where no image has any weight; those of `source`.
pub fn resample(source: &mut dyn Proposes, wanted: usize, draws: usize, seed: u64) -> Result<Chosen> {
    let (mut images, mut log_p) = (Vec::new(), Vec::new());
    for first in (0..draws).step_by(16 * CHUNK) {
        let (more, found) = source.propose(first, (16 * CHUNK).min(draws - first))?;
        images.extend(more);
        log_p.extend(found);
    }
    let top = log_p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return Err(Error::usage(format!("none of {draws} images is of the class at all; take more --draws")));
    }
    let weights: Vec<f64> = log_p.iter().map(|l| (l - top).exp()).collect();
    let (total, squares) = (weights.iter().sum::<f64>(), weights.iter().map(|w| w * w).sum::<f64>());
    let item = images.len() / draws;
    let numbers = systematic(&weights, wanted, f64::from(random::unit(random::word(seed, PICK, 0, 0))));
    let chosen = numbers.iter().flat_map(|n| &images[n * item..(n + 1) * item]).copied().collect();
    Ok(Chosen { images: chosen, numbers, drawn: draws, mean_p: total / draws as f64 * top.exp(), effective: total * total / squares })
}

/// `wanted` numbers in proportion to weights: those at which their running sum passes u, u + 1, … of `wanted` equal parts.
pub(super) fn systematic(weights: &[f64], wanted: usize, u: f64) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    let (mut at, mut sum) = (0, weights.first().copied().unwrap_or(0.0));
    (0..wanted)
        .map(|i| {
            let mark = (i as f64 + u) / wanted as f64 * total;
            while sum <= mark && at + 1 < weights.len() {
                at += 1;
                sum += weights[at];
            }
            at
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mixture_seems_to_be_is_moved_to_what_its_component_seems_to_be() {
        // Two normal components at −1 and 2 of variances .25 and .5, both as frequent: E[x₀|x_t] of each and of both, in closed form.
        for (alpha, sigma) in [(0.9, 0.436), (0.5, 0.866), (1.0, 3.0), (0.1, 0.995)] {
            let level = Level { alpha, sigma, time: 0.0 };
            let parts = [(-1.0, 0.25), (2.0, 0.5)];
            let variance = |v: f64| alpha * alpha * v + sigma * sigma;
            let density = |(m, v): (f64, f64), x: f64| (-(x - alpha * m).powi(2) / (2.0 * variance(v))).exp() / variance(v).sqrt();
            let seems = |(m, v): (f64, f64), x: f64| m + alpha * v / variance(v) * (x - alpha * m);
            let share = |x: f64| density(parts[1], x) / (density(parts[0], x) + density(parts[1], x));
            for x in [-1.5, 0.2, 1.0, 2.5] {
                let both = share(x) * seems(parts[1], x) + (1.0 - share(x)) * seems(parts[0], x);
                let slope = (share(x + 1e-6).ln() - share(x - 1e-6).ln()) / 2e-6;
                let moved = both + weight(level) * slope;
                assert!((moved - seems(parts[1], x)).abs() < 1e-4 * (1.0 + moved.abs()), "{level:?}, {x}: {moved}");
            }
        }
    }

    #[test]
    fn systematic_numbers_come_as_often_as_their_weights_say_give_or_take_one() {
        let weights = [0.5, 0.0, 2.5, 1.0];
        for u in [0.0, 0.3, 0.999] {
            let numbers = systematic(&weights, 400, u);
            let counts: Vec<usize> = (0..4).map(|n| numbers.iter().filter(|m| **m == n).count()).collect();
            assert!([50usize, 0, 250, 100].iter().zip(&counts).all(|(want, got)| want.abs_diff(*got) <= 1), "{counts:?}");
        }
        assert_eq!(systematic(&[1.0], 3, 0.5), [0; 3]);
    }
}
