//! What every operation says of itself: its shape, its gradient, its meaning on the CPU and its launch on the device.

use std::any::Any;
use std::fmt::Debug;

use super::{Graph, NodeId, Read};
use crate::error::Result;
use crate::shader::{Launch, Target};
use crate::tensor::{Expr, Precision, Reach, Shape, Step};

/// Operands of one evaluation on the CPU.
pub struct Eval<'a, T> {
    /// Input tensors.
    pub inputs: Vec<&'a [T]>,
    /// Their shapes.
    pub shapes: Vec<&'a Shape>,
    /// The output's shape.
    pub shape: &'a Shape,
    /// The output, to be written whole; its old contents mean nothing.
    pub output: &'a mut [T],
    /// The step's seed and counters.
    pub step: &'a Step,
    /// What large products are computed in.
    pub precision: Precision,
    /// How many items the inputs hold, where that is fewer than the operation was made for.
    pub items: Option<usize>,
}

/// How an operation may be evaluated some items (of the first axis) at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// It may not.
    Whole,
    /// Each of so many items of the output depends on that item of the inputs alone (and on inputs that have no items).
    Items(usize),
    /// The output is the sum of the outputs over parts of so many items.
    Partial(usize),
}

/// Shapes of one node's inputs and output.
pub struct Signature<'a> {
    /// Shapes of the inputs.
    pub inputs: Vec<&'a Shape>,
    /// Shape of the output.
    pub output: &'a Shape,
}

impl Signature<'_> {
    /// Whether every input from number `first` on has `items` items, or none at all, seen from a shape of this rank.
    pub fn splits(&self, first: usize, items: usize, rank: usize) -> bool {
        self.inputs[first.min(self.inputs.len())..].iter().all(|s| s.rank() < rank || [1, items].contains(&s.dims()[0]))
    }
}

/// An operation: a pure function of its inputs (and the step) with one output.
pub trait Operation: Debug + Send + Sync + Any {
    /// The kernel family's name, for plans, traces and benches.
    fn name(&self) -> &'static str;

    /// The output's shape, or why these inputs cannot be taken.
    fn shape(&self, inputs: &[&Shape]) -> Result<Shape>;

    /// Gradient nodes by input, given the output's gradient `upstream`; `None` where it is zero. Only inputs in `wanted` matter.
    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>>;

    /// Computes the output in `f32`.
    fn eval_f32(&self, eval: Eval<'_, f32>);

    /// Computes the output in `f64`: the oracle of the tests.
    fn eval_f64(&self, eval: Eval<'_, f64>);

    /// The kernels that compute it.
    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch;

    /// The pointwise program, where this is one without a gradient rule of its own.
    fn pointwise(&self) -> Option<&Expr> {
        None
    }

    /// This operation followed by the pointwise `expr` over its output (input 0) and `extra` more inputs, which are appended to this
    /// operation's own; `None` where it cannot take one.
    fn with_epilogue(&self, _expr: &Expr, _extra: usize) -> Option<Box<dyn Operation>> {
        None
    }

    /// This operation reading its input `k` through `expr`, a program of `count` inputs that replace input `k` in place; `None` where
    /// it cannot. `shapes` are those of the new inputs.
    fn with_prologue(&self, _k: usize, _expr: &Expr, _count: usize) -> Option<Box<dyn Operation>> {
        None
    }

    /// The shape a prologue is evaluated over, where it is not that of the input it replaces.
    fn iteration(&self) -> Option<&Shape> {
        None
    }

    /// How it may be evaluated some items at a time, so that an executor can keep what it works on in cache.
    fn batching(&self, _signature: &Signature<'_>) -> Batching {
        Batching::Whole
    }

    /// Whether input `k`, of this shape, is one that has `items` items.
    fn has_items(&self, _k: usize, shape: &Shape, items: usize, output: &Shape) -> bool {
        shape.rank() == output.rank() && shape.dims()[0] == items
    }

    /// How far into an image each element of the output reads, where the inputs read so far; at least one of them reads it. Unless it says
    /// so, each reads what any of the inputs reads.
    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        Reach::whole(output, Read::latest(inputs))
    }

    /// Floating-point operations of one evaluation, for the bench.
    fn flops(&self, signature: &Signature<'_>) -> u64 {
        signature.output.len() as u64
    }

    /// For downcasting by the raster sampler.
    fn as_any(&self) -> &dyn Any;
}
