//! `kiln info`: what a run is, how far it is, and what can be done with it, on one screen.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::models::abilities;
use super::output::{Output, as_text};
use crate::data::named_split;
use crate::error::Result;
use crate::keys::short;
use crate::model::{self, Model, Score};
use crate::train::{DataRequest, Recipe, RunFolder, TrainRecipe, open_data};

/// Files of a run that are told of, where they are there.
const FILES: [&str; 7] =
    ["recipe.toml", "checkpoint.safetensors", "best.safetensors", "metrics.jsonl", "curves.png", "index.html", "events.out.tfevents.kiln"];

/// Arguments of `info`.
#[derive(Args)]
pub struct InfoArgs {
    /// Run folder
    pub run: PathBuf,
}

/// What is said of a run.
struct Facts {
    recipe: Recipe,
    model: Box<dyn Model>,
    /// Steps of its checkpoint; none where nothing was saved.
    step: Option<u64>,
    metrics: Vec<Value>,
    folder: RunFolder,
}

impl Facts {
    fn of(path: &Path) -> Result<Self> {
        let (folder, recipe) = RunFolder::open(path)?;
        let model = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
        let (step, metrics) = (folder.saved_step(), folder.metrics());
        Ok(Self { recipe, model, step, metrics, folder })
    }

    /// What it was trained on.
    fn data(&self) -> String {
        let data = &self.recipe.data;
        let [h, w, c] = data.dims;
        let classes = match data.classes {
            0 => "no labels".into(),
            classes => format!("{classes} classes"),
        };
        let limit = data.limit.map(|limit| format!(", {limit} of them alone")).unwrap_or_default();
        let each = data.labels_per_class.map(|count| format!(", {count} of each class alone")).unwrap_or_default();
        let changes = if data.augment.is_none() { String::new() } else { format!(", {}", data.augment) };
        format!("{}: {} items of {h}×{w}×{c}, {classes}{limit}{each}, binarization {}{changes}", data.source, data.count, data.binarization)
    }

    /// Settings of training that are not zero, as `--set` takes them.
    fn training(&self) -> String {
        let table = toml::Table::try_from(&self.recipe.train).unwrap_or_default();
        let zero = |value: &toml::Value| value.as_float() == Some(0.0) || value.as_integer() == Some(0);
        let told = TrainRecipe::KEYS.into_iter().filter(|key| !key.ends_with("_every") && *key != "steps");
        let pairs = told.filter_map(|key| Some((key, table.get(key).filter(|value| !zero(value))?)));
        pairs.map(|(key, value)| format!("{key}={}", number(value))).collect::<Vec<_>>().join(" ")
    }

    /// The last value of a metric, with its step.
    fn last(&self, name: &str) -> Option<(u64, f64)> {
        self.metrics.iter().rev().find_map(|line| Some((line["step"].as_u64()?, line[name].as_f64()?)))
    }

    /// The best validation score, with its step and what it is of.
    fn best(&self) -> Option<(u64, f64, String)> {
        let scores = self.metrics.iter().filter_map(|line| {
            Some((line["step"].as_u64()?, line["valid"].as_f64()?, line["valid_data"].as_str().unwrap_or_default().to_string()))
        });
        scores.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Commands to go on with.
    fn commands(&self, run: &str) -> Vec<String> {
        let (model, data) = (self.model.as_ref(), &self.recipe.data);
        let series = data.reading.series.is_settled();
        // What a figure is of where none is named, and what it must be of where there is no test split.
        let has_test = open_data(&self.recipe, &DataRequest::default()).is_ok();
        let unseen = match (named_split(&data.source).is_some(), has_test) {
            (true, _) => data.source.clone(),
            (_, true) => format!("{}:test", data.source),
            _ => format!("{}:valid", data.source),
        };
        let on = if has_test { String::new() } else { format!(" --data {unseen}") };
        let mut commands = Vec::new();
        let done = self.step.unwrap_or(0) >= self.recipe.train.steps;
        let more = if done { format!(" --steps {}", self.recipe.train.steps * 2) } else { String::new() };
        let mut add = |wanted: bool, command: String| commands.extend(wanted.then_some(command));
        add(self.step.is_none(), format!("kiln train --config {run}/recipe.toml --out {run}-again"));
        add(self.step.is_some(), format!("kiln train --resume {run}{more}"));
        let draws = model::need::draws(model).is_ok();
        add(self.step.is_some() && (model.scores().is_some() || draws || model.judges().is_some()), format!("kiln eval {run}{on}"));
        let ending = if series { "csv" } else { "png" };
        add(draws, format!("kiln sample {run} -n 64 --out samples.{ending}"));
        let class = data.class_names.first().filter(|_| model.conditional() && draws);
        add(class.is_some(), format!("kiln sample {run} -n 8 --class {} --out one-class.{ending}", class.cloned().unwrap_or_default()));
        add(class.is_some() && model.scores().is_some(), format!("kiln classify {run}{on}"));
        add(
            model.raster().is_some() && !series,
            format!("kiln complete {run} --data {unseen} --keep top:{} -n 8 --out rest.png", data.dims[0] / 2),
        );
        add(series && draws, format!("kiln forecast {run} --steps 20 --out fan.png"));
        add(model.encodes().is_some(), format!("kiln encode {run}{on} --out codes.npy"));
        add(model.encodes().is_some(), format!("kiln latents {run}{on} --out latents"));
        add(model.decodes().is_some_and(|d| d.has_prior()), format!("kiln interpolate {run} -n 6 --out ways.png"));
        add(model.denoises().is_some() && draws, format!("kiln sample {run} -n 8 --out new.png --trajectory way.png"));
        let task = self.recipe.hyper.get("task").and_then(toml::Value::as_str);
        for (name, command) in [("colorize", "colorize"), ("upscale", "upscale")] {
            add(task == Some(name), format!("kiln {command} {run} -n 8 --out beside-the-truth.png"));
        }
        commands
    }
}

/// A number as people write it: an f32 that became an f64 has digits that nobody wrote.
fn number(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(float) => short(*float),
        toml::Value::Array(list) => format!("[{}]", list.iter().map(number).collect::<Vec<_>>().join(",")),
        toml::Value::String(word) => word.clone(),
        other => other.to_string(),
    }
}

