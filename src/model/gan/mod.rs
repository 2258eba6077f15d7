//! Generative adversarial networks: a generator G that makes items from noise z, and a discriminator D that tells them from data.
//!
//! One model in four families (`gan`, `dcgan`, `wgan`, `wgan-gp`), which differ in their defaults; see [`Config`].

mod config;
mod conv;
mod loss;
mod mlp;
mod penalty;
mod step;
mod watch;

pub use config::{Config, Family, Form, Norm};
pub use loss::Loss;
pub use penalty::{between, gradient_penalty, r1};

use super::{DataSpec, Decodes, Defaults, Features, Model, Optimiser, Represents};
use crate::data::{Kind, Scale};
use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec, Update};
use conv::{ConvDiscriminator, ConvGenerator, Met, Pyramid};
use mlp::{MlpDiscriminator, MlpGenerator};

/// The optimiser group of G's tensors, `generator.…` in checkpoints.
pub const GENERATOR: usize = 0;
/// The optimiser group of D's tensors, `discriminator.…` in checkpoints.
pub const DISCRIMINATOR: usize = 1;
/// D's and G's running statistics: beside their optimisers, which may clamp or decay all that they own.
const STATISTICS: [usize; 2] = [3, 2];

enum Generator {
    Mlp(MlpGenerator),
    Conv(ConvGenerator),
}

enum Discriminator {
    Mlp(MlpDiscriminator),
    Conv(ConvDiscriminator),
}

/// How a network is walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Statistics of the batch, dropout.
    Train,
    /// Running statistics, nothing dropped.
    Infer,
}

/// A generator, a discriminator and what they play for.
pub struct Gan {
    family: Family,
    config: Config,
    spec: StateSpec,
    dims: [usize; 3],
    classes: usize,
    kind: Kind,
    generator: Generator,
    discriminator: Discriminator,
}

impl Gan {
    /// A model for items of `data.dims`.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for an unknown key, a combination that makes no sense, or images the architecture cannot make.
    pub fn new(family: Family, hyper: &toml::Table, data: &DataSpec) -> Result<Self> {
        let config = Config::read(family, hyper, data)?;
        let [h, w, c] = data.dims;
        let classes = if config.conditional { data.classes } else { 0 };
        let inputs = config.latent + classes;
        let mut spec = StateSpec::default();
        for name in ["generator", "discriminator", "discriminator", "generator"] {
            spec.group(name);
        }
        let bounded = data.kind != Kind::Points;
        let (generator, discriminator) = match config.form {
            Form::Mlp => {
                let sizes = [inputs, config.hidden, config.layers];
                let g = MlpGenerator::new(&mut spec, GENERATOR, sizes, data.dims, bounded, data.mean.as_deref());
                let sizes = [config.judge, config.pieces, config.layers];
                let dropout = [config.input_dropout, config.dropout];
                let d = MlpDiscriminator::new(&mut spec, DISCRIMINATOR, data.dims, classes, sizes, dropout);
                (Generator::Mlp(g), Discriminator::Mlp(d))
            }
            Form::Conv => {
                let pyramid = Pyramid::of(family.name(), [h, w])?;
                let [of_g, groups] = [GENERATOR, DISCRIMINATOR].map(|group| [group, STATISTICS[group]]);
                let g = ConvGenerator::new(&mut spec, of_g, pyramid, c, config.filters, inputs)?;
                let d = ConvDiscriminator::new(&mut spec, groups, pyramid, c, config.filters, config.discriminator_norm, classes)?;
                (Generator::Conv(g), Discriminator::Conv(d))
            }
        };
        Ok(Self { family, config, spec, dims: data.dims, classes, kind: data.kind, generator, discriminator })
    }

    /// Its hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Items `[N, H, W, C]` in the model's scale from z `[N, latent]` and, of a conditional model, one-hot labels.
    pub fn generate(&self, g: &mut Graph, z: NodeId, labels: Option<NodeId>, mode: Mode) -> Result<NodeId> {
        let mut met = met(mode);
        let x = self.generate_met(g, z, labels, &mut met)?;
        Ok(x)
    }

    fn generate_met(&self, g: &mut Graph, z: NodeId, labels: Option<NodeId>, met: &mut Met) -> Result<NodeId> {
        let z = match labels {
            Some(labels) => g.concat(z, labels, 1)?,
            None => z,
        };
        match &self.generator {
            Generator::Mlp(net) => net.apply(g, &self.spec, z),
            Generator::Conv(net) => net.apply(g, &self.spec, z, met),
        }
    }

    /// D's features `[N, F]` and logits `[N]` of items `[N, H, W, C]` in the model's scale.
    pub fn judge(&self, g: &mut Graph, x: NodeId, labels: Option<NodeId>, mode: Mode) -> Result<[NodeId; 2]> {
        self.judge_met(g, x, labels, mode == Mode::Train, &mut met(mode))
    }

    fn judge_met(&self, g: &mut Graph, x: NodeId, labels: Option<NodeId>, training: bool, met: &mut Met) -> Result<[NodeId; 2]> {
        match &self.discriminator {
            Discriminator::Mlp(net) => net.apply(g, &self.spec, x, labels, training),
            Discriminator::Conv(net) => net.apply(g, &self.spec, x, labels, met),
        }
    }

