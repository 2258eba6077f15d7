//! The training loop.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use web_time::Instant;

use serde_json::json;

use super::checkpoint::Snapshot;
use super::events::Events;
use super::metrics::{Sent, Watch};
use super::run::{BEST, CHECKPOINT};
use super::shared::Share;
use super::{Change, Observer, Outcome, Trainer, page, pictures};
use crate::cpu::Arena;
use crate::data::{self, Loader, LoaderOptions};
use crate::error::{Error, Result};
use crate::eval::{self, LikelihoodOptions};
use crate::graph::{Graph, SCALES, Step};
use crate::lanes::Lanes;
use crate::runtime::Program;
use crate::wait::breathe;

/// Steps of a diffusion model's bound while it is trained: few, since they are of many models that are compared with each other alone.
const VALIDATION_STEPS: usize = 10;

/// What a step said.
#[derive(Default)]
struct Said {
    /// The metrics of all passes but the last, where they are wanted.
    earlier: Vec<Vec<f32>>,
    /// Those of the last, where several lanes told them.
    last: Option<Vec<f32>>,
    /// Whether a rank was asked to stop.
    asked: bool,
}

/// What lanes go through in a step's passes.
struct Passes {
    /// In all but the last, where there are several.
    earlier: Option<Lanes>,
    /// In the last, which moves the weights.
    last: Lanes,
}

impl Trainer {
    /// Trains to the recipe's last step, until `stop` is set, or until the validation score has not fallen for long enough; the last step
    /// is saved. So it is where anything but the training itself fails, before that is returned.
    ///
    /// # Errors
    /// [`Error::Training`] where the loss is no longer a number; those of the data, the device and the folder.
    pub async fn run(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
        let first = self.progress.step;
        let ended = match self.begin(observer).await {
            Ok(passes) => self.train(passes, stop, observer).await,
            Err(failed) => Err(failed),
        };
        // Whatever it was that failed, what was trained is kept; unless it is the training that is lost.
        let unsaved = self.progress.step > first && self.saved != Some(self.progress.step);
        if let (true, Err(failed)) = (unsaved, &ended)
            && !matches!(failed, Error::Training(_))
        {
            match self.write(CHECKPOINT, false).await {
                Ok(path) => observer.say(&format!("step {} was saved in {}", self.progress.step, path.display())),
                Err(also) => log::warn!("step {} could not be saved: {also}", self.progress.step),
            }
        }
        ended
    }

    /// Makes the folder fit for steps after the one it goes on from, says what changed, and compiles.
    async fn begin(&mut self, observer: &mut dyn Observer) -> Result<Passes> {
        if self.saved.is_some() {
            self.folder.rewind(self.progress.step)?;
        }
        let passes = self.compile().await;
        let passes = self.ranks.agree(passes)?;
        let mut kernels = passes.last.first().variants();
        kernels.extend(passes.earlier.iter().flat_map(|earlier| earlier.first().variants()));
        self.ranks.same("the choice of kernels", &format!("{kernels:?}"))?;
        if self.recipe.kernels != kernels {
            let was = std::mem::replace(&mut self.recipe.kernels, kernels.clone());
            if self.progress.step > 0 {
                let table = |kernels: std::collections::BTreeMap<String, String>| {
                    toml::Table::from_iter(kernels.into_iter().map(|(problem, variant)| (problem, variant.into())))
                };
                let (was, now) = (table(was).into(), table(kernels).into());
                self.notes.push("other kernel variants from here on than before; both stand in the recipe's history".into());
                self.recipe.history.push(Change { step: self.progress.step, key: "kernels".into(), was, now });
            }
        }
        self.folder.write_recipe(&self.recipe)?;
        if self.ranks.is_first() {
            self.events = Events::open(&self.folder, &self.recipe, self.progress.step)?;
        }
        self.notes.drain(..).for_each(|note| observer.say(&note));
        Ok(passes)
    }

    async fn compile(&self) -> Result<Passes> {
        let earlier = if self.recipe.train.accumulate > 1 { Some(self.lanes(false).await?) } else { None };
        Ok(Passes { earlier, last: self.lanes(true).await? })
    }

