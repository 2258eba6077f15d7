//! `kiln page`: trained runs beside a page in a browser.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::measured::weights;
use super::output::{Output, as_text};
use crate::error::{Error, Result};
use crate::model::need;
use crate::runtime::{Device, Weights};
use crate::train::checkpoint::{self, Numbers};
use crate::train::{Files, Recipe, RunFolder, Trained};
use crate::wait::Wait;

/// The folder of runs beside a page.
const RUNS: &str = "runs";
/// The list of them.
const INDEX: &str = "runs/index.json";

/// How weights are written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Stored {
    /// Rounded, in half the room
    #[default]
    F16,
    /// As they are, so that the page draws what this kiln draws
    F32,
}

/// Arguments of `page`.
#[derive(Args)]
pub struct PageArgs {
    /// Run folders
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The page's folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How weights are written
    #[arg(long, value_enum, default_value_t)]
    weights: Stored,
    /// The checkpoints of the best validation score, not the newest
    #[arg(long)]
    best: bool,
}

/// The runs beside a page.
#[derive(Deserialize, Serialize)]
struct Index {
    /// Version of the kiln that wrote it.
    kiln: String,
    runs: Vec<Entry>,
}

/// A run beside a page.
#[derive(Clone, Deserialize, Serialize)]
struct Entry {
    name: String,
    folder: String,
    about: String,
    weights: String,
}

/// `kiln page`
pub fn run(args: &PageArgs, output: &Output) -> Result<()> {
    let mut names = BTreeMap::new();
    for path in &args.runs {
        if let Some(other) = names.insert(name_of(path)?, path) {
            let (a, b) = (other.display(), path.display());
            return Err(Error::usage(format!("{a} and {b} have one name; a page tells runs apart by the names of their folders")));
        }
    }
    // All are looked at before anything is written.
    let mut chosen = Vec::new();
    for (name, path) in names {
        let trained = Trained::load(path, &Device::CPU, args.best)?;
        check(&trained).map_err(|reason| Error::usage(format!("{}: {reason}", path.display())))?;
        chosen.push((name, trained));
    }
    let mut index = read(&args.out)?;
    for (name, trained) in &chosen {
        let entry = put(&args.out, name, trained, args.weights)?;
        index.runs.retain(|other| other.name != *name);
        index.runs.push(entry);
    }
    let text = serde_json::to_string_pretty(&index).map_err(|e| Error::format(args.out.join(INDEX), e.to_string()))?;
    checkpoint::replace(&args.out.join(INDEX), text.as_bytes())?;
    let mut words: Vec<String> = index.runs.iter().map(|entry| format!("{}: {}", entry.name, entry.about)).collect();
    let shown = args.out.display();
    words.push(if args.out.join("index.html").is_file() {
        format!("serve the page with: python3 -m http.server -d {shown}")
    } else {
        format!("{shown} holds no page yet; scripts/page {shown} builds it")
    });
    output.result(&words.join("\n"), &json!({"out": as_text(&args.out), "runs": index.runs}))
}

/// What a run is called on a page: the name of its folder.
fn name_of(path: &Path) -> Result<String> {
    let whole = std::path::absolute(path).map_err(|e| Error::io(path, e))?;
    let name = whole.file_name().and_then(|name| name.to_str()).map(str::to_string);
    let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    name.filter(plain).ok_or_else(|| {
        let shown = path.display();
        Error::usage(format!(
            "the folder's name of {shown} becomes part of an address, so it is of letters, digits, - _ and . alone; rename it"
        ))
    })
}

/// Refuses what a page cannot show.
fn check(trained: &Trained) -> std::result::Result<(), String> {
    need::draws(trained.model.as_ref()).map_err(|e| e.to_string())?;
    let data = &trained.recipe.data;
    let [.., channels] = data.dims;
    if data.points || data.reading.series.is_settled() || ![1, 3].contains(&channels) {
        return Err("a page shows images, grey or in colour, and these data are none".into());
    }
    Ok(())
}

/// Writes a run's recipe and weights into a page's folder.
fn put(page: &Path, name: &str, trained: &Trained, stored: Stored) -> Result<Entry> {
    let (numbers, words) = match stored {
        Stored::F16 => (Numbers::F16, "f16"),
        Stored::F32 => (Numbers::F32, "f32"),
    };
    let folder = page.join(RUNS).join(name);
    let recipe = told(&trained.recipe, trained.progress.step);
    let files = RunFolder::in_memory(Files::new());
    files.write_recipe(&recipe)?;
    for (file, bytes) in files.files() {
        checkpoint::replace(&folder.join(file), &bytes)?;
    }
    checkpoint::export(&folder.join("weights.safetensors"), &trained.state, weights(trained) == Weights::Average, numbers).wait()?;
    let parameters = trained.model.state().parameters(true);
    let (model, step, source) = (&recipe.model, trained.progress.step, &recipe.data.source);
    let about = format!("{model} · step {step} · on {source} · {parameters} parameters");
    Ok(Entry { name: name.into(), folder: name.into(), about, weights: words.into() })
}

/// A recipe as strangers may read it: of the steps that were done, without paths, and without what was computed where.
fn told(recipe: &Recipe, step: u64) -> Recipe {
    let mut told = recipe.clone();
    told.train.steps = step;
    if let Some((_, last)) = told.data.source.trim_end_matches('/').rsplit_once(['/', '\\']) {
        told.data.source = last.into();
    }
    (told.encoder, told.from, told.imported) = (None, None, Vec::new());
    (told.kernels, told.history) = (BTreeMap::new(), Vec::new());
    told
}

/// The list of a page's folder; an empty one where there is none.
fn read(page: &Path) -> Result<Index> {
    let path = page.join(INDEX);
    let kiln = env!("CARGO_PKG_VERSION").to_string();
    match std::fs::read(&path) {
        Ok(bytes) => {
            let index: Index = serde_json::from_slice(&bytes).map_err(|e| {
                Error::format(&path, format!("is no list of runs ({e}); remove it, and the page holds the runs that are named"))
            })?;
            Ok(Index { kiln, ..index })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Index { kiln, runs: Vec::new() }),
        Err(e) => Err(Error::io(&path, e)),
    }
}
