//! `kiln train`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::common::Common;
use super::config::Config;
use super::output::{Output, as_text};
use super::signals;
use crate::error::{Error, Result};
use crate::runtime::Device;
use crate::tensor::Precision;
use crate::train::{self, Files, Observer, Order, Recipe, RunFolder, Trainer, parse_settings};
use crate::wait::Wait;

/// Arguments of `train`.
#[derive(Args, Default)]
pub struct TrainArgs {
    /// The model: pixelcnn, … (kiln models lists them)
    #[arg(required_unless_present_any = ["resume", "config", "from"])]
    pub model: Option<String>,
    /// builtin:digits, faces, gaussians8, waves, pendulum or cartpole, a folder, an archive, a file or a quoted pattern; :train, :valid or :test behind it picks the split.
    /// With --resume: where the same data lies now
    #[arg(long, value_name = "SOURCE", required_unless_present_any = ["resume", "config", "from"])]
    pub data: Option<String>,
    /// Run folder [default: runs/MODEL]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Start from a file: a run's recipe.toml, or lines of model, data, seed and a table [set] of keys; arguments go before it
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub config: Option<PathBuf>,
    /// Start from the weights of a run, with its recipe but for what is given: on other --data, at another rate
    #[arg(long, value_name = "DIR", conflicts_with_all = ["resume", "config", "encoder"])]
    pub from: Option<PathBuf>,
    /// Go on with a run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "out", "batch", "limit"])]
    pub resume: Option<PathBuf>,
    /// Steps of the whole run; 0 writes the initial weights alone
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub steps: Option<u64>,
    /// Epochs of the whole run
    #[arg(long, value_name = "N", conflicts_with = "steps", allow_negative_numbers = true)]
    pub epochs: Option<f64>,
    /// Items a step (of each pass, with --set accumulate)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// Any hyper-parameter, as key=value; may be repeated. With --resume: learning_rate, save_every and others that may change
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Train on a seeded random N items alone, the same in every run
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Start a classifier from the encoder of a trained vae or autoencoder, which --set frozen=true keeps as it is, or put it upon the features of
    /// another run, which stay as they are
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub encoder: Option<PathBuf>,
    /// Train on a seeded random N items of each class alone
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    pub labels_per_class: Option<usize>,
    /// f32, or mixed: products of f16 on adapters with cooperative matrices, of bf16 on CPUs with AVX512-BF16 or FEAT_BF16
    #[arg(long, value_name = "PRECISION", conflicts_with = "resume")]
    pub precision: Option<Precision>,
}

/// The recipe of a new run.
///
/// # Errors
/// [`Error::Usage`] for what does not fit; those of the data.
pub fn make_recipe(args: &TrainArgs, common: &Common, device: &Device) -> Result<Recipe> {
    let config = match (&args.config, &args.from) {
        // Of a run's folder its recipe is meant.
        (Some(path), _) if path.is_dir() => Config::read(&path.join("recipe.toml"))?,
        (Some(path), _) => Config::read(path)?,
        (None, Some(run)) => {
            let (_, recipe) = RunFolder::open(run)?;
            if let Some(other) = args.model.as_ref().filter(|name| **name != recipe.model) {
                let (shown, name) = (run.display(), recipe.model);
                return Err(Error::usage(format!("{shown} holds a {name}, whose weights no {other} has; leave the model out")));
            }
            // The weights hold what an encoder began with.
            Config { encoder: None, ..Config::read(&run.join("recipe.toml"))? }
        }
        (None, None) => Config::default(),
    };
    let (Some(model), Some(source)) = (args.model.clone().or(config.model), args.data.clone().or(config.data)) else {
        return Err(Error::usage("kiln train takes a model and --data, a --config that names them, or --resume"));
    };
    let mut settings = parse_settings(&args.set)?;
    if common.ranks.count() > 1 && !config.settings.contains_key("lanes") {
        settings.entry("lanes").or_insert(toml::Value::Integer(common.ranks.count() as i64));
    }
    let of_config = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok());
    let order = Order {
        model,
        source,
        seed: common.seed.or(config.seed).unwrap_or(1),
        inherited: config.settings,
        settings,
        batch: args.batch,
        steps: args.steps,
        epochs: args.epochs,
        limit: args.limit.or(of_config(config.limit)),
        labels_per_class: args.labels_per_class.or(of_config(config.labels_per_class)),
        precision: args.precision,
        encoder: args.encoder.clone().or(config.encoder.map(PathBuf::from)),
        from: args.from.clone(),
        digest: config.digest.filter(|_| args.data.is_none()),
    };
    order.recipe(device)
}

