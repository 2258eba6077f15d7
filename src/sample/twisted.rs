//! p(x|y) of autoregressive models by twisted sequential Monte Carlo: images are drawn a few rows at a time, and after each block those that a
//! classifier of first rows finds promising go on in several copies, the others not. What it finds only guides: the last weights are
//! p(y|x) itself, so images are of p(x|y) as their number grows, whatever the classifier says of parts (Whiteley and Lee, 2014, "Twisted
//! particle filters").

use super::guided::systematic;
use crate::error::{Error, Result};
use crate::random::{unit, word};

/// The random stream of the draw of each resampling; the step is the block.
const RESAMPLE: u32 = 0x736d_6301;

/// Draws images of a model row by row, and judges them.
pub trait Grows {
    /// Whole images `[N, H, W, C]` whose first rows are those of `images`; image i draws by random numbers of its place i alone.
    ///
    /// # Errors
    /// Errors of the device.
    fn grow(&mut self, images: &[f32], rows: usize) -> Result<Vec<f32>>;

    /// ln ψ of each image, of which the first rows alone are looked at: of all rows it is ln p(y|x).
    ///
    /// # Errors
    /// Errors of the device.
    fn promise(&mut self, images: &[f32], rows: usize) -> Result<Vec<f64>>;
}

/// Weighted images of p(x|y).
#[derive(Clone, Debug, PartialEq)]
pub struct Grown {
    /// The images that were taken, `[count, H, W, C]`.
    pub images: Vec<f32>,
    /// Which of the last images each is.
    pub numbers: Vec<usize>,
    /// Times that images were copied before the last rows.
    pub copied: usize,
    /// ln of what the model and the classifier make of p(y): unbiased in p(y).
    pub log_p_y: f64,
    /// Effective number of the last images, (Σw)²/Σw².
    pub effective: f64,
    /// Images of the first block that the ones that were taken come of.
    pub ancestors: usize,
}

/// How images are grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Images that are drawn side by side.
    pub particles: usize,
    /// Images that are taken of them in the end.
    pub wanted: usize,
    /// Rows of an image.
    pub rows: usize,
    /// Values of an image.
    pub item: usize,
    /// Rows of a block.
    pub block: usize,
    /// Images go on as they are while their effective number is at least this share of them: 0 copies none, above 1 each time.
    pub enough: f64,
    /// Seed of what is copied.
    pub seed: u64,
}

/// Grows images.
///
/// # Errors
/// [`Error::Usage`] where no image is of the class at all; those of `source`.
pub fn grow(source: &mut dyn Grows, how: &Growth, mut progress: impl FnMut()) -> Result<Grown> {
    let Growth { particles, wanted, rows, item, block, enough, seed } = *how;
    let mut images = vec![0.0; particles * item];
    let mut ancestors: Vec<usize> = (0..particles).collect();
    // ln weights, and ln ψ of what is known, which the weights hold.
    let (mut weights, mut promised) = (vec![0.0f64; particles], vec![0.0f64; particles]);
    let (mut log_p_y, mut copied, mut known) = (0.0, 0, 0);
    while known < rows {
        images = source.grow(&images, known)?;
        let next = (known + block.max(1)).min(rows);
        let promise = source.promise(&images, next)?;
        for ((weight, before), now) in weights.iter_mut().zip(&promised).zip(&promise) {
            *weight += now - before;
        }
        (promised, known) = (promise, next);
        progress();
        if known < rows && effective(&weights)? < enough * particles as f64 {
            let (relative, mean) = relative(&weights)?;
            let from = systematic(&relative, particles, f64::from(unit(word(seed, RESAMPLE, known as u32, 0))));
            images = from.iter().flat_map(|n| &images[n * item..(n + 1) * item]).copied().collect();
            promised = from.iter().map(|n| promised[*n]).collect();
            ancestors = from.iter().map(|n| ancestors[*n]).collect();
            weights.fill(0.0);
            log_p_y += mean;
            copied += 1;
        }
    }
    let (last, mean) = relative(&weights)?;
    let numbers = systematic(&last, wanted, f64::from(unit(word(seed, RESAMPLE, rows as u32, 0))));
    let taken = numbers.iter().flat_map(|n| &images[n * item..(n + 1) * item]).copied().collect();
    let mut first: Vec<usize> = numbers.iter().map(|n| ancestors[*n]).collect();
    first.sort_unstable();
    first.dedup();
    let effective = effective(&weights)?;
    Ok(Grown { images: taken, numbers, copied, log_p_y: log_p_y + mean, effective, ancestors: first.len() })
}

/// Weights over their largest, and ln of their mean.
fn relative(log: &[f64]) -> Result<(Vec<f64>, f64)> {
    let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return Err(Error::usage(format!("none of {} images is of the class at all; take more --draws", log.len())));
    }
    let weights: Vec<f64> = log.iter().map(|l| (l - top).exp()).collect();
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    Ok((weights, top + mean.ln()))
}

/// (Σw)²/Σw².
fn effective(log: &[f64]) -> Result<f64> {
    let (weights, _) = relative(log)?;
    let (sum, squares) = (weights.iter().sum::<f64>(), weights.iter().map(|w| w * w).sum::<f64>());
    Ok(sum * sum / squares)
}
