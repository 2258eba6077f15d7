//! Diffusion models: noise is added to items level by level, and a network learns to take it away (Sohl-Dickstein et al., 2015; Ho, Jain and
//! Abbeel, 2020, "Denoising diffusion probabilistic models").
//!
//! How noise grows and what the network is asked for is a [`Process`]; the network is a U-Net for images and fully connected for points.

mod block;
mod bound;
mod config;
mod features;
mod importance;
mod mlp;
mod times;
mod unet;
mod variance;

pub use bound::{bound_graph, bound_passes};
pub use config::Config;
pub use unet::{UNet, UNetPreset, UNetSize};

use importance::Importance;
use mlp::Mlp;
use times::{Levels, Table};
use variance::Learnt;

use super::dropout::Dropout;
use super::noise::{Process, Schedule, Variance};
use super::{DataSpec, Defaults, Denoised, Denoises, Model, Optimiser, Represents, Scores, Shown, Told};
use crate::data::{Kind, Scale};
use crate::error::{Error, Result};
use crate::graph::{Binary, Distribution, Graph, NodeId, StateSpec, Update};

/// What tells noised items from time and labels what was asked for.
enum Network {
    Images(Box<UNet>),
    Points(Box<Mlp>),
}

/// The model.
pub struct Diffusion {
    spec: StateSpec,
    dims: [usize; 3],
    kind: Kind,
    levels: usize,
    /// Classes that it tells apart; 0 where it is not conditional.
    classes: usize,
    label_dropout: f64,
    shown: Option<Shown>,
    dropout: Dropout,
    process: Process,
    variance: Variance,
    network: Network,
    table: Option<Table>,
    learnt: Option<Learnt>,
    importance: Option<Importance>,
    preset: Option<UNetPreset>,
}

impl Diffusion {
    /// A model for items of `data.dims`.
    ///
    /// # Errors
    /// [`Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let (schedule, target, steps, variance) = config.process()?;
        if config.conditional && data.classes == 0 {
            let words = "conditional=true needs labels, and these data have none; take labelled data or leave it out";
            return Err(Error::usage(format!("diffusion: {words}")));
        }
        if config.importance && schedule == Schedule::Edm {
            let words = "importance chooses among evenly drawn times, and noise=edm draws its own; leave one of them out";
            return Err(Error::usage(format!("diffusion: {words}")));
        }
        let process = Process::new(schedule, target, steps);
        let classes = if config.conditional { data.classes } else { 0 };
        let [h, w, c] = data.dims;
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let learns = variance == Variance::Learnt;
        let mut shown = None;
        let (network, dropout) = if data.kind == Kind::Points {
            let (size, dropout) = config.mlp()?;
            let outputs = data.len() * if learns { 2 } else { 1 };
            (Network::Points(Box::new(Mlp::new(size, &mut spec, group, [data.len(), outputs], classes))), dropout)
        } else {
            let (size, dropout) = config.unet(h)?;
            let outputs = c * if learns { 2 } else { 1 };
            shown = Shown::of("diffusion", config.task, config.factor, data.dims)?;
            let beside = shown.map_or(0, |shown| shown.dims(data.dims)[2]);
            (Network::Images(Box::new(UNet::new(&size, &mut spec, group, [h, w, c + beside], classes, outputs)?)), dropout)
        };
        let levels = if data.is_binary() { 2 } else { 256 };
        let more = if learns { variance::columns(&process) } else { Vec::new() };
        let table = (process.steps() > 0).then(|| Table::new(&mut spec, group, &process, &more));
        let importance = config.importance.then(|| Importance::new(&mut spec, group));
        Ok(Self {
            spec,
            dims: data.dims,
            kind: data.kind,
            levels,
            classes,
            label_dropout: config.label_dropout.unwrap_or(0.1),
            shown,
            dropout,
            learnt: learns.then(|| Learnt { points: data.kind == Kind::Points, levels }),
            process,
            variance,
            network,
            table,
            importance,
            preset: config.preset,
        })
    }

    /// What the network says of what it reads: what it was asked for, and as many numbers again where it learns variances.
    fn ask(&self, g: &mut Graph, mut x: NodeId, time: NodeId, Told { labels, shown }: Told) -> Result<(NodeId, Option<NodeId>)> {
        let [h, w, c] = self.dims;
        let n = g.shape(x).dims()[0];
        if let (Some(kind), Some(shown)) = (self.shown, shown) {
            let beside = kind.spread(g, shown)?;
            x = g.concat(x, beside, 3)?;
        }
        let outputs = c * if self.learnt.is_some() { 2 } else { 1 };
        let time = g.reshape(time, [n])?;
        let said = match &self.network {
            Network::Images(net) => net.apply(g, &self.spec, x, time, labels)?,
            Network::Points(net) => net.apply(g, &self.spec, x, time, labels)?,
        };
        let said = g.reshape(said, [n, h, w, outputs])?;
        if self.learnt.is_none() {
            return Ok((said, None));
        }
        Ok((g.slice(said, 3, 0, c)?, Some(g.slice(said, 3, c, c)?)))
    }

    /// Labels of a batch, of which some are withheld.
    fn labels(&self, g: &mut Graph, n: usize) -> Result<Option<NodeId>> {
        if self.classes == 0 {
            return Ok(None);
        }
        let labels = g.input("labels", [n, self.classes]);
        let stream = g.stream();
        let draw = g.random(Distribution::Uniform, stream, [n, 1])?;
        let rate = self.label_dropout;
        let withheld = g.map(&[draw], |b, v| {
            let rate = b.constant(rate);
            b.binary(Binary::Greater, rate, v[0])
        })?;
        let told = g.map(&[labels, withheld], |b, v| {
            let zero = b.constant(0.0);
            b.select(v[1], zero, v[0])
        })?;
        Ok(Some(g.concat(told, withheld, 1)?))
    }
}

