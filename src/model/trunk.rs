//! The part that encoders and classifiers share: an image in, a vector of features out.
//!
//! Its tensors have the same names wherever it is used (`encoder.hidden`, or `encoder.conv1`, `encoder.conv2`, …), so that a classifier can
//! start from the encoder of a trained autoencoder.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::size::{self, DEEPEST, WIDEST};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec, Unary};
use crate::nn::{Conv2d, Linear, OneHot, Start};

/// What a network between images and vectors is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Fully connected layers.
    Mlp,
    /// Strided convolutions down (4×4, stride 2), fractional-strided ones up.
    Conv,
}

/// The nonlinearity of hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    pub(super) fn apply(self, graph: &mut Graph, x: NodeId) -> Result<NodeId> {
        let f = match self {
            Self::Relu => Unary::Relu,
            Self::Tanh => Unary::Tanh,
        };
        graph.map(&[x], |b, v| b.unary(f, v[0]))
    }
}

/// Sizes of a trunk, and of the decoder that mirrors it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sizes {
    /// What it is made of.
    pub form: Form,
    /// Units of each hidden layer (mlp).
    pub hidden: usize,
    /// Hidden layers (mlp); 0 is a linear model.
    pub layers: usize,
    /// Channels of the first stage, doubled from stage to stage (conv).
    pub filters: usize,
    /// Halvings of the image (conv); 0 halves while the sides are even and longer than 8, at least once.
    pub stages: usize,
    /// The nonlinearity.
    pub activation: Activation,
    /// Classes whose one-hot vector joins the input; 0 for none.
    pub classes: usize,
}

impl Sizes {
    /// Refuses what cannot be built for images of `dims` and settles the number of stages.
    pub fn resolved(self, model: &str, [h, w, _]: [usize; 3]) -> Result<Self> {
        let keys = [("hidden", self.hidden, 1..=WIDEST), ("filters", self.filters, 1..=WIDEST), ("layers", self.layers, 0..=DEEPEST)];
        size::within(model, &keys)?;
        if self.form == Form::Mlp {
            return Ok(self);
        }
        let halvings = h.trailing_zeros().min(w.trailing_zeros()) as usize;
        let side = h.min(w);
        let wanted = (0..halvings).take_while(|&k| side >> k > 8).count();
        // Images of 8 pixels and fewer are halved once.
        let stages = if self.stages == 0 { wanted.max(halvings.min(1)) } else { self.stages };
        if stages == 0 {
            let reason = format!("form=conv halves the image's sides, and {h}×{w} has an odd one");
            return Err(Error::usage(format!("{model}: {reason}; take form=mlp, or images resized to even sides by resize=")));
        }
        if stages > halvings {
            let reason = format!("stages={stages} halves the image so often, and {h}×{w} can be halved {halvings} times");
            return Err(Error::usage(format!("{model}: {reason}; take stages={halvings}, form=mlp or images of another size by resize=")));
        }
        Ok(Self { stages, ..self })
    }

    /// Channels after stage `i`, counted from 0.
    pub fn channels(&self, i: usize) -> usize {
        self.filters << i.min(4)
    }

    /// Height, width and channels after the last stage.
    pub fn bottom(&self, [h, w, _]: [usize; 3]) -> [usize; 3] {
        [h >> self.stages, w >> self.stages, self.channels(self.stages - 1)]
    }

    /// The name of hidden layer `i`, counted from 0: `hidden`, `hidden2`, …
    pub fn hidden_name(i: usize) -> String {
        if i == 0 { "hidden".into() } else { format!("hidden{}", i + 1) }
    }
}

enum Layers {
    Mlp(Vec<Linear>),
    Conv(Vec<Conv2d>),
}

/// Images `[N, H, W, C]` to features `[N, 1, 1, F]`.
pub(super) struct Trunk {
    layers: Layers,
    /// The label's share of the first layer's sum: what concatenating it to the input comes to.
    label: Option<OneHot>,
    activation: Activation,
    features: usize,
    image: [usize; 3],
}

impl Trunk {
    /// Registers the tensors under `name.`; `sizes` are resolved.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, dims: [usize; 3], sizes: &Sizes) -> Result<Self> {
        let [h, w, c] = dims;
        let start = Start::FanIn;
        let (layers, first, image) = match sizes.form {
            Form::Mlp => {
                let width = |i: usize| if i == 0 { h * w * c } else { sizes.hidden };
                let layers: Vec<Linear> = (0..sizes.layers)
                    .map(|i| {
                        let image = if i == 0 { Some(dims) } else { None };
                        let name = format!("{name}.{}", Sizes::hidden_name(i));
                        Linear::between(spec, group, &name, [width(i), sizes.hidden], [image, None], start)
                    })
                    .collect();
                let image = if layers.is_empty() { dims } else { [1, 1, sizes.hidden] };
                (Layers::Mlp(layers), sizes.hidden, image)
            }
            Form::Conv => {
                let mut convs = Vec::new();
                for i in 0..sizes.stages {
                    let channels = [if i == 0 { c } else { sizes.channels(i - 1) }, sizes.channels(i)];
                    let name = format!("{name}.conv{}", i + 1);
                    convs.push(Conv2d::dense(spec, group, &name, [h >> i, w >> i], channels, (4, 2, 1), true, start)?);
                }
                (Layers::Conv(convs), sizes.channels(0), sizes.bottom(dims))
            }
        };
        let labelled = sizes.classes > 0 && !matches!(&layers, Layers::Mlp(l) if l.is_empty());
        let label = labelled.then(|| OneHot::new(spec, group, &format!("{name}.label"), [sizes.classes, first], start));
        Ok(Self { layers, label, activation: sizes.activation, features: image.iter().product(), image })
    }

    /// Number of features F.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The image `[h, w, c]` that the features are when they are not flattened.
    pub fn image(&self) -> [usize; 3] {
        self.image
    }

    /// Applies it; `labels` is `[N, classes]`, one-hot.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, labels: Option<NodeId>) -> Result<NodeId> {
        let batch = g.shape(x).dims().first().copied().unwrap_or(1);
        let mut h = x;
        let count = match &self.layers {
            Layers::Mlp(layers) => layers.len(),
            Layers::Conv(layers) => layers.len(),
        };
        for i in 0..count {
            h = match &self.layers {
                Layers::Mlp(layers) => layers[i].apply_wide(g, spec, h)?,
                Layers::Conv(layers) => layers[i].apply(g, spec, h)?,
            };
            if let (0, Some(label), Some(labels)) = (i, &self.label, labels) {
                h = label.add_to(g, spec, h, labels)?;
            }
            if i + 1 == count {
                // Flattened first, so that the activation fuses into the layers that read the features.
                h = g.reshape(h, [batch, 1, 1, self.features])?;
            }
            h = self.activation.apply(g, h)?;
        }
        g.reshape(h, [batch, 1, 1, self.features])
    }
}
