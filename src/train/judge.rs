//! The judge of sample quality: one classifier a data set, the same for every run on it, so that distances in its features compare.
//!
//! It is trained by kiln on the whole training split, unbinarized, with a fixed seed, whatever a run's own seed or limit, and kept in kiln's
//! cache under the data's digest. Nothing is kept in a run's folder, and nothing there is touched.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::data::{DataRequest, open_data, training_data, validation_data};
use super::{DataRecipe, Observer, Recipe, RunFolder, TrainRecipe, Trained, Trainer};
use crate::cache;
use crate::data::{self, Binarization, OpenOptions};
use crate::error::{Error, Result};
use crate::eval::{self, Judged, LikelihoodOptions};
use crate::model;
use crate::report;
use crate::runtime::Device;

/// Version of the judge: its network, its training, its features. Distances under different versions do not compare.
pub const JUDGE_VERSION: u32 = 1;
/// Seed of its weights and of its batches, and of built-in data.
pub const JUDGE_SEED: u64 = 1;
/// Items of a step, where there are as many.
const BATCH: usize = 128;
/// Held-out items that its accuracy is measured on, at most.
const HELD_OUT: usize = 10_000;
/// The file that says what a judge is.
const FACTS: &str = "judge.toml";

/// What a judge is, and how good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeFacts {
    /// [`JUDGE_VERSION`] of the kiln that made it.
    pub version: u32,
    /// What its data is known by; see [`crate::data::Digest`].
    pub digest: String,
    /// `[H, W, C]` of its images.
    pub dims: [usize; 3],
    /// Its classes.
    pub class_names: Vec<String>,
    /// Seed of its training.
    pub seed: u64,
    /// Steps of its training.
    pub steps: u64,
    /// Items of a step.
    pub batch: usize,
    /// Share of held-out items whose class it names.
    pub accuracy: f64,
    /// Which items those are.
    pub accuracy_on: String,
    /// The device it was trained on.
    pub device: String,
}

impl JudgeFacts {
    /// Whether it is what another would be, had that been trained.
    fn serves(&self, wanted: &Self) -> bool {
        let key = |f: &Self| (f.version, f.digest.clone(), f.dims, f.class_names.clone(), f.seed, f.steps, f.batch);
        key(self) == key(wanted)
    }

    /// Name of its folder.
    fn folder(&self) -> String {
        let [h, w, c] = self.dims;
        let digest: String = self.digest.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
        format!("{digest}-{h}x{w}x{c}-v{}-{}", self.version, self.steps)
    }
}

/// The judge of a data set.
pub struct Judge {
    /// What it is.
    pub facts: JudgeFacts,
    /// Whether it was there already.
    pub reused: bool,
    trained: Trained,
}

impl Judge {
    /// The judge of a run's data, trained first where the cache has none (or one of other data, steps or version).
    ///
    /// # Errors
    /// [`Error::Usage`] where the data has no labels or no longer fits the run; those of training.
    pub async fn open(run: &Recipe, device: &Device, steps: u64, observer: &mut dyn Observer) -> Result<Self> {
        let (recipe, wanted) = recipe(run, device, steps)?;
        // Built-in sets are drawn with the judge's own seed; files are what they are.
        if wanted.digest != run.data.digest && !run.data.source.starts_with("builtin:") {
            let source = &run.data.source;
            observer
                .say(&format!("{source} is no longer what the run was started on (its digest differs); the judge is of what it is now"));
        }
        let Some(judges) = cache::folder().map(|f| f.join("judges")).filter(|f| is_usable(f)) else {
            observer.say("there is no folder for caches, so the judge is trained anew and not kept; set KILN_CACHE to one");
            let place = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), e))?;
            return Self::train(recipe, wanted, device, &place.path().join("judge"), observer).await;
        };
        let place = judges.join(wanted.folder());
        match Self::load(&place, &wanted, device) {
            Some(judge) => return Ok(judge),
            None if place.exists() => set_aside(&place, observer)?,
            None => {}
        }
        let made = tempfile::Builder::new().prefix("making-").tempdir_in(&judges).map_err(|e| Error::io(&judges, e))?;
        let judge = Self::train(recipe, wanted, device, &made.path().join("judge"), observer).await?;
        if let Err(e) = std::fs::rename(made.path().join("judge"), &place) {
            // Another process may have been first; what it made is the same.
            log::debug!("the judge was not kept in {}: {e}", place.display());
        }
        Ok(judge)
    }

    fn load(place: &Path, wanted: &JudgeFacts, device: &Device) -> Option<Self> {
        let facts: JudgeFacts = toml::from_str(&std::fs::read_to_string(place.join(FACTS)).ok()?).ok()?;
        let trained = Trained::load(place, device, false).ok()?;
        let whole = facts.serves(wanted) && trained.progress.step == facts.steps && trained.recipe.data.digest == facts.digest;
        whole.then_some(Self { facts, reused: true, trained })
    }

    async fn train(recipe: Recipe, mut facts: JudgeFacts, device: &Device, place: &Path, observer: &mut dyn Observer) -> Result<Self> {
        let mut trainer = Trainer::start(device, recipe, RunFolder::create(place)?).await?;
        trainer.run(&AtomicBool::new(false), observer).await?;
        drop(trainer);
        let mut trained = Trained::load(place, device, false)?;
        let found = accuracy(&mut trained, device).await?;
        (facts.accuracy, facts.accuracy_on) = found;
        let text = toml::to_string_pretty(&facts).map_err(|e| Error::format(place, e.to_string()))?;
        report::write_atomically(&place.join(FACTS), |out| std::io::Write::write_all(out, text.as_bytes()))?;
        Ok(Self { facts, reused: false, trained })
    }

    /// What it says of images of values 0..1.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn judge(&mut self, device: &Device, images: &[f32]) -> Result<Judged> {
        let item = self.facts.dims.iter().product();
        eval::judge(device, self.trained.model.as_ref(), &mut self.trained.state, images, item, self.facts.class_names.len()).await
    }
}

