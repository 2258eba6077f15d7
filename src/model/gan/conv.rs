//! The convolutional networks of Radford, Metz and Chintala (2016), with the 4×4 kernels, stride 2 and 64 filters of the authors' second
//! code: no hidden dense layers, batch norm everywhere but at G's output and D's input, ReLU and tanh in G, leaky ReLU in D.

use super::Norm;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{BatchMoments, BatchNorm2d, Conv2d, ConvTransposed2d, Start};

/// Weights start normal with this deviation, norm scales normal around 1 with it.
const DEVIATION: f32 = 0.02;
/// Slope of the leaky ReLU below 0.
const LEAK: f64 = 0.2;

/// Most doublings of a pyramid.
const MOST: usize = 5;
/// The side that the smallest images have at least, where the image allows it.
const LEAST: usize = 4;

/// The pyramid of image sizes: `base` doubled `doublings` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pyramid {
    /// Height and width of the smallest images: 4×4 for 32×32, 7×7 for 28×28.
    pub base: [usize; 2],
    /// Doublings to the full size.
    pub doublings: usize,
}

impl Pyramid {
    /// The pyramid of images of this height and width.
    ///
    /// # Errors
    /// [`Error::Usage`] where a side is odd, so that no pyramid ends in it.
    pub fn of(model: &str, [h, w]: [usize; 2]) -> Result<Self> {
        let halves = |d: &usize| h.is_multiple_of(1 << d) && w.is_multiple_of(1 << d);
        let doublings = match (1..=MOST).filter(halves).filter(|d| h.min(w) >> d >= LEAST).max() {
            Some(doublings) => doublings,
            None if h > 0 && w > 0 && halves(&1) => 1,
            None => {
                let words = "convolutions double the image's sides, which must be even";
                let way = "take --set form=mlp, or scale the data, say by --set resize=32";
                return Err(Error::usage(format!("{model}: {words}, not {h}×{w}; {way}")));
            }
        };
        Ok(Self { base: [h >> doublings, w >> doublings], doublings })
    }

    /// Channels of the images of level `l`, counted from the smallest, where the largest inner ones have `filters`.
    fn width(self, level: usize, filters: usize) -> usize {
        filters << (self.doublings - 1 - level)
    }

    fn size(self, level: usize) -> [usize; 2] {
        self.base.map(|side| side << level)
    }
}

/// Batch statistics met on the way through a network, or `None` to normalise by the running ones.
pub type Met = Option<Vec<BatchMoments>>;

fn normalise(g: &mut Graph, spec: &StateSpec, norm: &BatchNorm2d, x: NodeId, met: &mut Met) -> Result<NodeId> {
    match met {
        Some(moments) => {
            let (y, batch) = norm.normalise(g, spec, x)?;
            moments.push(batch);
            Ok(y)
        }
        None => norm.infer(g, spec, x),
    }
}

/// z `[N, latent]` to images `[N, H, W, C]` in −1..1.
pub struct ConvGenerator {
    layers: Vec<(ConvTransposed2d, BatchNorm2d)>,
    last: ConvTransposed2d,
}

impl ConvGenerator {
    /// Registers `deconv1.weight`, `norm1.weight`, …; running statistics go to the second group. `latent` counts the classes joined to z.
    pub fn new(
        spec: &mut StateSpec,
        [group, statistics]: [usize; 2],
        pyramid: Pyramid,
        channels: usize,
        filters: usize,
        latent: usize,
    ) -> Result<Self> {
        let start = Start::Normal(DEVIATION);
        let mut layers = Vec::new();
        let mut from = latent;
        for level in 0..pyramid.doublings {
            let number = level + 1;
            let to = pyramid.width(level, filters);
            let name = format!("deconv{number}");
            let deconv = match level {
                0 => ConvTransposed2d::from_vector(spec, group, &name, pyramid.base, [from, to], false, start)?,
                _ => ConvTransposed2d::new(spec, group, &name, pyramid.size(level - 1), [from, to], (4, 2, 1), false, start)?,
            };
            let norm = BatchNorm2d::apart(spec, [group, statistics], &format!("norm{number}"), to, Some(DEVIATION));
            layers.push((deconv, norm));
            from = to;
        }
        let size = pyramid.size(pyramid.doublings - 1);
        let name = format!("deconv{}", pyramid.doublings + 1);
        let last = ConvTransposed2d::new(spec, group, &name, size, [from, channels], (4, 2, 1), false, start)?;
        Ok(Self { layers, last })
    }

