//! Attention among the positions of an image or a sequence, whose scores are never stored: a row's are met some at a time, with the
//! largest so far taken out (Milakov and Gimelshein, 2018; Dao et al., 2022, "FlashAttention").

use std::any::Any;

use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Graph, NodeId, Operation, Shape, Signature};
use crate::native::attention::{self, Heads};
use crate::shader::{Launch, Target};

use super::launch;

/// Head widths are a whole number of these.
const UNIT: usize = 4;

/// `softmax(q·kᵀ/√w)·v` in each of several heads of width w: `[N, …, 3·heads·w]`, which is q, k and v in turn, each head by head, to
/// `[N, …, heads·w]` (Vaswani et al., 2017, section 3.2). Positions are all axes between. It has no second derivative.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Heads.
    pub heads: usize,
}

/// The gradient of [`Attention`] at what it reads: that, what it made and the gradient of what it made, to the shape of what it reads.
#[derive(Clone, Debug)]
pub struct AttentionGradient {
    /// Heads.
    pub heads: usize,
}

/// The heads of what an attention reads.
pub(super) fn heads_of(heads: usize, read: &Shape) -> Result<Heads> {
    let (dims, rank) = (read.dims(), read.rank());
    let fits = rank >= 3 && heads > 0 && read.channels().is_multiple_of(3 * heads * UNIT) && read.channels() > 0;
    if !fits {
        return Err(Error::Shape(format!("attention of {heads} heads takes N×…×C with C a multiple of 3·{UNIT}·{heads}, not {read}")));
    }
    Ok(Heads { length: dims[1..rank - 1].iter().product(), heads, width: read.channels() / (3 * heads) })
}

fn made(heads: usize, read: &Shape) -> Result<Shape> {
    heads_of(heads, read)?;
    let mut dims = read.dims().to_vec();
    *dims.last_mut().ok_or_else(|| Error::Shape("no channels".into()))? /= 3;
    Ok(Shape::new(&dims))
}

impl Operation for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        made(self.heads, inputs[0])
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let read = graph.node(node).inputs[0];
        let gradient = AttentionGradient { heads: self.heads };
        Ok(vec![wanted[0].then(|| graph.op(gradient, &[read, node, upstream])).transpose()?])
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        if let Ok(heads) = heads_of(self.heads, e.shapes[0]) {
            attention::forward(heads, e.inputs[0], e.output);
        }
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        if let Ok(heads) = heads_of(self.heads, e.shapes[0]) {
            attention::oracle::forward(heads, e.inputs[0], e.output);
        }
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        heads_of(self.heads, signature.inputs[0]).map(|heads| launch::attention(heads, signature, target)).unwrap_or_default()
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        Batching::Items(signature.output.dims()[0])
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        products(self.heads, signature.inputs[0], 2)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Operations of `count` products of all positions with all.
fn products(heads: usize, read: &Shape, count: u64) -> u64 {
    let length = heads_of(heads, read).map(|h| h.length).unwrap_or(0);
    2 * count * (read.len() / 3 * length) as u64
}

impl Operation for AttentionGradient {
    fn name(&self) -> &'static str {
        "attention_gradient"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let made = made(self.heads, inputs[0])?;
        match inputs[1..].iter().find(|s| ***s != made) {
            Some(other) => Err(Error::Shape(format!("attention over {} makes {made}, not {other}", inputs[0]))),
            None => Ok(inputs[0].clone()),
        }
    }

    fn gradient(&self, _graph: &mut Graph, _node: NodeId, _upstream: NodeId, _wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        Err(Error::Gradient("attention has no second derivative".into()))
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        if let Ok(heads) = heads_of(self.heads, e.shapes[0]) {
            attention::gradient(heads, [e.inputs[0], e.inputs[1], e.inputs[2]], e.output);
        }
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        if let Ok(heads) = heads_of(self.heads, e.shapes[0]) {
            attention::oracle::gradient(heads, e.inputs[0], e.inputs[2], e.output);
        }
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        heads_of(self.heads, signature.inputs[0]).map(|heads| launch::attention_gradient(heads, signature, target)).unwrap_or_default()
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        Batching::Items(signature.output.dims()[0])
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        products(self.heads, signature.inputs[0], 5)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
