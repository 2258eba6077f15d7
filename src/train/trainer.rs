//! A run in progress: how it begins, goes on, and may change.

use std::sync::Arc;

use super::checkpoint::Progress;
use super::data::{check_unchanged, training_data, validation_data};
use super::events::Events;
use super::{Change, Recipe, RunFolder, TrainRecipe, Trained, apply_settings, recipe, transfer};
use crate::data::{self, Source};
use crate::error::{Error, Result};
use crate::graph::Kind;
use crate::model::{self, Model};
use crate::ranks::Ranks;
use crate::runtime::{Device, Program, State, Weights};

/// What a training run tells whoever watches.
pub trait Observer {
    /// Metrics of a step, in the order of the model's names; items of data a second so far.
    fn metrics(&mut self, _step: u64, _values: &[f32], _items_per_second: f64) {}
    /// A step was done.
    fn step(&mut self, _step: u64) {}
    /// The validation split was scored: nats, over what, and whether it is the best so far.
    fn valid(&mut self, _step: u64, _nats: f64, _data: &str, _best: bool) {}
    /// Items `[N, H, W, C]` were drawn: images of values 0..1, points and series as they are.
    fn drawn(&mut self, _step: u64, _items: &[f32]) {}
    /// A sentence worth saying.
    fn say(&mut self, _words: &str) {}
}

/// An observer that says nothing.
pub struct Silent;

impl Observer for Silent {}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done.
    pub step: u64,
    /// Whether it was asked to stop before its end.
    pub stopped: bool,
    /// Whether it ended before its last step because the validation score no longer fell.
    pub exhausted: bool,
    /// The last metrics, in the order of the model's names.
    pub metrics: Vec<f32>,
    /// Items of data a second, pictures and validation included.
    pub items_per_second: f64,
}

/// A run in progress.
pub struct Trainer {
    /// What scores and draws.
    pub(super) device: Device,
    /// The same as the recipe's training steps use it.
    pub(super) training: Device,
    pub(super) recipe: Recipe,
    pub(super) model: Box<dyn Model>,
    pub(super) state: State,
    pub(super) folder: RunFolder,
    pub(super) progress: Progress,
    pub(super) source: Arc<dyn Source>,
    pub(super) valid: Option<Arc<dyn Source>>,
    /// The step of the checkpoint in the folder, if there is one.
    pub(super) saved: Option<u64>,
    /// What TensorBoard is told, while it trains.
    pub(super) events: Option<Events>,
    /// Those who share the training.
    pub(super) ranks: Ranks,
    /// What is to be said when training begins.
    pub(super) notes: Vec<String>,
}

impl Trainer {
    /// Starts a new run in a folder, which it locks.
    ///
    /// # Errors
    /// Those of the data, the model and the folder.
    pub async fn start(device: &Device, recipe: Recipe, folder: RunFolder) -> Result<Self> {
        recipe.check()?;
        let model = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
        let mut state = State::initial(device, &recipe.train.state(model.state()).0, recipe.seed)?;
        let mut note = None;
        if let Some(path) = &recipe.from {
            transfer::weights(path, model.state(), &mut state)?;
        }
        if let Some(path) = &recipe.encoder {
            transfer::encoder(path, &mut state)?;
            note = transfer::note(path)?;
        }
        let progress = Progress { model: model.name().into(), step: 0, best: None, waited: 0 };
        let mut trainer = Self::new(device, recipe, model, state, folder, progress).await?;
        trainer.notes.extend(note);
        // Before anything is written.
        Program::check(&trainer.training, &trainer.pass_graph(true)?, trainer.state.spec())?;
        trainer.folder.claim()?;
        trainer.folder.clear()?;
        trainer.folder.write_recipe(&trainer.recipe)?;
        Ok(trainer)
    }

    /// Locks a run's folder and goes on from its newest checkpoint, on data that is known to be what it was started on: its own, or
    /// `moved`. Nothing of the run is written before [`Trainer::run`].
    ///
    /// # Errors
    /// Those of the folder, the data and the model; [`Error::Usage`] where the data differs.
    pub async fn resume(device: &Device, path: &std::path::Path, moved: Option<&str>) -> Result<Self> {
        let (mut folder, _) = RunFolder::open(path)?;
        folder.claim()?;
        Self::go_on(device, folder, moved).await
    }

    /// The same in a folder that is open and locked, or in memory.
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub async fn go_on(device: &Device, folder: RunFolder, moved: Option<&str>) -> Result<Self> {
        let recipe = folder.recipe()?;
        let mut trained = Trained::of(folder, recipe, device, false)?;
        let step = trained.progress.step;
        let source = check_unchanged(&trained.recipe, moved)?;
        let recorded = std::mem::replace(&mut trained.recipe.data.source, source);
        let now = trained.recipe.data.source.clone();
        let mut trainer = Self::new(device, trained.recipe, trained.model, trained.state, trained.folder, trained.progress).await?;
        trainer.saved = Some(step);
        if recorded != now {
            trainer.notes.push(format!("data: {now} from here on, {recorded} before"));
            trainer.recipe.history.push(Change { step, key: "data.source".into(), was: recorded.into(), now: now.into() });
        }
        trainer.note_surroundings();
        Ok(trainer)
    }

