//! Latents to images, and the ways between two latents.

use crate::data::one_hot;
use crate::error::Result;
use crate::graph::Step;
use crate::model::{Model, need};
use crate::runtime::{Device, Program, State, Weights};

/// Latents decoded at a time.
const CHUNK: usize = 256;

/// The way from one latent to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// (1 − t)·a + t·b. Under a normal prior its middle is shorter than a typical latent.
    Straight,
    /// Along the arc (White, 2016, "Sampling generative networks"), which keeps to the length that latents of many dimensions have.
    Spherical,
}

/// The latent at `t` in 0..=1 on the way from `a` to `b`.
pub fn between(path: Path, a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    let [from, to] = match path {
        Path::Straight => [1.0 - t, t],
        Path::Spherical => {
            let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            let angle = cosine.clamp(-1.0, 1.0).acos();
            // Where they point the same or opposite ways (or one is zero) there is no arc.
            if cosine.is_finite() && angle.sin() > 1e-6 {
                [((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()]
            } else {
                [1.0 - t, t]
            }
        }
    };
    a.iter().zip(b).map(|(a, b)| (from * f64::from(*a) + to * f64::from(*b)) as f32).collect()
}

/// A model's decoder on a device, prepared for a number of latents at a time.
pub struct Decoder {
    program: Program,
    chunk: usize,
    latent: usize,
    conditional: bool,
}

impl Decoder {
    /// Prepares a decoder for up to `most` latents at a time: as many as the device takes at once.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where the model has no decoder; errors of the device.
    pub async fn new(device: &Device, model: &dyn Model, state: &State, weights: Weights, most: usize) -> Result<Self> {
        let decoder = need::decodes(model)?;
        let latent = decoder.latent();
        let (program, _, chunk) = Program::of_items(device, state, weights, CHUNK.min(most), |items| decoder.decode_graph(items)).await?;
        Ok(Self { program, chunk, latent, conditional: model.conditional() })
    }

    /// Latents decoded at a time.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Images `[N, H, W, C]` in 0..1 (points as they are) of latents `[N, latent]`; `labels` holds N of `classes` where the model takes them.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn decode(&mut self, state: &mut State, z: &[f32], (labels, classes): (&[u32], usize)) -> Result<Vec<f32>> {
        let (count, chunk) = (z.len() / self.latent, self.chunk);
        let mut images = Vec::new();
        for first in (0..count).step_by(chunk) {
            let here = chunk.min(count - first);
            let mut part = z[first * self.latent..(first + here) * self.latent].to_vec();
            part.resize(chunk * self.latent, 0.0);
            self.program.write("z", &part)?;
            if self.conditional {
                let labels = labels.get(first..first + here).unwrap_or_default();
                self.program.write("labels", &one_hot(labels, classes, chunk))?;
            }
            self.program.run(state, &Step::default()).await?;
            let made = self.program.read(state, "x").await?;
            images.extend_from_slice(&made[..made.len() / chunk * here]);
        }
        Ok(images)
    }
}

/// Images of latents, as [`Decoder::decode`] makes them, once.
///
/// # Errors
/// As [`Decoder::new`] and [`Decoder::decode`].
pub async fn decode(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    weights: Weights,
    z: &[f32],
    labels: (&[u32], usize),
) -> Result<Vec<f32>> {
    let count = z.len() / need::decodes(model)?.latent().max(1);
    Decoder::new(device, model, state, weights, count).await?.decode(state, z, labels).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_at_their_ends_and_the_arc_keeps_the_length() {
        let (a, b) = ([3.0f32, 0.0, 0.0], [0.0f32, 3.0, 0.0]);
        let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        for path in [Path::Straight, Path::Spherical] {
            assert_eq!(between(path, &a, &b, 0.0), a);
            assert!(between(path, &a, &b, 1.0).iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-6));
        }
        assert!((length(&between(Path::Spherical, &a, &b, 0.3)) - 3.0).abs() < 1e-5);
        assert!(length(&between(Path::Straight, &a, &b, 0.5)) < 2.2);
    }

    #[test]
    fn where_there_is_no_arc_the_way_is_straight() {
        for b in [[2.0f32, 0.0], [-1.0, 0.0], [0.0, 0.0]] {
            let middle = between(Path::Spherical, &[1.0, 0.0], &b, 0.5);
            assert_eq!(middle, [(1.0 + b[0]) / 2.0, 0.0]);
        }
    }
}
