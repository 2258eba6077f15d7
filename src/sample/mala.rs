//! Latents of p(z|y) ∝ p(y|G(z)) N(z; 0, 1): chains of the Metropolis-adjusted Langevin algorithm (Roberts and Tweedie, 1996, "Exponential
//! convergence of Langevin distributions and their discrete approximations").
//!
//! Each chain begins at a latent of the prior, finds its own length of step in the first half of its way, and goes the second half with it. What
//! it comes to is a function of the seed and its number alone.

use super::guided::Slopes;
use super::latents;
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::{Model, need};
use crate::random::{normal, unit, word};
use crate::runtime::{Device, Program, State, Weights};

/// Chains that go side by side.
const CHUNK: usize = 256;
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
pub struct Walked {
    /// Images of the last latents, `[N, H, W, C]` in 0..1.
    pub images: Vec<f32>,
    /// The last latents, `[N, latent]`.
    pub z: Vec<f32>,
    /// ln p(y|x) of the images, `[N]`.
    pub log_p: Vec<f64>,
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

/// Where each chain is.
struct Points {
    z: Vec<f32>,
    images: Vec<f32>,
    /// ln p(y|x).
    log_p: Vec<f64>,
    /// ln p(y|x) + ln N(z), up to a constant.
    target: Vec<f64>,
    slope: Vec<f32>,
}

impl<'a> Walker<'a> {
    /// A generator on a device, and a classifier that is asked for a class.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model makes no images of latents with a prior; errors of the device.
    pub fn new(
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
        })?;
        let pixels = graph.inputs().get("upstream").map_or(0, |x| graph.shape(*x).len() / chunk);
        Ok(Self { program, chunk, latent: decoder.latent(), pixels, slopes, states })
    }

    fn at(&mut self, z: Vec<f32>) -> Result<Points> {
        let (count, latent) = (z.len() / self.latent, self.latent);
        let filled = |values: &[f32], each: usize| {
            let mut values = values.to_vec();
            values.resize(self.chunk * each, 0.0);
            values
        };
        let generator = &mut *self.states[0];
        self.program.write("z", &filled(&z, latent))?;
        self.program.write("upstream", &vec![0.0; self.chunk * self.pixels])?;
        self.program.run(generator, &Step::default())?;
        let mut images = self.program.read(generator, "x")?;
        images.truncate(count * self.pixels);
        let (log_p, by_pixel) = self.slopes.of(self.states[1], &images, 0.0)?;
        let generator = &mut *self.states[0];
        self.program.write("upstream", &filled(&by_pixel, self.pixels))?;
        self.program.run(generator, &Step::default())?;
        let pulled = self.program.read(generator, "slope")?;
        let slope = pulled.iter().zip(&z).map(|(pulled, z)| pulled - z).collect();
        let squares = z.chunks(latent).map(|z| z.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>());
        let target = log_p.iter().zip(squares).map(|(log_p, square)| log_p - square / 2.0).collect();
        Ok(Points { z, images, log_p, target, slope })
    }

    /// Chains `0..count` of so many steps; `progress` hears of every step of a part of them.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn walk(&mut self, count: usize, steps: usize, seed: u64, mut progress: impl FnMut()) -> Result<Walked> {
        let (mut walked, mut accepted) = (Walked::default(), 0usize);
        for first in (0..count).step_by(self.chunk) {
            let here = self.chunk.min(count - first);
            let mut at = self.at(latents(seed, first, here, self.latent))?;
            let mut lengths = vec![(self.latent as f64).powf(-1.0 / 6.0); here];
            for step in 1..=steps {
                accepted += self.step(&mut at, &mut lengths, (first, step, steps), seed)?;
                progress();
            }
            walked.images.extend(at.images);
            walked.z.extend(at.z);
            walked.log_p.extend(at.log_p);
        }
        walked.acceptance = accepted as f64 / (count * (steps - steps / 2)).max(1) as f64;
        Ok(walked)
    }

    /// One step of some chains; returns how many moved, in the second half of the way.
    fn step(&mut self, at: &mut Points, lengths: &mut [f64], (first, step, steps): (usize, usize, usize), seed: u64) -> Result<usize> {
        let latent = self.latent;
        let chain = |i: usize| i * latent..(i + 1) * latent;
        let noise = |element: usize| f64::from(normal(word(seed, PROPOSE, step as u32, (first * latent + element) as u64)));
        let proposed = (0..at.z.len()).map(|element| {
            let length = lengths[element / latent];
            let (z, slope) = (f64::from(at.z[element]), f64::from(at.slope[element]));
            (z + 0.5 * length * length * slope + length * noise(element)) as f32
        });
        let next = self.at(proposed.collect())?;
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
                let image = i * self.pixels..(i + 1) * self.pixels;
                at.images[image.clone()].copy_from_slice(&next.images[image]);
                (at.log_p[i], at.target[i]) = (next.log_p[i], next.target[i]);
            }
            if step <= steps / 2 {
                *length *= ((chance - BEST) * (step as f64).powf(-COOLS)).exp();
            } else {
                moved += usize::from(goes);
            }
        }
        Ok(moved)
    }
}
