//! The concatenated exponential linear unit `[elu(x), elu(−x)]` along the channels (Salimans et al., 2017, "PixelCNN++"; after Shang et
//! al., 2016), and its gradient. One exponential serves both halves: the one that is not linear is e^−|x| − 1.

use std::any::Any;

use crate::parallel::prelude::*;

use super::gate::{LANES, TASK, items};
use crate::error::{Error, Result};
use crate::graph::{Batching, Binary, Eval, Expr, Graph, NodeId, Operation, Read, Shape, Signature, Unary};
use crate::native::{Real, simd};
use crate::shader::{Launch, Target};
use crate::tensor::Reach;

/// `[…, C] → […, 2C]`: elu(x), then elu(−x).
#[derive(Clone, Debug)]
pub struct ConcatElu;

/// `[…, C], […, 2C] → […, C]`: the gradient of [`ConcatElu`] at its input, given that of its output.
#[derive(Clone, Debug)]
pub struct ConcatEluGradient;

impl ConcatElu {
    /// Its two halves as programs over x.
    pub fn exprs() -> [Expr; 2] {
        let half = |upper: bool| {
            Expr::build(|b| {
                let (x, zero) = (b.input(0), b.constant(0.0));
                let positive = b.binary(Binary::Greater, x, zero);
                let size = b.unary(Unary::Abs, x);
                let minus = b.neg(size);
                let power = b.unary(Unary::Exp, minus);
                let curved = b.offset(power, -1.0);
                let negative = b.neg(x);
                if upper { b.select(positive, x, curved) } else { b.select(positive, curved, negative) }
            })
        };
        [half(true), half(false)]
    }

    fn eval<T: Real>(e: Eval<'_, T>) {
        let channels = e.shape.channels() / 2;
        let cells = (TASK / channels.max(1)).max(1);
        let parts = e.output.par_chunks_mut((2 * cells * channels).max(1)).zip(e.inputs[0].par_chunks((cells * channels).max(1)));
        parts.for_each(|(out, x)| simd::dispatch(Forward { x, out, channels }));
    }
}

impl ConcatEluGradient {
    fn eval<T: Real>(e: Eval<'_, T>) {
        let channels = e.shape.channels();
        let cells = (TASK / channels.max(1)).max(1);
        let narrow = (cells * channels).max(1);
        let parts = e.output.par_chunks_mut(narrow).zip(e.inputs[0].par_chunks(narrow)).zip(e.inputs[1].par_chunks(2 * narrow));
        parts.for_each(|((out, x), upstream)| simd::dispatch(Backward { x, upstream, out, channels }));
    }
}

struct Forward<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
    channels: usize,
}

/// Both halves at some elements.
#[inline(always)]
fn halves<T: Real>(x: &[T; LANES]) -> [[T; LANES]; 2] {
    let (zero, one) = (T::of(0.0), T::of(1.0));
    let mut out = [[T::default(); LANES]; 2];
    for i in 0..LANES {
        let minus = zero.minus(x[i]);
        let positive = x[i] > zero;
        let curved = (if positive { minus } else { x[i] }).exponential().minus(one);
        out[0][i] = if positive { x[i] } else { curved };
        out[1][i] = if positive { curved } else { minus };
    }
    out
}

impl<T: Real> simd::Job for Forward<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        for (out, x) in self.out.chunks_exact_mut(2 * self.channels).zip(self.x.chunks_exact(self.channels)) {
            let (up, down) = out.split_at_mut(self.channels);
            let whole = up.as_chunks_mut().0.iter_mut().zip(down.as_chunks_mut().0);
            for ((up, down), x) in whole.zip(x.as_chunks().0) {
                [*up, *down] = halves(x);
            }
            let done = self.channels / LANES * LANES;
            if done < self.channels {
                let mut held = [T::default(); LANES];
                held[..self.channels - done].copy_from_slice(&x[done..]);
                let [left, right] = halves(&held);
                up[done..].copy_from_slice(&left[..self.channels - done]);
                down[done..].copy_from_slice(&right[..self.channels - done]);
            }
        }
    }
}

struct Backward<'a, T> {
    x: &'a [T],
    upstream: &'a [T],
    out: &'a mut [T],
    channels: usize,
}

/// The gradient at some elements, given that of both halves.
#[inline(always)]
fn slopes<T: Real>(x: &[T; LANES], up: &[T; LANES], down: &[T; LANES]) -> [T; LANES] {
    let zero = T::of(0.0);
    std::array::from_fn(|i| {
        let positive = x[i] > zero;
        let slope = (if positive { zero.minus(x[i]) } else { x[i] }).exponential();
        let (by_up, by_down) = (up[i].times(slope), down[i].times(slope));
        (if positive { up[i] } else { by_up }).minus(if positive { by_down } else { down[i] })
    })
}

impl<T: Real> simd::Job for Backward<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let cells = self.out.chunks_exact_mut(self.channels).zip(self.x.chunks_exact(self.channels));
        for ((out, x), upstream) in cells.zip(self.upstream.chunks_exact(2 * self.channels)) {
            let (up, down) = upstream.split_at(self.channels);
            let whole = x.as_chunks().0.iter().zip(up.as_chunks().0).zip(down.as_chunks().0);
            for (out, ((x, up), down)) in out.as_chunks_mut().0.iter_mut().zip(whole) {
                *out = slopes(x, up, down);
            }
            let done = self.channels / LANES * LANES;
            if done < self.channels {
                let rest = self.channels - done;
                let mut held = [[T::default(); LANES]; 3];
                for (held, from) in held.iter_mut().zip([x, up, down]) {
                    held[..rest].copy_from_slice(&from[done..]);
                }
                out[done..].copy_from_slice(&slopes(&held[0], &held[1], &held[2])[..rest]);
            }
        }
    }
}

impl Operation for ConcatElu {
    fn name(&self) -> &'static str {
        "concat_elu"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let mut dims = inputs[0].dims().to_vec();
        match dims.last_mut() {
            Some(channels) => *channels *= 2,
            None => return Err(Error::Shape("a number has no channels to put its negative beside".into())),
        }
        Ok(Shape::new(&dims))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let x = graph.node(node).inputs[0];
        Ok(vec![wanted[0].then(|| graph.op(ConcatEluGradient, &[x, upstream])).transpose()?])
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        Self::eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        Self::eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::concat_elu(signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        signature.output.len() as u64
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        let Some(x) = inputs[0].reach else { return Reach::whole(output, 0) };
        let class = x.class().iter().chain(x.class()).copied().collect();
        Reach::from_classes(class, x.classes(), x.positions(), |p, k| x.of_class(p, k))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Operation for ConcatEluGradient {
    fn name(&self) -> &'static str {
        "concat_elu_gradient"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        if ConcatElu.shape(&inputs[..1])? == *inputs[1] {
            return Ok(inputs[0].clone());
        }
        Err(Error::Shape(format!("a concatenated ELU of {} has no gradient of {}", inputs[0], inputs[1])))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let _ = (graph, node, upstream, wanted);
        Err(Error::Shape("the gradient of a concatenated ELU has no gradient of its own; write it as programs where one is needed".into()))
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        Self::eval(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        Self::eval(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::concat_elu_gradient(signature, target)
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
