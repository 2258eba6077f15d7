//! The importance-weighted bound (Burda et al., 2016): ln p(x) ≥ E ln (1/K) Σ p(x, z_k)/q(z_k|x), tighter the larger K.

use std::sync::Arc;

use super::{LikelihoodOptions, Scores};
use crate::data::{self, Source, one_hot};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::{Model, need};
use crate::runtime::{Device, Program, State};

/// Latents drawn for each image in one run of the graph. Part of what a figure means: the k-th latent of an image is drawn at step
/// k / TILE, so neither the batch nor the number of samples changes it.
const TILE: usize = 16;
/// Most values that a run may decode, so that any number of samples fits the memory.
const VALUES: usize = 1 << 22;

/// A sum of exponentials, kept as its logarithm.
#[derive(Clone, Copy)]
struct LogSum {
    top: f64,
    sum: f64,
}

impl LogSum {
    const EMPTY: Self = Self { top: f64::NEG_INFINITY, sum: 0.0 };

    fn add(&mut self, value: f64) {
        if value > self.top {
            self.sum = self.sum * (self.top - value).exp() + 1.0;
            self.top = value;
        } else {
            self.sum += (value - self.top).exp();
        }
    }

    fn log_mean(&self, count: usize) -> f64 {
        self.top + (self.sum / count as f64).ln()
    }
}

/// The bound of −ln p of every image with `samples` latents each; `progress` hears how many images' worth of work is done.
///
/// # Errors
/// [`Error::Usage`] where the model has no such bound or `samples` is 0; errors of the source and the device.
pub fn importance_bound(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    source: Arc<dyn Source>,
    options: &LikelihoodOptions,
    samples: usize,
    mut progress: impl FnMut(usize),
) -> Result<Scores> {
    if samples == 0 {
        return Err(Error::usage("iw must be at least 1, the number of importance samples"));
    }
    let item: usize = source.dims().iter().product();
    let batch = options.batch.min(source.len()).min(VALUES / (TILE * item.max(1))).max(1);
    let graph = need::bounds(model)?.bound_graph(batch, TILE)?;
    let mut program = Program::new(device, &graph, state, options.weights)?;
    let classes = source.classes();
    let mut scores = Scores::default();
    for part in data::sequential(source, batch, options.seed, options.binarization, model.scale()) {
        let mut part = part?;
        let count = part.indices.len();
        part.values.resize(batch * item, 0.0);
        program.write("x", &part.values)?;
        if model.conditional() {
            program.write("labels", &one_hot(&part.labels, classes, batch))?;
        }
        let mut sums = vec![LogSum::EMPTY; count];
        let first_item = scores.nll.len() as u32;
        for tile in 0..samples.div_ceil(TILE) {
            let step = Step { seed: options.seed, step: tile as u32, first_item, ..Step::default() };
            program.run(state, &step)?;
            let weights = program.read(state, "log_weight")?;
            let taken = TILE.min(samples - tile * TILE);
            for (sum, row) in sums.iter_mut().zip(weights.chunks(TILE)) {
                row[..taken].iter().for_each(|w| sum.add(f64::from(*w)));
            }
        }
        scores.nll.extend(sums.iter().map(|s| -s.log_mean(samples)));
        progress(scores.nll.len());
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
        }
    }
}
