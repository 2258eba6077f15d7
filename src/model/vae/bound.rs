//! The parts of the evidence lower bound, as pointwise programs that fuse into the sums and layers beside them.
//!
//! Composed, a bound is two kernels forward (each likelihood's and KL's program inside the sum that reads it) and one kernel a gradient
//! backward (logits, mean, log variance), which is as few as there are tensors to write; `tests/vae.rs` counts them.

use super::coder::Coder;
use crate::error::Result;
use crate::graph::{Binary, Builder, Distribution, Graph, NodeId, Shape, Unary, Value};
use crate::op::Reduction;

/// The log variance above which σ² is continued by its tangent in the KL term and held in the reparameterisation: e^40 is far beyond any
/// use, and f32 would overflow at e^88.
const LARGEST_LOG_VAR: f64 = 40.0;
/// The random stream of importance samples; the step is the tile of samples, the element is the image's.
const IMPORTANCE: u32 = 0x7661_6503;

/// e^{s/2}, finite for every finite s.
fn deviation(b: &mut Builder, log_var: Value) -> Value {
    let largest = b.constant(LARGEST_LOG_VAR);
    let held = b.binary(Binary::Min, log_var, largest);
    let half = b.scale(held, 0.5);
    b.unary(Unary::Exp, half)
}

/// z = μ + σ·ε with ε standard normal, made in the kernel; of the moments' shape.
pub fn reparameterise(g: &mut Graph, moments: [NodeId; 2], stream: u32) -> Result<NodeId> {
    g.map(&moments, |b, v| {
        let noise = b.random(Distribution::Normal, stream);
        let sigma = deviation(b, v[1]);
        let away = b.mul(sigma, noise);
        b.add(v[0], away)
    })
}

/// KL(N(μ, σ²) ‖ N(0, 1)) = ½(μ² + σ² − 1 − ln σ²) of each latent, of the moments' shape, in nats (Kingma and Welling, 2014, appendix B).
pub fn kl(g: &mut Graph, moments: [NodeId; 2]) -> Result<NodeId> {
    g.map(&moments, |b, v| {
        let largest = b.constant(LARGEST_LOG_VAR);
        let held = b.binary(Binary::Min, v[1], largest);
        let variance = b.unary(Unary::Exp, held);
        // Where s is held, the tangent's slope brings it back: e^m·(1 + s − m).
        let beyond = b.sub(v[1], held);
        let factor = b.offset(beyond, 1.0);
        let variance = b.mul(variance, factor);
        let square = b.mul(v[0], v[0]);
        let sum = b.add(square, variance);
        let rest = b.sub(sum, v[1]);
        let rest = b.offset(rest, -1.0);
        b.scale(rest, 0.5)
    })
}

/// Log importance weights ln p(x|z) + ln p(z) − ln q(z|x) of `samples` latents of each image: output `log_weight` `[N, samples]`
/// (Burda et al., 2016, "Importance weighted autoencoders", equation 8).
pub fn importance(coder: &Coder, batch: usize, samples: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let x = coder.image(&mut g, batch);
    let labels = coder.labels(&mut g, batch);
    let moments = coder.encode(&mut g, x, labels)?;
    let latent = coder.latent;
    let mut spread = Vec::with_capacity(2);
    for moment in moments {
        spread.push(g.reshape(moment, [batch, 1, latent])?);
    }
    let cloud = [batch, samples, latent];
    let z = g.map_to(&spread, cloud, |b, v| {
        let noise = b.random(Distribution::Normal, IMPORTANCE);
        let sigma = deviation(b, v[1]);
        let away = b.mul(sigma, noise);
        b.add(v[0], away)
    })?;
    // ln p(z) − ln q(z|x): the constants cancel, and (z − μ)/σ is the noise itself.
    let ratio = g.map_to(&spread, cloud, |b, v| {
        let noise = b.random(Distribution::Normal, IMPORTANCE);
        let sigma = deviation(b, v[1]);
        let away = b.mul(sigma, noise);
        let z = b.add(v[0], away);
        let (prior, posterior) = (b.mul(z, z), b.mul(noise, noise));
        let difference = b.sub(posterior, prior);
        let sum = b.add(difference, v[1]);
        b.scale(sum, 0.5)
    })?;
    let ratio = g.reduce(Reduction::Sum, ratio, 2..3)?;
    let z = g.reshape(z, [batch * samples, latent])?;
    let labels = match labels {
        Some(labels) => {
            let rows = g.reshape(labels, [batch, 1, coder.classes])?;
            let rows = g.map_to(&[rows], [batch, samples, coder.classes], |_, v| v[0])?;
            Some(g.reshape(rows, [batch * samples, coder.classes])?)
        }
        None => None,
    };
    let y = coder.decode(&mut g, z, labels)?;
    let values = coder.dims.iter().product();
    let y = g.reshape(y, [batch, samples, values])?;
    let x = g.reshape(x, [batch, 1, values])?;
    let nll = coder.output.nll(&mut g, &coder.spec, [y, x], Shape::from([batch, samples, values]))?;
    let nll = g.reduce(Reduction::Sum, nll, 2..3)?;
    let log_weight = g.sub(ratio, nll)?;
    let log_weight = g.reshape(log_weight, [batch, samples])?;
    g.output("log_weight", log_weight);
    Ok(g)
}