    fn labels(&self, g: &mut Graph, count: usize) -> Option<NodeId> {
        (self.classes > 0).then(|| g.input("labels", [count, self.classes]))
    }
}

fn met(mode: Mode) -> Met {
    (mode == Mode::Train).then(Vec::new)
}

impl Model for Gan {
    fn name(&self) -> &'static str {
        self.family.name()
    }

    fn state(&self) -> &StateSpec {
        &self.spec
    }

    fn defaults(&self) -> Defaults {
        let adam = Defaults {
            batch: 64,
            steps: 20_000,
            learning_rate: vec![2e-4; 2],
            rate_decay: 1.0,
            warmup: 0,
            clip_norm: 0.0,
            ema: 0.0,
            optimiser: Optimiser::Adam,
            betas: [0.5, 0.999],
        };
        let points = self.kind == Kind::Points;
        match self.family {
            Family::Gan | Family::Dcgan if points => Defaults { batch: 256, steps: 10_000, learning_rate: vec![1e-3; 2], ..adam },
            // The paper's plain gradient descent took 50,000 epochs' worth of tuning; Adam gets there without.
            Family::Gan => Defaults { batch: 100, ..adam },
            Family::Dcgan => adam,
            Family::Wgan => Defaults { learning_rate: vec![5e-5; 2], optimiser: Optimiser::Rmsprop, betas: [0.0, 0.99], ..adam },
            // The rate falls to a thirtieth: the modes of a mixture are as narrow as the last steps are short.
            Family::WganGp if points => Defaults {
                batch: 256,
                steps: 5_000,
                learning_rate: vec![2e-3; 2],
                rate_decay: 0.9993,
                ema: 0.99,
                betas: [0.5, 0.9],
                ..adam
            },
            Family::WganGp => Defaults { learning_rate: vec![1e-4; 2], betas: [0.5, 0.9], ..adam },
        }
    }

    fn scale(&self) -> Scale {
        match (self.kind, self.config.form) {
            (Kind::Points, _) => Scale::Raw,
            (_, Form::Mlp) => Scale::Unit,
            (_, Form::Conv) => Scale::Symmetric,
        }
    }

    fn conditional(&self) -> bool {
        self.classes > 0
    }

    fn batches(&self) -> usize {
        self.config.k
    }

    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        self.iteration(batch, update)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        let unit = self.config.loss.unit();
        vec![("loss", unit), ("loss_g", unit), ("d_real", ""), ("d_fake", ""), ("grad_d", ""), ("grad_g", ""), ("spread", "")]
    }

    fn updates_at(&self, step: u64) -> [u32; 4] {
        let step = step as u32;
        [step, step * self.config.k as u32, step, step]
    }

    fn warning(&self, heard: usize, recent: &[f32]) -> Option<String> {
        watch::warning(&self.config, heard, recent)
    }

    fn decodes(&self) -> Option<&dyn Decodes> {
        Some(self)
    }

    /// The first layer of a conditional fully connected D reads the class, so there are no features of images alone.
    fn features(&self) -> Option<&dyn Features> {
        if self.classes > 0 && self.config.form == Form::Mlp { None } else { Some(self) }
    }

    fn represents(&self) -> Option<&dyn Represents> {
        (self.kind != Kind::Points && self.features().is_some()).then_some(self)
    }
}

impl Represents for Gan {
    fn whence(&self) -> &'static str {
        "the discriminator's last hidden layer"
    }

    fn represent(&self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        let x = match self.scale() {
            Scale::Symmetric => g.map(&[x], |b, v| {
                let twice = b.scale(v[0], 2.0);
                b.offset(twice, -1.0)
            })?,
            _ => x,
        };
        let [features, _] = self.judge(g, x, None, Mode::Infer)?;
        let [n, width] = [g.shape(features).dims()[0], g.shape(features).channels()];
        g.reshape(features, [n, 1, 1, width])
    }
}

impl Decodes for Gan {
    fn latent(&self) -> usize {
        self.config.latent
    }

    fn has_prior(&self) -> bool {
        true
    }

    fn decode_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let z = g.input("z", [batch, self.config.latent]);
        let labels = self.labels(&mut g, batch);
        let x = self.generate(&mut g, z, labels, Mode::Infer)?;
        let x = match self.scale() {
            Scale::Symmetric => g.map(&[x], |b, v| {
                let half = b.scale(v[0], 0.5);
                b.offset(half, 0.5)
            })?,
            _ => x,
        };
        g.output("x", x);
        Ok(g)
    }
}

impl Features for Gan {
    /// What D makes of data: `features` alone, for it knows no classes. A conditional D's features do not depend on the class.
    fn features_graph(&self, batch: usize) -> Result<Graph> {
        let [h, w, c] = self.dims;
        let mut g = Graph::new();
        let x = g.input("x", [batch, h, w, c]);
        let [features, _] = self.judge(&mut g, x, None, Mode::Infer)?;
        g.output("features", features);
        Ok(g)
    }
}
