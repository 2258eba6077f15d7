//! `kiln help`: what a command, a model or a key is.

use clap::{Args, Command};
use serde_json::{Value, json};

use super::measured::SETTINGS;
use super::models::{self, Row};
use super::output::Output;
use crate::data;
use crate::error::{Error, Result};
use crate::keys::{self, Key};
use crate::model;
use crate::nearest::hint;
use crate::train::TrainRecipe;

/// Widest line of help.
const WIDEST: usize = 100;
/// What a topic that is no command and no model is called.
const TOPICS: [&str; 3] = ["training", "data", "series"];

/// What a model's preferences are told of, where they are not zero.
const PREFERENCES: [&str; 9] = ["batch", "steps", "learning_rate", "rate_decay", "warmup", "optimiser", "beta1", "clip_norm", "ema"];

/// Arguments of `help`.
#[derive(Args)]
pub struct HelpArgs {
    /// A command, a model, a key of --set, or training, data or series
    pub topic: Option<String>,
    /// Every model and every key as the page docs/models.md
    #[arg(long, conflicts_with = "topic")]
    pub markdown: bool,
}

/// Keys with a heading.
struct Chapter {
    title: String,
    text: String,
    keys: Vec<Key>,
}

/// The chapter of a model's own keys.
fn of_model(row: &Row) -> Result<Chapter> {
    let text = format!(
        "{}. Can: {}. {} parameters at its defaults on {}.",
        model::about(row.name)?,
        row.abilities.join(", "),
        row.parameters,
        row.of
    );
    Ok(Chapter { title: row.name.into(), text, keys: model::keys(row.name)? })
}

/// The chapter of a topic; without a model, the defaults of training are those that all models share.
fn of_topic(topic: &str) -> Chapter {
    let [images, series] = data::keys();
    let (text, keys) = match topic {
        "data" => ("What data are and how pictures and arrays are read: keys of kiln train --set for every model.", images),
        "series" => ("How series are read and cut: keys of kiln train --set for data in .csv, .wav and .npy files of series.", series),
        _ => ("How a run is trained: keys of kiln train --set for every model.", keys::of::<TrainRecipe>()),
    };
    Chapter { title: topic.into(), text: text.into(), keys }
}

/// The keys of training by a model's preferences.
fn training_of(row: &Row) -> Vec<Key> {
    keys::with_defaults::<TrainRecipe>(&TrainRecipe::new(&row.defaults))
}

/// A key's name, its default and what it takes, then its meaning and its words, for a terminal.
fn shown(key: &Key) -> String {
    let width = textwrap::termwidth().clamp(40, WIDEST);
    let name = match &key.default {
        Some(default) => format!("{} = {default}", key.name),
        None => key.name.clone(),
    };
    let takes = if key.words.is_empty() { format!("  ({})", key.takes) } else { String::new() };
    let mut lines = format!("  {name}{takes}\n");
    let mut paragraph = |first: &str, rest: &str, text: &str| {
        lines += &textwrap::fill(text, textwrap::Options::new(width).initial_indent(first).subsequent_indent(rest));
        lines.push('\n');
    };
    paragraph("      ", "      ", &key.meaning);
    for (word, meaning) in &key.words {
        paragraph(&format!("        {word}: "), "          ", meaning);
    }
    lines
}

impl Chapter {
    fn words(&self) -> String {
        let width = textwrap::termwidth().clamp(40, WIDEST);
        let text = textwrap::fill(&format!("{}: {}", self.title, self.text), width);
        format!("{text}\n\n{}", self.keys.iter().map(shown).collect::<String>())
    }

    fn object(&self) -> Value {
        json!({ "name": self.title, "about": self.text, "keys": objects(&self.keys) })
    }

    fn markdown(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|");
        let row = |key: &Key| {
            let words: String = key.words.iter().map(|(word, meaning)| format!("<br>`{word}`: {}", cell(meaning))).collect();
            let takes = if key.words.is_empty() { cell(&key.takes) } else { "a word".into() };
            let default = key.default.as_ref().map_or(String::new(), |default| format!("`{default}`"));
            format!("| `{}` | {default} | {takes} | {}{words} |\n", key.name, cell(&key.meaning))
        };
        let rows: String = self.keys.iter().map(row).collect();
        format!("\n## {}\n\n{}\n\n| key | default | takes | what it is |\n|---|---|---|---|\n{rows}", self.title, self.text)
    }
}

fn objects(keys: &[Key]) -> Vec<Value> {
    let words = |key: &Key| key.words.iter().map(|(word, meaning)| (word.clone(), json!(meaning))).collect::<serde_json::Map<_, _>>();
    let object =
        |key: &Key| json!({ "key": key.name, "default": key.default, "takes": key.takes, "meaning": key.meaning, "words": words(key) });
    keys.iter().map(object).collect()
}

