//! What is measured of one run.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::{CompareArgs, cost};
use crate::cli::common::Common;
use crate::cli::draw::{self, Order};
use crate::cli::eval::likelihood_of;
use crate::cli::measured::{EvalArgs, Measured, draws_alone};
use crate::cli::output::{Output, as_text};
use crate::cli::quality;
use crate::data::{self, Source};
use crate::error::Result;
use crate::eval::{self, Judged};
use crate::graph::Graph;
use crate::model::{Model, Score, Told, need};
use crate::runtime::Device;
use crate::sample::diffusion::Settings;
use crate::train::{Trained, training_data};
use crate::wait::Wait;

/// Images of a run on the page, in rows of ten.
pub const SHOWN: usize = 30;
/// Training items that a linear classifier of a latent code is fitted on, and its steps.
const PROBED: usize = 5000;
const PROBE_STEPS: u32 = 1000;
/// Share of an exact model that is left where the rest is noise, in the row that shows how little a likelihood minds.
pub const KEPT: f64 = 0.01;

/// A run's figures, and what it draws.
pub struct Row {
    /// Figures by name; those that a run does not have are null or absent.
    pub object: Value,
    /// The first [`SHOWN`] samples, in 0..1; empty of a run that draws none.
    pub images: Vec<f32>,
    /// Height, width and channels.
    pub dims: [usize; 3],
}

impl Row {
    /// Measures a run on `data`.
    ///
    /// # Errors
    /// Those of the run, the data and the device.
    pub fn measure(path: &Path, data: &str, args: &CompareArgs, common: &Common, output: &Output) -> Result<Self> {
        let asked = |set: Vec<String>, limit| EvalArgs { run: path.into(), data: Some(data.into()), limit, batch: 64, set, best: false };
        let eval_args = asked(Vec::new(), args.limit);
        let mut measured = Measured::open(&eval_args, common)?;
        let mut object = facts(path, &measured.trained)?;
        if measured.trained.model.scores().is_some() {
            let (_, likelihood, scores) = likelihood_of(&mut measured, &eval_args, common, output)?;
            let exact = measured.trained.model.scores().is_some_and(|s| s.score() == Score::Exact);
            if let (true, Some(levels)) = (exact, measured.trained.model.raster().and_then(|raster| raster.law().levels())) {
                let values: usize = measured.source.dims().iter().product();
                object["mixed_with_noise_nats"] = json!(mixed(&scores.nll, values as f64 * (levels as f64).ln()));
            }
            object["likelihood"] = likelihood;
        }
        let draws = draws_alone(&measured.trained) || need::draws(measured.trained.model.as_ref()).is_ok();
        let mut images = Vec::new();
        if draws {
            object["sampling"] = sampling(&mut measured.trained, &measured.device, output)?;
            images = draw::all_shown(&mut measured.trained, &measured.device, &Order::plain(SHOWN, 1), output)?;
            let own = ["quality=true".into(), format!("samples={}", args.samples)];
            // Settings of diffusion models say nothing of the others.
            let is_of_all = |set: &&String| set.starts_with("classifier_steps") || measured.trained.model.denoises().is_some();
            let of_samples = asked(own.into_iter().chain(args.set.iter().filter(is_of_all).cloned()).collect(), None);
            let mut of_quality = Measured::open(&of_samples, common)?;
            quality::wanted(&mut of_quality)?;
            object["quality"] = quality::of_samples(&mut of_quality, &of_samples, common, output)?.object;
        }
        if let Some(encoder) = measured.trained.model.encodes() {
            object["latent"] = json!({ "size": encoder.latent(), "linear_accuracy": probe(&mut measured, &eval_args, common)? });
        } else if let Some(decoder) = measured.trained.model.decodes() {
            object["latent"] = json!({ "size": decoder.latent() });
        }
        Ok(Self { object, images, dims: measured.trained.recipe.data.dims })
    }
}

/// What a run is and what its training cost.
fn facts(path: &Path, trained: &Trained) -> Result<Value> {
    let (recipe, model) = (&trained.recipe, trained.model.as_ref());
    let (steps, items) = (trained.progress.step, recipe.train.items(model.batches())? as f64);
    let flops = cost::of_a_step(recipe, model)? * steps as f64;
    let values = match &recipe.data {
        data if data.spec().is_binary() => "bits",
        data if data.points => "continuous values",
        _ => "levels",
    };
    let given = need::shown(model).map(|shown| format!(", given {}", shown.words())).unwrap_or_default();
    // The rate is the mean over a run; one that was stopped and went on tells that of its last part.
    let rate = trained.folder.metrics().iter().rev().find_map(|line| line["items_per_s"].as_f64());
    Ok(json!({
        "run": as_text(path), "model": recipe.model, "parameters": model.state().parameters(true), "steps": steps, "seed": recipe.seed,
        "items_seen": steps as f64 * items, "train_flops": flops, "train_seconds": rate.map(|rate| steps as f64 * items / rate),
        "trained_on": recipe.device, "conditional": model.conditional(), "values": format!("{values}{given}"),
    }))
}

