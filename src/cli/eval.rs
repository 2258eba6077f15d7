//! `kiln eval`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::common::Common;
use super::endings;
use super::measured::{EvalArgs, Measured, of_units, weights_in_words};
use super::output::{Output, counted};
use super::quality;
use crate::error::{Error, Result};
use crate::eval::{self, Figure, ImportanceFigure, Scores};
use crate::model::{Score, need};
use crate::report::{self, ChartOptions, Series};
use crate::wait::Wait;

/// Effective importance samples below which the spread of the weights says little of the bound's error.
const FEW: f64 = 2.0;

/// `kiln eval`
pub fn run(args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    let mut measured = Measured::open(args, common)?;
    measured.source.notes().iter().for_each(|note| output.say(note));
    if measured.trained.model.judges().is_some() {
        return accuracy(&mut measured, args, common, output);
    }
    if common.ranks.agree(quality::wanted(&mut measured))? {
        return quality::run(measured, args, common, output);
    }
    likelihood(&mut measured, args, common, output)
}

/// `kiln eval` of a model that knows a likelihood, or a bound of it.
fn likelihood(measured: &mut Measured, args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    if let Some(steps) = common.ranks.agree(measured.ode())? {
        return flow(measured, steps, args, common, output);
    }
    let curve = measured.settings.remove("terms").map(|value| terms_path(measured, &value)).transpose();
    let curve = common.ranks.agree(curve)?;
    let (mut words, object, scores) = likelihood_of(measured, args, common, output)?;
    if let Some(path) = &curve {
        common.ranks.by_first(|| write_terms(path, &scores.passes))?;
        words += &format!("\nits terms, from most noise to least, in {}", path.display());
    }
    output.result(&words, &object)
}

/// Where the terms of a bound go, as the setting says.
fn terms_path(measured: &Measured, value: &toml::Value) -> Result<PathBuf> {
    let path = PathBuf::from(value.as_str().ok_or_else(|| Error::usage(format!("terms is a .png or .csv file, not {value}")))?);
    endings::check(&path, "the terms of a bound", &["png", "csv"])?;
    if measured.trained.model.denoises().is_none() {
        return Err(Error::usage("terms= shows those of a diffusion model's bound, and this score has none; leave it out"));
    }
    Ok(path)
}

/// The terms of a bound as a curve or a table: L_T with the first, then each step's, L₀ last.
fn write_terms(path: &Path, passes: &[f64]) -> Result<()> {
    if endings::of(path) == "csv" {
        let numbers = (1..=passes.len()).map(|step| step as f64).collect();
        return report::write_table(path, &[("step_from_noise".into(), numbers), ("nats".into(), passes.to_vec())]);
    }
    let points = passes.iter().enumerate().map(|(at, nats)| ((at + 1) as f64, *nats)).collect();
    let options = ChartOptions { log_y: true, smooth: Some(0), ..ChartOptions::default() };
    let title = format!("terms of the bound of {} steps", passes.len());
    report::save_png(path, &report::chart(&title, "step, from most noise to the item", "nats", &[Series::new("", points)], &options))
}