/// `kiln train`
pub fn run(args: &TrainArgs, common: &Common, output: &Output) -> Result<()> {
    // First of all: what is asked for while data and device are opened is heard too.
    let stop = signals::stop();
    let device = common.open_device()?;
    let ranks = &common.ranks;
    let (mut trainer, path) = match &args.resume {
        Some(path) => (resume(path, args, common, &device)?, path.clone()),
        None => {
            let mut folder = RunFolder::in_memory(Files::new());
            let out = |model: &str| args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(model));
            // The first rank looks at the data, and alone has a folder.
            let recipe = Recipe::hand_out(ranks, || {
                let recipe = make_recipe(args, common, &device)?;
                folder = RunFolder::create(&out(&recipe.model))?;
                Ok(recipe)
            })?;
            let path = out(&recipe.model);
            (ranks.agree(Trainer::start(&device, recipe, folder).wait())?, path)
        }
    };
    trainer.join(ranks)?;
    train(&mut trainer, &path, &stop, &device, output)
}

/// Goes on with a run, as far and with such changes as asked for.
fn resume(path: &Path, args: &TrainArgs, common: &Common, device: &Device) -> Result<Trainer> {
    let folder = RunFolder::hand_out_run(&common.ranks, path)?;
    let trainer = Trainer::go_on(device, folder, args.data.as_deref()).wait();
    common.ranks.agree(trainer.and_then(|trainer| go_on(trainer, path, args, common)))
}

/// Changes a run that goes on as asked for, where there is anything left to do.
fn go_on(mut trainer: Trainer, path: &Path, args: &TrainArgs, common: &Common) -> Result<Trainer> {
    let own = trainer.recipe().seed;
    if common.seed.is_some_and(|seed| seed != own) {
        return Err(Error::usage(format!("a run keeps its seed, here {own}; leave --seed out, or start another run")));
    }
    let mut settings = parse_settings(&args.set)?;
    let asked = args.epochs.map(|epochs| train::epoch_steps(epochs, trainer.steps_per_epoch())).transpose()?.or(args.steps);
    if let Some(steps) = asked {
        settings.insert("steps".into(), train::whole_setting("steps", steps)?);
    }
    trainer.change(settings)?;
    let (done, train, shown) = (trainer.step(), &trainer.recipe().train, path.display());
    if done >= train.steps {
        let steps = train.steps;
        let state =
            if done == steps { format!("done with {done} of {steps} steps") } else { format!("at step {done}, and {steps} are asked for") };
        return Err(Error::usage(format!("{shown} is {state}; go on with --steps N above {done}")));
    }
    if trainer.is_exhausted() {
        let patience = train.patience;
        return Err(Error::usage(format!(
            "{shown} ended at step {done}, after {patience} scores of the validation split without a better one; go on with --set patience=N \
             above {patience}, or 0"
        )));
    }
    Ok(trainer)
}

