//! Pointwise operations: a program applied to every element, inputs broadcast to the output.

use std::any::Any;

use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Expr, Graph, NodeId, Operation, Read, Shape, Signature};
use crate::native::{Operand, pointwise};
use crate::shader::{Launch, Target};
use crate::tensor::Reach;

/// `out[i] = expr(inputs at i)`.
#[derive(Clone, Debug)]
pub struct Map {
    expr: Expr,
    shape: Shape,
}

impl Map {
    /// A program over inputs that broadcast to `shape`.
    pub fn new(expr: Expr, shape: impl Into<Shape>) -> Self {
        Self { expr, shape: shape.into() }
    }

    /// The program.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    fn eval<T: crate::native::Real>(&self, e: Eval<'_, T>) {
        let operands: Vec<_> = e.inputs.iter().zip(&e.shapes).map(|(data, shape)| Operand::new(data, shape, e.shape)).collect();
        pointwise::map(&self.expr, &operands, e.shape, e.step, e.output);
    }
}

impl Operation for Map {
    fn name(&self) -> &'static str {
        "map"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        match inputs.iter().find(|s| !s.broadcasts_to(&self.shape)) {
            Some(misfit) => Err(Error::Shape(format!("{misfit} does not broadcast to {}", self.shape))),
            None => Ok(self.shape.clone()),
        }
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let inputs = graph.node(node).inputs.clone();
        let mut gradients = Vec::with_capacity(inputs.len());
        for (k, (&input, &wanted)) in inputs.iter().zip(wanted).enumerate() {
            let expr = if wanted { self.expr.gradient(k, inputs.len()) } else { None };
            gradients.push(match expr {
                Some(expr) => {
                    let mut operands = inputs.clone();
                    operands.push(upstream);
                    let full = graph.program(expr, &operands, self.shape.clone())?;
                    Some(graph.sum_to(full, &graph.shape(input).clone())?)
                }
                None => None,
            });
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
        super::launch::map(&self.expr, signature, target)
    }

    fn pointwise(&self) -> Option<&Expr> {
        Some(&self.expr)
    }

    fn with_prologue(&self, k: usize, expr: &Expr, count: usize) -> Option<Box<dyn Operation>> {
        (count == 1).then(|| {
            let inner = expr.renumber(&[k]);
            let inputs: Vec<Expr> = (0..crate::op::map::arity(&self.expr).max(k + 1))
                .map(|i| if i == k { inner.clone() } else { Expr::build(|b| b.input(i)) })
                .collect();
            Box::new(Self { expr: self.expr.substitute(&inputs), shape: self.shape.clone() }) as Box<dyn Operation>
        })
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        let rank = signature.output.rank();
        let items = signature.output.dims().first().copied().unwrap_or(0);
        if rank > 1 && signature.splits(0, items, rank) { Batching::Items(items) } else { Batching::Whole }
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        (signature.output.len() * self.expr.instrs().len()) as u64
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        Read::join(inputs, output)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// One more than the largest input a program reads.
pub(crate) fn arity(expr: &Expr) -> usize {
    (0..64).rev().find(|&k| expr.reads(k)).map_or(0, |k| k + 1)
}
