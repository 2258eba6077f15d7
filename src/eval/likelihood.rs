//! Likelihoods of whole data sets, image by image.

use std::sync::Arc;

use crate::data::{self, Binarization, Source, one_hot};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::{Model, need};
use crate::ranks::Ranks;
use crate::runtime::{Device, Program, State, Weights};
use crate::shares::Share;

/// Items whose passes are added up before any others are added to them, so that a sum does not depend on who added which.
const BLOCK: usize = 16;

/// How a data set is scored.
#[derive(Clone, Debug)]
pub struct LikelihoodOptions {
    /// Images at a time; no figure depends on it.
    pub batch: usize,
    /// Seed of the binarization and of a bound's noise.
    pub seed: u64,
    /// How grey levels become bits.
    pub binarization: Binarization,
    /// Which weights.
    pub weights: Weights,
    /// Whether values of single pixels are wanted too.
    pub per_pixel: bool,
    /// Steps of a bound that has any; `None` as suits the model.
    pub steps: Option<usize>,
    /// Those who share the images of [`score`], [`super::importance_bound`], [`super::flow_likelihood`] and [`super::accuracy`]: each does a part,
    /// and all are told the whole. Every one of them calls with the same images and the same weights. [`Ranks::alone`] does all.
    pub ranks: Ranks,
}

impl Default for LikelihoodOptions {
    /// 64 images at a time under seed 1, as they are, with the current weights, by one process.
    fn default() -> Self {
        Self {
            batch: 64,
            seed: 1,
            binarization: Binarization::None,
            weights: Weights::Current,
            per_pixel: false,
            steps: None,
            ranks: Ranks::alone(),
        }
    }
}

impl LikelihoodOptions {
    /// The batches of a share of a source.
    pub(super) fn batches(
        &self,
        source: Arc<dyn Source>,
        share: &Share,
        batch: usize,
        model: &dyn Model,
    ) -> impl Iterator<Item = Result<data::Batch>> + Send + use<> {
        data::sequential_within(source, share.own(), batch, self.seed, self.binarization, model.scale())
    }
}

/// −ln p (or a bound of it) of every image, in nats.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// One an image.
    pub nll: Vec<f64>,
    /// One a value, `[N, H, W, C]`, where asked for.
    pub map: Vec<f32>,
    /// The terms that a bound is a sum of (`recon`, `kl`), or those of several scales (`nats_HxW`), each with one an image.
    pub parts: Vec<(String, Vec<f64>)>,
    /// What each pass of a score in several adds, in nats, over all images: the first from most noise.
    pub passes: Vec<f64>,
}

/// A mean with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Mean over images, in nats.
    pub nats: f64,
    /// Its standard error, from the spread over the images; NaN of a single image, which has none.
    pub error: f64,
    /// The mean in bits per value.
    pub bits_per_dim: f64,
    /// Images.
    pub count: usize,
}

impl Scores {
    /// Mean of a term over all images, in nats.
    pub fn part(&self, name: &str) -> Option<f64> {
        let (_, values) = self.parts.iter().find(|(n, _)| n == name)?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The mean over all images of `dims` values each.
    pub fn figure(&self, dims: usize) -> Figure {
        Figure::of(&self.nll, dims)
    }
}

impl Figure {
    /// The mean of one −ln p (or bound) an image, of `dims` values each.
    pub fn of(nll: &[f64], dims: usize) -> Self {
        let n = nll.len() as f64;
        let mean = nll.iter().sum::<f64>() / n;
        let variance = nll.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { nats: mean, error: (variance / n).sqrt(), bits_per_dim: mean / (dims as f64 * std::f64::consts::LN_2), count: nll.len() }
    }

