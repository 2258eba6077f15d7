//! Products of matrices, pair by pair.

use std::any::Any;

use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Graph, NodeId, Operation, Shape, Signature};
use crate::native::product::{Multiply, Sizes};
use crate::shader::{Launch, Target};

use super::launch;

/// `[B, M, K] · [B, K, N] → [B, M, N]`: B products of matrices. Where a factor is `turned` its matrices lie the other way, `[B, K, M]` and
/// `[B, N, K]`. The gradients of a product are products, so that it has derivatives of any order.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Of the first factor, and of the second.
    pub turned: [bool; 2],
}

impl Product {
    /// The extents of a product of these factors.
    fn sizes(self, factors: [&Shape; 2]) -> Result<Sizes> {
        let refuse = || Error::Shape(format!("{} and {} are no matrices that can be multiplied pair by pair", factors[0], factors[1]));
        let [&[batch, a, b], &[other, c, d]] = factors.map(Shape::dims) else { return Err(refuse()) };
        let [m, k] = if self.turned[0] { [b, a] } else { [a, b] };
        let [met, n] = if self.turned[1] { [d, c] } else { [c, d] };
        if batch != other || k != met { Err(refuse()) } else { Ok(Sizes { batch, m, k, n, turned: self.turned }) }
    }

    fn eval<T: Multiply>(self, e: Eval<'_, T>) {
        // Of some items the shapes say so.
        if let Ok(sizes) = self.sizes([e.shapes[0], e.shapes[1]]) {
            T::multiply(sizes, e.inputs[0], e.inputs[1], e.output);
        }
    }
}

impl Operation for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let Sizes { batch, m, n, .. } = self.sizes([inputs[0], inputs[1]])?;
        Ok(Shape::from([batch, m, n]))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let [a, b] = [0, 1].map(|k| graph.node(node).inputs[k]);
        let [a_turned, b_turned] = self.turned;
        // With A and B as they are multiplied and G the gradient, those are G·Bᵀ and Aᵀ·G, or these turned.
        let first = if a_turned { ([b_turned, true], [b, upstream]) } else { ([false, !b_turned], [upstream, b]) };
        let second = if b_turned { ([true, a_turned], [upstream, a]) } else { ([!a_turned, false], [a, upstream]) };
        let mut gradients = Vec::new();
        for ((turned, factors), wanted) in [first, second].into_iter().zip(wanted) {
            gradients.push(wanted.then(|| graph.op(Self { turned }, &factors)).transpose()?);
        }
        Ok(gradients)
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        self.eval(e);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        self.eval(e);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        self.sizes([signature.inputs[0], signature.inputs[1]]).map(|sizes| launch::product(sizes, target)).unwrap_or_default()
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        Batching::Items(signature.output.dims()[0])
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        self.sizes([signature.inputs[0], signature.inputs[1]]).map(|s| 2 * (s.batch * s.m * s.k * s.n) as u64).unwrap_or(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
