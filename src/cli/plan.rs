//! `kiln plan`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::draw::check_amount;
use super::endings;
use super::measured::{weights, weights_in_words};
use super::output::{Output, as_text};
use crate::data::{self, System};
use crate::error::{Error, Result};
use crate::report::{self, ChartOptions, Series};
use crate::runtime::Device;
use crate::sample::cem::Cem;
use crate::sample::plan::{self, Attempt, Foresight, Known, Planning};
use crate::sample::raster::CachedSampler;
use crate::train::{Trained, training_data};
use crate::wait::Wait;

/// Arguments of `plan`.
#[derive(Args)]
pub struct PlanArgs {
    /// Run folder of an autoregressive model of builtin:cartpole or builtin:pendulum
    pub run: PathBuf,
    /// Attempts, each from a state of its own
    #[arg(long, default_value_t = 10, value_name = "N", allow_negative_numbers = true)]
    pub trials: usize,
    /// Steps of an attempt, unless it is over before
    #[arg(long, default_value_t = 200, value_name = "N", allow_negative_numbers = true)]
    pub steps: usize,
    /// Steps ahead that are planned
    #[arg(long, default_value_t = 50, value_name = "N", allow_negative_numbers = true)]
    pub horizon: usize,
    /// Plans that are looked at in an iteration of the cross-entropy method, all at once
    #[arg(long, default_value_t = 64, value_name = "N", allow_negative_numbers = true)]
    pub candidates: usize,
    /// The best of them, around which the next are drawn
    #[arg(long, default_value_t = 8, value_name = "N", allow_negative_numbers = true)]
    pub elites: usize,
    /// Iterations of a step
    #[arg(long, default_value_t = 3, value_name = "N", allow_negative_numbers = true)]
    pub iterations: usize,
    /// Futures that are drawn of each plan in the model
    #[arg(long, default_value_t = 1, value_name = "N", allow_negative_numbers = true)]
    pub futures: usize,
    /// Below 1, likelier and less varied futures
    #[arg(long, default_value_t = 1.0, value_name = "T", allow_negative_numbers = true)]
    pub temperature: f32,
    /// What a drawn state costs at most that lies beyond the range of the training data, in ranges of the reward: what a model has not seen
    /// it does not know
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", allow_negative_numbers = true)]
    pub beyond: f64,
    /// The picture of all returns (.png), or their table (.csv)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// Who acts, in the order of the table.
const ROWS: [&str; 3] = ["random actions", "planned in the model", "planned in the equations"];

/// `kiln plan`
pub fn run(args: &PlanArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "returns", &["png", "csv"])?;
    let cem = Cem { candidates: args.candidates, elites: args.elites, iterations: args.iterations };
    cem.check()?;
    check_amount(args.futures, args.temperature)?;
    for (flag, value) in [("--trials", args.trials), ("--steps", args.steps), ("--horizon", args.horizon), ("--futures", args.futures)] {
        if !(1..=100_000).contains(&value) {
            return Err(Error::usage(format!("{flag} is 1 to 100000, not {value}")));
        }
    }
    if !(args.beyond >= 0.0 && args.beyond.is_finite()) {
        return Err(Error::usage(format!("--beyond is 0 or more, not {}", args.beyond)));
    }
    if !["auto", "cpu"].contains(&common.device.as_str()) {
        return Err(Error::usage("futures of a plan are drawn on the CPU; take --device cpu, or leave it out"));
    }
    let trained = Trained::load(&args.run, &Device::CPU, args.best)?;
    let (shown, cut) = (args.run.display(), &trained.recipe.data.reading.series);
    if cut.actions.is_empty() {
        let known = System::NAMES.join(" or ");
        return Err(Error::usage(format!("{shown} has no actions to plan; take a run on {known}")));
    }
    let name = data::with_split(&trained.recipe.data.source, None);
    let seed = common.seed.unwrap_or(1);
    if plan::begin(&name, seed, 0).is_none() {
        let known = System::NAMES.join(" or ");
        return Err(Error::usage(format!(
            "{shown} was trained on {name}, which cannot be acted upon; take a run on {known}, or kiln simulate"
        )));
    }
    let planning = Planning { steps: args.steps, horizon: args.horizon, cem, futures: args.futures, temperature: args.temperature, seed };
    let model = trained.over(args.steps + args.horizon)?;
    let sampler = CachedSampler::of(model.as_ref(), &trained.state, weights(&trained)).wait()?;
    let ranges = Known::ranges(&*training_data(&trained.recipe)?, cut)?;
    let known = Known { sampler: &sampler, cut, ranges, beyond: args.beyond };
    let foresights = [Foresight::None, Foresight::Model(&known), Foresight::Equations];
    let bar = output.bar((args.trials * foresights.len()) as u64, "attempts");
    let mut attempts: Vec<Vec<Attempt>> = Vec::new();
    for foresight in &foresights {
        let mut made = Vec::new();
        for number in 0..args.trials {
            if let Some(begins) = plan::begin(&name, seed, number) {
                made.push(plan::attempt(begins, foresight, &planning, number)?);
            }
            bar.inc(1);
        }
        attempts.push(made);
    }
    bar.finish_and_clear();
    write(args, &name, &attempts)?;
    let weights = weights_in_words(&trained, args.best);
    let mut words = format!(
        "{} attempts of {} steps at {name} · plans of {} steps, {} iterations of {} candidates, the best {} kept · {weights} · seed {seed} · {}",
        args.trials,
        args.steps,
        args.horizon,
        args.iterations,
        args.candidates,
        args.elites,
        args.out.display()
    );
    words += &format!("\n{:<26}{:>20}{:>12}{:>12}{:>12}", "", "return", "least", "steps", "whole");
    let mut rows = Vec::new();
    for (what, made) in ROWS.iter().zip(&attempts) {
        let n = made.len() as f64;
        let mean = made.iter().map(|a| a.total).sum::<f64>() / n;
        let error = (made.iter().map(|a| (a.total - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
        let least = made.iter().map(|a| a.total).fold(f64::INFINITY, f64::min);
        let steps = made.iter().map(|a| a.steps).sum::<usize>() as f64 / n;
        let whole = made.iter().filter(|a| a.steps == args.steps && !a.over).count();
        let shown = if error.is_nan() { format!("{mean:.2}") } else { format!("{mean:.2} ± {error:.2}") };
        words += &format!("\n{what:<26}{shown:>20}{least:>12.2}{steps:>12.1}{:>12}", format!("{whole} of {}", made.len()));
        rows.push(json!({
            "who": what, "mean": mean, "standard_error": error, "least": least, "steps": steps, "whole": whole,
            "returns": made.iter().map(|a| a.total).collect::<Vec<f64>>(),
        }));
    }
    let object = json!({
        "out": as_text(&args.out), "system": name, "trials": args.trials, "steps": args.steps, "horizon": args.horizon,
        "candidates": args.candidates, "elites": args.elites, "iterations": args.iterations, "futures": args.futures, "temperature": args.temperature, "beyond": args.beyond, "seed": seed,
        "weights": weights, "step": trained.progress.step, "rows": rows,
    });
    output.result(&words, &object)
}

/// Writes the picture or the table.
fn write(args: &PlanArgs, name: &str, attempts: &[Vec<Attempt>]) -> Result<()> {
    if endings::of(&args.out) == "png" {
        let line = |(what, made): (&&str, &Vec<Attempt>)| {
            Series::new(*what, made.iter().enumerate().map(|(n, a)| ((n + 1) as f64, a.total)).collect())
        };
        let lines: Vec<Series> = ROWS.iter().zip(attempts).map(line).collect();
        let title = format!("returns of {} attempts at {name}", args.trials);
        let options = ChartOptions { smooth: Some(0), ..ChartOptions::default() };
        return report::save_png(&args.out, &report::chart(&title, "attempt", "return", &lines, &options));
    }
    let mut columns = vec![("attempt".to_string(), (1..=args.trials).map(|n| n as f64).collect())];
    for (what, made) in ["random", "model", "equations"].iter().zip(attempts) {
        columns.push((format!("{what}_return"), made.iter().map(|a| a.total).collect()));
        columns.push((format!("{what}_steps"), made.iter().map(|a| a.steps as f64).collect()));
    }
    report::write_table(&args.out, &columns)
}