    /// "97.31 ± 0.42", or without an error where there is none to tell.
    pub fn shown(&self) -> String {
        if self.error.is_nan() { format!("{:.3}", self.nats) } else { format!("{:.3} ± {:.3}", self.nats, self.error) }
    }
}

/// Scores every image of a source; `progress` hears how many are done.
///
/// # Errors
/// [`Error::Usage`] where the model has no likelihood; errors of the source and the device.
pub async fn score(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    source: Arc<dyn Source>,
    options: &LikelihoodOptions,
    progress: impl FnMut(usize),
) -> Result<Scores> {
    // What has no passes is kept image by image.
    let in_passes = model.scores().is_some_and(|scoring| scoring.passes(options.steps).is_ok_and(|passes| !passes.is_empty()));
    let block = if in_passes { BLOCK } else { 1 };
    let share = Share::in_blocks(&options.ranks, source.len(), block);
    let own = score_own(device, model, state, (source, &share), options, progress).await;
    let (mut scores, mut blocks) = options.ranks.agree(own)?;
    share.join(&mut scores.nll)?;
    share.join(&mut scores.map)?;
    for (_, values) in &mut scores.parts {
        share.join(values)?;
    }
    share.join(&mut blocks)?;
    let (count, passes) = (scores.nll.len() as f64, scores.passes.len());
    for block in blocks.chunks(passes.max(1)) {
        scores.passes.iter_mut().zip(block).for_each(|(sum, v)| *sum += v);
    }
    scores.passes.iter_mut().for_each(|sum| *sum /= count);
    Ok(scores)
}

/// Scores of a share of a source, its passes 0; and the sums of each pass over its blocks, block after block.
async fn score_own(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    (source, share): (Arc<dyn Source>, &Share),
    options: &LikelihoodOptions,
    mut progress: impl FnMut(usize),
) -> Result<(Scores, Vec<f64>)> {
    let scoring = need::scores(model)?;
    let graph = |items: usize| {
        let mut graph = scoring.likelihood_graph(items)?;
        if !options.per_pixel {
            graph.drop_output("nll_map");
        } else if !graph.outputs().iter().any(|(name, _)| name == "nll_map") {
            return Err(Error::usage(format!("the likelihood of {} is no sum over pixels, so there is no map of it", model.name())));
        }
        Ok(graph)
    };
    let most = share.at_once(device, options.batch);
    let (mut program, graph, batch) = Program::of_items(device, state, options.weights, most, graph).await?;
    let item: usize = source.dims().iter().product();
    let classes = source.classes();
    let names = graph.outputs().iter().map(|(name, _)| name.clone()).filter(|name| !name.starts_with("nll"));
    let mut scores = Scores { parts: names.map(|name| (name, Vec::new())).collect(), ..Scores::default() };
    let passes = scoring.passes(options.steps)?;
    scores.passes = vec![0.0; passes.len()];
    let mut blocks = vec![0.0; passes.len() * share.own().len().div_ceil(BLOCK)];
    for part in options.batches(source, share, batch, model) {
        let mut part = part?;
        let count = part.indices.len();
        // A ragged last batch is filled up; what is computed for the filling is thrown away.
        part.values.resize(batch * item, 0.0);
        program.write("x", &part.values)?;
        if model.conditional() {
            program.write("labels", &one_hot(&part.labels, classes, batch))?;
        }
        let (first, first_map) = (scores.nll.len(), scores.map.len());
        for number in 0..passes.len().max(1) {
            if let Some(row) = passes.get(number) {
                program.write("pass", row)?;
            }
            let step = Step { seed: options.seed, step: number as u32, first_item: (share.own().start + first) as u32, ..Step::default() };
            program.run(state, &step).await?;
            let nll = program.read(state, "nll").await?;
            if !passes.is_empty() {
                let sums = nll[..count].iter().enumerate();
                sums.for_each(|(at, v)| blocks[(first + at) / BLOCK * passes.len() + number] += f64::from(*v));
            }
            add(&mut scores.nll, first, &nll[..count]);
            for (name, values) in &mut scores.parts {
                add(values, first, &program.read(state, name).await?[..count]);
            }
            if options.per_pixel {
                let map = &program.read(state, "nll_map").await?[..count * item];
                if number == 0 {
                    scores.map.extend_from_slice(map);
                } else {
                    scores.map[first_map..].iter_mut().zip(map).for_each(|(sum, v)| *sum += v);
                }
            }
        }
        progress(share.done(scores.nll.len()));
    }
    Ok((scores, blocks))
}

/// Adds values to those from number `first` on, which may not be there yet.
fn add(sums: &mut Vec<f64>, first: usize, values: &[f32]) {
    sums.resize(first + values.len(), 0.0);
    sums[first..].iter_mut().zip(values).for_each(|(sum, v)| *sum += f64::from(*v));
}
