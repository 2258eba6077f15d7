//! Drawing images: raster order for autoregressive models, latents for the others.

pub mod latent;
pub mod raster;

use crate::random;

/// The random stream of latents; the element is the number of the image times the latent's length plus the coordinate.
const LATENT_STREAM: u32 = 0x6c61_7465;

/// Standard normal latents `[count, len]` of images `first..first + count`: a function of (seed, image) alone.
pub fn latents(seed: u64, first: usize, count: usize, len: usize) -> Vec<f32> {
    let elements = (first * len) as u64..((first + count) * len) as u64;
    elements.map(|e| random::normal(random::word(seed, LATENT_STREAM, 0, e))).collect()
}
