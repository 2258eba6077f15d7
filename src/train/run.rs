//! The run folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::checkpoint::{self, Progress};
use super::lock::{self, Lock};
use super::place::{Files, Place, held};
use super::recipe::{FORMAT, Recipe};
use crate::error::{Error, Result};
use crate::model::{self, DataSpec, Model};
use crate::runtime::{Device, State};

/// The newest checkpoint; a folder that holds one holds a run.
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";
/// The checkpoint of the best score.
pub(super) const BEST: &str = "best.safetensors";
/// The chart of metrics.
pub(super) const CURVES: &str = "curves.png";
/// Everything needed to repeat the run.
const RECIPE: &str = "recipe.toml";
/// A line for each step that was logged.
const METRICS: &str = "metrics.jsonl";
/// The folder of pictures.
pub(super) const SAMPLES: &str = "samples";
/// What TensorBoard reads: it takes files that have `tfevents` in their names.
pub(super) const EVENTS: &str = "events.out.tfevents.kiln";
/// The page of the run.
pub(super) const PAGE: &str = "index.html";

/// A folder that holds one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    place: Place,
    /// Held while it is trained in.
    lock: Option<Arc<Lock>>,
}

impl RunFolder {
    /// A folder for a new run: none yet, an empty one, or one whose run ended before its first checkpoint. Nothing is written before
    /// [`RunFolder::claim`].
    ///
    /// # Errors
    /// [`Error::Usage`] where the folder holds a run already, or files that are not kiln's.
    pub fn create(path: &Path) -> Result<Self> {
        let shown = path.display();
        if path.join(CHECKPOINT).exists() {
            return Err(Error::usage(format!(
                "{shown} holds a run already; go on with kiln train --resume {shown}, or name another --out"
            )));
        }
        if let Some(name) = foreign(path)? {
            return Err(Error::usage(format!("{shown} holds {name}, which is not kiln's, and is left alone; name another --out")));
        }
        Ok(Self { place: Place::Disk(path.to_path_buf()), lock: None })
    }

    /// A folder in memory, where there is no disk, with these files in it.
    pub fn in_memory(files: Files) -> Self {
        Self { place: Place::Memory(Arc::new(Mutex::new(files))), lock: None }
    }

    /// Where it lies on disk, unless it lies in memory, as all of a page's do.
    pub(super) fn on_disk(&self) -> Option<&Path> {
        match &self.place {
            Place::Disk(path) if cfg!(not(target_family = "wasm")) => Some(path),
            _ => None,
        }
    }

    /// What a folder in memory holds; nothing of one on disk.
    pub fn files(&self) -> Files {
        match &self.place {
            Place::Memory(files) => held(files).clone(),
            Place::Disk(_) => Files::new(),
        }
    }

    /// Removes a run's folder.
    ///
    /// # Errors
    /// [`Error::Usage`] where it is no run's, holds files that are not kiln's, or is being trained in.
    pub fn remove(path: &Path) -> Result<()> {
        let shown = path.display();
        if RunFolder::open(path).is_err() {
            return Err(Error::usage(format!("{shown} is no run of this kiln's and is left alone; name another --out")));
        }
        if let Some(name) = foreign(path)? {
            return Err(Error::usage(format!("{shown} holds {name}, which is not kiln's, and is left alone; name another folder")));
        }
        let held = Lock::take(path)?;
        std::fs::remove_dir_all(path).map_err(|e| Error::io(path, e))?;
        drop(held);
        Ok(())
    }

    /// Makes the folder where there is none, locks it, and removes temporary files that dead runs left in it.
    ///
    /// # Errors
    /// [`Error::Usage`] where another process trains in it; [`Error::Io`] where it cannot be made or written.
    pub fn claim(&mut self) -> Result<()> {
        if let Place::Disk(path) = &self.place {
            self.lock = Some(Arc::new(Lock::take(path)?));
        }
        for folder in ["", SAMPLES] {
            for name in self.place.names(folder)?.into_iter().filter(|name| is_temporary(name)) {
                self.place.remove(Path::new(folder).join(name).to_string_lossy().as_ref())?;
            }
        }
        Ok(())
    }

    /// Clears what an earlier run without a checkpoint left, so that nothing of it stays among the new.
    pub(super) fn clear(&self) -> Result<()> {
        for name in [BEST, METRICS, CURVES, EVENTS, PAGE] {
            self.place.remove(name)?;
        }
        self.rewind(0)
    }

    /// Opens a run folder and reads its recipe.
    ///
    /// # Errors
    /// [`Error::Format`] where there is no run, or one of another version.
    pub fn open(path: &Path) -> Result<(Self, Recipe)> {
        let folder = Self { place: Place::Disk(path.to_path_buf()), lock: None };
        let recipe = folder.recipe()?;
        Ok((folder, recipe))
    }

