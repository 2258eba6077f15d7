//! The run folder.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Progress};
use super::recipe::{FORMAT, Recipe};
use crate::error::{Error, Result};
use crate::model::{self, Model};
use crate::runtime::{Device, State};

/// A folder that holds one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Takes a new run folder, which its recipe makes, or one whose run ended before it saved anything.
    ///
    /// # Errors
    /// [`Error::Usage`] where the folder holds a run already.
    pub fn create(path: &Path) -> Result<Self> {
        if ["checkpoint.safetensors", "best.safetensors"].iter().any(|name| path.join(name).exists()) {
            let shown = path.display();
            return Err(Error::usage(format!(
                "{shown} holds a run already; go on with kiln train --resume {shown}, or name another --out"
            )));
        }
        let folder = Self { path: path.to_path_buf() };
        if folder.file("metrics.jsonl").exists() {
            folder.rewind(0)?;
        }
        Ok(folder)
    }

    /// Opens a run folder and reads its recipe.
    ///
    /// # Errors
    /// [`Error::Format`] where there is no run, or one of another version.
    pub fn open(path: &Path) -> Result<(Self, Recipe)> {
        let file = path.join("recipe.toml");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::format(path, "is no run folder (it has no recipe.toml); name the --out of a kiln train"));
            }
            Err(e) => return Err(Error::io(&file, e)),
        };
        let table: toml::Table = toml::from_str(&text).map_err(|e| Error::format(&file, format!("is not TOML: {}", first_line(&e))))?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(format) if format == i64::from(FORMAT) => {}
            Some(format) => {
                let reason = format!("is of format {format} and this program reads format {FORMAT}; use the kiln that made it");
                return Err(Error::format(&file, reason));
            }
            None => return Err(Error::format(&file, "is not a kiln recipe")),
        }
        let recipe: Recipe = table.try_into().map_err(|e| Error::format(&file, first_line(&e)))?;
        recipe.data.check().map_err(|e| Error::format(&file, e.to_string()))?;
        Ok((Self { path: path.to_path_buf() }, recipe))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the recipe.
    pub fn write_recipe(&self, recipe: &Recipe) -> Result<()> {
        let text = toml::to_string_pretty(recipe).map_err(|e| Error::format(self.file("recipe.toml"), e.to_string()))?;
        checkpoint::replace(&self.file("recipe.toml"), text.as_bytes())
    }

    /// Appends a line to `metrics.jsonl`.
    pub fn log(&self, line: &serde_json::Value) -> Result<()> {
        let path = self.file("metrics.jsonl");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut f| writeln!(f, "{line}")).map_err(|e| Error::io(&path, e))
    }

    /// The metrics logged so far; lines that a kill tore are left out.
    pub fn metrics(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.file("metrics.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Drops metrics after a step, when a run goes on from a checkpoint before them.
    pub fn rewind(&self, step: u64) -> Result<()> {
        let path = self.file("metrics.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let step_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["step"].as_u64();
        let kept: String = text.lines().filter(|l| step_of(l).is_some_and(|s| s <= step)).map(|l| format!("{l}\n")).collect();
        // Lines stay as they were written: a number that is read and written again may differ in its last digit.
        if kept == text { Ok(()) } else { checkpoint::replace(&path, kept.as_bytes()) }
    }
}

fn first_line(error: &toml::de::Error) -> String {
    error.message().lines().next().unwrap_or_default().to_string()
}

/// A trained model on a device.
pub struct Trained {
    /// Its recipe.
    pub recipe: Recipe,
    /// The model.
    pub model: Box<dyn Model>,
    /// Its weights.
    pub state: State,
    /// How far it was trained.
    pub progress: Progress,
    /// Its folder.
    pub folder: RunFolder,
}

impl Trained {
    /// Loads a run's checkpoint: the newest, or with `best` the one of the best validation score.
    ///
    /// # Errors
    /// As [`RunFolder::open`] and [`checkpoint::load`]; [`Error::Format`] where nothing was saved yet.
    pub fn load(path: &Path, device: &Device, best: bool) -> Result<Self> {
        let (folder, recipe) = RunFolder::open(path)?;
        let model = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
        let mut state = State::initial(device, &recipe.train.state(model.state()).0, recipe.seed)?;
        let file = folder.file(if best { "best.safetensors" } else { "checkpoint.safetensors" });
        if best && !file.exists() {
            return Err(Error::format(path, "has no best.safetensors: no validation split was scored; leave --best out"));
        }
        if !file.exists() {
            return Err(Error::format(path, "has no checkpoint.safetensors; train it first, for at least save_every steps"));
        }
        let progress = checkpoint::load(&file, &mut state, model.name())?;
        Ok(Self { recipe, model, state, progress, folder })
    }
}
