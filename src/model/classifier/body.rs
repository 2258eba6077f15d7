//! What a classifier reads images by: a trunk of its own, or the network of another run, which was trained without labels.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{Binary, Graph, NodeId, StateSpec, Unary};
use crate::model::trunk::Trunk;
use crate::model::{DataSpec, Model};
use crate::op::Reduction;

/// Most rows and columns that a map is pooled to.
const GRID: usize = 4;
/// Keys that shape a trunk.
const OF_TRUNKS: [&str; 5] = ["form", "hidden", "layers", "filters", "stages"];

/// The model of another run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learnt {
    /// Its name.
    pub model: String,
    /// Whether it was made for bits.
    pub bits: bool,
    /// Classes of its data.
    pub classes: usize,
    /// Its hyper-parameters.
    pub hyper: toml::Table,
}

impl Learnt {
    /// What it was made for, where the classifier's data are such.
    ///
    /// # Errors
    /// [`Error::Usage`] where they are not, or where a key of `hyper` shapes what it takes the place of.
    pub fn data(&self, hyper: &toml::Table, data: &DataSpec) -> Result<DataSpec> {
        let name = &self.model;
        if let Some(key) = OF_TRUNKS.into_iter().find(|key| hyper.contains_key(*key)) {
            return Err(Error::usage(format!("classifier: {key} shapes layers of its own, and it takes those of a {name}; leave it out")));
        }
        if self.bits != data.is_binary() {
            let (reads, are) = if self.bits { ("bits", "grey") } else { ("grey", "bits") };
            let words = "leave binarization out, so that it is the run's";
            return Err(Error::usage(format!("classifier: the {name} of --encoder reads {reads}, and these images are {are}; {words}")));
        }
        Ok(DataSpec { classes: self.classes, mean: None, ..data.clone() })
    }
}

/// Images `[N, H, W, C]` to features `[N, 1, 1, F]`.
pub enum Body {
    /// Layers of its own.
    Trunk(Trunk),
    /// Another model's network, whose map is pooled.
    Learnt {
        /// The model.
        model: Box<dyn Model>,
        /// Rows, columns and channels that its map is pooled to.
        pooled: [usize; 3],
    },
}

impl Body {
    /// The network of a model for images of these dims, and its tensors, under `encoder.`, which stay as they are.
    ///
    /// # Errors
    /// [`Error::Usage`] where it makes no features of images alone.
    pub fn learnt(model: Box<dyn Model>, [h, w, c]: [usize; 3]) -> Result<(Self, StateSpec)> {
        let mut g = Graph::new();
        let x = g.input("x", [1, h, w, c]);
        let Some(network) = model.represents() else {
            return Err(Error::usage(format!("classifier: a {} makes no features of images alone", model.name())));
        };
        let map = network.represent(&mut g, x)?;
        let &[_, rows, columns, channels] = g.shape(map).dims() else {
            return Err(Error::Shape(format!("features are a map N×H×W×C, not {}", g.shape(map))));
        };
        let side = |length: usize| (1..=GRID.min(length)).rev().find(|side| length.is_multiple_of(*side)).unwrap_or(1);
        let pooled = [side(rows), side(columns), channels];
        let mut spec = model.state().clone();
        for group in &mut spec.groups {
            group.name.clear();
            for tensor in &mut group.tensors {
                tensor.name = format!("encoder.{}", tensor.name);
                (tensor.trained, tensor.averaged) = (false, false);
            }
        }
        Ok((Self::Learnt { model, pooled }, spec))
    }

    /// Number of features F.
    pub fn features(&self) -> usize {
        self.image().iter().product()
    }

    /// The image `[h, w, c]` that the features are when they are not flattened.
    pub fn image(&self) -> [usize; 3] {
        match self {
            Self::Trunk(trunk) => trunk.image(),
            Self::Learnt { pooled, .. } => *pooled,
        }
    }

    /// Applies it; a trunk is told `labels`, or what else stands in their place.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, labels: Option<NodeId>) -> Result<NodeId> {
        match self {
            Self::Trunk(trunk) => trunk.apply(g, spec, x, labels),
            Self::Learnt { model, pooled } => {
                let Some(network) = model.represents() else {
                    return Err(Error::Shape("a body makes features".into()));
                };
                let map = network.represent(g, x)?;
                let pooled = pool(g, map, *pooled)?;
                even(g, pooled)
            }
        }
    }
}

/// Means over equal parts of a map: `[N, H, W, C]` to `[N, 1, 1, rows · columns · C]`.
fn pool(g: &mut Graph, map: NodeId, [rows, columns, c]: [usize; 3]) -> Result<NodeId> {
    let &[n, h, w, _] = g.shape(map).dims() else {
        return Err(Error::Shape(format!("features are a map N×H×W×C, not {}", g.shape(map))));
    };
    let (high, wide) = (h / rows, w / columns);
    let parts = g.reshape(map, [n * rows, high, w * c])?;
    let parts = g.reduce(Reduction::Sum, parts, 1..2)?;
    let parts = g.reshape(parts, [n * rows * columns, wide, c])?;
    let parts = g.reduce(Reduction::Sum, parts, 1..2)?;
    let means = g.scale(parts, 1.0 / (high * wide) as f64)?;
    g.reshape(means, [n, 1, 1, rows * columns * c])
}

/// Each item's features divided by the root of their mean square, whatever size the other network gives them.
fn even(g: &mut Graph, x: NodeId) -> Result<NodeId> {
    let (n, count) = (g.shape(x).dims()[0], g.shape(x).channels() as f64);
    let squares = g.mul(x, x)?;
    let squares = g.sum_items(squares)?;
    let squares = g.reshape(squares, [n, 1, 1, 1])?;
    g.map(&[x, squares], |b, v| {
        let mean = b.scale(v[1], 1.0 / count);
        let mean = b.offset(mean, 1e-12);
        let size = b.unary(Unary::Sqrt, mean);
        b.binary(Binary::Div, v[0], size)
    })
}
