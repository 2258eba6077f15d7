//! `kiln eval` and `kiln score`.

use std::sync::Arc;

use serde_json::json;

use super::args::{Common, EvalArgs, ScoreArgs};
use super::output::Output;
use super::quality;
use crate::data::{self, Binarization, Kind, OpenOptions, Source, Split};
use crate::error::{Error, Result};
use crate::eval::{self, LikelihoodOptions, Scores};
use crate::report;
use crate::runtime::{Device, Weights};
use crate::train::{Trained, parse_settings};

/// A run and the data it is measured on.
pub struct Measured {
    /// The run.
    pub trained: Trained,
    /// The device it runs on.
    pub device: Device,
    /// The data.
    pub source: Arc<dyn Source>,
    /// How grey levels become bits.
    pub binarization: Binarization,
    /// Settings that belong to the evaluation.
    pub settings: toml::Table,
}

impl Measured {
    /// Opens both.
    pub fn open(args: &EvalArgs, common: &Common) -> Result<Self> {
        let device = Device::open(&common.device)?;
        let trained = Trained::load(&args.run, &device, args.best)?;
        let mut settings = parse_settings(&args.set)?;
        let binarization = match settings.remove("binarization") {
            Some(toml::Value::String(word)) => word.parse()?,
            Some(other) => return Err(Error::usage(format!("binarization is none, static, dynamic or threshold, not {other}"))),
            None => trained.recipe.data.binarization,
        };
        if args.batch == 0 {
            return Err(Error::usage("--batch must be at least 1"));
        }
        let text = args.data.as_ref().unwrap_or(&trained.recipe.data.source);
        // The test split, also where the run names the split it was trained on.
        let text = if args.data.is_none() { text.strip_suffix(":train").unwrap_or(text) } else { text };
        let options =
            OpenOptions { seed: trained.recipe.seed, limit: args.limit, resize: trained.recipe.data.resize, ..OpenOptions::default() };
        let source = data::open(text, Split::Test, &options)?;
        eval::check_data(trained.model.as_ref(), trained.recipe.data.dims, source.as_ref())?;
        binarization.check(source.kind(), &source.name())?;
        if trained.recipe.data.spec().is_binary() && binarization == Binarization::None && source.kind() != Kind::Binary {
            let words = "and this run models black and white; take --set binarization=dynamic or threshold";
            return Err(Error::usage(format!("{} is grey {words}", source.name())));
        }
        Ok(Self { trained, device, source, binarization, settings })
    }

    /// The averaged weights where the run keeps them.
    pub fn weights(&self) -> Weights {
        if self.trained.recipe.train.ema > 0.0 { Weights::Average } else { Weights::Current }
    }

    /// Takes the number of importance samples out of the settings.
    fn samples(&mut self) -> Result<Option<usize>> {
        match self.settings.remove("iw") {
            Some(toml::Value::Integer(samples)) if samples > 0 => Ok(Some(samples as usize)),
            Some(other) => Err(Error::usage(format!("iw is a number of importance samples, not {other}"))),
            None => Ok(None),
        }
    }

    fn importance(&mut self, args: &EvalArgs, common: &Common, samples: usize, output: &Output) -> Result<Scores> {
        let options = self.options(args, common, false);
        let bar = output.bar(self.source.len() as u64, "images");
        let source = Arc::clone(&self.source);
        let trained = &mut self.trained;
        let scores = eval::importance_bound(&self.device, trained.model.as_ref(), &mut trained.state, source, &options, samples, |done| {
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        scores
    }

    /// How it is scored.
    pub fn options(&self, args: &EvalArgs, common: &Common, per_pixel: bool) -> LikelihoodOptions {
        LikelihoodOptions {
            batch: args.batch,
            seed: common.seed.unwrap_or(self.trained.recipe.seed),
            binarization: self.binarization,
            weights: self.weights(),
            per_pixel,
        }
    }

    fn score(&mut self, args: &EvalArgs, common: &Common, per_pixel: bool, output: &Output) -> Result<Scores> {
        let options = self.options(args, common, per_pixel);
        let bar = output.bar(self.source.len() as u64, "images");
        let source = Arc::clone(&self.source);
        let scores = eval::score(&self.device, self.trained.model.as_ref(), &mut self.trained.state, source, &options, |done| {
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        scores
    }
}

/// `kiln eval`
pub fn eval(args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    let mut measured = Measured::open(args, common)?;
    if measured.trained.model.judge_graph(1)?.is_some() {
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
    let is_bound = !scores.parts.is_empty();
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
    if let Some(note) = measured.trained.model.likelihood_note() {
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

/// `kiln score`
pub fn score(args: &ScoreArgs, common: &Common, output: &Output) -> Result<()> {
    let mut measured = Measured::open(&args.eval, common)?;
    let scores = measured.score(&args.eval, common, args.per_pixel, output)?;
    let n = scores.nll.len();
    let shape: Vec<usize> = if args.per_pixel {
        let values: Vec<f32> = scores.map.iter().map(|v| -v).collect();
        let shape: Vec<usize> = [n].into_iter().chain(measured.source.dims()).collect();
        report::write_npy_f32(&args.out, &shape, &values)?;
        shape
    } else {
        let values: Vec<f32> = scores.nll.iter().map(|v| -*v as f32).collect();
        report::write_npy_f32(&args.out, &[n], &values)?;
        vec![n]
    };
    let figure = scores.figure(measured.source.dims().iter().product());
    let words = format!("wrote log p of {n} images (mean {:.3} nats) to {}", -figure.nats, args.out.display());
    let object = json!({"out": args.out, "shape": shape, "mean_log_p": -figure.nats, "binarization": measured.binarization.to_string()});
    output.result(&words, &object)
}