/// The page of all models.
fn page() -> Result<String> {
    let mut page = String::from(
        "# Models and their keys\n\nWhat `kiln help` tells, of every model and every key of `kiln train --set KEY=VALUE`; written by\n\
         `kiln help --markdown` from the types that parse them. A default that depends on the data, on a preset or on other keys is left empty.\n",
    );
    let rows = model::names().into_iter().map(models::row).collect::<Result<Vec<Row>>>()?;
    for row in &rows {
        page += &of_model(row)?.markdown();
    }
    // What models share first of all, then what each would rather have.
    page += &TOPICS.map(|topic| of_topic(topic).markdown()).concat();
    page += "\n### What models prefer\n\n| model | batch | steps | learning_rate | warmup | clip_norm | ema | beta1, beta2 |\n|---|---|---|---|---|---|---|---|\n";
    for row in &rows {
        let keys = training_of(row);
        let value = |name: &str| keys.iter().find(|key| key.name == name).and_then(|key| key.default.clone()).unwrap_or_default();
        let cells = ["batch", "steps", "learning_rate", "warmup", "clip_norm", "ema"].map(value).join(" | ");
        page += &format!("| {} | {cells} | {}, {} |\n", row.name, value("beta1"), value("beta2"));
    }
    Ok(page)
}

/// A key, and where it means the same.
fn of_key(name: &str) -> Result<Vec<(Key, Vec<String>)>> {
    let mut found: Vec<(Key, Vec<String>)> = Vec::new();
    let models = model::names().into_iter().map(|name| Ok((name, model::keys(name)?))).collect::<Result<Vec<_>>>()?;
    for (place, keys) in TOPICS.map(|topic| (topic, of_topic(topic).keys)).into_iter().chain(models) {
        for key in keys.into_iter().filter(|key| key.name == name) {
            match found.iter_mut().find(|(known, _)| *known == key) {
                Some((_, places)) => places.push(place.into()),
                None => found.push((key, vec![place.into()])),
            }
        }
    }
    Ok(found)
}

/// `kiln help`, of the whole program's command `root`
pub fn run(args: &HelpArgs, mut root: Command, output: &Output) -> Result<()> {
    if args.markdown {
        return output.result(&page()?, &json!({ "page": page()? }));
    }
    root.build();
    let Some(topic) = args.topic.as_deref() else {
        let words = root.render_help().to_string();
        return output.result(&words, &json!({ "help": words }));
    };
    if let Some(command) = root.find_subcommand_mut(topic) {
        let mut words = command.render_long_help().to_string();
        if topic == "train" {
            words += "\nKeys of --set: kiln help MODEL, kiln help training, kiln help data, kiln help series\n";
        }
        return output.result(&words, &json!({ "help": words }));
    }
    if TOPICS.contains(&topic) {
        let chapter = of_topic(topic);
        return output.result(&chapter.words(), &chapter.object());
    }
    if let Some(name) = model::names().into_iter().find(|name| *name == topic) {
        let row = models::row(name)?;
        let chapter = of_model(&row)?;
        let told = |key: &Key| PREFERENCES.contains(&key.name.as_str()) && key.default.as_deref() != Some("0");
        let preferred: Vec<String> = training_of(&row)
            .iter()
            .filter(|key| told(key))
            .filter_map(|key| Some(format!("{}={}", key.name, key.default.as_ref()?)))
            .collect();
        let width = textwrap::termwidth().clamp(40, WIDEST);
        let trained = textwrap::fill(&format!("Trained unless told otherwise with {}.", preferred.join(", ")), width);
        let more = textwrap::fill("What those mean: kiln help training; how data are read: kiln help data, kiln help series.", width);
        let mut object = chapter.object();
        object["training"] = json!(objects(&training_of(&row)));
        return output.result(&format!("{}\n{trained}\n{more}", chapter.words()), &object);
    }
    let of_evaluation = SETTINGS.iter().find(|(key, _)| *key == topic);
    let found = of_key(topic)?;
    if found.is_empty() && of_evaluation.is_none() {
        let keys = found_keys()?;
        let known = root.get_subcommands().map(|command| command.get_name()).chain(model::names()).chain(TOPICS);
        let meant = hint(topic, known.chain(keys.iter().map(String::as_str)));
        return Err(Error::usage(format!(
            "there is no command, model or key {topic}{meant}; kiln help and kiln models list what there is"
        )));
    }
    let mut words: Vec<String> = found.iter().map(|(key, places)| format!("{}:\n{}", places.join(", "), shown(key))).collect();
    words.extend(of_evaluation.map(|(key, meaning)| format!("kiln eval:\n  {key}\n      {meaning}\n")));
    let list: Vec<Value> =
        found.iter().map(|(key, places)| json!({ "of": places, "key": objects(std::slice::from_ref(key))[0] })).collect();
    output.result(&words.join("\n"), &json!({ "key": topic, "meanings": list }))
}

/// The names of all keys.
fn found_keys() -> Result<Vec<String>> {
    let mut names: Vec<String> = TOPICS.into_iter().flat_map(|topic| of_topic(topic).keys).map(|key| key.name).collect();
    for name in model::names() {
        names.extend(model::keys(name)?.into_iter().map(|key| key.name));
    }
    names.extend(SETTINGS.map(|(key, _)| key.to_string()));
    Ok(names)
}
