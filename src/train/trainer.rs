//! The training loop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;

use super::checkpoint::{self, Progress};
use super::data::{check_unchanged, training_data, validation_data};
use super::metrics::{Sent, Watch};
use super::recipe::Change;
use super::{Recipe, RunFolder, pictures};
use crate::cpu::Arena;
use crate::data::{self, Loader, LoaderOptions, Source};
use crate::error::{Error, Result};
use crate::eval::{self, LikelihoodOptions};
use crate::graph::{SCALES, Step, Update};
use crate::model::{self, Model};
use crate::runtime::{Device, Program, State, Weights};

/// What a training run tells whoever watches.
pub trait Observer {
    /// Metrics of a step, in the order of the model's names; items of data a second so far.
    fn metrics(&mut self, _step: u64, _values: &[f32], _items_per_second: f64) {}
    /// A step was done.
    fn step(&mut self, _step: u64) {}
    /// The validation split was scored: nats, over what, and whether it is the best so far.
    fn valid(&mut self, _step: u64, _nats: f64, _data: &str, _best: bool) {}
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
    /// The last metrics, in the order of the model's names.
    pub metrics: Vec<f32>,
    /// Items of data a second, pictures and validation included.
    pub items_per_second: f64,
}

/// A run in progress.
pub struct Trainer {
    /// What scores and draws.
    device: Device,
    /// The same as the recipe's training steps use it.
    training: Device,
    recipe: Recipe,
    model: Box<dyn Model>,
    state: State,
    folder: RunFolder,
    progress: Progress,
    source: Arc<dyn Source>,
    valid: Option<Arc<dyn Source>>,
}

impl Trainer {
    /// Starts a new run in a folder.
    ///
    /// # Errors
    /// Those of the data, the model and the folder.
    pub fn start(device: &Device, recipe: Recipe, folder: RunFolder) -> Result<Self> {
        let model = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
        let mut state = State::initial(device, &recipe.train.state(model.state()).0, recipe.seed)?;
        if let Some(path) = &recipe.encoder {
            super::transfer::encoder(path, &mut state)?;
        }
        let progress = Progress { model: model.name().into(), step: 0, best: None };
        let trainer = Self::new(device, recipe, model, state, folder, progress)?;
        trainer.folder.write_recipe(&trainer.recipe)?;
        Ok(trainer)
    }

    /// Goes on with a run from its newest checkpoint, on data that is known to be what it was started on: its own, or `moved`.
    ///
    /// # Errors
    /// Those of the folder, the data and the model; [`Error::Usage`] where the data differs.
    pub fn resume(device: &Device, path: &std::path::Path, moved: Option<&str>) -> Result<Self> {
        let mut trained = super::Trained::load(path, device, false)?;
        let source = check_unchanged(&trained.recipe, moved)?;
        let recorded = std::mem::replace(&mut trained.recipe.data.source, source);
        let mut trainer = Self::new(device, trained.recipe, trained.model, trained.state, trained.folder, trained.progress)?;
        let now = &trainer.recipe.data.source;
        if recorded != *now {
            let what = format!("data.source from {recorded} to {now}");
            trainer.recipe.history.push(Change { step: trainer.progress.step, what });
            trainer.folder.write_recipe(&trainer.recipe)?;
        }
        trainer.folder.rewind(trainer.progress.step)?;
        Ok(trainer)
    }

    fn new(device: &Device, recipe: Recipe, model: Box<dyn Model>, state: State, folder: RunFolder, progress: Progress) -> Result<Self> {
        let source = training_data(&recipe)?;
        if model.conditional() && source.classes() == 0 {
            return Err(Error::usage(format!("{} is conditional and {} has no labels; take labelled data", model.name(), source.name())));
        }
        // A source with a named split, or with nothing to hold out, is trained without validation.
        let wanted = recipe.train.valid_every > 0 && model.scores().is_some();
        let valid = if wanted { validation_data(&recipe, model.conditional())? } else { None };
        let valid = match (valid, recipe.train.valid_items) {
            (Some(valid), items) if items > 0 => Some(data::subset(valid, items)?),
            (valid, _) => valid,
        };
        Ok(Self { device: device.clone(), training: recipe.on(device)?, recipe, model, state, folder, progress, source, valid })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Changes how long the run is.
    pub fn set_steps(&mut self, steps: u64) -> Result<()> {
        self.recipe.train.steps = steps;
        self.folder.write_recipe(&self.recipe)
    }

    /// The model.
    pub fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }

