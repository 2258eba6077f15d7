//! A raster-causal network as steps over positions.
//!
//! In raster order a feature is final once computed, so each node is evaluated once per position, reading what it needs of earlier
//! positions from cached rows: one forward pass an image in total, not one a pixel (Ramachandran et al., 2017). What depends on rows
//! above alone is known when a row begins: it is computed for all columns then, and may be read to the right. A recurrence reads what it
//! left at earlier places of its own; one that goes from right to left is computed when the row is finished, for the row below.
//!
//! Rows, columns and offsets are those of the image: a feature behind strides has a place at every s-th row and column alone.

use crate::graph::{Expr, NodeId, Shape};
use crate::tensor::{Gating, Walk};

/// Channels of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The feature.
    pub feature: usize,
    /// First channel.
    pub first: usize,
    /// Channels.
    pub channels: usize,
}

/// Where an operand of a step is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Channels of a feature map, at the position (or at a tap from it).
    Feature(View),
    /// A tensor that is the same for all images, one of [`RasterProgram::constants`], broadcast to `[1, H, W, C]`.
    Constant(usize),
}

/// When a feature of a row is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Before the image is begun: it does not depend on it.
    Given,
    /// When the row begins, for all its columns at once.
    Row,
    /// Position by position.
    Pixel,
    /// When the row is finished, for all its columns at once; it is read from lower rows alone.
    RowEnd,
}

/// A feature map: what is kept of it while positions are visited.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Channels.
    pub channels: usize,
    /// Rows and columns of the image from one of its places to the next.
    pub stride: usize,
    /// Rows kept, the current one included; 1 with `wide` false where only the position itself is read.
    pub rows: usize,
    /// Whether whole rows are kept.
    pub wide: bool,
    /// When it is computed.
    pub known: Known,
}

impl Feature {
    /// Columns of a row, of an image `width` wide.
    pub fn columns(&self, width: usize) -> usize {
        width.div_ceil(self.stride)
    }

    /// Whether there is a place of it at a row and column of the image.
    pub fn has(&self, [row, column]: [i32; 2]) -> bool {
        row % self.stride as i32 == 0 && column % self.stride as i32 == 0
    }

    /// Places that are kept, of an image `width` wide.
    pub fn places(&self, width: usize) -> usize {
        if self.wide { self.rows * self.columns(width) } else { 1 }
    }
}

/// What is computed at each position.
#[derive(Clone, Debug)]
pub enum Work {
    /// `epilogue(Σ_t source at t · W_t)`
    Conv {
        /// What the taps read.
        source: View,
        /// Row and column offset of each tap in the image. Beyond the image, and where the source has no place, a tap reads nothing.
        taps: Vec<[i32; 2]>,
        /// Whether it is a transposed convolution: the source may lack places, and the weights are `[taps, D, C]`.
        transposed: bool,
        /// Constant `[taps, C, D]`.
        weights: usize,
        /// Program over the sums (input 0) and the operands.
        epilogue: Option<Expr>,
        /// The epilogue's further inputs.
        operands: Vec<Operand>,
    },
    /// A pointwise program.
    Map {
        /// The program.
        expr: Expr,
        /// Its inputs.
        operands: Vec<Operand>,
    },
    /// Two pointwise programs of one feature, the channels of the second behind those of the first.
    Halves {
        /// The programs.
        exprs: [Expr; 2],
        /// What both read.
        source: View,
    },
    /// The channels of one feature behind those of another.
    Join([View; 2]),
    /// A cell of a recurrence (see [`crate::op::Scan`]), which reads the hidden states that it left at earlier places.
    Scan {
        /// Where it reads them.
        walk: Walk,
        /// What its gates make of them.
        gating: Gating,
        /// What the input adds to the gates.
        sums: View,
        /// Constant `[taps, h, 4h]`, of a GRU `[taps, h, 3h]`.
        weights: usize,
        /// Constant `[2, h]`: hidden and cell state before the first cells; of a GRU `[1, h]`.
        initial: usize,
        /// The feature that keeps the states that cells go on from.
        cells: usize,
    },
}

/// Rows, columns and channels of a constant; 1 where it is the same along them.
pub(super) fn extents(shape: &Shape) -> [usize; 3] {
    let at = |back: usize| shape.rank().checked_sub(back).map_or(1, |axis| shape.dims()[axis]);
    [at(3), at(2), at(1)]
}

/// One step: computes a feature at the position.
#[derive(Clone, Debug)]
pub struct RasterStep {
    /// The feature.
    pub output: usize,
    /// How.
    pub work: Work,
}

/// In which order the columns of a row are computed where all are known at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// None needs another.
    Together,
    /// Each needs the one to the left of it.
    Rightward,
    /// Each needs the one to the right of it.
    Leftward,
}

impl RasterStep {
    /// The order of the columns.
    pub fn order(&self) -> Order {
        match self.work {
            Work::Scan { walk: Walk::Rightward, .. } => Order::Rightward,
            Work::Scan { walk: Walk::Leftward, .. } => Order::Leftward,
            _ => Order::Together,
        }
    }
}

/// A network's steps.
#[derive(Clone, Debug)]
pub struct RasterProgram {
    /// Height and width.
    pub size: [usize; 2],
    /// Feature maps; the first is the image.
    pub features: Vec<Feature>,
    /// Steps, in order.
    pub steps: Vec<RasterStep>,
    /// Steps that are carried out for all columns of a row when it is finished.
    pub ended: Vec<usize>,
    /// Steps that are carried out for all columns when a row begins.
    pub row: Vec<usize>,
    /// Steps that are carried out at each position.
    pub pixel: Vec<usize>,
    /// Those of them that depend on values of the position itself, and are carried out again for each further colour.
    pub again: Vec<usize>,
    /// Steps that are computed once more when the last value of a position is known, since they depend on it and later positions read
    /// them. (What the first convolution makes of the position does not depend on its last value: mask A.)
    pub late: Vec<usize>,
    /// The feature that holds the logits.
    pub logits: usize,
    /// Nodes of the graph whose values are the same for all images.
    pub constants: Vec<NodeId>,
    /// Features that other inputs than the image give, known before it is drawn, and their nodes: `[N, 1, 1, C]` or `[N, H, W, C]`.
    pub given: Vec<(usize, NodeId)>,
}