    /// Reads its recipe.
    ///
    /// # Errors
    /// As [`RunFolder::open`].
    pub fn recipe(&self) -> Result<Recipe> {
        let file = self.file(RECIPE);
        let text = match self.place.read(RECIPE).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => return Err(Error::format(&file, "is not TOML: it is no text")),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::format(self.path(), "is no run folder (it has no recipe.toml); name the --out of a kiln train"));
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
        recipe.check().map_err(|e| Error::format(&file, format!("holds what kiln never writes: {e}")))?;
        Ok(recipe)
    }

    /// The folder, for words where it is in memory.
    pub fn path(&self) -> PathBuf {
        self.place.path("")
    }

    /// The path of a file of the folder, for words where it is in memory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Whether it has such a file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.place.has(name)
    }

    /// Reads a file of the folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.place.read(name).map_err(|e| Error::io(self.file(name), e))
    }

    /// Writes a file of the folder whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn replace(&self, name: &str, parts: &[&[u8]]) -> Result<()> {
        self.place.replace(name, parts)
    }

    /// Reads the newest checkpoint, or the best.
    ///
    /// # Errors
    /// [`Error::Format`] where there is none; [`Error::Io`].
    pub(super) fn checkpoint(&self, best: bool) -> Result<Vec<u8>> {
        let name = checkpoint_name(best);
        if self.has(name) {
            return self.read(name);
        }
        let reason = if best {
            "has no best.safetensors: no validation split was scored; leave --best out"
        } else {
            "has no checkpoint.safetensors: its run ended before the first; start it again with the same --out"
        };
        Err(Error::format(self.path(), reason))
    }

    /// The step of the newest checkpoint, if there is a whole one.
    pub fn saved_step(&self) -> Option<u64> {
        let metadata = checkpoint::parse(&self.file(CHECKPOINT), &self.read(CHECKPOINT).ok()?).ok()?;
        metadata.get("step")?.parse().ok()
    }

    /// Writes the recipe.
    pub fn write_recipe(&self, recipe: &Recipe) -> Result<()> {
        let text = toml::to_string_pretty(recipe).map_err(|e| Error::format(self.file(RECIPE), e.to_string()))?;
        self.replace(RECIPE, &[text.as_bytes()])
    }

    /// Appends a line to `metrics.jsonl`.
    pub fn log(&self, line: &serde_json::Value) -> Result<()> {
        self.place.append(METRICS, &format!("{line}\n"))
    }

    /// The metrics logged so far; lines that a kill tore are left out.
    pub fn metrics(&self) -> Vec<serde_json::Value> {
        self.logged().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Drops metrics and pictures after a step, when a run goes on from a checkpoint before them.
    pub fn rewind(&self, step: u64) -> Result<()> {
        for name in self.place.names(SAMPLES)?.into_iter().filter(|name| picture_step(name).is_some_and(|drawn| drawn > step)) {
            self.place.remove(&format!("{SAMPLES}/{name}"))?;
        }
        let text = self.logged();
        let step_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["step"].as_u64();
        let kept: String = text.lines().filter(|l| step_of(l).is_some_and(|s| s <= step)).map(|l| format!("{l}\n")).collect();
        // Lines stay as they were written: a number that is read and written again may differ in its last digit.
        if kept == text { Ok(()) } else { self.replace(METRICS, &[kept.as_bytes()]) }
    }

    fn logged(&self) -> String {
        self.place.read(METRICS).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// Whether a file is one that [`crate::report::write_atomically`] had not finished.
fn is_temporary(name: &str) -> bool {
    name.starts_with(".kiln-") && name.ends_with(".tmp")
}

/// The step of a picture by its name.
pub(super) fn picture_step(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".png").filter(|d| d.len() >= 6 && d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

/// Something in a folder that no run of kiln's leaves behind.
fn foreign(folder: &Path) -> Result<Option<String>> {
    let place = Place::Disk(folder.to_path_buf());
    // Without a recipe, pictures and metrics are somebody else's.
    let ours = RunFolder::open(folder).is_ok();
    for name in place.names("")? {
        let path = folder.join(&name);
        let own = match name.as_str() {
            RECIPE | CHECKPOINT | BEST | METRICS | CURVES | EVENTS | PAGE => ours && path.is_file(),
            SAMPLES => {
                let kept = |name: &String| is_temporary(name) || picture_step(name).is_some();
                ours && path.is_dir() && place.names(SAMPLES)?.iter().all(kept)
            }
            lock::NAME => path.is_file(),
            _ => is_temporary(&name),
        };
        if !own {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn first_line(error: &toml::de::Error) -> String {
    error.message().lines().next().unwrap_or_default().to_string()
}

/// The file of the newest checkpoint, or of the best.
pub(super) fn checkpoint_name(best: bool) -> &'static str {
    if best { BEST } else { CHECKPOINT }
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
        Self::of(folder, recipe, device, best)
    }

    /// Loads the checkpoint of a run folder that is open.
    pub(super) fn of(folder: RunFolder, recipe: Recipe, device: &Device, best: bool) -> Result<Self> {
        let bytes = folder.checkpoint(best)?;
        Self::of_checkpoint(folder, recipe, device, (checkpoint_name(best), &bytes))
    }

    /// The same, of a checkpoint that was read already.
    pub(super) fn of_checkpoint(folder: RunFolder, recipe: Recipe, device: &Device, (name, bytes): (&str, &[u8])) -> Result<Self> {
        let model = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
        let mut state = State::to_read(device, &recipe.train.state(model.state()).0)?;
        let progress = checkpoint::load((&folder.file(name), bytes), &mut state, &recipe)?;
        Ok(Self { recipe, model, state, progress, folder })
    }

    /// The model over series of so many steps: its weights are those of the run, whatever the length of a window is.
    ///
    /// # Errors
    /// As of [`model::build`]; [`Error::Usage`] where its tensors depend on the length.
    pub fn over(&self, steps: usize) -> Result<Box<dyn Model>> {
        let spec = self.recipe.data.spec();
        let [window, width, channels] = spec.dims;
        let model = model::build(&self.recipe.model, &self.recipe.hyper, &DataSpec { dims: [steps, width, channels], ..spec })?;
        let tensors = |model: &dyn Model| {
            let spec = model.state();
            spec.ids().into_iter().map(|id| (spec.spec(id).name.clone(), spec.spec(id).shape.clone())).collect::<Vec<_>>()
        };
        if tensors(model.as_ref()) != tensors(self.model.as_ref()) {
            let name = model.name();
            return Err(Error::usage(format!("this {name} is one of {window} steps, and not of {steps}; take wavenet or rnn")));
        }
        Ok(model)
    }
}
