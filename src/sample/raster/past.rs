//! Many futures of one past: what the cached sampler keeps of the steps so far is carried on, and never made again.

use crate::parallel::prelude::*;

use super::cached::{CachedSampler, Drawing};
use super::steps::Group;
use crate::error::{Error, Result};
use crate::native::simd;

/// The steps of a series that are known, and what a network remembers of them.
pub struct Past<'a> {
    sampler: &'a CachedSampler,
    group: Group<'a>,
    steps: usize,
}

/// Futures that are to be drawn, C channels a step.
pub struct Future<'a> {
    /// How many.
    pub count: usize,
    /// Steps of each.
    pub steps: usize,
    /// Below 1, likelier and less varied futures.
    pub temperature: f32,
    /// Seed of the draws: a value is a function of it, of the number of its future, and of its place in the series.
    pub seed: u64,
    /// Values `[count, steps, C]`, of which those of the places `[steps, C]` that are kept are given, and the others are drawn.
    pub keep: (&'a [f32], &'a [bool]),
}

impl<'a> Past<'a> {
    /// Before the first step.
    ///
    /// # Errors
    /// [`Error::Shape`] where the network draws images of several columns.
    pub fn new(sampler: &'a CachedSampler) -> Result<Self> {
        match sampler.network().program.size {
            [_, 1] => Ok(Self { sampler, group: Group::new(sampler.network(), 1), steps: 0 }),
            [h, w] => Err(Error::Shape(format!("a series is one column wide, and these are images of {h}×{w}"))),
        }
    }

    /// Steps that are known.
    pub fn len(&self) -> usize {
        self.steps
    }

    /// Whether no step is known.
    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Goes on by a step of these values, one a channel.
    ///
    /// # Errors
    /// [`Error::Usage`] where they are not as many as a step has, or the network's series end here.
    pub fn push(&mut self, values: &[f32]) -> Result<()> {
        self.check(1, values.len())?;
        let kept = vec![true; values.len()];
        let drawing = self.drawing((1.0, 0), 0, (values, &kept));
        self.group.draw_row(&drawing, self.steps, &mut values.to_vec(), &mut [0.0]);
        self.steps += 1;
        Ok(())
    }

    /// Draws futures: values `[count, steps, C]`.
    ///
    /// # Errors
    /// [`Error::Usage`] where what is kept is of another size, or the network's series end before.
    pub fn draw(&self, future: &Future<'_>) -> Result<Vec<f32>> {
        let (values, kept) = future.keep;
        self.check(future.steps, kept.len())?;
        let item = kept.len();
        if values.len() != future.count * item {
            let (count, given) = (future.count, values.len());
            return Err(Error::usage(format!("{count} futures of {item} values are given {given}")));
        }
        let mut images = vec![0.0; values.len()];
        let side_by_side = simd::rows();
        images.par_chunks_mut((side_by_side * item).max(1)).enumerate().for_each(|(number, images)| {
            let first = number * side_by_side;
            let mut group = self.group.repeated(images.len() / item);
            let drawing = self.drawing((future.temperature, future.seed), first, (&values[first * item..], kept));
            let mut log_p = vec![0.0; group.count];
            (0..future.steps).for_each(|ahead| group.draw_row(&drawing, self.steps + ahead, images, &mut log_p));
        });
        Ok(images)
    }

    /// How values behind the past come about.
    fn drawing<'b>(&self, (temperature, seed): (f32, u64), first: usize, keep: (&'b [f32], &'b [bool])) -> Drawing<'b>
    where
        'a: 'b,
    {
        let begins = self.steps * self.channels();
        Drawing { law: self.sampler.law(), temperature, seed, first, begins, keep: Some(keep) }
    }

    fn channels(&self) -> usize {
        self.sampler.network().program.features[0].channels
    }

    fn check(&self, steps: usize, values: usize) -> Result<()> {
        let (length, channels) = (self.sampler.network().program.size[0], self.channels());
        if values != steps * channels {
            return Err(Error::usage(format!("{steps} steps of {channels} channels are {} values, not {values}", steps * channels)));
        }
        if self.steps + steps > length {
            return Err(Error::usage(format!("a series of {length} steps does not go on by {steps} from step {}", self.steps)));
        }
        Ok(())
    }
}
