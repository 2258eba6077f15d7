//! Convolution by taps, its adjoint and its weight gradient: three bilinear operations closed under differentiation.
//!
//! With ⟨·,·⟩ the inner product, `⟨conv(x, w), g⟩ = ⟨x, adjoint(g, w)⟩ = ⟨w, conv_weight(x, g)⟩`, so each one's gradients are the other
//! two. With one tap on 1×1 images they are the three forms of the matrix product.

use std::any::Any;

use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Expr, Graph, NodeId, Operation, Read, Shape, Signature};
use crate::native::{self, Convolve, Operand};
use crate::op::launch;
use crate::op::{Gather, Taps};
use crate::shader::{Launch, Target};
use crate::tensor::{Reach, classify};

/// `[N, H, W, C] · [taps, C, D] → [N, H', W', D]`, or the adjoint of that, a transposed convolution:
/// `[N, H', W', D] · [taps, C, D] → [N, H, W, C]`. Further inputs belong to the epilogue.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Geometry of the convolution.
    pub taps: Taps,
    /// Whether this is the adjoint.
    pub adjoint: bool,
    /// Program the input is read through, if any.
    pub prologue: Option<Expr>,
    /// Program over the accumulated output (input 0) and the extra inputs.
    pub epilogue: Option<Expr>,
}

/// The weight gradient of [`Conv`]: `[N, H, W, C], [N, H', W', D] → [taps, C, D]`.
#[derive(Clone, Debug)]
pub struct ConvWeight {
    /// Geometry of the convolution.
    pub taps: Taps,
    /// Program the image is read through, if any.
    pub prologue: Option<Expr>,
}

impl Conv {
    /// A bare convolution.
    pub fn new(taps: Taps) -> Self {
        Self { taps, adjoint: false, prologue: None, epilogue: None }
    }

    /// A bare transposed convolution: the adjoint of the convolution of these taps.
    pub fn adjoint(taps: Taps) -> Self {
        Self { adjoint: true, ..Self::new(taps) }
    }

    fn gather(&self) -> Gather {
        if self.adjoint { self.taps.adjoint() } else { self.taps.forward() }
    }

    /// For each output channel, which classes of the source's channels it reads at each tap: `[taps, classes]`.
    fn sees(&self, source: &Reach, weights: &Read<'_>, channels: usize) -> Vec<Vec<bool>> {
        let (taps, classes) = (self.taps.offsets.len(), source.classes());
        let Some(zeros) = weights.zeros else { return vec![vec![true; taps * classes]; channels] };
        let mut sees = vec![vec![false; taps * classes]; channels];
        let [c, d] = [weights.shape.dims()[1], weights.shape.dims()[2]];
        for (i, _) in zeros.iter().enumerate().filter(|(_, zero)| !**zero) {
            let (tap, row, column) = (i / d / c, i / d % c, i % d);
            let [from, to] = if self.adjoint { [column, row] } else { [row, column] };
            sees[to][tap * classes + source.class()[from]] = true;
        }
        sees
    }

    fn eval<T: Convolve>(&self, e: Eval<'_, T>) {
        let operands: Vec<Operand<'_, T>> =
            e.inputs[2..].iter().zip(&e.shapes[2..]).map(|(data, shape)| Operand::new(data, shape, e.shape)).collect();
        let job = native::Convolution {
            gather: &self.gather(),
            transposed: self.adjoint,
            source: e.inputs[0],
            channels: [e.shapes[0].channels(), e.shape.channels()],
            weights: e.inputs[1],
            prologue: self.prologue.as_ref(),
            epilogue: self.epilogue.as_ref(),
            precision: e.precision,
            operands: &operands,
            shape: e.shape,
            step: e.step,
        };
        T::convolve(&job, e.output);
    }
}