/// Mean −ln of what is left of a model's p with 99% of uniform noise on `nats` = −ln of a point's share mixed in.
fn mixed(nll: &[f64], nats: f64) -> f64 {
    let both = |own: f64| {
        let (a, b) = (KEPT.ln() - own, (1.0 - KEPT).ln() - nats);
        let most = a.max(b);
        -(most + ((a - most).exp() + (b - most).exp()).ln())
    };
    nll.iter().map(|own| both(*own)).sum::<f64>() / nll.len().max(1) as f64
}

/// What drawing costs: steps that follow one another, operations an image, and milliseconds an image, one at a time and of 64 together.
fn sampling(trained: &mut Trained, device: &Device, output: &Output) -> Result<Value> {
    let (sequential, flops) = passes(trained.model.as_ref(), trained.recipe.data.dims)?;
    let mut milliseconds = |count: usize| -> Result<f64> {
        let order = Order::plain(count, 1);
        // The first makes what later ones find made, and is watched; no bar is drawn while the clock runs.
        draw::all_shown(trained, device, &order, output)?;
        let start = Instant::now();
        draw::all(trained, device, &order)?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / count as f64)
    };
    let (one, many) = (milliseconds(1)?, milliseconds(64)?);
    Ok(json!({ "sequential_steps": sequential, "flops": flops, "ms_of_1": one, "ms_of_64": many }))
}

/// Steps of drawing an image that wait for one another, and operations.
fn passes(model: &dyn Model, [h, w, c]: [usize; 3]) -> Result<(usize, u64)> {
    if let Some(raster) = model.raster() {
        let mut graph = raster.raster_graph(1)?;
        graph.keep_outputs(&["logits"]);
        let own = if raster.law().is_of_pixels() { 1 } else { c };
        return Ok((h * w * own, graph.flops()));
    }
    if let Some(network) = model.denoises() {
        let moves = Settings::of(network, None, None).way.moves(network.process(), network.variance()).len();
        let mut g = Graph::new();
        let (x, head) = (g.input("x", [1, h, w, c]), g.input("head", [1, 4]));
        let labels = (network.classes() > 0).then(|| g.input("labels", [1, network.classes() + 1]));
        let found = network.denoise(&mut g, x, head, Told { labels, shown: None })?;
        g.output("x0", found.x0);
        return Ok((moves, g.flops() * moves as u64));
    }
    Ok((1, need::decodes(model)?.decode_graph(1)?.flops()))
}

/// Accuracy of a linear classifier of the latent codes of training items, on the items measured; `None` without labels.
fn probe(measured: &mut Measured, args: &EvalArgs, common: &Common) -> Result<Option<f64>> {
    let classes = measured.trained.recipe.data.classes;
    if classes < 2 || measured.source.classes() != classes {
        return Ok(None);
    }
    let options = measured.options(args, common, false);
    let training = data::subset(training_data(&measured.trained.recipe)?, PROBED)?;
    let test = data::subset(Arc::clone(&measured.source), PROBED)?;
    let trained = &mut measured.trained;
    let mut codes = |source: Arc<dyn Source>| {
        eval::encode(&measured.device, trained.model.as_ref(), &mut trained.state, source, &options, false, |_| {}).wait()
    };
    let (fit, told) = (codes(training)?, codes(test)?);
    let judged = |codes: &eval::Codes| Judged { features: codes.mean.clone(), width: codes.latent, ..Judged::default() };
    let (of_fit, of_told) = (judged(&fit), judged(&told));
    eval::linear_accuracy(&measured.device, (&of_fit, &fit.labels), (&of_told, &told.labels), classes, PROBE_STEPS).wait().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_nine_parts_of_noise_cost_no_more_than_ln_100() {
        let nats = 784.0 * 256f64.ln();
        let found = mixed(&[900.0, 1100.0], nats);
        assert!((found - (1000.0 + 100f64.ln())).abs() < 1e-9, "{found}");
        // Where the model tells less than the noise, the noise is what is left.
        assert!((mixed(&[1e6], 10.0) - (10.0 - 0.99f64.ln())).abs() < 1e-9);
    }
}
