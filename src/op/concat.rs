//! Two tensors side by side along one axis.

use std::any::Any;

use super::slice::{Slice, around};
use crate::error::{Error, Result};
use crate::graph::{Eval, Graph, NodeId, Operation, Read, Shape, Signature};
use crate::shader::{Launch, Target};
use crate::tensor::{Reach, classify};

/// The first input followed by the second along `axis`.
#[derive(Clone, Debug)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Concat {
    fn eval<T: Copy>(&self, e: Eval<'_, T>) {
        let [outer, inner] = around(e.shape, self.axis);
        let [a, b] = [0, 1].map(|k| e.shapes[k].dims()[self.axis] * inner);
        for o in 0..outer {
            let row = &mut e.output[o * (a + b)..(o + 1) * (a + b)];
            row[..a].copy_from_slice(&e.inputs[0][o * a..(o + 1) * a]);
            row[a..].copy_from_slice(&e.inputs[1][o * b..(o + 1) * b]);
        }
    }
}

impl Operation for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let (a, b) = (inputs[0].dims(), inputs[1].dims());
        let fits = a.len() == b.len() && self.axis < a.len() && (0..a.len()).all(|i| i == self.axis || a[i] == b[i]);
        if !fits {
            return Err(Error::Shape(format!("{} and {} do not join along axis {}", inputs[0], inputs[1], self.axis)));
        }
        let mut dims = a.to_vec();
        dims[self.axis] += b[self.axis];
        Ok(Shape::new(&dims))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let mut start = 0;
        let mut gradients = Vec::new();
        for (input, &wanted) in graph.node(node).inputs.clone().into_iter().zip(wanted) {
            let len = graph.shape(input).dims()[self.axis];
            let slice = Slice { axis: self.axis, start, len };
            gradients.push(wanted.then(|| graph.op(slice, &[upstream])).transpose()?);
            start += len;
        }
        Ok(gradients)
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        self.eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        self.eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        let inner = around(signature.output, self.axis)[1];
        let rows = [signature.output, signature.inputs[0]].map(|shape| shape.dims()[self.axis] * inner);
        super::launch::concat(rows, signature, target)
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        let nothing: Vec<Reach> = inputs.iter().map(|i| Reach::whole(i.shape, 0)).collect();
        let [a, b] = [0, 1].map(|k| inputs[k].reach.unwrap_or(&nothing[k]));
        let positions = output.len() / output.channels();
        if output.rank() == self.axis + 1 {
            let first = a.classes();
            let class = a.class().iter().copied().chain(b.class().iter().map(|c| c + first)).collect();
            let last = |p: usize, c: usize| if c < first { a.of_class(p, c) } else { b.of_class(p, c - first) };
            return Reach::from_classes(class, first + b.classes(), positions, last);
        }
        let (class, keys) = classify(a.class().iter().zip(b.class()));
        let [a_len, b_len] = [0, 1].map(|k| inputs[k].shape.dims()[self.axis]);
        let behind = around(output, self.axis)[1] / output.channels();
        Reach::from_classes(class, keys.len(), positions, |p, c| {
            let (before, along, rest) = (p / behind / (a_len + b_len), p / behind % (a_len + b_len), p % behind);
            if along < a_len {
                a.of_class((before * a_len + along) * behind + rest, *keys[c].0)
            } else {
                b.of_class((before * b_len + along - a_len) * behind + rest, *keys[c].1)
            }
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
