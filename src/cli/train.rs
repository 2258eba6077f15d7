//! `kiln train` and `kiln export`.

use std::collections::BTreeMap;
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
use crate::data::{self, Augment, Binarization, Kind, OpenOptions, Reading, Source};
use crate::error::{Error, Result};
use crate::model;
use crate::nearest::hint;
use crate::runtime::Device;
use crate::shader::Precision;
use crate::train::{
    self, DataRecipe, FORMAT, Observer, Recipe, RunFolder, TrainRecipe, Trainer, adopt, apply_settings, parse_settings, vectors,
};
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
    /// f32, or mixed: products of f16 through cooperative matrices, on adapters that have them
    #[arg(long, value_name = "PRECISION", conflicts_with = "resume")]
    pub precision: Option<Precision>,
}

/// Settings that belong to the data.
struct DataSettings {
    binarization: Option<Binarization>,
    reading: Reading,
    augment: Augment,
}

fn data_settings(settings: &mut toml::Table) -> Result<DataSettings> {
    let binarization = match settings.remove("binarization") {
        Some(toml::Value::String(word)) => Some(word.parse()?),
        Some(other) => return Err(Error::usage(format!("binarization is none, static, dynamic or threshold, not {other}"))),
        None => None,
    };
    Ok(DataSettings { binarization, reading: Reading::take(settings)?, augment: Augment::take(settings)? })
}

/// Refuses a key that neither the model nor training nor the data have, before anything is opened.
fn check_keys(model: &str, settings: &toml::Table) -> Result<()> {
    let own = model::keys(model)?;
    let of_data = data::keys().concat();
    let known = || own.iter().chain(&of_data).map(|key| key.name.as_str()).chain(TrainRecipe::KEYS).chain(["resize"]);
    match settings.keys().find(|key| !known().any(|own| own == *key)) {
        Some(key) => Err(Error::usage(format!(
            "{model} has no key {key}{}; its own are {}, and kiln help training and kiln help data tell those of every model",
            hint(key, known()),
            own.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ")
        ))),
        None => Ok(()),
    }
}

/// Binarization where none is asked for: what the data are, or for grey data what lets the model see bits if it must.
fn default_binarization(model: &str, kind: Kind, source: &dyn Source, settings: &toml::Table) -> Binarization {
    let grey = source.dims()[2] == 1 && source.series().is_none();
    let many = settings.get("levels").and_then(toml::Value::as_integer).is_some_and(|l| l > 2);
    match kind {
        Kind::Binary => Binarization::Static,
        Kind::Pixels if model == "pixelcnn" && grey && !many => Binarization::Dynamic,
        _ => Binarization::None,
    }
}

/// Writes the recipe of a new run.
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
    let (Some(name), Some(source)) = (args.model.as_ref().or(config.model.as_ref()), args.data.as_ref().or(config.data.as_ref())) else {
        return Err(Error::usage("kiln train takes a model and --data, a --config that names them, or --resume"));
    };
    model::check_name(name)?;
    let seed = common.seed.or(config.seed).unwrap_or(1);
    let encoder_path = args.encoder.clone().or(config.encoder.map(PathBuf::from));
    let of_config = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok());
    let given = parse_settings(&args.set)?;
    let mut settings = config.settings;
    settings.extend(given.clone());
    check_keys(name, &settings)?;
    let wanted = data_settings(&mut settings)?;
    let options = OpenOptions { seed, reading: wanted.reading.clone(), ..OpenOptions::default() };
    let settled = data::settle(source, &options)?;
    let (name_of_data, kind, dims) = (settled.source.name(), settled.kind, settled.dims);
    if args.data.is_none() && config.digest.is_some_and(|digest| digest != settled.digest.hash) {
        log::warn!("{name_of_data} is not what the recipe was made on; its classes, sizes and scales are found anew");
    }
    let encoder = encoder_path.as_ref().map(|path| adopt_encoder(path, name, dims, &mut settings)).transpose()?;
    let inherited = wanted.binarization.or(encoder);
    let binarization = inherited.unwrap_or_else(|| default_binarization(name, kind, &*settled.source, &settings));
    binarization.check(kind, &name_of_data)?;
    wanted.augment.check(kind, dims, &name_of_data)?;
    let mut recipe = DataRecipe {
        source: train::absolute(source),
        dims,
        count: settled.source.len(),
        classes: settled.source.classes(),
        class_names: settled.source.class_names(),
        digest: settled.digest.hash,
        digest_of: settled.digest.of,
        binary: kind == Kind::Binary,
        points: kind == Kind::Points,
        binarization,
        limit: args.limit.or(of_config(config.limit)),
        labels_per_class: args.labels_per_class.or(of_config(config.labels_per_class)),
        reading: settled.reading,
        augment: wanted.augment,
        mean: None,
    };
    let data = train::chosen(&recipe, settled.source)?;
    // Training keys are known before the model is: its defaults need its own keys, which are what is left.
    let mut own = settings.clone();
    own.retain(|key, _| !TrainRecipe::is_key(key));
    let made = model::build(name, &own, &recipe.spec())?;
    recipe.mean = None;
    let mut train = TrainRecipe::new(&made.defaults());
    for (key, value) in [("batch", args.batch.map(|b| b as u64)), ("steps", args.steps)] {
        let Some(value) = value else { continue };
        settings.insert(key.into(), whole(key, value)?);
        if let Some(set) = given.get(key) {
            return Err(Error::usage(format!("--{key} {value} and --set {key}={set} are both given; leave one out")));
        }
    }
    if args.epochs.is_some() && settings.contains_key("steps") {
        return Err(Error::usage("--epochs and --set steps= both say how long to train; leave one out"));
    }
    apply_settings(&mut train, &mut settings)?;
    train.precision = args.precision.unwrap_or(train.precision);
    let per_step = train.items(made.batches())?;
    if per_step > data.len() {
        let most = data.len() / (per_step / train.batch.max(1)).max(1);
        let way_out = if most > 0 { format!("take --batch {most} or less") } else { "take more data".into() };
        return Err(Error::usage(format!("a step takes {per_step} items and {} has {}; {way_out}", data.name(), data.len())));
    }
    if let Some(epochs) = args.epochs {
        train.steps = epoch_steps(epochs, (data.len() / per_step) as u64)?;
    }
    let recipe = Recipe {
        format: FORMAT,
        kiln: env!("CARGO_PKG_VERSION").into(),
        model: name.clone(),
        seed,
        device: device.name(),
        vectors: vectors(device),
        encoder: encoder_path,
        from: args.from.as_ref().map(|run| std::path::absolute(run).unwrap_or_else(|_| run.clone())),
        imported: Vec::new(),
        data: recipe,
        train,
        hyper: settings,
        kernels: BTreeMap::new(),
        history: Vec::new(),
    };
    recipe.check()?;
    Ok(recipe)
}