    /// A step's last pass, or those before it.
    async fn lanes(&self, last: bool) -> Result<Lanes> {
        Lanes::new(&self.training, &self.pass_graph(last)?, &self.state, self.recipe.train.lanes, &self.ranks).await
    }

    /// The graph of a lane in a step's last pass, or in those before it.
    pub(super) fn pass_graph(&self, last: bool) -> Result<Graph> {
        let (train, extras) = (&self.recipe.train, self.recipe.train.state(self.model.state()).1);
        let mut graph = self.model.train_graph(train.lane(), &|group| train.pass(group, &extras, last))?;
        graph.keep_outputs(&self.model.metrics().iter().map(|m| m.0).collect::<Vec<_>>());
        Ok(graph)
    }

    async fn train(&mut self, mut passes: Passes, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
        let train = self.recipe.train.clone();
        let items = train.batch * self.model.batches() * train.accumulate;
        let share = self.share();
        let options = LoaderOptions {
            batch: items,
            seed: self.recipe.seed,
            start_step: self.progress.step,
            binarization: self.recipe.data.binarization,
            scale: self.model.scale(),
            augment: self.recipe.data.augment,
            prefetch: 4,
        };
        let mut loader = Loader::of_places(self.source.clone(), options, share.places())?;
        let mut pictures = pictures::Pictures::new(&self.device, self.weights());
        let started = Instant::now();
        let first = self.progress.step;
        let mut outcome = Outcome { step: first, stopped: false, exhausted: false, metrics: Vec::new(), items_per_second: 0.0 };
        let rate = |done: u64| done as f64 * items as f64 / started.elapsed().as_secs_f64().max(1e-9);
        let mut watch = Watch::default();
        // Metrics that the device still computes: they are fetched when the next step is queued, so that it need not wait for the host.
        let mut sent: Option<Sent> = None;
        let mut asked = false;
        while self.progress.step < train.steps && !self.is_exhausted() {
            // Ranks stop at the same step: behind the one in which any of them was asked to.
            if asked || self.ranks.count() == 1 && stop.load(Ordering::Relaxed) {
                outcome.stopped = true;
                break;
            }
            let data = match loader.next() {
                Ok(data) => data,
                Err(lost) => {
                    if let Some(earlier) = sent {
                        self.log(&passes.last, earlier, &mut watch, observer).await?;
                    }
                    return Err(lost);
                }
            };
            let at = self.progress.step + 1;
            if at == 1 && !self.recipe.begins_elsewhere() {
                self.set_out(&data).await?;
            }
            let last = at == train.steps;
            let every = |n: u64| n > 0 && at.is_multiple_of(n);
            let kept = every(train.save_every) || every(train.valid_every);
            let logged = every(train.log_every) || kept || last || at == first + 1;
            let told = self.passes(&mut passes, (&data, &share), logged, stop.load(Ordering::Relaxed)).await?;
            asked = told.asked;
            self.progress.step = at;
            if let Some(earlier) = sent.take() {
                outcome.metrics = self.log(&passes.last, earlier, &mut watch, observer).await?;
            }
            observer.step(at);
            breathe().await;
            if logged {
                let mut now = Sent::begin(&mut passes.last, &self.state, self.model.as_ref(), at, told.last)?;
                (now.rate, now.passes) = (rate(at - first), told.earlier);
                // Whatever is to be kept or drawn is looked at first: what is no longer a number replaces nothing.
                if kept || last || every(train.sample_every) {
                    outcome.metrics = self.log(&passes.last, now, &mut watch, observer).await?;
                } else {
                    sent = Some(now);
                }
            }
            if train.valid_every > 0 && (every(train.valid_every) || last) {
                self.validate(observer).await?;
            }
            // Saved before anything is drawn: a picture that cannot be written loses nothing.
            let ends = last || self.is_exhausted();
            if every(train.save_every) || ends {
                self.save().await?;
            }
            if self.ranks.is_first() && train.sample_every > 0 && (every(train.sample_every) || ends) {
                let drawn = pictures.draw(self.model.as_ref(), &mut self.state, (&self.recipe, &self.folder), at, stop).await?;
                if let Some(items) = drawn {
                    observer.drawn(at, &items);
                }
                pictures::curves(self.model.as_ref(), &self.recipe, &self.folder)?;
                if let Some(events) = &mut self.events {
                    events.samples(at, &self.folder)?;
                }
            }
            if let (true, Some(events)) = (every(train.histogram_every), &mut self.events) {
                events.weights(at, &self.state).await?;
            }
            if ends || every(if train.sample_every > 0 { train.sample_every } else { train.save_every }) {
                self.page()?;
            }
        }
        if self.saved != Some(self.progress.step) {
            let path = self.save().await?;
            if outcome.stopped && self.folder.on_disk().is_some() {
                observer.say(&format!("stopped at step {}, saved in {}", self.progress.step, path.display()));
            }
        }
        if let Some(earlier) = sent {
            outcome.metrics = self.log(&passes.last, earlier, &mut watch, observer).await?;
        }
        if outcome.stopped {
            self.page()?;
        }
        outcome.exhausted = self.is_exhausted() && self.progress.step < train.steps;
        if outcome.exhausted {
            let (waited, step) = (self.progress.waited, self.progress.step);
            observer.say(&format!("ended at step {step}: {waited} scores of the validation split brought no better one"));
        }
        outcome.step = self.progress.step;
        outcome.items_per_second = rate(self.progress.step - first);
        Ok(outcome)
    }