/// The size of a file in words.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// `kiln info`
pub fn run(args: &InfoArgs, output: &Output) -> Result<()> {
    let facts = Facts::of(&args.run)?;
    let (recipe, model, run) = (&facts.recipe, facts.model.as_ref(), args.run.display().to_string());
    let parameters = model.state().parameters(true);
    let can = abilities(model, model.conditional());
    let state = match facts.step {
        None => "not yet, nothing is saved".into(),
        Some(step) if step < recipe.train.steps => format!("to step {step} of {}", recipe.train.steps),
        Some(step) => format!("to step {step}, its last"),
    };
    let mut rows = vec![
        ("model", format!("{}, {parameters} parameters: {}", recipe.model, model::about(&recipe.model)?)),
        ("can", can.join(", ")),
        ("data", facts.data()),
        ("trained", format!("{state}, seed {}, on {}, by kiln {}", recipe.seed, recipe.device, recipe.kiln)),
        ("training", facts.training()),
    ];
    let own = recipe.hyper.iter().map(|(key, value)| format!("{key}={}", number(value))).collect::<Vec<_>>().join(" ");
    rows.push(("keys", if own.is_empty() { "the model's defaults".into() } else { own }));
    let mut figures = Vec::new();
    let mut object = serde_json::Map::new();
    for (name, unit) in model.metrics().into_iter().take(4) {
        if let Some((step, value)) = facts.last(name) {
            figures.push(format!("{name} {value:.4} {unit} at step {step}").replace("  ", " "));
            object.insert(name.into(), json!({ "step": step, "value": value, "unit": unit }));
        }
    }
    if let Some((step, nats, of)) = facts.best() {
        let kind = if model.scores().is_some_and(|s| s.score() == Score::Bound) { "−ELBO" } else { "−log p" };
        figures.push(format!("best validation {kind} {nats:.3} nats at step {step}, over {of}"));
        object.insert("best_valid".into(), json!({ "step": step, "nats": nats, "data": of }));
    }
    rows.push(("figures", if figures.is_empty() { "none yet".into() } else { figures.join("; ") }));
    let found = FILES.iter().filter_map(|name| Some((*name, std::fs::metadata(facts.folder.file(name)).ok()?.len())));
    let mut files: Vec<String> = found.map(|(name, bytes)| format!("{name} ({})", size(bytes))).collect();
    let pictures = std::fs::read_dir(facts.folder.file("samples")).map_or(0, |found| found.flatten().count());
    let noun = if pictures == 1 { "picture" } else { "pictures" };
    files.extend((pictures > 0).then(|| format!("samples/ ({pictures} {noun})")));
    rows.push(("files", files.join(", ")));
    for path in recipe.from.iter().chain(&recipe.imported) {
        rows.push(("weights", format!("at first those of {}", path.display())));
    }
    for change in &recipe.history {
        rows.push(("changed", format!("at step {}: {} from {} to {}", change.step, change.key, number(&change.was), number(&change.now))));
    }
    let width = textwrap::termwidth().clamp(40, 110);
    let row = |(name, text): &(&str, String)| {
        let indent = format!("{name:<10}");
        textwrap::fill(text, textwrap::Options::new(width).initial_indent(&indent).subsequent_indent("          ")) + "\n"
    };
    let commands = facts.commands(&run);
    let next = commands.iter().map(|command| format!("  {command}\n")).collect::<String>();
    let words = format!("{run}\n{}\nwhat can be done with it:\n{next}", rows.iter().map(row).collect::<String>());
    output.result(
        &words,
        &json!({
            "run": as_text(&args.run), "model": recipe.model, "parameters": parameters, "can": can, "step": facts.step,
            "steps": recipe.train.steps, "seed": recipe.seed, "device": recipe.device, "kiln": recipe.kiln,
            "data": recipe.data, "training": recipe.train, "keys": recipe.hyper, "figures": object, "files": files,
            "from": recipe.from, "imported": recipe.imported, "history": recipe.history, "commands": commands,
        }),
    )
}