/// A number as a recipe holds it.
fn whole(key: &str, value: u64) -> Result<toml::Value> {
    let fits = i64::try_from(value).map(toml::Value::Integer);
    fits.map_err(|_| Error::usage(format!("{key} must be below 2^63 = {}, not {value}; take fewer", 1u64 << 63)))
}

/// Takes what shapes the encoder of another run over into `settings`, and returns the binarization that it saw.
fn adopt_encoder(path: &Path, model: &str, dims: [usize; 3], settings: &mut toml::Table) -> Result<Binarization> {
    if model != "classifier" {
        return Err(Error::usage(format!("--encoder starts a classifier from a trained encoder; a {model} starts afresh")));
    }
    let other = adopt(path, settings)?;
    if other.data.dims != dims {
        let [[h, w, c], [oh, ow, oc]] = [dims, other.data.dims];
        let shown = path.display();
        return Err(Error::usage(format!(
            "the encoder of {shown} reads images of {oh}×{ow}×{oc}, and these are {h}×{w}×{c}; take the same data"
        )));
    }
    Ok(other.data.binarization)
}

/// Steps of a number of epochs.
fn epoch_steps(epochs: f64, steps_per_epoch: u64) -> Result<u64> {
    if !(epochs > 0.0 && epochs.is_finite()) {
        return Err(Error::usage(format!("--epochs must be above 0, not {epochs}")));
    }
    Ok((steps_per_epoch as f64 * epochs).ceil().max(1.0) as u64)
}

/// `kiln train`
pub fn run(args: &TrainArgs, common: &Common, output: &Output) -> Result<()> {
    // First of all: what is asked for while data and device are opened is heard too.
    let stop = signals::stop();
    let device = Device::open(&common.device).wait()?;
    let (mut trainer, path) = match &args.resume {
        Some(path) => (resume(path, args, common, &device)?, path.clone()),
        None => {
            let recipe = make_recipe(args, common, &device)?;
            let path = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&recipe.model));
            let folder = RunFolder::create(&path)?;
            (Trainer::start(&device, recipe, folder).wait()?, path)
        }
    };
    train(&mut trainer, &path, &stop, &device, output)
}

/// Goes on with a run, as far and with such changes as asked for.
fn resume(path: &Path, args: &TrainArgs, common: &Common, device: &Device) -> Result<Trainer> {
    let mut trainer = Trainer::resume(device, path, args.data.as_deref()).wait()?;
    let own = trainer.recipe().seed;
    if common.seed.is_some_and(|seed| seed != own) {
        return Err(Error::usage(format!("a run keeps its seed, here {own}; leave --seed out, or start another run")));
    }
    let mut settings = parse_settings(&args.set)?;
    let asked = args.epochs.map(|epochs| epoch_steps(epochs, trainer.steps_per_epoch())).transpose()?.or(args.steps);
    if let Some(steps) = asked {
        settings.insert("steps".into(), whole("steps", steps)?);
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
        match recipe.train.accumulate {
            1 => recipe.train.batch.to_string(),
            passes => format!("{passes} × {}", recipe.train.batch),
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
