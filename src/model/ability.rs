//! What a model can do: one small trait each, which a [`Model`](super::Model) hands out where it can.
//!
//! Each is a graph that a command runs; names and shapes of its inputs and outputs are the trait's contract.

use super::noise::{Process, Variance};
use super::{Law, Shown};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};

/// What a score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// −ln p(x) itself.
    Exact,
    /// An upper bound of it, −ELBO, which is the sum of the outputs `recon` and `kl`.
    Bound,
}

/// Its first weights are set from a batch of data.
pub trait Starts {
    /// Input `x` (and `labels`), on the way from which persistent tensors are set. It is run once, before the first step, on that step's
    /// batch, and what it sets does not depend on what it set before.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn start_graph(&self, batch: usize) -> Result<Graph>;
}

/// It knows −ln p(x), or an upper bound of it.
pub trait Scores {
    /// Which of the two.
    fn score(&self) -> Score;

    /// The terms of a bound: names of the graph's outputs, and what they are in words.
    fn parts(&self) -> &'static [(&'static str, &'static str)] {
        match self.score() {
            Score::Exact => &[],
            Score::Bound => &[("recon", "reconstruction"), ("kl", "KL")],
        }
    }

    /// Where a score is a sum over several runs of its graph: the values of the input `pass` in each, for a bound of so many steps (unsaid: as
    /// suits the model). Empty where one run is all.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where there is no bound of so many steps.
    fn passes(&self, steps: Option<usize>) -> Result<Vec<Vec<f32>>> {
        match steps {
            Some(_) => Err(Error::usage("steps= counts those of a diffusion model's bound, and this score has none; leave it out")),
            None => Ok(Vec::new()),
        }
    }

    /// What must be known to read its figures, where that is not plain.
    fn note(&self) -> Option<&'static str> {
        None
    }

    /// Input `x` (and `labels`) to outputs `nll` `[N]` in nats, `nll_map` `[N, H, W, C]` where it is a sum over pixels, and the terms of a
    /// bound, or `nats_HxW`, the share of each of several scales, each `[N]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn likelihood_graph(&self, batch: usize) -> Result<Graph>;
}

/// It has a bound of ln p(x) that rises with the number of importance samples.
pub trait Bounds {
    /// Input `x` (and `labels`) to output `log_weight` `[N, samples]`: log importance weights of `samples` latents of each item, drawn anew
    /// for each [`crate::graph::Step::step`]. The log of their mean is the bound.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn bound_graph(&self, batch: usize, samples: usize) -> Result<Graph>;
}

/// It draws images value by value: by rows, in a row from left to right, in a pixel colour by colour.
pub trait Raster {
    /// What its outputs say of a pixel, and so how the pixel is drawn.
    fn law(&self) -> Law;

    /// How the pixels of even rows and columns are drawn, where they are drawn first, as an image of their own; the graph then reads them
    /// as `coarse` `[N, H/2, W/2, C]`, in levels, and may see all of them everywhere.
    fn coarser(&self) -> Option<Box<dyn Raster + '_>> {
        None
    }

    /// Input `x` `[N, H, W, C]` in levels from 0 to output `logits` `[N, H, W, outputs]`, those of [`Raster::law`]. What tells the law of a
    /// value depends on the values of `x` before it alone, which is proven of every model that is built. Of [`super::Model::colours`] the image
    /// is of two channels, Cg and Co, and a further input `luma` `[N, H, W, 1]` from 0 to 255 is known everywhere (see [`super::chroma`]).
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn raster_graph(&self, batch: usize) -> Result<Graph>;
}

/// What a network makes of noised items.
#[derive(Clone, Copy, Debug)]
pub struct Denoised {
    /// The items as they seem to be, x̂₀ `[N, H, W, C]`.
    pub x0: NodeId,
    /// Where the variance of a step back lies between small (0) and large (1), in its logarithm, `[N, H, W, C]`; `None` where it is not learnt.
    pub share: Option<NodeId>,
}