/// What a convolution's output reads, where each channel sees so much of the source.
fn gathered(gather: &Gather, source: &Reach, sees: &[Vec<bool>], output: &Shape) -> Reach {
    let (class, keys) = classify(sees.iter());
    let from = source.classes();
    let [[sh, sw], [dh, dw]] = [gather.source, gather.dest];
    let items = output.len() / output.channels().max(1) / (dh * dw).max(1);
    let mut last = vec![0u32; items * dh * dw * keys.len()];
    for phase in &gather.phases {
        for place in 0..items * phase.extent[0] * phase.extent[1] {
            let [h, w] = phase.extent;
            let (item, row, column) = (place / w / h, place / w % h, place % w);
            let to = (item * dh + phase.origin[0] + row * gather.step_dest) * dw + phase.origin[1] + column * gather.step_dest;
            for ([dy, dx], tap) in &phase.taps {
                let [y, x] = [(row, dy), (column, dx)].map(|(at, offset)| (at * gather.step_source) as i64 + i64::from(*offset));
                if !(0..sh as i64).contains(&y) || !(0..sw as i64).contains(&x) {
                    continue;
                }
                let read = (item * sh + y as usize) * sw + x as usize;
                for (cell, key) in last[to * keys.len()..].iter_mut().zip(&keys) {
                    let seen = (0..from).filter(|k| key[tap * from + k]).map(|k| source.of_class(read, k));
                    *cell = seen.fold(*cell, u32::max);
                }
            }
        }
    }
    let classes = keys.len();
    Reach::from_classes(class, classes, items * dh * dw, |p, c| last[p * classes + c])
}

impl ConvWeight {
    /// A bare weight gradient.
    pub fn new(taps: Taps) -> Self {
        Self { taps, prologue: None }
    }
}

fn image(shape: &Shape, size: [usize; 2], what: &str) -> Result<[usize; 4]> {
    match *shape.dims() {
        [n, h, w, c] if [h, w] == size => Ok([n, h, w, c]),
        _ => Err(Error::Shape(format!("{what} must be N×{}×{}×C, not {shape}", size[0], size[1]))),
    }
}

fn weights(shape: &Shape, taps: &Taps) -> Result<[usize; 2]> {
    match *shape.dims() {
        [t, c, d] if t == taps.offsets.len() => Ok([c, d]),
        _ => Err(Error::Shape(format!("weights must be {}×C×D, not {shape}", taps.offsets.len()))),
    }
}

fn compose(expr: &Expr, inner: &Option<Expr>, own: usize, extra: usize) -> Expr {
    match inner {
        None => expr.clone(),
        Some(inner) => {
            let inputs: Vec<Expr> = (0..=extra).map(|k| if k == 0 { inner.clone() } else { Expr::build(|b| b.input(own + k)) }).collect();
            expr.substitute(&inputs)
        }
    }
}

fn read_through(outer: &Option<Expr>, expr: &Expr) -> Expr {
    outer.as_ref().map_or_else(|| expr.clone(), |o| o.substitute(std::slice::from_ref(expr)))
}

/// Largest weights that an executor may pack again for each part of a batch.
const SMALL_WEIGHTS: usize = 32 * 1024;

/// Extra inputs that the epilogue reads besides the accumulator.
fn extras(epilogue: &Option<Expr>) -> usize {
    epilogue.as_ref().map_or(0, |e| super::map::arity(e).saturating_sub(1))
}