    async fn new(
        device: &Device,
        recipe: Recipe,
        model: Box<dyn Model>,
        state: State,
        folder: RunFolder,
        progress: Progress,
    ) -> Result<Self> {
        let source = training_data(&recipe)?;
        if model.conditional() && source.classes() == 0 {
            return Err(Error::usage(format!("{} is conditional and {} has no labels; take labelled data", model.name(), source.name())));
        }
        let training = recipe.on(device).await?;
        let (device, valid) = (device.clone(), None);
        let (saved, events, ranks, notes) = (None, None, Ranks::alone(), Vec::new());
        let mut trainer = Self { device, training, recipe, model, state, folder, progress, source, valid, saved, events, ranks, notes };
        trainer.open_valid()?;
        trainer.check()?;
        Ok(trainer)
    }

    /// Opens the validation split, where one is wanted and there is one.
    fn open_valid(&mut self) -> Result<()> {
        let wanted = self.recipe.train.valid_every > 0 && self.model.scores().is_some();
        // A source with a named split, or with nothing to hold out, is trained without validation.
        let valid = if wanted { validation_data(&self.recipe, self.model.conditional())? } else { None };
        self.valid = match (valid, self.recipe.train.valid_items) {
            (Some(valid), items) if items > 0 => Some(data::subset(valid, items)?),
            (valid, _) => valid,
        };
        Ok(())
    }

    /// Refuses what training cannot do with this model and these data.
    fn check(&self) -> Result<()> {
        let train = &self.recipe.train;
        if train.patience > 0 && self.valid.is_none() {
            let source = self.source.name();
            return Err(Error::usage(format!(
                "patience waits for scores of a validation split, and there is none beside {source}; leave it out"
            )));
        }
        if train.accumulate > 1 {
            let graph = self.model.train_graph(train.lane(), &|group| train.update(group))?;
            let updates = graph.nodes().iter().filter(|n| matches!(n.kind, Kind::Update(_))).count();
            if updates != 1 {
                let name = self.model.name();
                return Err(Error::usage(format!(
                    "accumulate adds gradients up before one update, and a step of {name} has {updates}, each on what the one before left; \
                     take a larger --batch"
                )));
            }
        }
        let most = train.steps.checked_mul(self.model.batches() as u64).filter(|updates| i32::try_from(*updates).is_ok());
        most.map(|_| ()).ok_or_else(|| Error::usage(format!("{} steps are more updates than 31 bits count; take fewer", train.steps)))
    }

    /// Writes down, and remembers to say, where this process computes otherwise than the run did.
    fn note_surroundings(&mut self) {
        let here = [self.device.name(), recipe::vectors(&self.device), env!("CARGO_PKG_VERSION").to_string()];
        let recipe = &mut self.recipe;
        let kept = [("device", &mut recipe.device), ("vectors", &mut recipe.vectors), ("kiln", &mut recipe.kiln)];
        for ((key, kept), here) in kept.into_iter().zip(here) {
            if *kept == here {
                continue;
            }
            let was = std::mem::replace(kept, here.clone());
            let shown = |v: &str| if v.is_empty() { "none".to_string() } else { v.to_string() };
            self.notes.push(format!(
                "{key}: {} from here on, {} before; sums round otherwise, so this is not bit for bit the run that never stopped",
                shown(&here),
                shown(&was)
            ));
            recipe.history.push(Change { step: self.progress.step, key: key.into(), was: was.into(), now: here.into() });
        }
    }

    /// Changes keys of training of a run that goes on, and writes down in its recipe that it did.
    ///
    /// # Errors
    /// [`Error::Usage`] for keys that cannot change, and values that do not fit.
    pub fn change(&mut self, mut settings: toml::Table) -> Result<()> {
        if let Some(key) = settings.keys().find(|key| !TrainRecipe::CHANGEABLE.contains(&key.as_str())) {
            let may = TrainRecipe::CHANGEABLE.join(", ");
            return Err(Error::usage(format!("{key} stays as it was when the run began; what may change is {may}")));
        }
        let before = self.recipe.clone();
        apply_settings(&mut self.recipe.train, &mut settings)?;
        let (was, now) = (recipe::table(&before.train), recipe::table(&self.recipe.train));
        for (key, now) in now.into_iter().filter(|(key, value)| was.get(key) != Some(value)) {
            let Some(was) = was.get(&key).cloned() else { continue };
            self.notes.push(format!("{key}: {now} from here on, {was} before"));
            self.recipe.history.push(Change { step: self.progress.step, key, was, now });
        }
        self.open_valid()?;
        self.recipe.check()?;
        self.check()
    }

    /// Sentences worth saying of how the data was read.
    pub fn data_notes(&self) -> Vec<String> {
        self.source.notes()
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The model.
    pub fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }

    /// The weights.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The model, and its weights to draw with.
    pub fn model_and_state(&mut self) -> (&dyn Model, &mut State) {
        (self.model.as_ref(), &mut self.state)
    }

    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.progress.step
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        let train = &self.recipe.train;
        (self.source.len() / (train.batch * train.accumulate * self.model.batches())).max(1) as u64
    }

    /// Which weights pictures and scores are made with.
    pub fn weights(&self) -> Weights {
        if self.recipe.train.ema > 0.0 { Weights::Average } else { Weights::Current }
    }

    /// Scores that have waited long enough for a better one.
    pub fn is_exhausted(&self) -> bool {
        self.recipe.train.patience > 0 && self.progress.waited >= self.recipe.train.patience
    }
}
