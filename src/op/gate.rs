//! The gated unit `tanh(a) · σ(b)` of two halves of the channels, and its gradient: each reads and writes once what slices, a program
//! and their adjoints would move five times (van den Oord et al., 2016, "Conditional image generation with PixelCNN decoders", eq. 2).

use std::any::Any;

use crate::parallel::prelude::*;

use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Expr, Graph, NodeId, Operation, Read, Shape, Signature, Unary};
use crate::native::{Real, simd};
use crate::shader::{Launch, Target};
use crate::tensor::Reach;

/// Elements of the wider side that one task works on.
pub(super) const TASK: usize = 16 * 1024;

/// `[…, 2C] → […, C]`: `tanh` of the first half of the channels times the logistic of the second.
#[derive(Clone, Debug)]
pub struct Gate;

/// `[…, 2C], […, C] → […, 2C]`: the gradient of [`Gate`] at the first input, given that of its output.
#[derive(Clone, Debug)]
pub struct GateGradient;

impl Gate {
    /// The gate as a program over its two halves.
    pub fn expr() -> Expr {
        Expr::build(|b| {
            let halves = [b.input(0), b.input(1)];
            let (a, g) = (b.unary(Unary::Tanh, halves[0]), b.unary(Unary::Sigmoid, halves[1]));
            b.mul(a, g)
        })
    }

    fn eval<T: Real>(e: Eval<'_, T>) {
        let channels = e.shape.channels();
        let x = e.inputs[0];
        let cells = (TASK / channels.max(1)).max(1);
        let parts = e.output.par_chunks_mut((cells * channels).max(1)).zip(x.par_chunks((2 * cells * channels).max(1)));
        parts.for_each(|(out, x)| simd::dispatch(Forward { x, out, channels }));
    }
}

struct Forward<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
    channels: usize,
}

impl<T: Real> simd::Job for Forward<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        for (out, x) in self.out.chunks_exact_mut(self.channels).zip(self.x.chunks_exact(2 * self.channels)) {
            let (a, g) = x.split_at(self.channels);
            for ((out, &a), &g) in out.iter_mut().zip(a).zip(g) {
                *out = a.hyperbolic_tangent().times(g.logistic());
            }
        }
    }
}

impl GateGradient {
    fn eval<T: Real>(e: Eval<'_, T>) {
        let channels = e.shape.channels() / 2;
        let (x, upstream) = (e.inputs[0], e.inputs[1]);
        let cells = (TASK / channels.max(1)).max(1);
        let wide = (2 * cells * channels).max(1);
        let parts = e.output.par_chunks_mut(wide).zip(x.par_chunks(wide)).zip(upstream.par_chunks((cells * channels).max(1)));
        parts.for_each(|((out, x), upstream)| simd::dispatch(Backward { x, upstream, out, channels }));
    }
}

struct Backward<'a, T> {
    x: &'a [T],
    upstream: &'a [T],
    out: &'a mut [T],
    channels: usize,
}

/// Elements that a loop works on at a time: a length the compiler knows, so that it needs no proof that five slices lie apart.
pub(super) const LANES: usize = 16;

/// The gradients of both halves at some elements.
#[inline(always)]
fn gradients<T: Real>(a: &[T; LANES], g: &[T; LANES], u: &[T; LANES]) -> [[T; LANES]; 2] {
    let one = T::of(1.0);
    let mut out = [[T::default(); LANES]; 2];
    for i in 0..LANES {
        let (t, s) = (a[i].hyperbolic_tangent(), g[i].logistic());
        let us = u[i].times(s);
        out[0][i] = us.times(one.minus(t.times(t)));
        out[1][i] = us.times(t).times(one.minus(s));
    }
    out
}

impl<T: Real> simd::Job for Backward<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let cells = self.out.chunks_exact_mut(2 * self.channels).zip(self.x.chunks_exact(2 * self.channels));
        for ((out, x), upstream) in cells.zip(self.upstream.chunks_exact(self.channels)) {
            let (da, dg) = out.split_at_mut(self.channels);
            let (a, g) = x.split_at(self.channels);
            let whole = a.as_chunks().0.iter().zip(g.as_chunks().0).zip(upstream.as_chunks().0);
            for (((a, g), u), (da, dg)) in whole.zip(da.as_chunks_mut().0.iter_mut().zip(dg.as_chunks_mut().0)) {
                [*da, *dg] = gradients(a, g, u);
            }
            let done = self.channels / LANES * LANES;
            if done < self.channels {
                let rest = self.channels - done;
                let mut held = [[T::default(); LANES]; 3];
                for (held, from) in held.iter_mut().zip([a, g, upstream]) {
                    held[..rest].copy_from_slice(&from[done..]);
                }
                let [left, right] = gradients(&held[0], &held[1], &held[2]);
                da[done..].copy_from_slice(&left[..rest]);
                dg[done..].copy_from_slice(&right[..rest]);
            }
        }
    }
}

/// Items that are gated apart.
pub(super) fn items(signature: &Signature<'_>) -> Batching {
    match signature.output.dims() {
        [items, _, ..] => Batching::Items(*items),
        _ => Batching::Whole,
    }
}

impl Operation for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let mut dims = inputs[0].dims().to_vec();
        match dims.last_mut() {
            Some(channels) if channels.is_multiple_of(2) => {
                *channels /= 2;
                Ok(Shape::new(&dims))
            }
            _ => Err(Error::Shape(format!("the channels of {} have no two halves", inputs[0]))),
        }
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let x = graph.node(node).inputs[0];
        Ok(vec![wanted[0].then(|| graph.op(GateGradient, &[x, upstream])).transpose()?])
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        Self::eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        Self::eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::gate(signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        3 * signature.output.len() as u64
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        let Some(x) = inputs[0].reach else { return Reach::whole(output, 0) };
        let c = output.channels();
        let halves =
            [0, c].map(|from| Reach::from_classes(x.class()[from..from + c].to_vec(), x.classes(), x.positions(), |p, k| x.of_class(p, k)));
        Reach::join(&[(output, &halves[0]), (output, &halves[1])], output)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Operation for GateGradient {
    fn name(&self) -> &'static str {
        "gate_gradient"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        if Gate.shape(&inputs[..1])? == *inputs[1] {
            return Ok(inputs[0].clone());
        }
        Err(Error::Shape(format!("a gate of {} has no gradient of {}", inputs[0], inputs[1])))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let _ = (graph, node, upstream, wanted);
        Err(Error::Shape("the gradient of a gate has no gradient of its own; write the gate as a program where one is needed".into()))
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        Self::eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        Self::eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::gate_gradient(signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        5 * signature.output.len() as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
