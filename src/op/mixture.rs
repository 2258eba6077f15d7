//! −ln p of pixels under a mixture of discretised logistics, and its gradient: each reads the parameters once, and nothing of the mixture's
//! size is kept between the two.

use std::any::Any;

use crate::parallel::prelude::*;

use crate::error::{Error, Result};
use crate::graph::{Batching, Eval, Graph, NodeId, Operation, Read, Shape, Signature};
use crate::native::Real;
use crate::native::mixture::MixtureJob;
use crate::shader::{Launch, Target};
use crate::tensor::{Mixture, Reach};

/// Pixels that one task works on.
const TASK: usize = 128;

/// `[…, parameters], […, colours] → […, colours]`: −ln p of each value, in levels from 0, given the colours of its pixel before it.
#[derive(Clone, Debug)]
pub struct MixtureNll {
    /// The mixture.
    pub mixture: Mixture,
}

/// `[…, parameters], […, colours], […, colours] → […, parameters]`: the gradient of [`MixtureNll`] at the parameters, given that of its
/// output.
#[derive(Clone, Debug)]
pub struct MixtureNllGradient {
    /// The mixture.
    pub mixture: Mixture,
}

fn eval<T: Real>(mixture: Mixture, e: Eval<'_, T>) {
    let channels = [mixture.parameters(), mixture.colours].map(|c| TASK * c);
    let (parameters, levels) = (e.inputs[0].par_chunks(channels[0]), e.inputs[1].par_chunks(channels[1]));
    let (parts, upstream) = (parameters.zip(levels), e.inputs.get(2));
    match upstream {
        None => parts.zip(e.output.par_chunks_mut(channels[1])).for_each(|((parameters, levels), out)| {
            MixtureJob { mixture, parameters, levels, upstream: None, out }.run();
        }),
        Some(upstream) => {
            let parts = parts.zip(upstream.par_chunks(channels[1])).zip(e.output.par_chunks_mut(channels[0]));
            parts.for_each(|(((parameters, levels), upstream), out)| {
                MixtureJob { mixture, parameters, levels, upstream: Some(upstream), out }.run();
            });
        }
    }
}

fn items(signature: &Signature<'_>) -> Batching {
    match signature.output.dims() {
        [items, _, ..] => Batching::Items(*items),
        _ => Batching::Whole,
    }
}

/// Floating-point operations of a component at a value, an elementary function counted as one.
const EACH: usize = 25;

impl Operation for MixtureNll {
    fn name(&self) -> &'static str {
        "mixture_nll"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let (parameters, levels) = (inputs[0].dims(), inputs[1].dims());
        let fits = |dims: &[usize], channels: usize| dims.last() == Some(&channels);
        let pixels = |dims: &[usize]| dims[..dims.len() - 1].to_vec();
        if fits(parameters, self.mixture.parameters()) && fits(levels, self.mixture.colours) && pixels(parameters) == pixels(levels) {
            return Ok(inputs[1].clone());
        }
        let wanted = format!("{} parameters for each of {} colours", self.mixture.parameters(), self.mixture.colours);
        Err(Error::Shape(format!("a mixture takes {wanted}, not {} for {}", inputs[0], inputs[1])))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let [parameters, levels] = graph.node(node).inputs[..] else { return Err(Error::Shape("a mixture has two inputs".into())) };
        let gradient = MixtureNllGradient { mixture: self.mixture };
        // Levels are whole numbers: there is no gradient at them.
        Ok(vec![wanted[0].then(|| graph.op(gradient, &[parameters, levels, upstream])).transpose()?, None])
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        eval(self.mixture, e);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        eval(self.mixture, e);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::mixture(&self.mixture, signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        (EACH * self.mixture.components * signature.output.len()) as u64
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        let colours = self.mixture.colours;
        let read = |input: &Read<'_>, position: usize, channel: usize| input.reach.map_or(0, |r| r.at(position, channel));
        Reach::from_classes((0..colours).collect(), colours, output.len() / colours, |position, colour| {
            let parameters = (0..self.mixture.parameters()).filter(|p| self.mixture.colour(*p) <= colour);
            let parameters = parameters.map(|p| read(&inputs[0], position, p));
            parameters.chain((0..=colour).map(|c| read(&inputs[1], position, c))).max().unwrap_or(0)
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Operation for MixtureNllGradient {
    fn name(&self) -> &'static str {
        "mixture_nll_gradient"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let nll = MixtureNll { mixture: self.mixture };
        if nll.shape(&inputs[..2])? == *inputs[2] {
            return Ok(inputs[0].clone());
        }
        Err(Error::Shape(format!("a mixture over {} has no gradient of {}", inputs[1], inputs[2])))
    }

    fn gradient(&self, _graph: &mut Graph, _node: NodeId, _upstream: NodeId, _wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        Err(Error::Shape("the gradient of a mixture of logistics has no gradient of its own".into()))
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        eval(self.mixture, e);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        eval(self.mixture, e);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        super::launch::mixture(&self.mixture, signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        items(signature)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        (2 * EACH * self.mixture.components * signature.inputs[1].len()) as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