/// Trains with progress, and says how it ended.
fn train(trainer: &mut Trainer, path: &Path, stop: &AtomicBool, device: &Device, output: &Output) -> Result<()> {
    let recipe = trainer.recipe().clone();
    let parameters = trainer.model().state().parameters(true);
    output.say(&format!(
        "{} with {parameters} parameters on {} · batch {} · binarization {} · seed {} · device {}",
        recipe.model,
        recipe.data.source,
        match (recipe.train.accumulate, recipe.train.lanes) {
            (1, 1) => recipe.train.batch.to_string(),
            (passes, 1) => format!("{passes} × {}", recipe.train.batch),
            (1, lanes) => format!("{} in {lanes} lanes", recipe.train.batch),
            (passes, lanes) => format!("{passes} × {} in {lanes} lanes", recipe.train.batch),
        },
        recipe.data.binarization,
        recipe.seed,
        device.name()
    ));
    let augment = recipe.data.augment;
    let changes = (!augment.is_none()).then(|| format!("training images are changed at random: {augment}"));
    trainer.data_notes().iter().chain(&changes).for_each(|note| output.say(note));
    let outcome = watched(trainer, stop, output)?;
    let names = trainer.model().metrics();
    let metrics: serde_json::Map<_, _> = names.iter().zip(&outcome.metrics).map(|(n, v)| (n.0.to_string(), json!(v))).collect();
    let last: Vec<String> = names.iter().zip(&outcome.metrics).map(|(metric, v)| told(metric, *v, 4)).collect();
    let shown = path.display();
    let words = match outcome.step {
        0 => format!("wrote the weights before the first step · in {shown}"),
        step => format!(
            "{} step {step}{} · {:.0} images/s · in {shown}",
            match &outcome {
                o if o.stopped => "stopped at",
                o if o.exhausted => "ended early at",
                _ => "trained to",
            },
            if last.is_empty() { String::new() } else { format!(" · {}", last.join(", ")) },
            outcome.items_per_second,
        ),
    };
    let object = json!({
        "run": as_text(path), "model": recipe.model, "step": outcome.step, "stopped": outcome.stopped, "ended_early": outcome.exhausted, "parameters": parameters,
        "metrics": metrics, "images_per_s": outcome.items_per_second, "device": device.name(),
    });
    let told = output.result(&words, &object);
    // Then whoever stopped it may be gone, and the terminal with them.
    if outcome.stopped { Err(Error::Interrupted) } else { told }
}

/// A metric's name, value and unit, where it has one.
fn told((name, unit): &(&str, &str), value: f32, places: usize) -> String {
    format!("{name} {value:.places$} {unit}").trim_end().to_string()
}

/// Trains with a progress bar.
pub fn watched(trainer: &mut Trainer, stop: &AtomicBool, output: &Output) -> Result<crate::train::Outcome> {
    // Where there is no terminal, metrics are lines enough.
    let bar = output.live_bar(trainer.recipe().train.steps, "steps");
    bar.set_position(trainer.step());
    bar.reset_eta();
    let mut watcher = Watcher { bar: bar.clone(), names: trainer.model().metrics(), output, valid: None, printed: None };
    let outcome = trainer.run(stop, &mut watcher).wait();
    bar.finish_and_clear();
    outcome
}

struct Watcher<'a> {
    bar: ProgressBar,
    names: Vec<(&'static str, &'static str)>,
    output: &'a Output,
    valid: Option<f64>,
    /// When metrics were last printed, where there is no bar.
    printed: Option<Instant>,
}

/// Least time between lines of metrics where there is no bar.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

impl Observer for Watcher<'_> {
    fn step(&mut self, step: u64) {
        self.bar.set_position(step);
    }

    fn metrics(&mut self, step: u64, values: &[f32], rate: f64) {
        let shown: Vec<String> = self.names.iter().zip(values).take(4).map(|(metric, v)| told(metric, *v, 3)).collect();
        let valid = self.valid.map(|v| format!(" · valid {v:.3}")).unwrap_or_default();
        self.bar.set_message(format!("{}{valid} · {rate:.0} images/s", shown.join(", ")));
        let due = self.printed.is_none_or(|last| last.elapsed() >= BETWEEN_LINES);
        if !self.output.is_live() && due {
            self.printed = Some(Instant::now());
            self.output.say(&format!("step {step}: {} · {rate:.0} images/s", shown.join(", ")));
        }
    }

    fn valid(&mut self, step: u64, nats: f64, data: &str, best: bool) {
        self.valid = Some(nats);
        let note = if best { " (best so far)" } else { "" };
        if !self.output.is_live() {
            self.output.say(&format!("step {step}: validation {nats:.3} nats over {data}{note}"));
        }
    }

    fn say(&mut self, words: &str) {
        self.bar.suspend(|| self.output.say(words));
    }
}
