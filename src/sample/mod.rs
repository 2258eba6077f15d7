//! Drawing images: raster order for autoregressive models, latents for the others; and what is looked for among futures.

pub mod cem;
pub mod diffusion;
pub mod guided;
pub mod latent;
pub mod mala;
pub mod plan;
pub mod posterior;
pub mod raster;
pub mod search;
pub mod target;
pub mod twisted;
pub mod walker;

use crate::random;

/// The random stream of latents; the element is the number of the image times the latent's length plus the coordinate.
const LATENT_STREAM: u32 = 0x6c61_7465;

/// Latents as [`latents`], with every coordinate beyond ±`limit` drawn again: fewer surprises, and less variety (the truncation of
/// Brock, Donahue and Simonyan, 2019).
pub fn truncated_latents(seed: u64, first: usize, count: usize, len: usize, limit: f32) -> Vec<f32> {
    // The attempt is the step of the draw, so an image's latent still depends on (seed, image) alone.
    let draw = |e: u64| {
        let tries = (0..1000).map(|attempt| random::normal(random::word(seed, LATENT_STREAM, attempt, e)));
        tries.into_iter().find(|z| z.abs() <= limit).unwrap_or(0.0)
    };
    ((first * len) as u64..((first + count) * len) as u64).map(draw).collect()
}

/// Standard normal latents `[count, len]` of images `first..first + count`: a function of (seed, image) alone.
pub fn latents(seed: u64, first: usize, count: usize, len: usize) -> Vec<f32> {
    let elements = (first * len) as u64..((first + count) * len) as u64;
    elements.map(|e| random::normal(random::word(seed, LATENT_STREAM, 0, e))).collect()
}
