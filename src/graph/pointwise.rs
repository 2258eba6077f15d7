//! Pointwise programs as nodes: all that a graph adds by itself where it differentiates, reshapes and fuses.

use std::sync::Arc;

use super::{Graph, Kind, NodeId, Operation};
use crate::error::{Error, Result};
use crate::tensor::{Builder, Expr, Shape, Value};

/// Makes the operation that applies a program to every element of a shape. Operations stand above the graph, which is handed this one.
pub type Pointwise = fn(Expr, Shape) -> Arc<dyn Operation>;

impl Graph {
    /// A pointwise program over inputs that broadcast to `shape`.
    pub fn program(&mut self, expr: Expr, inputs: &[NodeId], shape: impl Into<Shape>) -> Result<NodeId> {
        let shape = shape.into();
        let expr = self.with_constants(expr, inputs);
        let kept: Vec<usize> = (0..inputs.len()).filter(|&k| expr.reads(k)).collect();
        let to: Vec<usize> = (0..inputs.len()).map(|k| kept.iter().position(|&i| i == k).unwrap_or(0)).collect();
        let inputs: Vec<NodeId> = kept.iter().map(|&k| inputs[k]).collect();
        let expr = expr.renumber(&to);
        if expr.is_identity() && self.shape(inputs[0]) == &shape {
            return Ok(inputs[0]);
        }
        self.boxed((self.pointwise)(expr, shape), &inputs)
    }

    /// The program with its constant inputs written into it: most gradients start from a constant, and end up simpler.
    fn with_constants(&self, expr: Expr, inputs: &[NodeId]) -> Expr {
        let constants: Vec<Option<f64>> = inputs.iter().map(|&i| self.constant_of(i)).collect();
        if constants.iter().all(Option::is_none) {
            return expr;
        }
        let stands = |(k, constant): (usize, &Option<f64>)| {
            Expr::build(|b| match constant {
                Some(value) => b.constant(*value),
                None => b.input(k),
            })
        };
        expr.substitute(&constants.iter().enumerate().map(stands).collect::<Vec<_>>())
    }

    /// A pointwise function of inputs that broadcast to `shape`, written with a [`Builder`].
    pub fn map_to(
        &mut self,
        inputs: &[NodeId],
        shape: impl Into<Shape>,
        write: impl FnOnce(&mut Builder, &[Value]) -> Value,
    ) -> Result<NodeId> {
        let expr = Expr::build(|b| {
            let values: Vec<Value> = (0..inputs.len()).map(|k| b.input(k)).collect();
            write(b, &values)
        });
        self.program(expr, inputs, shape)
    }

    /// A pointwise function of inputs that broadcast against each other.
    pub fn map(&mut self, inputs: &[NodeId], write: impl FnOnce(&mut Builder, &[Value]) -> Value) -> Result<NodeId> {
        let mut shape = Shape::scalar();
        for &input in inputs {
            let other = self.shape(input);
            shape = shape.broadcast(other).ok_or_else(|| Error::Shape(format!("{shape} and {other} do not broadcast")))?;
        }
        self.map_to(inputs, shape, write)
    }

    /// a + b
    pub fn add(&mut self, a: NodeId, b: NodeId) -> Result<NodeId> {
        self.map(&[a, b], |e, v| e.add(v[0], v[1]))
    }

    /// A tensor whose elements are all the same constant.
    pub fn fill(&mut self, shape: impl Into<Shape>, value: f64) -> Result<NodeId> {
        let shape = shape.into();
        self.boxed((self.pointwise)(Expr::build(|b| b.constant(value)), shape), &[])
    }

    /// The value of a tensor whose elements are all the same constant.
    pub(crate) fn constant_of(&self, x: NodeId) -> Option<f64> {
        match &self.nodes[x.0].kind {
            Kind::Op(op) => op.pointwise().and_then(Expr::as_constant),
            _ => None,
        }
    }
}
