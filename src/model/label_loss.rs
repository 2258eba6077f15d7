//! Labels that matter: −λ ln p(y|x) in the loss of conditional autoregressive models.
//!
//! A model of p(x|y) learns what a label says of an image last, since it is worth 2.3 nats of a hundred. The hybrid of Bouchard and Triggs
//! (2004, "The tradeoff between generative and discriminative classifiers") adds what the classes lose of Bayes' rule:
//! −ln p(x|y) − λ ln p(y|x).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::graph::{Binary, Builder, Distribution, Graph, NodeId, Unary, Value};
use crate::op::Reduction;

/// The random stream of the classes that an image's own is set against; the element is the image's.
const OTHERS: u32 = 0x6c61_6265;

/// How much p(y|x) weighs in a loss, and among how many classes it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelLoss {
    /// λ, above 0.
    pub weight: f64,
    /// Classes besides an image's own that p(y|x) is told among, drawn for each image and step: fewer than all of them make p(y|x) larger than it
    /// is, and a step cheaper.
    pub others: usize,
}

/// The keys as a recipe has them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelKeys {
    /// Weight λ of −ln p(y|x) in the loss of a conditional model, so that labels matter (Bouchard and Triggs, 2004); unsaid, 0.
    #[schemars(range(min = 0))]
    pub label_weight: Option<f64>,
    /// Classes besides an image's own that p(y|x) is told among, drawn for each image and step; unsaid, 3.
    #[schemars(range(min = 1))]
    pub label_others: Option<usize>,
}

/// Their names.
pub const KEYS: [&str; 2] = ["label_weight", "label_others"];

/// Refuses the keys where they are not taken.
///
/// # Errors
/// [`Error::Usage`].
pub fn refuse(model: &str, hyper: &toml::Table) -> Result<()> {
    match KEYS.iter().find(|key| hyper.contains_key(**key)) {
        Some(key) => Err(Error::usage(format!("{model}: {key} weighs log p(y|x) in the loss of autoregressive models; leave it out here"))),
        None => Ok(()),
    }
}

impl LabelLoss {
    /// Each image of `x` `[N, H, W, C]` as often as there are classes to tell among, with one-hot labels `[N·(1 + others), classes]`: its own of
    /// `labels` `[N, classes]`, then others in the cyclic order of the classes, from one that is drawn.
    pub fn spread(&self, g: &mut Graph, x: NodeId, labels: NodeId) -> Result<[NodeId; 2]> {
        let (dims, classes) = (g.shape(x).dims().to_vec(), g.shape(labels).channels());
        let (batch, rows) = (dims[0], 1 + self.others);
        let values: usize = dims[1..].iter().product();
        let images = g.reshape(x, [batch, 1, values])?;
        let images = g.map_to(&[images], [batch, rows, values], |_, v| v[0])?;
        let images = g.reshape(images, [&[batch * rows], &dims[1..]].concat().as_slice())?;
        let own = g.map(&[labels], |b, v| {
            let class = b.channel();
            b.mul(class, v[0])
        })?;
        let own = g.reduce(Reduction::Sum, own, 1..2)?;
        // Places among the others, counted from the class behind an image's own.
        let places = classes - 1;
        let draw = g.random(Distribution::Uniform, OTHERS, [batch, 1])?;
        let place = g.map_to(&[draw], [batch, self.others], |b, v| {
            let first = b.scale(v[0], places as f64);
            let first = b.unary(Unary::Floor, first);
            let channel = b.channel();
            let place = b.add(first, channel);
            wrapped(b, place, places)
        })?;
        let other = g.map(&[own, place], |b, v| {
            let behind = b.offset(v[1], 1.0);
            let class = b.add(v[0], behind);
            wrapped(b, class, classes)
        })?;
        let all = g.concat(own, other, 1)?;
        let all = g.reshape(all, [batch, rows, 1])?;
        let hot = g.map_to(&[all], [batch, rows, classes], |b, v| {
            let class = b.channel();
            b.binary(Binary::Equal, class, v[0])
        })?;
        Ok([images, g.reshape(hot, [batch * rows, classes])?])
    }

    /// Of −ln p(x|y) of what [`LabelLoss::spread`] made, `[N·(1 + others)]`: −ln p(x|y) of each image's own class, and −ln p(y|x) of it among
    /// those classes, all as frequent; both `[N, 1]`.
    pub fn split(&self, g: &mut Graph, nll: NodeId) -> Result<[NodeId; 2]> {
        let rows = 1 + self.others;
        let batch = g.shape(nll).len() / rows;
        let nll = g.reshape(nll, [batch, rows])?;
        let own = g.slice(nll, 1, 0, 1)?;
        let log_p = g.scale(nll, -1.0)?;
        let all = g.log_sum_exp(log_p)?;
        Ok([own, g.add(own, all)?])
    }
}

/// A whole number below 2n in 0..n.
fn wrapped(b: &mut Builder, value: Value, n: usize) -> Value {
    let (last, less) = (b.constant(n as f64 - 0.5), b.offset(value, -(n as f64)));
    let beyond = b.binary(Binary::Greater, value, last);
    b.select(beyond, less, value)
}
