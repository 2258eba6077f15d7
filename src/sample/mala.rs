//! Chains of the Metropolis-adjusted Langevin algorithm (Roberts and Tweedie, 1996, "Exponential convergence of Langevin distributions and
//! their discrete approximations").
//!
//! Each chain finds its own length of step in the first half of its way, and goes the second half with it. What it comes to is a function of
//! where it begins, the seed and its number alone.

use super::target::Target;
use crate::error::Result;
use crate::random::{normal, unit, word};

/// The random stream of proposals; the step is the chain's, the element is the latent's.
const PROPOSE: u32 = 0x6d61_6c01;
/// The random stream of what is accepted; the element is the chain.
const ACCEPT: u32 = 0x6d61_6c02;
/// Share of proposals that are accepted where steps have the best length (Roberts and Rosenthal, 1998).
const BEST: f64 = 0.574;
/// How fast the length of steps is let go: its logarithm moves by k^−0.6 at step k.
const COOLS: f64 = 0.6;

/// Where chains ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    /// The last latents, `[N, latent]`.
    pub z: Vec<f32>,
    /// Share of proposals of the second half that were accepted.
    pub acceptance: f64,
}

/// Where each chain is.
struct Points {
    z: Vec<f32>,
    target: Vec<f64>,
    slope: Vec<f32>,
}

/// Goes so many steps from each of some latents `[N, latent]`; `progress` hears of every step of a part of them.
///
/// # Errors
/// Errors of the device.
pub async fn walk(target: &mut impl Target, starts: &[f32], steps: usize, seed: u64, mut progress: impl FnMut()) -> Result<Ended> {
    let (latent, chunk) = (target.latent(), target.chunk());
    let count = starts.len() / latent;
    let (mut ended, mut accepted) = (Ended::default(), 0);
    for (part, z) in starts.chunks(chunk * latent).enumerate() {
        let first = part * chunk;
        let (value, slope) = target.of(first, z).await?;
        let mut at = Points { z: z.to_vec(), target: value, slope };
        let mut lengths = vec![(latent as f64).powf(-1.0 / 6.0); z.len() / latent];
        for step in 1..=steps {
            accepted += go(target, &mut at, &mut lengths, (first, step, steps), seed).await?;
            progress();
        }
        ended.z.extend(at.z);
    }
    ended.acceptance = accepted as f64 / (count * (steps - steps / 2)).max(1) as f64;
    Ok(ended)
}

/// One step of some chains; returns how many moved, in the second half of the way.
async fn go(
    target: &mut impl Target,
    at: &mut Points,
    lengths: &mut [f64],
    (first, step, steps): (usize, usize, usize),
    seed: u64,
) -> Result<usize> {
    let latent = target.latent();
    let chain = |i: usize| i * latent..(i + 1) * latent;
    let noise = |element: usize| f64::from(normal(word(seed, PROPOSE, step as u32, (first * latent + element) as u64)));
    let proposed = (0..at.z.len()).map(|element| {
        let length = lengths[element / latent];
        let (z, slope) = (f64::from(at.z[element]), f64::from(at.slope[element]));
        (z + 0.5 * length * length * slope + length * noise(element)) as f32
    });
    let proposed: Vec<f32> = proposed.collect();
    let (value, slope) = target.of(first, &proposed).await?;
    let next = Points { z: proposed, target: value, slope };
    let mut moved = 0;
    for (i, length) in lengths.iter_mut().enumerate() {
        // −ln q of a way from one to the other, up to a constant.
        let way = |from: &Points, to: &Points| {
            let parts = chain(i).map(|e| {
                let mean = f64::from(from.z[e]) + 0.5 * *length * *length * f64::from(from.slope[e]);
                (f64::from(to.z[e]) - mean).powi(2)
            });
            parts.sum::<f64>() / (2.0 * *length * *length)
        };
        let ratio = next.target[i] - at.target[i] + way(at, &next) - way(&next, at);
        let chance = if ratio.is_finite() { ratio.exp().min(1.0) } else { 0.0 };
        let goes = f64::from(unit(word(seed, ACCEPT, step as u32, (first + i) as u64))) < chance;
        if goes {
            at.z[chain(i)].copy_from_slice(&next.z[chain(i)]);
            at.slope[chain(i)].copy_from_slice(&next.slope[chain(i)]);
            at.target[i] = next.target[i];
        }
        if step <= steps / 2 {
            *length *= ((chance - BEST) * (step as f64).powf(-COOLS)).exp();
        } else {
            moved += usize::from(goes);
        }
    }
    Ok(moved)
}