    /// Writes the run's page.
    fn page(&self) -> Result<()> {
        page::write(self.model.as_ref(), &self.recipe, &self.folder, self.progress.step)
    }

    /// One step, pass by pass, on a batch that holds the items of all; `stop` is what this rank was asked.
    async fn passes(&mut self, passes: &mut Passes, (data, share): (&data::Batch, &Share), logged: bool, stop: bool) -> Result<Said> {
        let count = self.recipe.train.accumulate;
        let at = self.progress.step + 1;
        let metrics = self.model.metrics();
        let wanted: Vec<&str> = if logged { metrics.iter().map(|m| m.0).collect() } else { Vec::new() };
        let mut said = Said::default();
        for pass in 0..count {
            let first = pass * self.recipe.train.batch;
            let step = self.step_at(at, first);
            let fill = |program: &mut Program, lane: usize| {
                let (values, labels) = share.of(data, pass, lane);
                program.write("x", values)?;
                if share.classes > 0 {
                    program.write("labels", &data::one_hot(labels, share.classes, share.count()))?;
                }
                Ok(Step { first_item: (first + lane * share.items) as u32, ..step })
            };
            let last = pass + 1 == count;
            let lanes = match &mut passes.earlier {
                Some(earlier) if !last => earlier,
                _ => &mut passes.last,
            };
            let told = lanes.run(&mut self.state, fill, &wanted, stop).await?;
            if last {
                (said.last, said.asked) = (told.values, told.flag);
            } else if logged {
                let sent = Sent::begin(lanes, &self.state, self.model.as_ref(), at, told.values)?;
                said.earlier.push(sent.end(lanes).await?);
            }
        }
        Ok(said)
    }

    /// Writes the checkpoint.
    async fn save(&mut self) -> Result<PathBuf> {
        let path = self.write(CHECKPOINT, true).await?;
        self.saved = Some(self.progress.step);
        Ok(path)
    }

    /// Writes the state to a file of the folder, unless something in it is no longer a number, or, where ranks are `together` at this, it is
    /// not that of all ranks. The first alone writes.
    async fn write(&self, name: &str, together: bool) -> Result<PathBuf> {
        let snapshot = Snapshot::take(&self.state).await?;
        if together {
            self.check_drift(&snapshot)?;
        }
        if let Some(tensor) = snapshot.broken() {
            if together {
                self.ranks.all_know();
            }
            return Err(self.lost(&format!("{tensor} is no longer a number"), self.progress.step));
        }
        let path = self.folder.file(name);
        if !self.ranks.is_first() {
            return Ok(path);
        }
        self.folder.replace(name, &snapshot.encode(&path, &self.progress, &self.recipe)?.parts())?;
        Ok(path)
    }