/// The likelihood of a run, or the bound of it: in words, by name, and of each item.
///
/// # Errors
/// [`crate::Error::Usage`] for settings that are none; errors of the data and the device.
pub fn likelihood_of(measured: &mut Measured, args: &EvalArgs, common: &Common, output: &Output) -> Result<(String, Value, Scores)> {
    let name = measured.trained.recipe.model.clone();
    let taken = measured.samples().and_then(|samples| {
        let takes = "binarization=, iw= (importance samples), steps=, ode= and terms=F.png (of a diffusion model) and quality=true";
        measured.refuse_settings(&format!("kiln eval of a {name}"), takes).map(|()| samples)
    });
    let samples = common.ranks.agree(taken)?;
    let scores = measured.score(args, common, false, output)?;
    let values = measured.source.dims().iter().product();
    let figure = scores.figure(values);
    let step = measured.trained.progress.step;
    let is_bound = need::scores(measured.trained.model.as_ref())?.score() == Score::Bound;
    let mut words = format!(
        "{} {} nats an image, {:.4} bits/dim, over {}",
        if is_bound { "−ELBO =" } else { "−log p =" },
        figure.shown(),
        figure.bits_per_dim,
        counted(figure.count, "image"),
    );
    let in_units = of_units(&measured.trained);
    if let Some((_, note)) = &in_units {
        words += &format!("\n{note}");
    }
    let weights = weights_in_words(&measured.trained, args.best);
    let mut object = json!({
        "model": name, "step": step, "weights": weights, "data": measured.source.name(),
        "figure": if is_bound { "-ELBO, an upper bound of -log p, of one draw of its latents an image" } else { "-log p, exact" },
        "binarization": measured.binarization.to_string(), "nats": figure.nats, "standard_error": figure.error,
        "bits_per_dim": figure.bits_per_dim, "images": figure.count, "device": measured.device.name(),
    });
    if let Some((nats, _)) = in_units {
        object["nats_to_units"] = json!(nats);
    }
    if is_bound {
        let parts = need::scores(measured.trained.model.as_ref())?.parts();
        let told: Vec<String> = parts.iter().filter_map(|(name, words)| Some(format!("{words} {:.3}", scores.part(name)?))).collect();
        words += &format!(" ({})", told.join(", "));
        for (name, _) in parts {
            object[*name] = json!(scores.part(name));
        }
    }
    if !scores.passes.is_empty() {
        let steps = scores.passes.len();
        words += &format!("\na bound of {steps} steps, each counted");
        if let Some(most) = measured.trained.model.denoises().map(|d| d.process().steps()).filter(|most| *most > steps) {
            words += &format!("; --set steps={most} is that of the chain it was trained as");
        }
        object["steps"] = json!(steps);
        object["terms"] = json!(scores.passes);
    }
    if !is_bound {
        let shares: Vec<(&str, f64)> = scores.parts.iter().filter_map(|(name, _)| Some((name.as_str(), scores.part(name)?))).collect();
        for (at, (name, nats)) in shares.iter().enumerate() {
            let size = name.trim_start_matches("nats_").replace('x', "×");
            let given = if at == 0 { "" } else { ", given the scale above" };
            words += &format!("\n  scale {size:<9}{nats:>9.3} nats{given}");
        }
        if !shares.is_empty() {
            object["scales"] = shares.iter().map(|(name, nats)| json!({"size": name.trim_start_matches("nats_"), "nats": nats})).collect();
        }
    }
    if let Some(samples) = samples {
        let found = measured.importance(args, common, samples, output)?.figure(values);
        words += &format!("\n{}", importance_in_words(&found, samples));
        object["importance"] = json!({
            "samples": samples, "nats": found.bound.nats, "standard_error": found.bound.error, "bits_per_dim": found.bound.bits_per_dim,
            "monte_carlo_error": found.monte_carlo, "gap": found.gap, "least_effective_samples": found.least_effective,
        });
    }
    words += &format!(
        "\n{name} at step {step}, {weights}, on {} · binarization {} · device {}",
        measured.source.name(),
        measured.binarization,
        measured.device.name()
    );
    let augment = measured.trained.recipe.data.augment;
    if !augment.is_none() {
        words += &format!("\ntrained on images changed at random ({augment}), measured on images as they are");
        object["augment"] = json!(augment);
    }
    if let Some(shown) = need::shown(measured.trained.model.as_ref()) {
        words += &format!("\nof each image given {}", shown.words());
        object["given"] = json!(shown.words());
    }
    if let Some(note) = measured.trained.model.scores().and_then(|s| s.note()) {
        words += &format!("\n{note}");
        object["note"] = json!(note);
    }
    Ok((words, object, scores))
}

