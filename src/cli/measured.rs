//! What the commands that score a run share: their arguments, the run, the data.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::common::Common;
use super::output::Output;
use crate::data::{self, Binarization, Kind, Source};
use crate::error::{Error, Result};
use crate::eval::{self, ImportanceScores, LikelihoodOptions, Scores};
use crate::runtime::{Device, Weights};
use crate::train::{DataRequest, Trained, open_data, parse_settings};
use crate::wait::Wait;

/// What `--set` takes where a run is measured.
pub const SETTINGS: [(&str, &str); 9] = [
    ("binarization", "how grey levels become bits: none, static, dynamic or threshold"),
    ("iw", "importance samples of a tighter bound (vae, cvae)"),
    ("steps", "steps of the chain that a bound is of, or that samples are drawn by (diffusion)"),
    ("ode", "steps of the flow that log p is told by (diffusion)"),
    ("terms", "a .png or .csv file for the terms of the bound (diffusion)"),
    ("quality", "true measures samples, also of a model that has a likelihood"),
    ("samples", "samples that quality is measured on [2000]"),
    ("classifier_steps", "steps of the classifier that quality is judged by [1500]"),
    ("guidance", "scale of guidance that samples are drawn with (diffusion)"),
];

/// The same as `--help` shows them.
fn settings_help() -> String {
    let lines: String = SETTINGS.iter().map(|(key, meaning)| format!("\n  {key}=…  {meaning}")).collect();
    format!("A setting of the evaluation; may be repeated:{lines}")
}

/// Arguments of commands that score a run.
#[derive(Args)]
pub struct EvalArgs {
    /// Run folder
    pub run: PathBuf,
    /// What to measure on [default: the test split of the training data, if training did not see it]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// A seeded random N items alone, each class its share, the same on every call
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Items at a time; no figure depends on it
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true)]
    pub batch: usize,
    /// binarization=…, or another setting of the evaluation, which --help lists; may be repeated
    #[arg(long, value_name = "KEY=VALUE", long_help = settings_help())]
    pub set: Vec<String>,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// The averaged weights where a run keeps them.
pub fn weights(trained: &Trained) -> Weights {
    if trained.recipe.train.ema > 0.0 { Weights::Average } else { Weights::Current }
}

/// Which of a run's weights a figure or a picture is of, in words: of the newest checkpoint or the best, averaged or not.
pub fn weights_in_words(trained: &Trained, best: bool) -> String {
    let which = if best { "the best validation score" } else { "the newest checkpoint" };
    match weights(trained) {
        Weights::Average => format!("averaged weights (ema {}) of {which}", trained.recipe.train.ema),
        Weights::Current => format!("weights of {which}"),
    }
}

/// What must be added to a −log p of continuous series to have it of values in their units, in nats a window, and in words; `None` of others.
pub fn of_units(trained: &Trained) -> Option<(f64, String)> {
    let (model, data) = (trained.model.as_ref(), &trained.recipe.data);
    if model.raster()?.law().levels().is_some() || !data.reading.series.is_settled() {
        return None;
    }
    let nats = data.dims[0] as f64 * data.reading.series.nats_of_units();
    Some((nats, format!("a density, of values at the run's scale; {nats:+.3} nats a series make it that of values in their units")))
}

/// Whether there is nothing to measure of a run but its samples.
pub fn draws_alone(trained: &Trained) -> bool {
    let model = &trained.model;
    model.scores().is_none() && model.decodes().is_some_and(|d| d.has_prior())
}

/// Whether labels enter a figure: that of a conditional model, of a classifier, or of samples that a classifier judges.
fn uses_labels(trained: &Trained, settings: &toml::Table) -> bool {
    let of_samples = settings.get("quality").map_or_else(|| draws_alone(trained), |value| value.as_bool() == Some(true));
    trained.model.conditional() || trained.model.judges().is_some() || (of_samples && trained.recipe.data.classes > 1)
}

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
    /// The binarization that the command named, if any.
    pub asked: Option<Binarization>,
    /// Settings that belong to the evaluation.
    pub settings: toml::Table,
    /// Steps of a bound, where the command says how many.
    pub steps: Option<usize>,
}

impl Measured {
    /// Opens both.
    pub fn open(args: &EvalArgs, common: &Common) -> Result<Self> {
        Self::open_as(args, common, |trained, settings| Ok(uses_labels(trained, settings)))
    }

