//! The pair that every autoencoder is: an encoder to a small vector, a decoder back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decoder::Decoder;
use super::output::{Likelihood, Output, Variance};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Shape, StateSpec};
use crate::keys;
use crate::model::size::{DEEPEST, WIDEST};
use crate::model::trunk::{Activation, Form, Sizes, Trunk};
use crate::model::{DataSpec, Defaults, Optimiser};
use crate::nn::{Linear, Start};

/// Hyper-parameters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Fully connected (784-400-20-400-784 on MNIST: 652,824 parameters) or convolutional (258,025).
    pub form: Form,
    /// Length of the latent vector.
    #[schemars(range(min = 1, max = WIDEST))]
    pub latent: usize,
    /// Units of each hidden layer (mlp).
    #[schemars(range(min = 1, max = WIDEST))]
    pub hidden: usize,
    /// Hidden layers on each side (mlp); 0 makes a linear model.
    #[schemars(range(max = DEEPEST))]
    pub layers: usize,
    /// Channels of the first convolution, doubled at each halving (conv).
    #[schemars(range(min = 1, max = WIDEST))]
    pub filters: usize,
    /// Halvings of the image (conv); 0 halves while the sides are even and longer than 8.
    pub stages: usize,
    /// The nonlinearity.
    pub activation: Activation,
    /// What the decoder's output says of a pixel.
    pub likelihood: Likelihood,
    /// Whether the scale of a gaussian or logistic likelihood is trained.
    pub variance: Variance,
    /// That scale, at first: a standard deviation, or a logistic's scale, for values in 0..1.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: f64,
    /// Weight of the KL term in the loss (Higgins et al., 2017); 1 is the variational bound.
    #[schemars(range(min = 0))]
    pub beta: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            form: Form::Mlp,
            latent: 20,
            hidden: 400,
            layers: 1,
            filters: 32,
            stages: 0,
            activation: Activation::Relu,
            likelihood: Likelihood::Auto,
            variance: Variance::Learnt,
            scale: 0.1,
            beta: 1.0,
        }
    }
}

/// How autoencoders are trained unless told otherwise: ten epochs of MNIST.
pub(super) fn defaults() -> Defaults {
    Defaults {
        batch: 128,
        steps: 4_680,
        learning_rate: vec![1e-3],
        rate_decay: 1.0,
        warmup: 0,
        clip_norm: 0.0,
        ema: 0.0,
        optimiser: Optimiser::Adam,
        betas: [0.9, 0.999],
    }
}

/// Encoder and decoder.
pub(super) struct Coder {
    pub spec: StateSpec,
    pub dims: [usize; 3],
    pub latent: usize,
    pub classes: usize,
    pub output: Output,
    trunk: Trunk,
    mean: Linear,
    log_var: Option<Linear>,
    decoder: Decoder,
}

impl Coder {
    /// Encoder and decoder for images of `data.dims`: with `stochastic` the encoder also gives a log variance; with `classes` both
    /// sides read labels.
    pub fn new(model: &str, config: &Config, data: &DataSpec, stochastic: bool, classes: usize) -> Result<Self> {
        let Config { form, latent, hidden, layers, filters, stages, activation, likelihood, variance, scale, .. } = *config;
        keys::check(model, config)?;
        let sizes = Sizes { form, hidden, layers, filters, stages, activation, classes }.resolved(model, data.dims)?;
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let trunk = Trunk::new(&mut spec, group, "encoder", data.dims, &sizes)?;
        let channels = [trunk.features(), latent];
        let mut head = |name: &str| {
            let ends = [Some(trunk.image()), None];
            Linear::between(&mut spec, group, &format!("encoder.{name}"), channels, ends, Start::FanIn)
        };
        let mean = head("mean");
        let log_var = stochastic.then(|| head("log_var"));
        let decoder = Decoder::new(&mut spec, group, latent, data.dims, &sizes)?;
        let output = Output::new(&mut spec, group, model, (likelihood, variance, scale), data)?;
        Ok(Self { spec, dims: data.dims, latent, classes, output, trunk, mean, log_var, decoder })
    }

    /// The input `x`, `[N, H, W, C]`.
    pub fn image(&self, g: &mut Graph, batch: usize) -> NodeId {
        let [h, w, c] = self.dims;
        g.input("x", [batch, h, w, c])
    }

    /// The input `labels`, `[N, classes]`, where there are any.
    pub fn labels(&self, g: &mut Graph, batch: usize) -> Option<NodeId> {
        (self.classes > 0).then(|| g.input("labels", [batch, self.classes]))
    }

    /// Mean and log variance of q(z|x), each `[N, 1, 1, latent]`; a deterministic encoder gives its code twice.
    pub fn encode(&self, g: &mut Graph, x: NodeId, labels: Option<NodeId>) -> Result<[NodeId; 2]> {
        let h = self.trunk.apply(g, &self.spec, x, labels)?;
        let mean = self.mean.apply_wide(g, &self.spec, h)?;
        let log_var = match &self.log_var {
            Some(layer) => layer.apply_wide(g, &self.spec, h)?,
            None => mean,
        };
        Ok([mean, log_var])
    }

    /// Input `x` (and `labels`) to outputs `mean` and, where there is one, `log_var`, each `[N, latent]`.
    pub fn encode_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let x = self.image(&mut g, batch);
        let labels = self.labels(&mut g, batch);
        let moments = self.encode(&mut g, x, labels)?;
        let count = if self.log_var.is_some() { 2 } else { 1 };
        for (name, moment) in ["mean", "log_var"].into_iter().zip(moments).take(count) {
            let moment = g.reshape(moment, [batch, self.latent])?;
            g.output(name, moment);
        }
        Ok(g)
    }

    /// Logits or means `[N, H, W, C]` from latents `[N, latent]`.
    pub fn decode(&self, g: &mut Graph, z: NodeId, labels: Option<NodeId>) -> Result<NodeId> {
        self.decoder.apply(g, &self.spec, z, labels)
    }

    /// −ln p(x|z) of each image, `[N]`: one kernel, the likelihood's program read by a sum.
    pub fn reconstruction(&self, g: &mut Graph, y: NodeId, x: NodeId) -> Result<NodeId> {
        let shape = g.shape(x).clone();
        let nll = self.output.nll(g, &self.spec, [y, x], shape)?;
        g.sum_items(nll)
    }

    /// Input `z` `[N, latent]` (and `labels`) to output `x` `[N, H, W, C]`.
    pub fn decode_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let z = g.input("z", [batch, self.latent]);
        let labels = self.labels(&mut g, batch);
        let y = self.decode(&mut g, z, labels)?;
        let x = self.output.mean(&mut g, y)?;
        g.output("x", x);
        Ok(g)
    }

    /// Inputs `z` (and `labels`) and `given` `[N, H, W, C]` to outputs `x` and `nll`, −ln p of each given value.
    pub fn explain_graph(&self, batch: usize) -> Result<Graph> {
        let [h, w, c] = self.dims;
        let mut g = Graph::new();
        let z = g.input("z", [batch, self.latent]);
        let labels = self.labels(&mut g, batch);
        let y = self.decode(&mut g, z, labels)?;
        let x = self.output.mean(&mut g, y)?;
        let given = g.input("given", [batch, h, w, c]);
        let nll = self.output.nll(&mut g, &self.spec, [y, given], Shape::from([batch, h, w, c]))?;
        g.output("x", x);
        g.output("nll", nll);
        Ok(g)
    }
}