/// `kiln eval --set ode=N` of a diffusion model.
fn flow(measured: &mut Measured, steps: usize, args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    common.ranks.agree(measured.refuse_settings("log p by the ODE of a diffusion model", "binarization= and ode="))?;
    let options = measured.options(args, common, false);
    let bar = output.bar(measured.source.len() as u64, "images");
    let source = Arc::clone(&measured.source);
    let trained = &mut measured.trained;
    let found = eval::flow_likelihood(&measured.device, trained.model.as_ref(), &mut trained.state, source, (&options, steps), |done| {
        bar.set_position(done as u64);
    })
    .wait();
    bar.finish_and_clear();
    let found = found?;
    let values = measured.source.dims().iter().product();
    let [figure, halved] = [&found.nll, &found.halved].map(|nll| Figure::of(nll, values));
    let off = (figure.nats - halved.nats).abs();
    let dequantised = trained.model.denoises().is_some_and(|d| d.value_levels().is_some());
    let words = format!(
        "−log p = {} nats an image, {:.4} bits/dim, over {}, by the flow in {steps} steps ({:.3} nats off half as many){}\n{} at step {}, {}, on {} · device {}",
        figure.shown(),
        figure.bits_per_dim,
        counted(figure.count, "image"),
        off,
        if dequantised { "; a bound, of values with noise within their cells" } else { "" },
        trained.recipe.model,
        trained.progress.step,
        weights_in_words(trained, args.best),
        measured.source.name(),
        measured.device.name()
    );
    let object = json!({
        "model": trained.recipe.model, "step": trained.progress.step, "weights": weights_in_words(trained, args.best),
        "data": measured.source.name(), "figure": "-log p by the probability-flow ODE, its trace estimated by one draw of signs an image",
        "ode_steps": steps, "nats": figure.nats, "standard_error": figure.error, "bits_per_dim": figure.bits_per_dim,
        "nats_of_half_as_many_steps": halved.nats, "images": figure.count, "device": measured.device.name(),
    });
    output.result(&words, &object)
}

/// The importance-weighted bound with what is known of its error.
fn importance_in_words(found: &ImportanceFigure, samples: usize) -> String {
    let mut words = format!(
        "−log p ≤ {} nats an image, {:.4} bits/dim, with {samples} importance samples",
        found.bound.shown(),
        found.bound.bits_per_dim
    );
    if found.monte_carlo.is_finite() {
        words += &format!(" (± {:.3} of it from the samples; about {:.3} above −log p)", found.monte_carlo, found.gap);
    }
    if samples > 1 && found.least_effective < FEW {
        words += &format!(
            "\nin some image {:.1} of the {samples} samples carry the bound, so that its error is not known well; take a larger iw=",
            found.least_effective
        );
    }
    words
}

/// `kiln eval` of a classifier.
fn accuracy(measured: &mut Measured, args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    common.ranks.agree(measured.refuse_settings("kiln eval of a classifier", "binarization="))?;
    let options = measured.options(args, common, false);
    let bar = output.bar(measured.source.len() as u64, "images");
    let data = (Arc::clone(&measured.source), measured.trained.recipe.data.classes);
    let trained = &mut measured.trained;
    let found = eval::accuracy(&measured.device, trained.model.as_ref(), &mut trained.state, data, &options, |done| {
        bar.set_position(done as u64);
    })
    .wait();
    bar.finish_and_clear();
    let found = found?;
    let step = trained.progress.step;
    let words = format!(
        "accuracy {:.4} ± {:.4}, cross-entropy {:.4} nats, over {}\n{} at step {step} on {} · device {}",
        found.share,
        found.error,
        found.nats,
        counted(found.count, "image"),
        trained.recipe.model,
        measured.source.name(),
        measured.device.name()
    );
    let object = json!({
        "model": trained.recipe.model, "step": step, "weights": weights_in_words(trained, args.best), "data": measured.source.name(),
        "binarization": measured.binarization.to_string(), "accuracy": found.share,
        "standard_error": found.error, "nats": found.nats, "images": found.count, "device": measured.device.name(),
    });
    output.result(&words, &object)
}