    /// The weights.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.progress.step
    }

    /// Batches an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.source.len() / (self.recipe.train.batch * self.model.batches())).max(1) as u64
    }

    /// Which weights pictures and scores are made with.
    pub fn weights(&self) -> Weights {
        if self.recipe.train.ema > 0.0 { Weights::Average } else { Weights::Current }
    }

    /// Writes the checkpoint, unless the weights are lost.
    fn save(&self) -> Result<PathBuf> {
        let spec = self.state.spec();
        for id in spec.ids().into_iter().filter(|id| spec.spec(*id).trained) {
            if self.state.read(id, Arena::Value)?.iter().any(|v| !v.is_finite()) {
                return Err(self.lost(&format!("{} is no longer a number", spec.spec(id).name), self.progress.step));
            }
        }
        let path = self.folder.file("checkpoint.safetensors");
        checkpoint::save(&path, &self.state, &self.progress)?;
        Ok(path)
    }

    /// Trains to the recipe's last step, or until `stop` is set; either way the last step is saved.
    ///
    /// # Errors
    /// [`Error::Training`] where the loss is no longer a number; those of the data, the device and the folder.
    pub fn run(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
        let train = self.recipe.train.clone();
        let batch = train.batch * self.model.batches();
        let loss_scales = train.state(self.model.state()).1;
        let update = |group| Update { loss_scale: loss_scales[group], ..train.update(group) };
        let mut graph = self.model.train_graph(train.batch, &update)?;
        graph.keep_outputs(&self.model.metrics().iter().map(|m| m.0).collect::<Vec<_>>());
        let mut program = Program::new(&self.training, &graph, &self.state, Weights::Current)?;
        let kernels = program.variants();
        // On another device than the recipe's there is nothing to repeat.
        if self.recipe.device == self.device.name() && self.recipe.kernels != kernels {
            self.recipe.kernels = kernels;
            self.folder.write_recipe(&self.recipe)?;
        }
        let options = LoaderOptions {
            batch,
            seed: self.recipe.seed,
            start_step: self.progress.step,
            binarization: self.recipe.data.binarization,
            scale: self.model.scale(),
            prefetch: 4,
        };
        let mut loader = Loader::new(self.source.clone(), options)?;
        let mut pictures = pictures::Pictures::new(&self.device, self.weights());
        let classes = self.recipe.data.classes;
        let started = Instant::now();
        let first = self.progress.step;
        let mut outcome = Outcome { step: first, stopped: false, metrics: Vec::new(), items_per_second: 0.0 };
        let rate = |done: u64| done as f64 * batch as f64 / started.elapsed().as_secs_f64().max(1e-9);
        let mut watch = Watch::default();
        // Metrics that the device still computes: they are fetched when the next step is queued, so that it need not wait for the host.
        let mut sent: Option<Sent> = None;
        while self.progress.step < train.steps {
            if stop.load(Ordering::Relaxed) {
                outcome.stopped = true;
                break;
            }
            let data = match loader.next() {
                Ok(data) => data,
                Err(lost) => {
                    if let Some(earlier) = sent {
                        self.log(&program, earlier, &mut watch, observer)?;
                    }
                    return Err(lost);
                }
            };
            let at = self.progress.step + 1;
            program.write("x", &data.values)?;
            if classes > 0 {
                program.write("labels", &data::one_hot(&data.labels, classes, batch))?;
            }
            let step = self.step_at(at);
            program.run(&mut self.state, &step)?;
            if let Some(earlier) = sent.take() {
                outcome.metrics = self.log(&program, earlier, &mut watch, observer)?;
            }
            self.progress.step = at;
            observer.step(at);
            let last = at == train.steps;
            let every = |n: u64| n > 0 && at.is_multiple_of(n);
            let kept = every(train.save_every) || every(train.valid_every);
            if every(train.log_every) || kept || last || at == first + 1 {
                let now = Sent::begin(&mut program, &self.state, self.model.as_ref(), at, rate(at - first))?;
                // Whatever is to be kept or drawn is looked at first: what is no longer a number replaces nothing.
                if kept || last || every(train.sample_every) {
                    outcome.metrics = self.log(&program, now, &mut watch, observer)?;
                } else {
                    sent = Some(now);
                }
            }
            if train.valid_every > 0 && (every(train.valid_every) || last) {
                self.validate(observer)?;
            }
            if train.sample_every > 0 && (every(train.sample_every) || last) {
                pictures.draw(self.model.as_ref(), &mut self.state, &self.recipe, &self.folder, at)?;
                pictures::curves(self.model.as_ref(), &self.recipe, &self.folder)?;
            }
            if every(train.save_every) || last {
                self.save()?;
            }
        }
        if let Some(earlier) = sent {
            outcome.metrics = self.log(&program, earlier, &mut watch, observer)?;
        }
        if outcome.stopped {
            let path = self.save()?;
            observer.say(&format!("stopped at step {}, saved in {}", self.progress.step, path.display()));
        }
        outcome.step = self.progress.step;
        outcome.items_per_second = rate(self.progress.step - first);
        Ok(outcome)
    }

    /// The counters of a step: every one a function of its number, so that a resumed run repeats an unbroken one.
    fn step_at(&self, at: u64) -> Step {
        Step {
            seed: self.recipe.seed,
            step: at as u32,
            first_item: 0,
            learning_rate: self.recipe.train.rates(at),
            ema_decay: self.recipe.train.ema.min(((at as f32) + 1.0) / ((at as f32) + 10.0)),
            updates: self.model.updates_at(at),
        }
    }

    /// Fetches the metrics of a step, writes them down and tells of them.
    fn log(&self, program: &Program, sent: Sent, watch: &mut Watch, observer: &mut dyn Observer) -> Result<Vec<f32>> {
        let names = self.model.metrics();
        let (at, rate) = (sent.step, sent.rate);
        let values = sent.end(program)?;
        let mut line = json!({"step": at, "epoch": at / self.steps_per_epoch(), "items_per_s": rate});
        for ((name, _), value) in names.iter().zip(&values) {
            line[name] = json!(value);
        }
        if let Some(bad) = values.iter().position(|v| !v.is_finite()) {
            // A scaled gradient may overflow: that update was left out, and the scale is lower now.
            if !(names[bad].0.starts_with("grad_") && self.can_scale_down()?) {
                return Err(self.lost(&format!("{} is {}", names[bad].0, values[bad]), at));
            }
        }
        self.folder.log(&line)?;
        observer.metrics(at, &values, rate);
        if let Some(words) = watch.hear(self.model.as_ref(), &values) {
            observer.say(&format!("step {at}: {words}"));
        }
        Ok(values)
    }

    /// Whether losses are scaled, and all by more than the least factor.
    fn can_scale_down(&self) -> Result<bool> {
        let scales = self.recipe.train.state(self.model.state()).1;
        let mut factors = scales.into_iter().flatten().map(|id| self.state.read(id, Arena::Value)).peekable();
        Ok(factors.peek().is_some() && factors.collect::<Result<Vec<_>>>()?.iter().all(|factor| factor[0] > SCALES[0]))
    }

    /// Why training cannot go on after a step, with what is left of it.
    fn lost(&self, what: &str, step: u64) -> Error {
        let file = self.folder.file("checkpoint.safetensors");
        let good = match checkpoint::step_of(&file) {
            Some(saved) => format!("the last good checkpoint is {}, of step {saved}", file.display()),
            None => "nothing was saved yet".into(),
        };
        Error::Training(format!("{what} at step {step}; {good}; start another run with a lower learning_rate or clip_norm=1"))
    }

    fn validate(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let Some(valid) = self.valid.clone() else { return Ok(()) };
        let name = valid.name();
        let options = LikelihoodOptions {
            batch: self.recipe.train.batch.min(128),
            seed: self.recipe.seed,
            binarization: self.recipe.data.binarization,
            weights: self.weights(),
            per_pixel: false,
        };
        let weights = self.model.as_ref();
        let scores = eval::score(&self.device, weights, &mut self.state, valid, &options, |_| {})?;
        let figure = scores.figure(self.recipe.data.dims.iter().product());
        let best = figure.nats.is_finite() && self.progress.best.is_none_or(|b| figure.nats < b);
        self.folder.log(&json!({"step": self.progress.step, "valid": figure.nats, "valid_error": figure.error, "valid_data": name}))?;
        if best {
            self.progress.best = Some(figure.nats);
            checkpoint::save(&self.folder.file("best.safetensors"), &self.state, &self.progress)?;
        }
        observer.valid(self.progress.step, figure.nats, &name, best);
        Ok(())
    }
}
