//! Pictures drawn while a run goes on: samples and curves.

use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;

use super::run::{CURVES, SAMPLES};
use super::{Recipe, RunFolder};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::need::Draws;
use crate::model::{Model, Score};
use crate::report::{self, ChartOptions, Series};
use crate::runtime::{Device, Program, State, Weights};
use crate::sample::diffusion::{Drawer, Settings, Watch};
use crate::sample::raster::{self, Job, Method, RasterSampler};

/// Images of a picture.
const COUNT: usize = 16;
/// Points of a scatter plot.
const POINTS: usize = 1000;
/// Images of a row.
const COLUMNS: usize = 8;

/// Draws the same samples (the same noise) at several steps of a run.
pub struct Pictures {
    device: Device,
    weights: Weights,
    latent: Option<Program>,
    drawer: Option<Drawer>,
}

impl Pictures {
    /// Prepares pictures.
    pub fn new(device: &Device, weights: Weights) -> Self {
        Self { device: device.clone(), weights, latent: None, drawer: None }
    }

    /// Draws `samples/NNNNNN.png`, and returns the items in it, unless the run is to stop.
    pub async fn draw(
        &mut self,
        model: &dyn Model,
        state: &mut State,
        (recipe, folder): (&Recipe, &RunFolder),
        step: u64,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<f32>>> {
        let dims = recipe.data.dims;
        let series = &recipe.data.reading.series;
        let count = if recipe.data.points && !series.is_settled() { POINTS } else { COUNT };
        let images = match Draws::of(model) {
            None => return Ok(None),
            Some(Draws::Raster(_)) => {
                let mut sampler = RasterSampler::new(&self.device, model, state, self.weights, Method::Cached).await?;
                let labels = in_turn(recipe, COUNT);
                let inputs = [("labels", &labels[..])];
                let job = Job { count: COUNT, seed: recipe.seed, first: 0, temperature: 1.0, keep: None, inputs: &inputs };
                let top = sampler.law().top();
                let drawn = sampler.sample_watched(model, state, &job, &Until(stop)).await?;
                let Some(drawn) = drawn else { return Ok(None) };
                drawn.images.into_iter().map(|v| v / top).collect()
            }
            Some(Draws::Latents(decoder)) => {
                let program = match &mut self.latent {
                    Some(program) => program,
                    empty => empty.insert(Program::new(&self.device, &decoder.decode_graph(count)?, state, self.weights).await?),
                };
                program.write("z", &crate::sample::latents(recipe.seed, 0, count, decoder.latent()))?;
                program.write("labels", &in_turn(recipe, count))?;
                program.run(state, &Step { seed: recipe.seed, ..Step::default() }).await?;
                program.read(state, "x").await?
            }
            Some(Draws::Noise(network)) => {
                let settings = Settings::of(network, None, None);
                let drawer = match &mut self.drawer {
                    Some(drawer) => drawer,
                    empty => empty.insert(Drawer::new(&self.device, model, state, self.weights, &settings, count).await?),
                };
                let labels: Vec<u32> = if model.conditional() { labels_in_turn(recipe, count) } else { Vec::new() };
                let len = dims.iter().product::<usize>();
                let mut images = Vec::new();
                for first in (0..count).step_by(drawer.chunk()) {
                    let here = drawer.chunk().min(count - first);
                    let z = crate::sample::latents(recipe.seed, first, here, len);
                    let labels = labels.get(first..first + here).unwrap_or_default();
                    match drawer.draw(state, &z, labels, (recipe.seed, first), &mut Until(stop)).await {
                        Err(Error::Interrupted) => return Ok(None),
                        drawn => images.extend(drawn?),
                    }
                }
                images
            }
        };
        let picture = if series.is_settled() {
            report::sequences(&format!("samples at step {step}"), &series.in_units(&images), dims[0], &series.names)
        } else if recipe.data.points {
            report::scatter("samples", &[report::PointSet::from_values(format!("step {step}"), &images)])
        } else {
            report::grid(&images, dims, COLUMNS)
        };
        folder.replace(&format!("{SAMPLES}/{step:06}.png"), &[&report::png_bytes(&picture)?])?;
        Ok(Some(images))
    }
}

/// Draws until a run is to stop.
struct Until<'a>(&'a AtomicBool);

impl Watch for Until<'_> {
    fn stops(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl raster::Watch for Until<'_> {
    fn stops(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One-hot labels of `count` images, each class in turn.
fn in_turn(recipe: &Recipe, count: usize) -> Vec<f32> {
    crate::data::one_hot(&labels_in_turn(recipe, count), recipe.data.classes, count)
}

/// Each class in turn.
fn labels_in_turn(recipe: &Recipe, count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| i % recipe.data.classes.max(1) as u32).collect()
}

/// Draws `curves.png` from the metrics.
pub fn curves(model: &dyn Model, recipe: &Recipe, folder: &RunFolder) -> Result<()> {
    folder.replace(CURVES, &[&report::png_bytes(&chart(model, recipe, folder))?])
}

/// The curves of the metrics.
pub fn chart(model: &dyn Model, recipe: &Recipe, folder: &RunFolder) -> RgbImage {
    let lines = folder.metrics();
    let points = |key: &str| -> Vec<(f64, f64)> { lines.iter().filter_map(|m| Some((m["step"].as_f64()?, m[key].as_f64()?))).collect() };
    let names = model.metrics();
    let unit = names.first().map_or("", |n| n.1);
    let mut series: Vec<Series> = names
        .iter()
        .filter(|(_, u)| *u == unit)
        .map(|(name, _)| Series::new(if *name == "loss" && model.scores().is_some() { "train" } else { *name }, points(name)))
        .collect();
    let bound = model.scores().is_some_and(|s| s.score() == Score::Bound);
    series.push(Series::new(if bound { "validation (−ELBO)" } else { "validation (−log p)" }, points("valid")));
    series.retain(|s| !s.points.is_empty());
    let title = format!("{} on {}", recipe.model, recipe.data.source.rsplit('/').next().unwrap_or_default());
    report::chart(&title, "step", unit, &series, &ChartOptions::default())
}
