//! A small convolutional classifier: the supervised model that autoencoder features are judged by, and the one whose features judge samples.

mod body;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use body::Learnt;

use body::Body;

use super::noise::TIMES;
use super::size::{DEEPEST, WIDEST};
use super::trunk::{Activation, Form, Sizes, Trunk};
use super::{DataSpec, Defaults, Features, Judges, Model, Optimiser};
use crate::data::{Kind, Scale};
use crate::error::{Error, Result};
use crate::graph::{Binary, Distribution, Graph, NodeId, StateSpec, Unary, Update};
use crate::keys;
use crate::nn::{Linear, Start, TimeWaves};
use crate::op::Reduction;

/// Hyper-parameters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What reads the image.
    pub form: Form,
    /// Units of each hidden layer (mlp).
    #[schemars(range(min = 1, max = WIDEST))]
    pub hidden: usize,
    /// Hidden layers before the features (mlp).
    #[schemars(range(max = DEEPEST))]
    pub layers: usize,
    /// Channels of the first convolution, doubled at each halving (conv).
    #[schemars(range(min = 1, max = WIDEST))]
    pub filters: usize,
    /// Halvings of the image (conv); 0 halves while the sides are even and longer than 8.
    pub stages: usize,
    /// Units of the last hidden layer, the features.
    #[schemars(range(min = 1, max = WIDEST))]
    pub features: usize,
    /// The nonlinearity.
    pub activation: Activation,
    /// Whether the layers before the features keep their first values, those of a trained encoder.
    pub frozen: bool,
    /// Whether it learns to tell labels of noised images too, at any ratio of signal to noise, of which it is told: for the guidance of diffusion.
    pub noised: bool,
    /// Whether it learns to tell labels by the first rows of images too, and is told how many: for drawing images row by row.
    pub rows: bool,
    /// The run whose network it reads images by, in the place of layers of its own: `--encoder` writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub body: Option<Learnt>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            form: Form::Conv,
            hidden: 400,
            layers: 1,
            filters: 32,
            stages: 0,
            features: 128,
            activation: Activation::Relu,
            frozen: false,
            noised: false,
            rows: false,
            body: None,
        }
    }
}

/// The random stream of the noise's share of a training image, or of the rows that are hidden, and that of the noise.
const NOISE: [u32; 2] = [0x636c_6e01, 0x636c_6e02];
/// Numbers that tell how noisy an image is, or how much of it is hidden.
const WAVES: usize = 32;

/// What it does not see of an image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Veil {
    /// What lies under noise.
    Noise,
    /// The rows from some row on.
    Rows,
}

/// The model: its own layers, or what another run makes of images, → `features` → `classes`.
pub struct Classifier {
    spec: StateSpec,
    dims: [usize; 3],
    classes: usize,
    activation: Activation,
    body: Body,
    /// What it is told of what it does not see, where there is any.
    waves: Option<(Veil, TimeWaves)>,
    features: Linear,
    head: Linear,
}

