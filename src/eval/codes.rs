//! What an encoder makes of a data set.

use std::sync::Arc;

use super::LikelihoodOptions;
use crate::data::{self, Source, one_hot};
use crate::error::Result;
use crate::graph::Step;
use crate::model::{Model, need};
use crate::runtime::{Device, Program, State};

/// Codes of N images.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    /// Length of a code.
    pub latent: usize,
    /// Means of q(z|x), or the codes of a deterministic encoder: `[N, latent]`.
    pub mean: Vec<f32>,
    /// Log variances, `[N, latent]`; empty for a deterministic encoder.
    pub log_var: Vec<f32>,
    /// N classes; empty where the data has none.
    pub labels: Vec<u32>,
    /// The images as the model read them, `[N, H, W, C]`, where they were to be kept.
    pub images: Vec<f32>,
}

impl Codes {
    /// Mean KL(q(z|x) ‖ N(0, 1)) of each latent dimension over the images, in nats: what each dimension tells of the image. Empty for a
    /// deterministic encoder.
    pub fn kl_by_dimension(&self) -> Vec<f64> {
        if self.log_var.is_empty() || self.latent == 0 {
            return Vec::new();
        }
        let mut sums = vec![0.0; self.latent];
        for (means, log_vars) in self.mean.chunks(self.latent).zip(self.log_var.chunks(self.latent)) {
            for ((sum, m), s) in sums.iter_mut().zip(means).zip(log_vars) {
                let (m, s) = (f64::from(*m), f64::from(*s));
                *sum += 0.5 * (m * m + s.exp() - 1.0 - s);
            }
        }
        let count = (self.mean.len() / self.latent) as f64;
        sums.into_iter().map(|s| s / count).collect()
    }
}

/// Encodes every image of a source; with `keep_images` the images come along. `progress` hears how many are done.
///
/// # Errors
/// [`crate::Error::Usage`] where the model has no encoder; errors of the source and the device.
pub async fn encode(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    source: Arc<dyn Source>,
    options: &LikelihoodOptions,
    keep_images: bool,
    mut progress: impl FnMut(usize),
) -> Result<Codes> {
    let encoder = need::encodes(model)?;
    let most = options.batch.min(source.len());
    let (mut program, graph, batch) = Program::of_items(device, state, options.weights, most, |items| encoder.encode_graph(items)).await?;
    let with_variance = graph.outputs().iter().any(|(name, _)| name == "log_var");
    let item: usize = source.dims().iter().product();
    let classes = source.classes();
    let latent = encoder.latent();
    let mut codes = Codes { latent, ..Codes::default() };
    for part in data::sequential(source, batch, options.seed, options.binarization, model.scale()) {
        let mut part = part?;
        let count = part.indices.len();
        if keep_images {
            codes.images.extend_from_slice(&part.values);
        }
        part.values.resize(batch * item, 0.0);
        program.write("x", &part.values)?;
        if model.conditional() {
            program.write("labels", &one_hot(&part.labels, classes, batch))?;
        }
        program.run(state, &Step { seed: options.seed, ..Step::default() }).await?;
        codes.mean.extend_from_slice(&program.read(state, "mean").await?[..count * latent]);
        if with_variance {
            codes.log_var.extend_from_slice(&program.read(state, "log_var").await?[..count * latent]);
        }
        codes.labels.extend(part.labels);
        progress(codes.mean.len() / latent.max(1));
    }
    Ok(codes)
}
