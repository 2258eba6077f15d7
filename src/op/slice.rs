//! A range of one axis, and its adjoint: a range set into zeros.

use std::any::Any;

use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Graph, NodeId, Operation, Read, Shape, Signature};
use crate::shader::{Launch, Target};
use crate::tensor::Reach;

/// Elements `start..start + len` of one axis.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// First element taken.
    pub start: usize,
    /// Elements taken.
    pub len: usize,
}

/// The input set at `start` of an axis of `total` elements, zeros elsewhere.
#[derive(Clone, Debug)]
pub struct Embed {
    /// The axis.
    pub axis: usize,
    /// Where the input goes.
    pub start: usize,
    /// Elements of the axis in the output.
    pub total: usize,
}

/// Extents before an axis and behind it.
pub(crate) fn around(shape: &Shape, axis: usize) -> [usize; 2] {
    let dims = shape.dims();
    [dims[..axis].iter().product(), dims[axis + 1..].iter().product()]
}

fn with_axis(shape: &Shape, axis: usize, extent: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    dims[axis] = extent;
    Shape::new(&dims)
}

impl Slice {
    fn eval<T: Copy>(&self, e: Eval<'_, T>) {
        let [outer, inner] = around(e.shape, self.axis);
        let (from, to) = (e.shapes[0].dims()[self.axis] * inner, self.len * inner);
        for o in 0..outer {
            let start = o * from + self.start * inner;
            e.output[o * to..(o + 1) * to].copy_from_slice(&e.inputs[0][start..start + to]);
        }
    }
}

impl Embed {
    fn eval<T: Copy + Default>(&self, e: Eval<'_, T>) {
        let [outer, inner] = around(e.shape, self.axis);
        let (from, to) = (e.shapes[0].dims()[self.axis] * inner, self.total * inner);
        e.output.fill(T::default());
        for o in 0..outer {
            let start = o * to + self.start * inner;
            e.output[start..start + from].copy_from_slice(&e.inputs[0][o * from..(o + 1) * from]);
        }
    }
}

impl Operation for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        match inputs[0].dims().get(self.axis) {
            Some(&extent) if self.start + self.len <= extent => Ok(with_axis(inputs[0], self.axis, self.len)),
            _ => Err(Error::Shape(format!("{} has no {}..{} along axis {}", inputs[0], self.start, self.start + self.len, self.axis))),
        }
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, _wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let total = graph.shape(graph.node(node).inputs[0]).dims()[self.axis];
        let embed = Embed { axis: self.axis, start: self.start, total };
        Ok(vec![Some(graph.op(embed, &[upstream])?)])
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        self.eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        self.eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        let inner = around(signature.output, self.axis)[1];
        let from = signature.inputs[0].dims()[self.axis] * inner;
        super::launch::slice([self.len * inner, from, self.start * inner], signature.output.len(), target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        if self.axis > 0 { Batching::Items(signature.output.dims()[0]) } else { Batching::Whole }
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        let Some(from) = inputs[0].reach else { return Reach::whole(output, 0) };
        let inner = inputs[0].shape.rank() == self.axis + 1;
        if inner {
            let class = from.class()[self.start..self.start + self.len].to_vec();
            return Reach::from_classes(class, from.classes(), from.positions(), |p, c| from.of_class(p, c));
        }
        // Positions: extents before the axis, along it, and behind it but for the channels.
        let behind = around(output, self.axis)[1] / output.channels();
        let total = inputs[0].shape.dims()[self.axis];
        let source = |p: usize| (p / behind / self.len * total + p / behind % self.len + self.start) * behind + p % behind;
        let positions = output.len() / output.channels();
        Reach::from_classes(from.class().to_vec(), from.classes(), positions, |p, c| from.of_class(source(p), c))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Operation for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        match inputs[0].dims().get(self.axis) {
            Some(&extent) if self.start + extent <= self.total => Ok(with_axis(inputs[0], self.axis, self.total)),
            _ => Err(Error::Shape(format!("{} does not fit at {} of {} along axis {}", inputs[0], self.start, self.total, self.axis))),
        }
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, _wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let len = graph.shape(graph.node(node).inputs[0]).dims()[self.axis];
        let slice = Slice { axis: self.axis, start: self.start, len };
        Ok(vec![Some(graph.op(slice, &[upstream])?)])
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        self.eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        self.eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        let inner = around(signature.output, self.axis)[1];
        let from = signature.inputs[0].dims()[self.axis] * inner;
        super::launch::embed([self.total * inner, from, self.start * inner], signature.output.len(), target)
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        let Some(from) = inputs[0].reach else { return Reach::whole(output, 0) };
        let len = inputs[0].shape.dims()[self.axis];
        let within = |i: usize| (self.start..self.start + len).contains(&i);
        if inputs[0].shape.rank() == self.axis + 1 {
            // One class more, of the zeros.
            let zero = from.classes();
            let class = (0..self.total).map(|c| if within(c) { from.class()[c - self.start] } else { zero }).collect();
            return Reach::from_classes(class, zero + 1, from.positions(), |p, c| if c == zero { 0 } else { from.of_class(p, c) });
        }
        let behind = around(output, self.axis)[1] / output.channels();
        let positions = output.len() / output.channels();
        Reach::from_classes(from.class().to_vec(), from.classes(), positions, |p, c| {
            let along = p / behind % self.total;
            if !within(along) {
                return 0;
            }
            from.of_class((p / behind / self.total * len + along - self.start) * behind + p % behind, c)
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