impl Operation for Conv {
    fn name(&self) -> &'static str {
        if self.adjoint { "conv_input" } else { "conv" }
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let [from, to] = if self.adjoint { [self.taps.output, self.taps.input] } else { [self.taps.input, self.taps.output] };
        let what = if self.adjoint { "a transposed convolution's input" } else { "a convolution's input" };
        let [n, _, _, channels] = image(inputs[0], from, what)?;
        let [c, d] = weights(inputs[1], &self.taps)?;
        let [meets, out] = if self.adjoint { [d, c] } else { [c, d] };
        if meets != channels {
            return Err(Error::Shape(format!("an image of {channels} channels meets weights for {meets}")));
        }
        Ok(Shape::from([n, to[0], to[1], out]))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let [x, w] = [graph.node(node).inputs[0], graph.node(node).inputs[1]];
        let other = Self { adjoint: !self.adjoint, ..Self::new(self.taps.clone()) };
        let pair = if self.adjoint { [upstream, x] } else { [x, upstream] };
        let dx = wanted[0].then(|| graph.op(other, &[upstream, w])).transpose()?;
        let dw = wanted[1].then(|| graph.op(ConvWeight::new(self.taps.clone()), &pair)).transpose()?;
        Ok(vec![dx, dw])
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        self.eval(e);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        self.eval(e);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        launch::conv(&self.gather(), self.adjoint, &self.prologue, &self.epilogue, signature, target)
    }

    fn with_epilogue(&self, expr: &Expr, extra: usize) -> Option<Box<dyn Operation>> {
        let epilogue = Some(compose(expr, &self.epilogue, extras(&self.epilogue), extra));
        Some(Box::new(Self { epilogue, ..self.clone() }))
    }

    fn with_prologue(&self, k: usize, expr: &Expr, count: usize) -> Option<Box<dyn Operation>> {
        let takes = k == 0 && count == 1 && expr.is_cheap() && expr.maps_zero_to_zero();
        takes.then(|| Box::new(Self { prologue: Some(read_through(&self.prologue, expr)), ..self.clone() }) as Box<dyn Operation>)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        let items = signature.output.dims()[0];
        let splits = signature.inputs[1].len() <= SMALL_WEIGHTS && signature.splits(2, items, 4);
        if splits { Batching::Items(items) } else { Batching::Whole }
    }

    fn has_items(&self, k: usize, shape: &Shape, items: usize, _output: &Shape) -> bool {
        k != 1 && shape.rank() == 4 && shape.dims()[0] == items
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        let images = signature.output.dims().first().copied().unwrap_or(0);
        let taps: usize = self.gather().phases.iter().map(|p| p.taps.len() * p.extent[0] * p.extent[1]).sum();
        (2 * images * taps * signature.inputs[0].channels() * signature.output.channels()) as u64
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        let extras = &inputs[2..];
        if inputs[1].reach.is_some() {
            return Reach::whole(output, Read::latest(inputs));
        }
        let own = match inputs[0].reach {
            Some(source) => gathered(&self.gather(), source, &self.sees(source, &inputs[1], output.channels()), output),
            None => Reach::whole(output, 0),
        };
        let own = Read { shape: output, reach: Some(&own), zeros: None };
        let all: Vec<Read<'_>> = [own].into_iter().chain(extras.iter().map(|e| Read { ..*e })).collect();
        Read::join(&all, output)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ConvWeight {
    fn eval<T: Convolve>(&self, e: Eval<'_, T>) {
        let gather = self.taps.forward();
        let job = native::WeightGradient {
            gather: &gather,
            source: e.inputs[0],
            upstream: e.inputs[1],
            channels: [e.shapes[0].channels(), e.shapes[1].channels()],
            precision: e.precision,
            prologue: self.prologue.as_ref(),
            step: e.step,
        };
        T::weight_gradient(&job, e.output);
    }
}

impl Operation for ConvWeight {
    fn name(&self) -> &'static str {
        "conv_weight"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let [n, _, _, c] = image(inputs[0], self.taps.input, "a weight gradient's image")?;
        let [m, _, _, d] = image(inputs[1], self.taps.output, "a weight gradient's upstream")?;
        if n != m {
            return Err(Error::Shape(format!("{n} images meet {m} upstream gradients")));
        }
        Ok(Shape::from([self.taps.offsets.len(), c, d]))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let [x, g] = [graph.node(node).inputs[0], graph.node(node).inputs[1]];
        let dx = wanted[0].then(|| graph.op(Conv::adjoint(self.taps.clone()), &[g, upstream])).transpose()?;
        let dg = wanted[1].then(|| graph.op(Conv::new(self.taps.clone()), &[x, upstream])).transpose()?;
        Ok(vec![dx, dg])
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        self.eval(e);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        self.eval(e);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        launch::conv_weight(&self.taps.forward(), &self.prologue, signature, target)
    }

    fn with_prologue(&self, k: usize, expr: &Expr, count: usize) -> Option<Box<dyn Operation>> {
        let takes = k == 0 && count == 1 && expr.is_cheap() && expr.maps_zero_to_zero();
        takes.then(|| Box::new(Self { prologue: Some(read_through(&self.prologue, expr)), ..self.clone() }) as Box<dyn Operation>)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        let items = signature.inputs[0].dims()[0];
        if signature.output.len() <= SMALL_WEIGHTS { Batching::Partial(items) } else { Batching::Whole }
    }

    fn has_items(&self, _k: usize, _shape: &Shape, _items: usize, _output: &Shape) -> bool {
        true
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        let images = signature.inputs[1].dims().first().copied().unwrap_or(0);
        let [h, w] = self.taps.output;
        (2 * images * h * w * signature.output.len()) as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
