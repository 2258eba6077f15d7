//! `kiln score`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::endings;
use super::measured::{EvalArgs, Measured, of_units, weights_in_words};
use super::output::{Output, as_text, counted};
use super::surprise::{self, SurpriseArgs};
use crate::error::{Error, Result};
use crate::eval::{ImportanceScores, Scores};
use crate::model::{self, need};
use crate::report;

/// Arguments of `score`.
#[derive(Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// The .npy file to write (with --per-step also a .csv)
    #[arg(long, value_name = "F.npy")]
    pub out: PathBuf,
    /// log p of every value of every image, [N, H, W, C]
    #[arg(long)]
    pub per_pixel: bool,
    /// Each image's terms as named columns: log_p (and the nats of each of several scales), or elbo, reconstruction and kl, and with
    /// --set iw=K the bound and its error
    #[arg(long, value_name = "F.csv or F.npy")]
    pub parts: Option<PathBuf>,
    /// log p of every step of series, [N, T], each given half a window before it or more
    #[arg(long, conflicts_with_all = ["per_pixel", "parts"])]
    pub per_step: bool,
    #[command(flatten)]
    pub surprise: SurpriseArgs,
}

/// What `--out` holds of each image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Score {
    Exact,
    Elbo,
    Importance(usize),
}

impl Score {
    fn name(self) -> String {
        match self {
            Self::Exact => "log p".into(),
            Self::Elbo => "the ELBO, a lower bound of log p,".into(),
            Self::Importance(samples) => format!("the importance-weighted bound of log p with {samples} samples"),
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Exact => "mean_log_p",
            Self::Elbo => "mean_elbo",
            Self::Importance(_) => "mean_importance_bound",
        }
    }
}

/// The number of importance samples, where they are wanted.
fn samples_of(args: &ScoreArgs, measured: &mut Measured) -> Result<Option<usize>> {
    let samples = measured.samples()?;
    measured.refuse_settings("kiln score", "binarization= and iw= (importance samples)")?;
    if samples.is_some() && args.per_pixel {
        return Err(Error::usage("a bound by importance samples is no sum over pixels; leave --per-pixel or iw= out"));
    }
    Ok(samples)
}

/// The terms of each image's score by their names.
fn columns(scores: &Scores, is_bound: bool, bound: Option<&ImportanceScores>) -> Vec<(String, Vec<f64>)> {
    let negated = |values: &[f64]| values.iter().map(|v| -v).collect::<Vec<f64>>();
    let mut columns = vec![(if is_bound { "elbo" } else { "log_p" }.to_string(), negated(&scores.nll))];
    for (name, values) in &scores.parts {
        let name = if name == "recon" { "reconstruction" } else { name };
        columns.push((name.to_string(), values.clone()));
    }
    if let Some(bound) = bound {
        columns.push(("importance_bound".into(), negated(&bound.nll)));
        columns.push(("importance_error".into(), bound.variance.iter().map(|v| v.sqrt()).collect()));
        columns.push(("effective_samples".into(), bound.effective.clone()));
    }
    columns
}

/// `kiln score`
pub fn run(args: &ScoreArgs, common: &Common, output: &Output) -> Result<()> {
    if args.per_step {
        return surprise::run(&args.eval, &args.out, &args.surprise, common, output);
    }
    let endings = endings::check(&args.out, "scores", &["npy"]);
    let parts = args.parts.as_ref().map_or(Ok(()), |parts| endings::check(parts, "the terms of scores", &["csv", "npy"]));
    common.ranks.agree(endings.and(parts))?;
    let mut measured = Measured::open(&args.eval, common)?;
    let samples = common.ranks.agree(samples_of(args, &mut measured))?;
    let scores = measured.score(&args.eval, common, args.per_pixel, output)?;
    let bound = samples.map(|samples| measured.importance(&args.eval, common, samples, output)).transpose()?;
    let is_bound = need::scores(measured.trained.model.as_ref())?.score() == model::Score::Bound;
    let n = scores.nll.len();
    let kind = match samples {
        Some(samples) => Score::Importance(samples),
        None if is_bound => Score::Elbo,
        None => Score::Exact,
    };
    let written = bound.as_ref().map_or(&scores.nll, |b| &b.nll);
    let mean = -written.iter().sum::<f64>() / n as f64;
    let dims = if args.per_pixel { measured.source.dims().to_vec() } else { Vec::new() };
    let shape: Vec<usize> = [n].into_iter().chain(dims).collect();
    common.ranks.by_first(|| {
        let of_items = || written.iter().map(|v| -*v as f32).collect();
        let values: Vec<f32> = if args.per_pixel { scores.map.iter().map(|v| -v).collect() } else { of_items() };
        report::write_npy_f32(&args.out, &shape, &values)?;
        let Some(path) = &args.parts else { return Ok(()) };
        report::write_table(path, &columns(&scores, is_bound, bound.as_ref()))
    })?;
    let weights = weights_in_words(&measured.trained, args.eval.best);
    let mut words = format!(
        "wrote {} of {} of {} (mean {mean:.3} nats, binarization {}, {weights}) to {}",
        kind.name(),
        counted(n, "image"),
        measured.source.name(),
        measured.binarization,
        args.out.display()
    );
    let mut object = json!({
        "out": as_text(&args.out), "shape": shape, "score": kind.name(), "data": measured.source.name(), "parts": args.parts.as_deref().map(as_text),
        "binarization": measured.binarization.to_string(), "weights": weights, "step": measured.trained.progress.step,
    });
    object[kind.key()] = json!(mean);
    if let Some(path) = &args.parts {
        words += &format!(", and its terms to {}", path.display());
    }
    if let Some((nats, note)) = of_units(&measured.trained) {
        words += &format!("\n{note}");
        object["nats_to_units"] = json!(nats);
    }
    if let Some(shown) = need::shown(measured.trained.model.as_ref()) {
        words += &format!("\nof each image given {}", shown.words());
        object["given"] = json!(shown.words());
    }
    if let Some(note) = measured.trained.model.scores().and_then(|s| s.note()) {
        words += &format!("\n{note}");
        object["note"] = json!(note);
    }
    output.result(&words, &object)
}