impl Model for Diffusion {
    fn name(&self) -> &'static str {
        "diffusion"
    }

    fn state(&self) -> &StateSpec {
        &self.spec
    }

    fn defaults(&self) -> Defaults {
        let adam = Defaults {
            batch: 32,
            steps: 20_000,
            learning_rate: vec![1e-3],
            rate_decay: 1.0,
            warmup: 200,
            clip_norm: 1.0,
            ema: 0.999,
            optimiser: Optimiser::Adam,
            betas: [0.9, 0.99],
        };
        match self.preset {
            _ if self.kind == Kind::Points => Defaults { batch: 256, steps: 5_000, ..adam },
            Some(UNetPreset::Ddpm | UNetPreset::Iddpm) => {
                let learning_rate = vec![if self.preset == Some(UNetPreset::Ddpm) { 2e-4 } else { 1e-4 }];
                Defaults { batch: 128, steps: 800_000, learning_rate, warmup: 5_000, ema: 0.9999, betas: [0.9, 0.999], ..adam }
            }
            Some(UNetPreset::CifarSmall) => Defaults { batch: 64, steps: 100_000, learning_rate: vec![4e-4], ema: 0.9995, ..adam },
            _ => adam,
        }
    }

    fn scale(&self) -> Scale {
        if self.kind == Kind::Points { Scale::Raw } else { Scale::Symmetric }
    }

    fn conditional(&self) -> bool {
        self.classes > 0
    }

    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        let mut g = Graph::new();
        g.let_drop(self.dropout.into());
        let [h, w, c] = self.dims;
        let x = g.input("x", [batch, h, w, c]);
        let labels = self.labels(&mut g, batch)?;
        let levels = Levels::draw(&mut g, &self.spec, batch, &self.process, self.table.as_ref(), self.importance.as_ref())?;
        let stream = g.stream();
        // The noise is drawn again wherever it is read.
        let noised = g.map_to(&[x, levels.alpha, levels.sigma], [batch, h, w, c], |b, v| {
            let noise = b.random(Distribution::Normal, stream);
            let (item, noise) = (b.mul(v[1], v[0]), b.mul(v[2], noise));
            b.add(item, noise)
        })?;
        let read = match levels.input {
            Some(factor) => g.mul(noised, factor)?,
            None => noised,
        };
        let shown = self.shown.map(|shown| shown.of_images(&mut g, x)).transpose()?;
        let (said, spread) = self.ask(&mut g, read, levels.time, Told { labels, shown })?;
        let share = 1.0 / (h * w * c) as f64;
        let squares = g.map_to(&[said, x, levels.asked[0], levels.asked[1]], [batch, h, w, c], |b, v| {
            let noise = b.random(Distribution::Normal, stream);
            let (item, noise) = (b.mul(v[2], v[1]), b.mul(v[3], noise));
            let asked = b.add(item, noise);
            let away = b.sub(v[0], asked);
            let square = b.mul(away, away);
            b.scale(square, share)
        })?;
        let mut losses = g.sum_items(squares)?;
        let mse = mean(&mut g, losses)?;
        if let (Some(learnt), Some(spread), Some(table), Some(step)) = (&self.learnt, spread, &self.table, levels.step) {
            let bits = learnt.bits(&mut g, &self.spec, table, step, [x, noised, said, spread])?;
            let rate = variance::WEIGHT * self.process.steps() as f64;
            losses = g.map(&[losses, bits], |b, v| {
                let bits = b.scale(v[1], rate);
                b.add(v[0], bits)
            })?;
            let bits = mean(&mut g, bits)?;
            g.output("vlb", bits);
        }
        let loss = match &levels.weighed {
            Some(weighed) => {
                let weight = g.reshape(weighed.weight, [batch])?;
                let weighed = g.mul(losses, weight)?;
                mean(&mut g, weighed)?
            }
            None => mean(&mut g, losses)?,
        };
        g.output("loss", loss);
        g.output("mse", mse);
        let update = update(0);
        let gradients = g.group_gradients(loss, &self.spec, &update)?;
        if let (Some(importance), Some(weighed)) = (&self.importance, &levels.weighed) {
            importance.remember(&mut g, &self.spec, weighed, losses)?;
        }
        g.update(&self.spec, update, &gradients)?;
        Ok(g)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        let own = [("loss", "a value"), ("mse", "a value")];
        own.into_iter().chain(self.learnt.as_ref().map(|_| ("vlb", "bits/dim of one term"))).collect()
    }

    fn denoises(&self) -> Option<&dyn Denoises> {
        Some(self)
    }

    fn scores(&self) -> Option<&dyn Scores> {
        Some(self)
    }

    /// One that is shown something of each image has no features of images alone.
    fn represents(&self) -> Option<&dyn Represents> {
        (self.kind != Kind::Points && self.shown.is_none()).then_some(self)
    }
}