impl Classifier {
    /// A classifier of images of `data.dims` into `data.classes`, which reads them by the `learnt` model where `config.body` names one.
    ///
    /// # Errors
    /// [`Error::Usage`] where the data has no labels or is no image, or the sizes do not fit.
    pub fn new(config: Config, data: &DataSpec, learnt: Option<Box<dyn Model>>) -> Result<Self> {
        if data.classes < 2 {
            return Err(Error::usage(
                "classifier: this data has no labels to learn; take IDX files with labels, CIFAR, or a folder a class",
            ));
        }
        if data.kind == Kind::Points {
            return Err(Error::usage("classifier: these are points, not images; there is no classifier for them"));
        }
        let Config { form, hidden, layers, filters, stages, features, activation, frozen, noised, rows, .. } = config;
        let refuse = |reason: &str| Err(Error::usage(format!("classifier: {reason}")));
        let veil = match (noised, rows) {
            (true, true) => return refuse("noised=true is for diffusion and rows=true for drawing row by row; take one of them"),
            (true, false) => Some(Veil::Noise),
            (false, true) => Some(Veil::Rows),
            (false, false) => None,
        };
        if veil.is_some() && frozen {
            return refuse(
                "frozen=true keeps the layers of an encoder, which know whole images; leave it out, or noised=true and rows=true",
            );
        }
        if veil.is_some() && form == Form::Mlp && layers == 0 {
            return refuse("noised=true and rows=true tell the first hidden layer what it does not see; take layers=1 or more");
        }
        keys::check("classifier", &config)?;
        if learnt.is_some() && !frozen {
            return refuse("the network of another run stays as it is; take frozen=true");
        }
        let (body, mut spec) = match learnt {
            Some(model) => Body::learnt(model, data.dims)?,
            None => {
                let classes = if veil.is_some() { WAVES } else { 0 };
                let sizes = Sizes { form, hidden, layers, filters, stages, activation, classes }.resolved("classifier", data.dims)?;
                let mut spec = StateSpec::default();
                let group = spec.group("");
                (Body::Trunk(Trunk::new(&mut spec, group, "encoder", data.dims, &sizes)?), spec)
            }
        };
        let group = 0;
        let waves = veil.map(|veil| (veil, TimeWaves::new(&mut spec, group, "veil", WAVES)));
        if frozen {
            spec.groups[group].tensors.iter_mut().for_each(|t| (t.trained, t.averaged) = (false, false));
        }
        let ends = [Some(body.image()), None];
        let hidden = Linear::between(&mut spec, group, "features", [body.features(), features], ends, Start::FanIn);
        let head = Linear::new(&mut spec, group, "classes", [features, data.classes], Start::FanIn);
        Ok(Self { spec, dims: data.dims, classes: data.classes, activation, body, waves, features: hidden, head })
    }

    /// Features `[N, features]` and logits `[N, classes]` of the input `x`; with `training`, of it noised, where that is wanted.
    fn forward(&self, g: &mut Graph, batch: usize, training: bool) -> Result<[NodeId; 2]> {
        let [h, w, c] = self.dims;
        let x = g.input("x", [batch, h, w, c]);
        let (x, waves) = match &self.waves {
            Some((veil, waves)) => {
                let (x, share) = self.seen(g, x, *veil, training)?;
                let time = g.scale(share, TIMES)?;
                let time = g.reshape(time, [batch])?;
                (x, Some(waves.apply(g, &self.spec, time)?))
            }
            None => (x, None),
        };
        let read = self.body.apply(g, &self.spec, x, waves)?;
        let features = self.features.apply_wide(g, &self.spec, read)?;
        let features = self.activation.apply(g, features)?;
        let logits = self.head.apply(g, &self.spec, features)?;
        Ok([features, logits])
    }

    /// What it sees of images, and the share `[N, 1]` that it does not: drawn while it is `training`, else given.
    fn seen(&self, g: &mut Graph, x: NodeId, veil: Veil, training: bool) -> Result<(NodeId, NodeId)> {
        let batch = g.shape(x).dims()[0];
        let share = match (veil, training) {
            (Veil::Noise, false) => g.input("noise", [batch, 1]),
            (Veil::Rows, false) => g.input("hidden", [batch, 1]),
            (Veil::Noise, true) => g.random(Distribution::Uniform, NOISE[0], [batch, 1])?,
            // Of H rows 0 to H − 1 are hidden, one number as often as another.
            (Veil::Rows, true) => {
                let drawn = g.random(Distribution::Uniform, NOISE[0], [batch, 1])?;
                let rows = self.dims[0] as f64;
                g.map(&[drawn], |b, v| {
                    let row = b.scale(v[0], rows);
                    let row = b.unary(Unary::Floor, row);
                    b.scale(row, 1.0 / rows)
                })?
            }
        };
        let x = if veil == Veil::Noise { noised(g, x, share, training)? } else { veiled(g, x, share)? };
        Ok((x, share))
    }

    /// −ln p(label) and whether the label has the largest logit, of each item: both `[N]`.
    fn judge(&self, g: &mut Graph, logits: NodeId, batch: usize) -> Result<[NodeId; 2]> {
        let labels = g.input("labels", [batch, self.classes]);
        let lse = g.log_sum_exp(logits)?;
        let picked = g.mul(logits, labels)?;
        let picked = g.reduce(Reduction::Sum, picked, 1..2)?;
        let nll = g.sub(lse, picked)?;
        let largest = g.reduce(Reduction::Max, logits, 1..2)?;
        let correct = g.map(&[largest, picked], |b, v| b.binary(Binary::Equal, v[0], v[1]))?;
        Ok([g.reshape(nll, [batch])?, g.reshape(correct, [batch])?])
    }
}

