//! The importance-weighted bound (Burda et al., 2016): ln p(x) ≥ E ln (1/K) Σ p(x, z_k)/q(z_k|x), tighter the larger K.

use std::sync::Arc;

use super::{Figure, LikelihoodOptions};
use crate::data::{Source, one_hot};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::{Model, need};
use crate::runtime::{Device, Program, State};
use crate::shares::Share;

/// Latents drawn for each image in one run of the graph. Part of what a figure means: the k-th latent of an image is drawn at step
/// k / TILE, so neither the batch nor the number of samples changes it.
const TILE: usize = 16;
/// Most values that a run may decode, so that any number of samples fits the memory.
const VALUES: usize = 1 << 22;

/// The bound of each image, and how sure it is.
#[derive(Clone, Debug, Default)]
pub struct ImportanceScores {
    /// The bound of −ln p, in nats, one an image.
    pub nll: Vec<f64>,
    /// The variance of each under another draw of its K latents, by the delta method: s²/(K·m²) with m and s² the weights' mean and unbiased
    /// variance. Half of it is about how far each bound lies above −ln p. NaN where K is 1.
    pub variance: Vec<f64>,
    /// Effective samples of each, (Σw)²/Σw²: where it is near 1 a single latent carries the bound, and the variance is not known well.
    pub effective: Vec<f64>,
}

/// The mean bound over images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImportanceFigure {
    /// Its mean, and its standard error: that of the spread over images, in which the noise of the latents is once already because every
    /// image has latents of its own, or `monte_carlo` where that is larger (of one image it is all that is known).
    pub bound: Figure,
    /// Standard error from the latents alone: how far the mean over these very images would move if all latents were drawn anew.
    pub monte_carlo: f64,
    /// About how far the mean bound lies above the mean −ln p of these images: half the mean variance (the delta method's second order).
    pub gap: f64,
    /// Least effective number of samples of an image.
    pub least_effective: f64,
}

impl ImportanceScores {
    /// The mean over all images of `dims` values each.
    pub fn figure(&self, dims: usize) -> ImportanceFigure {
        let n = self.nll.len() as f64;
        let variance = self.variance.iter().sum::<f64>();
        let monte_carlo = variance.sqrt() / n;
        let mut bound = Figure::of(&self.nll, dims);
        bound.error = bound.error.max(monte_carlo);
        let least_effective = self.effective.iter().copied().fold(f64::INFINITY, f64::min);
        ImportanceFigure { bound, monte_carlo, gap: 0.5 * variance / n, least_effective }
    }
}

/// Sums of exponentials and of their squares, kept as multiples of the largest.
#[derive(Clone, Copy)]
struct LogSum {
    top: f64,
    sum: f64,
    squares: f64,
}

impl LogSum {
    const EMPTY: Self = Self { top: f64::NEG_INFINITY, sum: 0.0, squares: 0.0 };

    fn add(&mut self, value: f64) {
        if value > self.top {
            let factor = (self.top - value).exp();
            self.sum = self.sum * factor + 1.0;
            self.squares = self.squares * factor * factor + 1.0;
            self.top = value;
        } else {
            let weight = (value - self.top).exp();
            self.sum += weight;
            self.squares += weight * weight;
        }
    }

    fn log_mean(&self, count: usize) -> f64 {
        self.top + (self.sum / count as f64).ln()
    }

    fn effective(&self) -> f64 {
        self.sum * self.sum / self.squares
    }

    /// Variance of the logarithm of the mean of `count` weights.
    fn variance(&self, count: usize) -> f64 {
        let k = count as f64;
        (k * self.squares / (self.sum * self.sum) - 1.0).max(0.0) / (k - 1.0)
    }
}