/// How the judge of a run's data is trained, and what it will be.
fn recipe(run: &Recipe, device: &Device, steps: u64) -> Result<(Recipe, JudgeFacts)> {
    let options = OpenOptions { seed: JUDGE_SEED, reading: run.data.reading.clone(), ..OpenOptions::default() };
    let settled = data::settle(&run.data.source, &options)?;
    let data = DataRecipe {
        binarization: Binarization::None,
        augment: data::Augment::default(),
        count: settled.source.len(),
        digest: settled.digest.hash.clone(),
        digest_of: settled.digest.of,
        limit: None,
        labels_per_class: None,
        mean: None,
        ..run.data.clone()
    };
    let hyper = toml::Table::new();
    let model = model::build("classifier", &hyper, &data.spec())?;
    let mut train = TrainRecipe { steps, sample_every: 0, valid_every: 0, save_every: steps, ..TrainRecipe::new(&model.defaults()) };
    let mut recipe = run.clone();
    recipe.model = "classifier".into();
    (recipe.seed, recipe.device, recipe.encoder) = (JUDGE_SEED, device.name(), None);
    recipe.vectors = super::vectors(device);
    recipe.hyper = hyper;
    recipe.kernels.clear();
    recipe.history.clear();
    recipe.data = data;
    recipe.train = train.clone();
    train.batch = BATCH.min(training_data(&recipe)?.len());
    recipe.train = train;
    let facts = JudgeFacts {
        version: JUDGE_VERSION,
        digest: settled.digest.hash,
        dims: recipe.data.dims,
        class_names: recipe.data.class_names.clone(),
        seed: JUDGE_SEED,
        steps,
        batch: recipe.train.batch,
        accuracy: f64::NAN,
        accuracy_on: String::new(),
        device: recipe.device.clone(),
    };
    Ok((recipe, facts))
}

/// Its accuracy on what it was not trained on, or where there is nothing else on what it was.
async fn accuracy(trained: &mut Trained, device: &Device) -> Result<(f64, String)> {
    let recipe = &trained.recipe;
    let unseen = open_data(recipe, &DataRequest { limit: Some(HELD_OUT), labels: true, ..DataRequest::default() });
    let (source, name) = match (unseen, validation_data(recipe, true)?) {
        (Ok(test), _) => (test, "its test split"),
        (Err(Error::Usage(_)), Some(valid)) => (data::subset(valid, HELD_OUT)?, "what its data hold out"),
        (Err(Error::Usage(_)), None) => (data::subset(training_data(recipe)?, HELD_OUT)?, "what it was trained on"),
        (Err(other), _) => return Err(other),
    };
    let (seed, binarization) = (JUDGE_SEED, Binarization::None);
    let options = LikelihoodOptions { batch: BATCH, seed, binarization, ..LikelihoodOptions::default() };
    let classes = recipe.data.classes;
    let found = eval::accuracy(device, trained.model.as_ref(), &mut trained.state, (source, classes), &options, |_| {}).await?;
    // Not by the name of the source: the judge serves wherever the same data lies.
    let count = found.count;
    Ok((found.share, format!("{count} items of {name}")))
}

/// Whether a folder is there, or can be made, and takes files.
fn is_usable(folder: &Path) -> bool {
    std::fs::create_dir_all(folder).is_ok() && tempfile::tempfile_in(folder).is_ok()
}

/// Moves what stands where a judge belongs, and is none that serves, beside it: whatever it is, it may be someone's.
fn set_aside(place: &Path, observer: &mut dyn Observer) -> Result<()> {
    let beside = |n: u32| -> PathBuf { place.with_extension(format!("old-{n}")) };
    let free = (1..).map(beside).find(|path| !path.exists());
    let Some(free) = free else { return Ok(()) };
    observer.say(&format!("{} holds no judge that can be used; it lies in {} now", place.display(), free.display()));
    std::fs::rename(place, &free).map_err(|e| Error::io(place, e))
}