    /// Opens both; `labels` says whether every item must have a label that is one of the run's.
    pub fn open_as(args: &EvalArgs, common: &Common, labels: impl FnOnce(&Trained, &toml::Table) -> Result<bool>) -> Result<Self> {
        let ranks = &common.ranks;
        let device = common.open_device()?;
        let trained = Trained::hand_out(ranks, &args.run, &device, args.best)?;
        let measured = ranks.agree(Self::beside(trained, device, args, labels))?;
        if ranks.count() > 1 {
            let digest = ranks.agree(data::digest(&*measured.source))?;
            ranks.same("the data", &format!("{} of {} items ({})", measured.source.name(), measured.source.len(), digest.hash))?;
        }
        Ok(measured)
    }

    /// Opens the data of a run.
    fn beside(
        trained: Trained,
        device: Device,
        args: &EvalArgs,
        labels: impl FnOnce(&Trained, &toml::Table) -> Result<bool>,
    ) -> Result<Self> {
        let mut settings = parse_settings(&args.set)?;
        let asked = match settings.remove("binarization") {
            Some(toml::Value::String(word)) => Some(word.parse()?),
            Some(other) => return Err(Error::usage(format!("binarization is none, static, dynamic or threshold, not {other}"))),
            None => None,
        };
        let binarization = asked.unwrap_or(trained.recipe.data.binarization);
        if args.batch == 0 {
            return Err(Error::usage("--batch must be at least 1"));
        }
        let labels = labels(&trained, &settings)?;
        let request = DataRequest { source: args.data.as_deref(), limit: args.limit, binarization: asked, labels };
        let source = open_data(&trained.recipe, &request)?;
        binarization.check(source.kind(), &source.name())?;
        if trained.recipe.data.spec().is_binary() && binarization == Binarization::None && source.kind() != Kind::Binary {
            let words = "and this run models black and white; take --set binarization=dynamic or threshold";
            return Err(Error::usage(format!("{} is grey {words}", source.name())));
        }
        let steps = match settings.remove("steps") {
            Some(toml::Value::Integer(steps)) if steps > 0 => Some(steps as usize),
            Some(other) => return Err(Error::usage(format!("steps is a number of steps of a bound, not {other}"))),
            None => None,
        };
        Ok(Self { trained, device, source, binarization, asked, settings, steps })
    }

    /// The averaged weights where the run keeps them.
    pub fn weights(&self) -> Weights {
        weights(&self.trained)
    }

    /// Refuses settings that the command does not take.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first, and those that it takes.
    pub fn refuse_settings(&self, command: &str, takes: &str) -> Result<()> {
        match self.settings.keys().next() {
            Some(key) => Err(Error::usage(format!("{command} takes no setting {key}; it takes {takes}"))),
            None => Ok(()),
        }
    }

    /// Takes the number of importance samples out of the settings.
    pub fn samples(&mut self) -> Result<Option<usize>> {
        match self.settings.remove("iw") {
            Some(toml::Value::Integer(samples)) if samples > 0 => Ok(Some(samples as usize)),
            Some(other) => Err(Error::usage(format!("iw is a number of importance samples, not {other}"))),
            None => Ok(None),
        }
    }

    /// Takes the number of steps of a flow's ODE out of the settings.
    pub fn ode(&mut self) -> Result<Option<usize>> {
        match self.settings.remove("ode") {
            Some(toml::Value::Integer(steps)) if steps > 0 => Ok(Some(steps as usize)),
            Some(other) => Err(Error::usage(format!("ode is a number of steps, not {other}"))),
            None => Ok(None),
        }
    }

    pub fn importance(&mut self, args: &EvalArgs, common: &Common, samples: usize, output: &Output) -> Result<ImportanceScores> {
        let options = self.options(args, common, false);
        let bar = output.bar(self.source.len() as u64, "images");
        let source = Arc::clone(&self.source);
        let trained = &mut self.trained;
        let scores = eval::importance_bound(&self.device, trained.model.as_ref(), &mut trained.state, source, &options, samples, |done| {
            bar.set_position(done as u64);
        })
        .wait();
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
            steps: self.steps,
            ranks: common.ranks.clone(),
        }
    }

    pub fn score(&mut self, args: &EvalArgs, common: &Common, per_pixel: bool, output: &Output) -> Result<Scores> {
        let options = self.options(args, common, per_pixel);
        let bar = output.bar(self.source.len() as u64, "images");
        let source = Arc::clone(&self.source);
        let scores = eval::score(&self.device, self.trained.model.as_ref(), &mut self.trained.state, source, &options, |done| {
            bar.set_position(done as u64);
        })
        .wait();
        bar.finish_and_clear();
        scores
    }
}