impl Denoises for Diffusion {
    fn process(&self) -> &Process {
        &self.process
    }

    fn variance(&self) -> Variance {
        self.variance
    }

    fn dims(&self) -> [usize; 3] {
        self.dims
    }

    fn value_levels(&self) -> Option<usize> {
        (self.kind != Kind::Points).then_some(self.levels)
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn shown(&self) -> Option<Shown> {
        self.shown
    }

    fn denoise(&self, g: &mut Graph, x: NodeId, head: NodeId, told: Told) -> Result<Denoised> {
        let n = g.shape(x).dims()[0];
        let mut column = |k: usize| {
            let column = g.slice(head, 1, k, 1)?;
            g.reshape(column, [n, 1, 1, 1])
        };
        let [input, time, skip, out] = [column(0)?, column(1)?, column(2)?, column(3)?];
        let read = if self.process.schedule() == Schedule::Edm { g.mul(x, input)? } else { x };
        let (said, spread) = self.ask(g, read, time, told)?;
        let x0 = g.map(&[x, said, skip, out], |b, v| {
            let (kept, said) = (b.mul(v[0], v[2]), b.mul(v[1], v[3]));
            b.add(kept, said)
        })?;
        let share = spread.map(|spread| variance::share(g, spread)).transpose()?;
        Ok(Denoised { x0, share })
    }
}

/// The mean of `[N]`.
fn mean(g: &mut Graph, items: NodeId) -> Result<NodeId> {
    let share = g.scale(items, 1.0 / g.shape(items).len() as f64)?;
    g.sum_all(share)
}