/// Images of values 0..1 as values −1..1; with `draws`, as √(1 − t²) of that and t of noise, of variance 1, t being each image's `share`.
fn noised(g: &mut Graph, x: NodeId, share: NodeId, draws: bool) -> Result<NodeId> {
    let batch = g.shape(x).dims()[0];
    let share = g.reshape(share, [batch, 1, 1, 1])?;
    g.map(&[x, share], |b, v| {
        let twice = b.scale(v[0], 2.0);
        let x = b.offset(twice, -1.0);
        if !draws {
            return x;
        }
        let square = b.mul(v[1], v[1]);
        let rest = b.neg(square);
        let rest = b.offset(rest, 1.0);
        let kept = b.unary(Unary::Sqrt, rest);
        let noise = b.random(Distribution::Normal, NOISE[1]);
        let (kept, noise) = (b.mul(kept, x), b.mul(v[1], noise));
        b.add(kept, noise)
    })
}

/// Images without the rows from below that are hidden, a `share` of each: those are grey.
fn veiled(g: &mut Graph, x: NodeId, share: NodeId) -> Result<NodeId> {
    let dims = g.shape(x).dims().to_vec();
    let (batch, values): (usize, usize) = (dims[0], dims[1..].iter().product());
    let flat = g.reshape(x, [batch, values])?;
    let seen = g.map(&[flat, share], |b, v| {
        let hidden = b.scale(v[1], -(values as f64));
        // Half a value short, so that no rounding moves the edge.
        let edge = b.offset(hidden, values as f64 - 0.5);
        let (place, grey) = (b.channel(), b.constant(0.5));
        let below = b.binary(Binary::Greater, place, edge);
        b.select(below, grey, v[0])
    })?;
    g.reshape(seen, dims.as_slice())
}

impl Model for Classifier {
    fn name(&self) -> &'static str {
        "classifier"
    }

    fn state(&self) -> &StateSpec {
        &self.spec
    }

    fn defaults(&self) -> Defaults {
        Defaults {
            batch: 128,
            steps: 5_000,
            learning_rate: vec![1e-3],
            rate_decay: 1.0,
            warmup: 0,
            clip_norm: 0.0,
            ema: 0.0,
            optimiser: Optimiser::Adam,
            betas: [0.9, 0.999],
        }
    }

    fn scale(&self) -> Scale {
        Scale::Unit
    }

    fn conditional(&self) -> bool {
        true
    }

    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        let mut g = Graph::new();
        let [_, logits] = self.forward(&mut g, batch, true)?;
        let [nll, correct] = self.judge(&mut g, logits, batch)?;
        let loss = g.mean_all(nll)?;
        let accuracy = g.mean_all(correct)?;
        g.output("loss", loss);
        g.output("accuracy", accuracy);
        let update = update(0);
        let gradients = g.group_gradients(loss, &self.spec, &update)?;
        g.update(&self.spec, update, &gradients)?;
        Ok(g)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        vec![("loss", "nats"), ("accuracy", "")]
    }

    fn judges(&self) -> Option<&dyn Judges> {
        Some(self)
    }

    fn features(&self) -> Option<&dyn Features> {
        Some(self)
    }
}

impl Judges for Classifier {
    fn noised(&self) -> bool {
        matches!(self.waves, Some((Veil::Noise, _)))
    }

    fn reads_rows(&self) -> bool {
        matches!(self.waves, Some((Veil::Rows, _)))
    }

    fn judge_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let [_, logits] = self.forward(&mut g, batch, false)?;
        let [nll, correct] = self.judge(&mut g, logits, batch)?;
        g.output("nll", nll);
        g.output("correct", correct);
        Ok(g)
    }
}

impl Features for Classifier {
    fn features_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let [features, logits] = self.forward(&mut g, batch, false)?;
        let width = g.shape(features).channels();
        let features = g.reshape(features, [batch, width])?;
        g.output("features", features);
        g.output("logits", logits);
        Ok(g)
    }
}