/// The bound of −ln p of every image with `samples` latents each; `progress` hears how many images' worth of work is done.
///
/// # Errors
/// [`Error::Usage`] where the model has no such bound or `samples` is 0; errors of the source and the device.
pub async fn importance_bound(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    source: Arc<dyn Source>,
    options: &LikelihoodOptions,
    samples: usize,
    progress: impl FnMut(usize),
) -> Result<ImportanceScores> {
    let share = Share::of(&options.ranks, source.len());
    let own = bound_own(device, model, state, (source, &share), (options, samples), progress).await;
    let mut scores = options.ranks.agree(own)?;
    for values in [&mut scores.nll, &mut scores.variance, &mut scores.effective] {
        share.join(values)?;
    }
    Ok(scores)
}

/// The bound of a share of a source.
async fn bound_own(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    (source, share): (Arc<dyn Source>, &Share),
    (options, samples): (&LikelihoodOptions, usize),
    mut progress: impl FnMut(usize),
) -> Result<ImportanceScores> {
    if samples == 0 {
        return Err(Error::usage("iw must be at least 1, the number of importance samples"));
    }
    let item: usize = source.dims().iter().product();
    let most = share.at_once(device, options.batch.min(VALUES / (TILE * item.max(1))));
    let bounding = need::bounds(model)?;
    let (mut program, _, batch) =
        Program::of_items(device, state, options.weights, most, |items| bounding.bound_graph(items, TILE)).await?;
    let classes = source.classes();
    let mut scores = ImportanceScores::default();
    for part in options.batches(source, share, batch, model) {
        let mut part = part?;
        let count = part.indices.len();
        part.values.resize(batch * item, 0.0);
        program.write("x", &part.values)?;
        if model.conditional() {
            program.write("labels", &one_hot(&part.labels, classes, batch))?;
        }
        let mut sums = vec![LogSum::EMPTY; count];
        let first_item = (share.own().start + scores.nll.len()) as u32;
        for tile in 0..samples.div_ceil(TILE) {
            let step = Step { seed: options.seed, step: tile as u32, first_item, ..Step::default() };
            program.run(state, &step).await?;
            let weights = program.read(state, "log_weight").await?;
            let taken = TILE.min(samples - tile * TILE);
            for (sum, row) in sums.iter_mut().zip(weights.chunks(TILE)) {
                row[..taken].iter().for_each(|w| sum.add(f64::from(*w)));
            }
        }
        scores.nll.extend(sums.iter().map(|s| -s.log_mean(samples)));
        // One weight has no spread to tell its variance by: 0/0.
        scores.variance.extend(sums.iter().map(|s| s.variance(samples)));
        scores.effective.extend(sums.iter().map(LogSum::effective));
        progress(share.done(scores.nll.len()));
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_sum_neither_overflows_nor_depends_on_the_order() {
        for order in [[-800.0, -801.0, 3.0, 2.0], [3.0, 2.0, -801.0, -800.0]] {
            let mut sum = LogSum::EMPTY;
            order.into_iter().for_each(|v| sum.add(v));
            let want = 3.0 + ((1.0 + (-1.0f64).exp()) / 4.0).ln();
            assert!((sum.log_mean(4) - want).abs() < 1e-12);
            // Weights 1, e^-1 and two that vanish, in units of e^3.
            let w = [1.0, (-1.0f64).exp(), 0.0, 0.0];
            let mean = w.iter().sum::<f64>() / 4.0;
            let spread = w.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0;
            assert!((sum.variance(4) - spread / (4.0 * mean * mean)).abs() < 1e-12);
            assert!((sum.effective() - (w[0] + w[1]).powi(2) / (w[0] * w[0] + w[1] * w[1])).abs() < 1e-12);
        }
    }

    #[test]
    fn of_one_image_the_error_is_that_of_its_latents_and_of_one_latent_nothing_is_known() {
        let one = ImportanceScores { nll: vec![90.0], variance: vec![0.04], effective: vec![3.0] };
        let figure = one.figure(784);
        assert!((figure.bound.error - 0.2).abs() < 1e-12 && (figure.gap - 0.02).abs() < 1e-12);
        let mut sum = LogSum::EMPTY;
        sum.add(-3.0);
        assert!(sum.variance(1).is_nan());
    }
}