/// What a network is told of the items it takes noise from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// One-hot labels `[N, classes + 1]`, of which the last says that there is none; where it is conditional.
    pub labels: Option<NodeId>,
    /// What it is shown of each, of [`Shown::dims`]; where it is shown anything.
    pub shown: Option<NodeId>,
}

/// It takes noise away.
pub trait Denoises {
    /// How noise is added.
    fn process(&self) -> &Process;

    /// The variance of a step back.
    fn variance(&self) -> Variance;

    /// Height, width and channels of an item.
    fn dims(&self) -> [usize; 3];

    /// Levels that values stand on, evenly from −1 to 1; `None` where they may be any number.
    fn value_levels(&self) -> Option<usize>;

    /// Classes that it tells apart; 0 where it is not conditional.
    fn classes(&self) -> usize;

    /// What it is shown of each item beforehand: it then draws items given that alone.
    fn shown(&self) -> Option<Shown> {
        None
    }

    /// Adds the network to a graph. It reads noised items `x` `[N, H, W, C]`, each at the level that its row of `head` `[N, 4]` tells
    /// ([`super::noise::Head::row`]), and what it is told of them.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where inputs do not have these shapes.
    fn denoise(&self, g: &mut Graph, x: NodeId, head: NodeId, told: Told) -> Result<Denoised>;
}

/// It makes images of latents.
pub trait Decodes {
    /// Length of a latent.
    fn latent(&self) -> usize;

    /// Whether latents have a distribution to draw them from, the standard normal.
    fn has_prior(&self) -> bool;

    /// Input `z` `[N, latent]` (and `labels`) to output `x` `[N, H, W, C]` in 0..1 (points as they are).
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn decode_graph(&self, batch: usize) -> Result<Graph>;

    /// Where p(x|z) is known: inputs as of [`Decodes::decode_graph`] and `given` `[N, H, W, C]` in 0..1 to outputs `x`, as there, and `nll`
    /// `[N, H, W, C]`, −ln p of each value that is given.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn explain_graph(&self, _batch: usize) -> Result<Option<Graph>> {
        Ok(None)
    }
}

/// It makes latents of images.
pub trait Encodes {
    /// Length of a latent.
    fn latent(&self) -> usize;

    /// Input `x` (and `labels`) to output `mean` (and `log_var`, unless it is deterministic) `[N, latent]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn encode_graph(&self, batch: usize) -> Result<Graph>;
}

/// It makes features of whole images on the way to what it was trained for, without labels.
pub trait Represents {
    /// Where they come from, in words.
    fn whence(&self) -> &'static str;

    /// Adds a map of features `[N, H', W', F]` of images `x` `[N, H, W, C]` in 0..1 to a graph, behind a nonlinearity.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn represent(&self, g: &mut Graph, x: NodeId) -> Result<NodeId>;
}

/// It tells an item's label.
pub trait Judges {
    /// Whether it tells labels of noised images too. Its graphs then read `noise` `[N, 1]` besides, the share t that noise has in each image: in
    /// values −1..1, `x` is √(1 − t²) of the image and t of noise of variance 1. Zeros, where nothing is written, stand for images as they are.
    fn noised(&self) -> bool {
        false
    }

    /// Whether it tells labels by the first rows of an image too. Its graphs then read `hidden` `[N, 1]` besides, the share of rows, from below,
    /// that it is not to look at. Zeros, where nothing is written, stand for whole images.
    fn reads_rows(&self) -> bool {
        false
    }

    /// Inputs `x` and `labels` to outputs `nll` = −ln p(label) and `correct`, 0 or 1, each `[N]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn judge_graph(&self, batch: usize) -> Result<Graph>;
}

/// It has features that images can be compared by.
pub trait Features {
    /// Input `x` to outputs `features` `[N, F]` of its last hidden layer and, where it knows classes, `logits` `[N, classes]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn features_graph(&self, batch: usize) -> Result<Graph>;
}