    /// The counters of a step: every one a function of its number, so that a resumed run repeats an unbroken one. Passes of a
    /// step differ in the number of their first item, so that they draw what one large batch would.
    pub(super) fn step_at(&self, at: u64, first_item: usize) -> Step {
        Step {
            seed: self.recipe.seed,
            step: at as u32,
            first_item: first_item as u32,
            learning_rate: self.recipe.train.rates(at),
            ema_decay: self.recipe.train.ema_decay(at),
            updates: self.model.updates_at(at),
        }
    }

    /// Fetches the metrics of a step, writes them down and tells of them.
    async fn log(&mut self, lanes: &Lanes, sent: Sent, watch: &mut Watch, observer: &mut dyn Observer) -> Result<Vec<f32>> {
        let names = self.model.metrics();
        let (at, rate) = (sent.step, sent.rate);
        let values = sent.end(lanes).await?;
        let mut line = json!({"step": at, "epoch": at / self.steps_per_epoch(), "items_per_s": rate});
        for ((name, _), value) in names.iter().zip(&values) {
            line[name] = json!(value);
        }
        if let Some(bad) = values.iter().position(|v| !v.is_finite()) {
            // A scaled gradient may overflow: that update was left out, and the scale is lower now.
            if !(names[bad].0.starts_with("grad_") && self.can_scale_down().await?) {
                self.ranks.all_know();
                return Err(self.lost(&format!("{} is {}", names[bad].0, values[bad]), at));
            }
        }
        self.folder.log(&line)?;
        if let Some(events) = &mut self.events {
            events.metrics(at, &names, &values, self.recipe.train.rates(at), rate)?;
        }
        observer.metrics(at, &values, rate);
        if let Some(words) = watch.hear(self.model.as_ref(), &values) {
            observer.say(&format!("step {at}: {words}"));
        }
        Ok(values)
    }

    /// Whether losses are scaled, and all by more than the least factor.
    async fn can_scale_down(&self) -> Result<bool> {
        let mut scaled = false;
        for id in self.recipe.train.state(self.model.state()).1.into_iter().filter_map(|extra| extra.loss_scale) {
            if self.state.read(id, Arena::Value).await?[0] <= SCALES[0] {
                return Ok(false);
            }
            scaled = true;
        }
        Ok(scaled)
    }

    /// Why training cannot go on after a step, with what is left of it.
    fn lost(&self, what: &str, step: u64) -> Error {
        let file = self.folder.file(CHECKPOINT);
        let good = match self.folder.saved_step() {
            Some(saved) => format!("the last good checkpoint is {}, of step {saved}", file.display()),
            None => "nothing was saved yet".into(),
        };
        Error::Training(format!("{what} at step {step}; {good}; start another run with a lower learning_rate or clip_norm=1"))
    }

    async fn validate(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let Some(valid) = self.valid.clone() else { return Ok(()) };
        let name = valid.name();
        let options = LikelihoodOptions {
            batch: self.recipe.train.batch.min(128),
            seed: self.recipe.seed,
            binarization: self.recipe.data.binarization,
            weights: self.weights(),
            per_pixel: false,
            steps: self.model.denoises().map(|network| match network.process().steps() {
                0 => VALIDATION_STEPS,
                most => VALIDATION_STEPS.min(most),
            }),
            ranks: self.ranks.clone(),
        };
        let weights = self.model.as_ref();
        let scores = eval::score(&self.device, weights, &mut self.state, valid, &options, |_| {}).await?;
        let figure = scores.figure(self.recipe.data.dims.iter().product());
        let best = figure.nats.is_finite() && self.progress.best.is_none_or(|b| figure.nats < b);
        self.folder.log(&json!({"step": self.progress.step, "valid": figure.nats, "valid_error": figure.error, "valid_data": name}))?;
        if let Some(events) = &mut self.events {
            events.valid(self.progress.step, figure.nats)?;
        }
        self.progress.waited += 1;
        if best {
            (self.progress.best, self.progress.waited) = (Some(figure.nats), 0);
            self.write(BEST, true).await?;
        }
        observer.valid(self.progress.step, figure.nats, &name, best);
        Ok(())
    }
}