    /// Applies it to z with the classes joined.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, z: NodeId, met: &mut Met) -> Result<NodeId> {
        let [n, latent] = [g.shape(z).dims()[0], g.shape(z).channels()];
        let mut h = g.reshape(z, [n, 1, 1, latent])?;
        for (deconv, norm) in &self.layers {
            h = deconv.apply(g, spec, h)?;
            h = normalise(g, spec, norm, h, met)?;
            h = g.relu(h)?;
        }
        h = self.last.apply(g, spec, h)?;
        g.tanh(h)
    }
}

/// Images to logits.
pub struct ConvDiscriminator {
    layers: Vec<(Conv2d, Option<BatchNorm2d>)>,
    last: Conv2d,
    classes: usize,
}

impl ConvDiscriminator {
    /// Registers `conv1.weight`, `conv2.weight`, `norm2.weight`, …; running statistics go to the second group.
    ///
    /// With classes the last convolution has one output more a class, and the logit is the first plus the class's own: the inner
    /// product of a class vector with the features (Miyato and Koyama, 2018).
    pub fn new(
        spec: &mut StateSpec,
        groups: [usize; 2],
        pyramid: Pyramid,
        channels: usize,
        filters: usize,
        norm: Norm,
        classes: usize,
    ) -> Result<Self> {
        let bias = norm == Norm::None;
        // Norms restore the scale that weights of .02 take away; without them it must be right from the start (He et al., 2015).
        let start = |area: usize, from: usize| match norm {
            Norm::Batch => Start::Normal(DEVIATION),
            Norm::None => Start::Normal((2.0 / (1.0 + LEAK * LEAK) as f32 / (area * from) as f32).sqrt()),
        };
        let mut layers = Vec::new();
        let mut from = channels;
        for number in 1..=pyramid.doublings {
            let level = pyramid.doublings - number;
            let (size, to) = (pyramid.size(level + 1), pyramid.width(level, filters));
            let conv = Conv2d::dense(spec, groups[0], &format!("conv{number}"), size, [from, to], (4, 2, 1), bias, start(16, from))?;
            let normed = norm == Norm::Batch && number > 1;
            let norm = normed.then(|| BatchNorm2d::apart(spec, groups, &format!("norm{number}"), to, Some(DEVIATION)));
            layers.push((conv, norm));
            from = to;
        }
        let (base, name) = (pyramid.base, format!("conv{}", pyramid.doublings + 1));
        let start = start(base[0] * base[1], from);
        let last = Conv2d::to_vector(spec, groups[0], &name, base, [from, 1 + classes], bias, start)?;
        Ok(Self { layers, last, classes })
    }

    /// Features `[N, F]` (what the last layer reads) and logits `[N]`.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, labels: Option<NodeId>, met: &mut Met) -> Result<[NodeId; 2]> {
        let n = g.shape(x).dims()[0];
        let mut h = x;
        for (conv, norm) in &self.layers {
            h = conv.apply(g, spec, h)?;
            if let Some(norm) = norm {
                h = normalise(g, spec, norm, h, met)?;
            }
            h = g.leaky_relu(h, LEAK)?;
        }
        let features = g.reshape(h, [n, g.shape(h).len() / n])?;
        let out = self.last.apply(g, spec, h)?;
        let out = g.reshape(out, [n, 1 + self.classes])?;
        let common = g.slice(out, 1, 0, 1)?;
        let Some(labels) = labels else {
            return Ok([features, g.reshape(common, [n])?]);
        };
        let own = g.slice(out, 1, 1, self.classes)?;
        let own = g.mul(own, labels)?;
        let own = g.sum_items(own)?;
        let common = g.reshape(common, [n])?;
        Ok([features, g.add(common, own)?])
    }
}
