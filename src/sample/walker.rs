//! Latents of p(z|y) ∝ p(y|G(z)) N(z; 0, 1): chains from latents of the prior.

use super::guided::Slopes;
use super::latents;
use super::mala::{self, Ended};
use super::target::Target;
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::{Model, need};
use crate::runtime::{Device, Program, State, Weights};

/// Chains that go side by side.
const CHUNK: usize = 256;

/// Where chains ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walked {
    /// Images of the last latents, `[N, H, W, C]` in 0..1.
    pub images: Vec<f32>,
    /// The last latents, `[N, latent]`.
    pub z: Vec<f32>,
    /// Share of proposals of the second half that were accepted.
    pub acceptance: f64,
}

/// A generator and a classifier, which make ln p(z|y) and its slope.
pub struct Walker<'a> {
    program: Program,
    chunk: usize,
    latent: usize,
    pixels: usize,
    slopes: &'a mut Slopes,
    /// The weights of the generator and of the classifier.
    states: [&'a mut State; 2],
}

impl<'a> Walker<'a> {
    /// A generator on a device, and a classifier that is asked for a class.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model makes no images of latents with a prior; errors of the device.
    pub async fn new(
        device: &Device,
        (model, weights): (&dyn Model, Weights),
        slopes: &'a mut Slopes,
        states: [&'a mut State; 2],
        most: usize,
    ) -> Result<Self> {
        let decoder = need::prior(model)?;
        let (program, graph, chunk) = Program::of_items(device, &*states[0], weights, CHUNK.min(most), |items| {
            let mut graph = decoder.decode_graph(items)?;
            let x = graph.outputs().iter().find(|(name, _)| name == "x").map(|(_, id)| *id);
            let (Some(x), Some(z)) = (x, graph.inputs().get("z").copied()) else {
                return Err(Error::Shape("a decoder makes x of z".into()));
            };
            let shape = graph.shape(x).clone();
            let upstream = graph.input("upstream", shape);
            let slope = graph.pullback(x, upstream, &[z])?;
            graph.output("slope", slope[0]);
            Ok(graph)
        })
        .await?;
        let pixels = graph.inputs().get("upstream").map_or(0, |x| graph.shape(*x).len() / chunk);
        Ok(Self { program, chunk, latent: decoder.latent(), pixels, slopes, states })
    }

    /// Images of as many latents as go side by side, at most.
    async fn images(&mut self, z: &[f32]) -> Result<Vec<f32>> {
        let generator = &mut *self.states[0];
        let mut filled = z.to_vec();
        filled.resize(self.chunk * self.latent, 0.0);
        self.program.write("z", &filled)?;
        self.program.write("upstream", &vec![0.0; self.chunk * self.pixels])?;
        self.program.run(generator, &Step::default()).await?;
        let mut images = self.program.read(generator, "x").await?;
        images.truncate(z.len() / self.latent * self.pixels);
        Ok(images)
    }

    /// Chains `0..count` of so many steps; `progress` hears of every step of a part of them.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn walk(&mut self, count: usize, steps: usize, seed: u64, progress: impl FnMut()) -> Result<Walked> {
        let starts = latents(seed, 0, count, self.latent);
        let Ended { z, acceptance } = mala::walk(self, &starts, steps, seed, progress).await?;
        let mut images = Vec::with_capacity(count * self.pixels);
        for part in z.chunks(self.chunk * self.latent) {
            images.extend(self.images(part).await?);
        }
        Ok(Walked { images, z, acceptance })
    }
}

impl Target for Walker<'_> {
    fn latent(&self) -> usize {
        self.latent
    }

    fn chunk(&self) -> usize {
        self.chunk
    }

    async fn of(&mut self, _first: usize, z: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let images = self.images(z).await?;
        let (log_p, mut by_pixel) = self.slopes.of(self.states[1], &images, 0.0).await?;
        by_pixel.resize(self.chunk * self.pixels, 0.0);
        let generator = &mut *self.states[0];
        self.program.write("upstream", &by_pixel)?;
        self.program.run(generator, &Step::default()).await?;
        let pulled = self.program.read(generator, "slope").await?;
        let slope = pulled.iter().zip(z).map(|(pulled, z)| pulled - z).collect();
        let squares = z.chunks(self.latent).map(|z| z.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>());
        Ok((log_p.iter().zip(squares).map(|(log_p, square)| log_p - square / 2.0).collect(), slope))
    }
}
