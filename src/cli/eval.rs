//! `kiln eval`.

use std::sync::Arc;

use serde_json::json;

use super::common::Common;
use super::measured::{EvalArgs, Measured};
use super::output::Output;
use super::quality;
use crate::error::{Error, Result};
use crate::eval;
use crate::model::{Score, need};

/// `kiln eval`
pub fn run(args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    let mut measured = Measured::open(args, common)?;
    if measured.trained.model.judges().is_some() {
        return accuracy(&mut measured, args, common, output);
    }
    if quality::wanted(&mut measured)? {
        return quality::run(measured, args, common, output);
    }
    let samples = measured.samples()?;
    if let Some(key) = measured.settings.keys().next() {
        return Err(Error::usage(format!("kiln eval of a {} takes no setting {key}", measured.trained.recipe.model)));
    }
    let scores = measured.score(args, common, false, output)?;
    let values = measured.source.dims().iter().product();
    let figure = scores.figure(values);
    let step = measured.trained.progress.step;
    let is_bound = need::scores(measured.trained.model.as_ref())?.score() == Score::Bound;
    let mut words = format!(
        "{} {:.3} ± {:.3} nats an image, {:.4} bits/dim, over {} images",
        if is_bound { "−ELBO =" } else { "−log p =" },
        figure.nats,
        figure.error,
        figure.bits_per_dim,
        figure.count,
    );
    let mut object = json!({
        "model": measured.trained.recipe.model, "step": step, "data": measured.source.name(),
        "binarization": measured.binarization.to_string(), "nats": figure.nats, "standard_error": figure.error,
        "bits_per_dim": figure.bits_per_dim, "images": figure.count, "device": measured.device.name(),
    });
    if is_bound {
        let part = |name: &str| scores.part(name).unwrap_or(0.0);
        words += &format!(" (reconstruction {:.3}, KL {:.3})", part("recon"), part("kl"));
        object["recon"] = json!(part("recon"));
        object["kl"] = json!(part("kl"));
    }
    if let Some(samples) = samples {
        let bound = measured.importance(args, common, samples, output)?.figure(values);
        words += &format!(
            "\n−log p ≤ {:.3} ± {:.3} nats an image, {:.4} bits/dim, with {samples} importance samples",
            bound.nats, bound.error, bound.bits_per_dim
        );
        object["importance"] = json!({
            "samples": samples, "nats": bound.nats, "standard_error": bound.error, "bits_per_dim": bound.bits_per_dim,
        });
    }
    words += &format!(
        "\n{} at step {step} on {} · binarization {} · device {}",
        measured.trained.recipe.model,
        measured.source.name(),
        measured.binarization,
        measured.device.name()
    );
    if let Some(note) = measured.trained.model.scores().and_then(|s| s.note()) {
        words += &format!("\n{note}");
        object["note"] = json!(note);
    }
    output.result(&words, &object)
}

/// `kiln eval` of a classifier.
fn accuracy(measured: &mut Measured, args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    if let Some(key) = measured.settings.keys().next() {
        return Err(Error::usage(format!("kiln eval of a classifier takes no setting {key}")));
    }
    let options = measured.options(args, common, false);
    let bar = output.bar(measured.source.len() as u64, "images");
    let data = (Arc::clone(&measured.source), measured.trained.recipe.data.classes);
    let trained = &mut measured.trained;
    let found = eval::accuracy(&measured.device, trained.model.as_ref(), &mut trained.state, data, &options, |done| {
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let found = found?;
    let step = trained.progress.step;
    let words = format!(
        "accuracy {:.4} ± {:.4}, cross-entropy {:.4} nats, over {} images\n{} at step {step} on {} · device {}",
        found.share,
        found.error,
        found.nats,
        found.count,
        trained.recipe.model,
        measured.source.name(),
        measured.device.name()
    );
    let object = json!({
        "model": trained.recipe.model, "step": step, "data": measured.source.name(), "accuracy": found.share,
        "standard_error": found.error, "nats": found.nats, "images": found.count, "device": measured.device.name(),
    });
    output.result(&words, &object)
}
