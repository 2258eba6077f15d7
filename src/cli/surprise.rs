//! `kiln score --per-step`: how unlikely each step of a series is, and its unlikeliest stretches.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::endings;
use super::measured::{EvalArgs, Measured, of_units, weights_in_words};
use super::output::{Output, as_text};
use super::sequences::dates_of;
use crate::data::series::{Between, Cut};
use crate::error::{Error, Result};
use crate::eval;
use crate::report::{self, Column, SurprisePicture};
use crate::wait::Wait;

/// Arguments that belong to `score --per-step`.
#[derive(Args)]
pub struct SurpriseArgs {
    /// A .png of the series with each step's surprise beneath it, the unlikeliest stretches marked
    #[arg(long, value_name = "F.png", requires = "per_step")]
    pub picture: Option<PathBuf>,
    /// Steps of a stretch [default: a sixteenth of a window]
    #[arg(long, value_name = "STEPS", requires = "per_step", allow_negative_numbers = true)]
    pub stretch: Option<usize>,
    /// Unlikeliest stretches to tell and mark
    #[arg(long, value_name = "K", default_value_t = 5, requires = "per_step", allow_negative_numbers = true)]
    pub top: usize,
}

/// How the series of the data are read, and the steps of a stretch of them.
fn series_of(measured: &Measured, asked: &SurpriseArgs) -> Result<(Cut, usize)> {
    measured.refuse_settings("kiln score --per-step", "binarization=")?;
    let source = &measured.source;
    let Some(cut) = source.series().cloned() else {
        return Err(Error::usage(format!("{} holds no series, which have steps; take --per-pixel for images", source.name())));
    };
    let steps = source.dims()[0];
    let stretch = asked.stretch.unwrap_or((steps / 16).max(1));
    if stretch == 0 || stretch > steps {
        return Err(Error::usage(format!("--stretch is 1 to {steps} steps, those of a window, not {stretch}")));
    }
    Ok((cut, stretch))
}

/// `kiln score --per-step`
pub fn run(args: &EvalArgs, out: &Path, asked: &SurpriseArgs, common: &Common, output: &Output) -> Result<()> {
    let picture = asked.picture.as_ref().map_or(Ok(()), |path| endings::check(path, "pictures", &["png"]));
    common.ranks.agree(endings::check(out, "scores of steps", &["npy", "csv"]).and(picture))?;
    let mut measured = Measured::open(args, common)?;
    let source = Arc::clone(&measured.source);
    let ([steps, _, channels], windows) = (source.dims(), source.len());
    let (cut, stretch) = common.ranks.agree(series_of(&measured, asked))?;
    let options = measured.options(args, common, true);
    let between = Between::new(Arc::clone(&source)).map_or(0, |between| between.firsts().len());
    let bar = output.bar((windows + between) as u64, "windows");
    let trained = &mut measured.trained;
    let found = eval::surprise(&measured.device, trained.model.as_ref(), &mut trained.state, &source, &options, |done| {
        bar.set_position(done as u64);
    })
    .wait();
    bar.finish_and_clear();
    let found = found?;
    let mut values = Vec::with_capacity(windows * steps * channels);
    let mut item = vec![0.0; steps * channels];
    for index in 0..windows {
        source.read(index, &mut item)?;
        values.extend(cut.read_in_units(&item));
    }
    let dates = dates_of(&*source);
    let write = || {
        if endings::of(out) == "npy" {
            let told: Vec<f32> = found.nats.iter().map(|v| -*v as f32).collect();
            return report::write_npy_f32(out, &[windows, steps], &told);
        }
        let column =
            |name: &str, value: &dyn Fn(usize) -> f64| (name.to_string(), Column::Numbers((0..windows * steps).map(value).collect()));
        let mut columns = vec![column("step", &|at| at as f64)];
        columns.extend(dates.clone().map(|(title, words)| (title, Column::Words(words))));
        columns.push(column("log_p", &|at| -found.nats[at]));
        columns.extend(cut.names.iter().enumerate().map(|(c, name)| column(name, &|at| values[at * channels + c])));
        report::write_csv(out, &columns)
    };
    common.ranks.by_first(write)?;
    let mean = found.mean();
    let stretches = found.unlikeliest(stretch, asked.top);
    let name = source.name();
    let weights = weights_in_words(&measured.trained, args.best);
    let mut words =
        format!("wrote log p of {windows} × {steps} steps of {name} (mean {:.3} nats a step, {weights}) to {}", -mean, out.display());
    let seconds = |step: usize| cut.rate.map(|rate| step as f64 / f64::from(rate));
    if !stretches.is_empty() {
        let _ = write!(words, "\nthe unlikeliest stretches of {stretch} steps, of all windows laid end to end:");
        for (number, found) in stretches.iter().enumerate() {
            let end = found.start + found.steps - 1;
            let dated = dates.as_ref().map(|(_, dates)| format!("  {} to {}", dates[found.start], dates[end]));
            let when = seconds(found.start).map(|s| format!("  from {s:.2} s")).or(dated).unwrap_or_default();
            let _ = write!(words, "\n{:>3}  steps {:>7} to {end:>7}{when}  {:.3} nats a step", number + 1, found.start, -found.nats);
        }
    }
    let date = |step: usize| dates.as_ref().and_then(|(_, dates)| dates.get(step));
    let told: Vec<serde_json::Value> = stretches
        .iter()
        .map(|s| json!({ "first_step": s.start, "steps": s.steps, "seconds": seconds(s.start), "from": date(s.start), "to": date(s.start + s.steps - 1), "log_p_per_step": -s.nats }))
        .collect();
    let object = json!({
        "out": as_text(out), "shape": [windows, steps], "data": name, "mean_log_p_per_step": -mean, "least_context": steps / 2,
        "unlikeliest": told, "picture": asked.picture.as_deref().map(as_text), "weights": weights, "step": measured.trained.progress.step,
    });
    if let Some((nats, _)) = of_units(&measured.trained) {
        let each = nats / measured.trained.recipe.data.dims[0] as f64;
        let _ =
            write!(words, "\ndensities, of values at the run's scale; {:+.3} nats a step make them those of values in their units", -each);
    }
    if let Some(path) = &asked.picture {
        let marks: Vec<(usize, usize)> = stretches.iter().map(|s| (s.start, s.steps)).collect();
        let smooth = found.smoothed(stretch);
        let shown = SurprisePicture { names: &cut.names, values: &values, nats: &smooth, marks: &marks };
        let title = format!("{name}: −log p, nats a step, means of {stretch} steps");
        common.ranks.by_first(|| report::save_png(path, &report::surprise(&title.replace('−', "-"), &shown)))?;
        let _ = write!(words, "\npicture in {}", path.display());
    }
    output.result(&words, &object)
}
