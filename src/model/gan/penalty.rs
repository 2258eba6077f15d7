//! The gradient penalty of Wasserstein critics (Gulrajani et al., 2017, eq. 3).

use crate::error::Result;
use crate::graph::{Distribution, Graph, NodeId};
use crate::op::Reduction;

/// Under the root of the norm, so that a critic without a slope has a gradient of zero and not of 0/0.
const TINY: f64 = 1e-12;

/// Points on the straight lines between real and generated items, `[N, …]`: α·real + (1 − α)·fake with one uniform α an item.
pub fn between(g: &mut Graph, real: NodeId, fake: NodeId) -> Result<NodeId> {
    let mut dims = vec![1; g.shape(real).rank()];
    dims[0] = g.shape(real).dims()[0];
    let stream = g.stream();
    let alpha = g.random(Distribution::Uniform, stream, dims.as_slice())?;
    g.map(&[real, fake, alpha], |b, v| {
        let apart = b.sub(v[0], v[1]);
        let along = b.mul(v[2], apart);
        b.add(v[1], along)
    })
}

/// The mean over items of (‖∇ₓ logit‖ − 1)², given the logits `[N]` at x `[N, …]`. The gradient is nodes of the same graph, so this
/// differentiates by the critic's weights exactly. Nothing in the critic may mix items.
pub fn gradient_penalty(g: &mut Graph, logits: NodeId, x: NodeId) -> Result<NodeId> {
    let squared = squared_slopes(g, logits, x)?;
    let excess = g.map(&[squared], |b, v| {
        let safe = b.offset(v[0], TINY);
        let norm = b.unary(crate::graph::Unary::Sqrt, safe);
        let off = b.offset(norm, -1.0);
        b.mul(off, off)
    })?;
    g.mean_all(excess)
}

/// R₁ without its weight: the mean over items of ½‖∇ₓ logit‖² (Mescheder et al., 2018, eq. 9), given the logits `[N]` at real x `[N, …]`.
/// Where G matches the data, D's slope is drawn to 0 there, and the game comes to rest. Nothing in D may mix items.
pub fn r1(g: &mut Graph, logits: NodeId, x: NodeId) -> Result<NodeId> {
    let squared = squared_slopes(g, logits, x)?;
    let mean = g.mean_all(squared)?;
    g.scale(mean, 0.5)
}

/// ‖∇ₓ logit‖² of each item.
fn squared_slopes(g: &mut Graph, logits: NodeId, x: NodeId) -> Result<NodeId> {
    let sum = g.sum_all(logits)?;
    let slope = g.gradients(sum, &[x])?[0];
    let squares = g.mul(slope, slope)?;
    let rank = g.shape(squares).rank();
    g.reduce(Reduction::Sum, squares, 1..rank)
}
