//! Group normalisation with the scale, the shift and the activation behind it, and its gradients.
//!
//! Statistics are never stored: each operation finds them anew from x, which is one more read of what it reads anyway.

use std::any::Any;

use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Graph, NodeId, Operation, Shape, Signature};
use crate::native::Real;
use crate::native::group_norm::{self, Given, Job};
use crate::shader::{Launch, Target};
use crate::tensor::Grouping;

use super::launch::{self, GroupNormPart};

/// `f(scale·(x − mean)/√(var + ε) + shift)`: inputs x `[N, H, W, C]`, scale and shift `[N, 1, 1, C]` or `[C]` (Wu and He, 2018, "Group
/// normalization"; a scale and shift an image are those of adaptive normalisation). f is SiLU or nothing. It has no second derivative.
#[derive(Clone, Debug)]
pub struct GroupNorm(pub Grouping);

/// The gradients at shift and scale of a [`GroupNorm`], image by image: x, scale, shift and the output's gradient to `[N, 2, 1, C]`.
#[derive(Clone, Debug)]
pub struct GroupNormSums(pub Grouping);

/// The gradient at x of a [`GroupNorm`]: what [`GroupNormSums`] reads and what it made, to `[N, H, W, C]`.
#[derive(Clone, Debug)]
pub struct GroupNormInput(pub Grouping);

/// Checks x, scale and shift.
fn check(of: Grouping, inputs: &[&Shape]) -> Result<()> {
    let &[n, _, _, c] = inputs[0].dims() else {
        return Err(Error::Shape(format!("groups of channels are those of images N×H×W×C, not of {}", inputs[0])));
    };
    if of.groups == 0 || c % of.groups != 0 {
        return Err(Error::Shape(format!("{c} channels cannot be dealt to {} groups", of.groups)));
    }
    let fits = |s: &&Shape| **s == Shape::from([n, 1, 1, c]) || **s == Shape::from([c]);
    match inputs[1..3].iter().find(|s| !fits(s)) {
        Some(other) => Err(Error::Shape(format!("a scale or shift of {} is {n}×1×1×{c} or {c}, not {other}", inputs[0]))),
        None => Ok(()),
    }
}

fn eval<'a, T: Real>(of: Grouping, e: Eval<'a, T>, job: Job<'a, T>) {
    let &[_, h, w, channels] = e.shapes[0].dims() else { return };
    let each = |k: usize| (e.inputs[k], if e.shapes[k].rank() > 1 { channels } else { 0 });
    let given = Given { grouping: of, rows: h * w, channels, x: e.inputs[0], scale: each(1), shift: each(2) };
    group_norm::run(&given, job, e.output);
}

fn items(signature: &Signature<'_>) -> Batching {
    Batching::Items(signature.output.dims()[0])
}

fn alike(expected: &Shape, other: &Shape) -> Result<()> {
    if expected == other { Ok(()) } else { Err(Error::Shape(format!("a gradient of a group normalisation takes {expected}, not {other}"))) }
}

fn once() -> Error {
    Error::Gradient("a group normalisation has no second derivative".into())
}

impl Operation for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        check(self.0, inputs)?;
        Ok(inputs[0].clone())
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let [x, scale, shift] = [0, 1, 2].map(|k| graph.node(node).inputs[k]);
        let sums = graph.op(GroupNormSums(self.0), &[x, scale, shift, upstream])?;
        let dx = wanted[0].then(|| graph.op(GroupNormInput(self.0), &[x, scale, shift, upstream, sums])).transpose()?;
        let mut gradients = vec![dx];
        for (k, input, row) in [(1, scale, 1), (2, shift, 0)] {
            gradients.push(if wanted[k] {
                let of_images = graph.slice(sums, 1, row, 1)?;
                let shape = graph.shape(input).clone();
                Some(if shape.rank() > 1 { of_images } else { graph.sum_to(of_images, &shape)? })
            } else {
                None
            });
        }
        Ok(gradients)
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        eval(self.0, e, Job::Forward);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        eval(self.0, e, Job::Forward);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        launch::group_norm(self.0, GroupNormPart::Forward, signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        8 * signature.inputs[0].len() as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Operation for GroupNormSums {
    fn name(&self) -> &'static str {
        "group_norm_sums"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        check(self.0, inputs)?;
        alike(inputs[0], inputs[3])?;
        let &[n, _, _, c] = inputs[0].dims() else { return Err(Error::Shape("no images".into())) };
        Ok(Shape::from([n, 2, 1, c]))
    }

    fn gradient(&self, _graph: &mut Graph, _node: NodeId, _upstream: NodeId, _wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        Err(once())
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        let job = Job::Sums { upstream: e.inputs[3] };
        eval(self.0, e, job);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        let job = Job::Sums { upstream: e.inputs[3] };
        eval(self.0, e, job);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        launch::group_norm(self.0, GroupNormPart::Sums, signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        10 * signature.inputs[0].len() as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Operation for GroupNormInput {
    fn name(&self) -> &'static str {
        "group_norm_input"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let sums = GroupNormSums(self.0).shape(&inputs[..4])?;
        alike(&sums, inputs[4])?;
        Ok(inputs[0].clone())
    }

    fn gradient(&self, _graph: &mut Graph, _node: NodeId, _upstream: NodeId, _wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        Err(once())
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        let job = Job::Input { upstream: e.inputs[3], sums: e.inputs[4] };
        eval(self.0, e, job);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        let job = Job::Input { upstream: e.inputs[3], sums: e.inputs[4] };
        eval(self.0, e, job);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        launch::group_norm(self.0, GroupNormPart::Input, signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        14 * signature.inputs[0].len() as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
