//! What chains and searches of latents go by.

use crate::error::Result;

/// A density of latents.
pub trait Target {
    /// Length of a latent.
    fn latent(&self) -> usize;

    /// Latents that are looked at together, at most.
    fn chunk(&self) -> usize;

    /// ln of the density at the latents `[N, latent]` of the chains from number `first` on, up to a constant, `[N]`, and its slope by each
    /// coordinate.
    ///
    /// # Errors
    /// Errors of the device.
    fn of(&mut self, first: usize, z: &[f32]) -> impl Future<Output = Result<(Vec<f64>, Vec<f32>)>>;
}
