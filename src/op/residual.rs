//! The gated residual `x + a · σ(b)` of two halves of the channels, and the gradient of the halves (Salimans et al., 2017, "PixelCNN++").
//! As [`super::Gate`], each reads and writes once; the gradient of x is that of the sum itself.

use std::any::Any;

use crate::parallel::prelude::*;

use super::gate::{TASK, items};
use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Expr, Graph, NodeId, Operation, Read, Shape, Signature, Unary};
use crate::native::{Real, simd};
use crate::shader::{Launch, Target};
use crate::tensor::Reach;

/// `[…, C], […, 2C] → […, C]`: the first input, and the first half of the second's channels times the logistic of its second half.
#[derive(Clone, Debug)]
pub struct GatedResidual;

/// `[…, 2C], […, C] → […, 2C]`: the gradient of [`GatedResidual`] at its second input, given that of its output.
#[derive(Clone, Debug)]
pub struct GatedResidualGradient;

impl GatedResidual {
    /// The sum as a program over x, a and b.
    pub fn expr() -> Expr {
        Expr::build(|e| {
            let [x, a, b] = [0, 1, 2].map(|k| e.input(k));
            let open = e.unary(Unary::Sigmoid, b);
            let gated = e.mul(a, open);
            e.add(x, gated)
        })
    }

    fn eval<T: Real>(e: Eval<'_, T>) {
        let channels = e.shape.channels();
        let cells = (TASK / channels.max(1)).max(1);
        let narrow = (cells * channels).max(1);
        let parts = e.output.par_chunks_mut(narrow).zip(e.inputs[0].par_chunks(narrow)).zip(e.inputs[1].par_chunks(2 * narrow));
        parts.for_each(|((out, x), sums)| simd::dispatch(Forward { x, sums, out, channels }));
    }
}

impl GatedResidualGradient {
    fn eval<T: Real>(e: Eval<'_, T>) {
        let channels = e.shape.channels() / 2;
        let cells = (TASK / channels.max(1)).max(1);
        let wide = (2 * cells * channels).max(1);
        let parts = e.output.par_chunks_mut(wide).zip(e.inputs[0].par_chunks(wide)).zip(e.inputs[1].par_chunks((cells * channels).max(1)));
        parts.for_each(|((out, sums), upstream)| simd::dispatch(Backward { sums, upstream, out, channels }));
    }
}

struct Forward<'a, T> {
    x: &'a [T],
    sums: &'a [T],
    out: &'a mut [T],
    channels: usize,
}

impl<T: Real> simd::Job for Forward<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        for ((out, x), sums) in
            self.out.chunks_exact_mut(self.channels).zip(self.x.chunks_exact(self.channels)).zip(self.sums.chunks_exact(2 * self.channels))
        {
            let (a, b) = sums.split_at(self.channels);
            for (((out, &x), &a), &b) in out.iter_mut().zip(x).zip(a).zip(b) {
                *out = x.plus(a.times(b.logistic()));
            }
        }
    }
}

struct Backward<'a, T> {
    sums: &'a [T],
    upstream: &'a [T],
    out: &'a mut [T],
    channels: usize,
}

impl<T: Real> simd::Job for Backward<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let one = T::of(1.0);
        let cells = self.out.chunks_exact_mut(2 * self.channels).zip(self.sums.chunks_exact(2 * self.channels));
        for ((out, sums), upstream) in cells.zip(self.upstream.chunks_exact(self.channels)) {
            let (da, db) = out.split_at_mut(self.channels);
            let (a, b) = sums.split_at(self.channels);
            // Two loops, so that the compiler has few slices to prove apart.
            for ((da, &b), &u) in da.iter_mut().zip(b).zip(upstream) {
                *da = u.times(b.logistic());
            }
            for (((db, &da), &a), &b) in db.iter_mut().zip(&*da).zip(a).zip(b) {
                *db = da.times(a).times(one.minus(b.logistic()));
            }
        }
    }
}

impl Operation for GatedResidual {
    fn name(&self) -> &'static str {
        "gated_residual"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let mut dims = inputs[0].dims().to_vec();
        if let Some(channels) = dims.last_mut() {
            *channels *= 2;
        }
        if inputs[1].dims() == dims {
            return Ok(inputs[0].clone());
        }
        Err(Error::Shape(format!("{} is no gate of two halves for {}", inputs[1], inputs[0])))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let sums = graph.node(node).inputs[1];
        let gates = wanted[1].then(|| graph.op(GatedResidualGradient, &[sums, upstream])).transpose()?;
        Ok(vec![wanted[0].then_some(upstream), gates])
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        Self::eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        Self::eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::gated_residual(signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        3 * signature.output.len() as u64
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        let c = output.channels();
        let halves = inputs[1].reach.map(|sums| {
            [0, c].map(|from| {
                Reach::from_classes(sums.class()[from..from + c].to_vec(), sums.classes(), sums.positions(), |p, k| sums.of_class(p, k))
            })
        });
        let parts: Vec<(&Shape, &Reach)> =
            inputs[0].reach.into_iter().chain(halves.iter().flatten()).map(|reach| (output, reach)).collect();
        if parts.is_empty() { Reach::whole(output, 0) } else { Reach::join(&parts, output) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Operation for GatedResidualGradient {
    fn name(&self) -> &'static str {
        "gated_residual_gradient"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        GatedResidual.shape(&[inputs[1], inputs[0]])?;
        Ok(inputs[0].clone())
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let _ = (graph, node, upstream, wanted);
        Err(Error::Shape("the gradient of a gated residual has no gradient of its own; write it as a program where one is needed".into()))
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        Self::eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        Self::eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::gated_residual_gradient(signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        4 * signature.output.len() as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
