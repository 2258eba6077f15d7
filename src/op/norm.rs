//! Batch normalisation with a gradient of its own: two sums a channel instead of what differentiating the parts would cost.

use std::any::Any;

use super::Map;
use crate::error::Result;
use crate::graph::{Eval, Expr, Graph, NodeId, Operation, Read, Shape, Signature, Unary};
use crate::shader::{Launch, Target};
use crate::tensor::Reach;

/// `γ·(x − mean)/√(var + ε) + β` over inputs x, mean, var, γ, β, the last four one value a channel (Ioffe and Szegedy, 2015).
///
/// `mean` and `var` must be the mean and the biased variance of x itself over all but the last axis: the gradient with respect to x
/// counts what flows through them, and none is passed on to them. The gradient is made of ordinary nodes, so it has gradients again.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    map: Map,
    epsilon: f64,
}

impl BatchNorm {
    /// Normalisation of a tensor of this shape.
    pub fn new(shape: impl Into<Shape>, epsilon: f64) -> Self {
        let expr = Expr::build(|b| {
            let [x, mean, var, gamma, beta] = [0, 1, 2, 3, 4].map(|k| b.input(k));
            let centred = b.sub(x, mean);
            let var = b.offset(var, epsilon);
            let sigma = b.unary(Unary::Sqrt, var);
            let slope = b.div(gamma, sigma);
            let scaled = b.mul(centred, slope);
            b.add(scaled, beta)
        });
        Self { map: Map::new(expr, shape), epsilon }
    }
}

impl Operation for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        self.map.shape(inputs)
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let [x, mean, var, gamma, beta] = [0, 1, 2, 3, 4].map(|k| graph.node(node).inputs[k]);
        let channel = graph.shape(gamma).clone();
        let count = (graph.shape(x).len() / graph.shape(x).channels()) as f64;
        let epsilon = self.epsilon;
        let weighted = graph.map(&[x, mean, var, upstream], |b, v| {
            let centred = b.sub(v[0], v[1]);
            let var = b.offset(v[2], epsilon);
            let sigma = b.unary(Unary::Sqrt, var);
            let share = b.unary(Unary::Recip, sigma);
            let unit = b.mul(centred, share);
            b.mul(unit, v[3])
        })?;
        let d_gamma = graph.sum_to(weighted, &channel)?;
        let d_beta = graph.sum_to(upstream, &graph.shape(beta).clone())?;
        let dx = if wanted[0] {
            Some(graph.map(&[x, mean, var, gamma, upstream, d_beta, d_gamma], |b, v| {
                let centred = b.sub(v[0], v[1]);
                let var = b.offset(v[2], epsilon);
                let sigma = b.unary(Unary::Sqrt, var);
                let share = b.unary(Unary::Recip, sigma);
                let unit = b.mul(centred, share);
                let (mean_g, mean_gx) = (b.scale(v[5], 1.0 / count), b.scale(v[6], 1.0 / count));
                let along = b.mul(unit, mean_gx);
                let rest = b.sub(v[4], mean_g);
                let rest = b.sub(rest, along);
                let slope = b.div(v[3], sigma);
                b.mul(slope, rest)
            })?)
        } else {
            None
        };
        Ok(vec![dx, None, None, Some(d_gamma), Some(d_beta)])
    }

    fn eval_f32(&self, eval: Eval<'_, f32>) {
        self.map.eval_f32(eval);
    }

    fn eval_f64(&self, eval: Eval<'_, f64>) {
        self.map.eval_f64(eval);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        self.map.launch(signature, target)
    }

    fn pointwise(&self) -> Option<&Expr> {
        Some(self.map.expr())
    }

    fn reach(&self, inputs: &[Read<'_>], output: &Shape) -> Reach {
        Read::join(inputs, output)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
