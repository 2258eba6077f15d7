//! Reductions over adjacent axes, of a pointwise program of their inputs.

use std::any::Any;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::graph::{Batching, Binary, Eval, Expr, Graph, NodeId, Operation, Read, Shape, Signature, Unary};
use crate::native::{Operand, Real, reduction};
use crate::shader::{Launch, Target};
use crate::tensor::{Reach, Reduction};

/// Reduces `axes` of a tensor of shape `full` to extent 1. The elements are a program of inputs that broadcast to `full`.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// What is done with the elements.
    pub kind: Reduction,
    /// Shape before the reduction.
    pub full: Shape,
    /// Adjacent axes that are reduced.
    pub axes: Range<usize>,
    /// Program that makes each element.
    pub expr: Expr,
}

impl Reduce {
    /// A reduction of one tensor.
    pub fn new(kind: Reduction, full: impl Into<Shape>, axes: Range<usize>) -> Self {
        Self { kind, full: full.into(), axes, expr: Expr::identity() }
    }

    /// Extents before, along and behind the reduced axes.
    pub fn extents(&self) -> [usize; 3] {
        let dims = self.full.dims();
        let product = |r: Range<usize>| dims[r].iter().product();
        [product(0..self.axes.start), product(self.axes.clone()), product(self.axes.end..dims.len())]
    }

    fn eval<T: Real>(&self, e: Eval<'_, T>) {
        // Evaluated for some items of the whole, `items` says for how many.
        let mut dims = self.full.dims().to_vec();
        if let Some(items) = e.items {
            dims[0] = items;
        }
        let part = Self { full: Shape::new(&dims), ..self.clone() };
        let operands: Vec<_> = e.inputs.iter().zip(&e.shapes).map(|(data, shape)| Operand::new(data, shape, &part.full)).collect();
        reduction::reduce(self.kind, &self.expr, &operands, &part.full, part.extents(), e.step, e.output);
        if self.kind == Reduction::Mean {
            // Of the whole: parts of a mean add up to it.
            let share = T::of(1.0 / self.extents()[1].max(1) as f64);
            e.output.iter_mut().for_each(|sum| *sum = sum.times(share));
        }
    }
}

impl Operation for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        if self.axes.end > self.full.rank() {
            return Err(Error::Shape(format!("axes {:?} of {} do not exist", self.axes, self.full)));
        }
        if let Some(misfit) = inputs.iter().find(|s| !s.broadcasts_to(&self.full)) {
            return Err(Error::Shape(format!("{misfit} does not broadcast to {}", self.full)));
        }
        let mut dims = self.full.dims().to_vec();
        dims[self.axes.clone()].fill(1);
        Ok(Shape::new(&dims))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, _wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let x = graph.node(node).inputs[0];
        let full = self.full.clone();
        let share = 1.0 / self.extents()[1].max(1) as f64;
        let gradient = match self.kind {
            Reduction::Sum => graph.program(Expr::identity(), &[upstream], full)?,
            Reduction::Mean => graph.map_to(&[upstream], full, |b, v| b.scale(v[0], share))?,
            // What goes through the mean comes to nothing: deviations from it add up to 0.
            Reduction::Variance => {
                let mean = graph.reduce(Reduction::Mean, x, self.axes.clone())?;
                graph.map_to(&[x, mean, upstream], full, |b, v| {
                    let centred = b.sub(v[0], v[1]);
                    let slope = b.scale(centred, 2.0 * share);
                    b.mul(slope, v[2])
                })?
            }
            Reduction::LogSumExp => graph.map_to(&[x, node, upstream], full, |b, v| {
                let below = b.sub(v[0], v[1]);
                let share = b.unary(Unary::Exp, below);
                b.mul(share, v[2])
            })?,
            Reduction::Max => graph.map_to(&[x, node, upstream], full, |b, v| {
                let reached = b.binary(Binary::Equal, v[0], v[1]);
                b.mul(reached, v[2])
            })?,
        };
        Ok(vec![Some(gradient)])
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        self.eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        self.eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::reduce(self.kind, (&self.expr, &self.full), self.extents(), signature, target)
    }

    fn with_prologue(&self, k: usize, expr: &Expr, count: usize) -> Option<Box<dyn Operation>> {
        let old = super::map::arity(&self.expr);
        let inputs: Vec<Expr> = (0..old)
            .map(|i| match i.cmp(&k) {
                std::cmp::Ordering::Less => Expr::build(|b| b.input(i)),
                std::cmp::Ordering::Equal => expr.renumber(&(k..k + count).collect::<Vec<_>>()),
                std::cmp::Ordering::Greater => Expr::build(|b| b.input(i + count - 1)),
            })
            .collect();
        let fused = self.expr.substitute(&inputs);
        // Simplification may have dropped an input, and inputs are counted by what the program reads.
        (super::map::arity(&fused) == old + count - 1 && old > k)
            .then(|| Box::new(Self { expr: fused, ..self.clone() }) as Box<dyn Operation>)
    }

    fn iteration(&self) -> Option<&Shape> {
        Some(&self.full)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        let rank = self.full.rank();
        let items = self.full.dims().first().copied().unwrap_or(0);
        match (rank > 1 && signature.splits(0, items, rank), self.axes.start, self.kind) {
            (true, 0, Reduction::Sum | Reduction::Mean) => Batching::Partial(items),
            (true, 1.., _) => Batching::Items(items),
            _ => Batching::Whole,
        }
    }

    fn has_items(&self, _k: usize, shape: &Shape, items: usize, _output: &Shape) -> bool {
        shape.rank() == self.full.rank() && shape.dims()[0] == items
    }

    fn flops(&self, _signature: &Signature<'_>) -> u64 {
        (self.full.len() * self.expr.instrs().len()) as u64
    }

    fn reach(&self, inputs: &[Read<'_>], _output: &Shape) -> Reach {
        Read::join(inputs, &self.full).reduced(&self.full, self.axes.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
