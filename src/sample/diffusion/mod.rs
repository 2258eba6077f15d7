//! Items from noise, by asking a network what the noised item is, level by level.
//!
//! One graph serves every solver: it asks the network and makes the next point, by factors that the host writes before each run. Points stay
//! on the device from the first to the last. Fresh noise is a function of (seed, move, item), so that what is drawn depends on neither
//! device nor batch.

mod course;
mod drawer;
mod solver;
mod step;

pub use course::Course;
pub use drawer::{Drawer, Items, Settings};
pub use solver::{Move, Solver, Way};
pub use step::{Options, Threshold};

use step::{ROW, row, step_graph};

use std::pin::Pin;

use crate::data::one_hot;
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::noise::Level;
use crate::model::{Model, need};
use crate::runtime::{Device, Program, State, Weights};

/// Items drawn at a time, at most.
const CHUNK: usize = 256;

/// Values that a job keeps: where `mask` is 1 each point is `given`, noised as much as the point.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// 0 or 1 for each value, `[count, H, W, C]`.
    pub mask: &'a [f32],
    /// The values, in −1..1, `[count, H, W, C]`.
    pub given: &'a [f32],
}

/// Items to draw.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Points at the level of the first move, `[count, H, W, C]`.
    pub start: &'a [f32],
    /// The moves.
    pub moves: &'a [Move],
    /// Labels of the items, where the model takes them; `classes` stands for none.
    pub labels: &'a [u32],
    /// What the network is shown of each item, where it is shown anything.
    pub shown: &'a [f32],
    /// Seed of fresh noise.
    pub seed: u64,
    /// Number of the first item in the whole job.
    pub first: usize,
    /// What is kept, of a sampler that was made for it.
    pub region: Option<Region<'a>>,
}

/// What a job tells while it is drawn.
pub trait Watch {
    /// A job of so many items begins.
    fn begins(&mut self, _job: &Job<'_>, _count: usize) {}
    /// Whether the points after so many moves are wanted; before the first where there are none yet.
    fn wants(&mut self, _done: usize) -> bool {
        false
    }
    /// Points after so many moves, `[count, H, W, C]`.
    fn points(&mut self, _done: usize, _points: &[f32]) {}
    /// So many moves were made.
    fn moved(&mut self, _done: usize) {}
    /// Whether it is to end at once.
    fn stops(&self) -> bool {
        false
    }
}

/// What a [`Push`] comes to, once the device has said.
pub type Pushed<'a> = Pin<Box<dyn Future<Output = Result<Vec<f32>>> + 'a>>;

/// Moves what items seem to be, x̂₀, from outside the network.
pub trait Push {
    /// What is added to x̂₀ of the first of the points `[N, H, W, C]`, at a level.
    ///
    /// # Errors
    /// Errors of the device.
    fn push<'a>(&'a mut self, level: Level, points: &'a [f32]) -> Pushed<'a>;
}

/// Watches nothing.
pub struct Unwatched;

impl Watch for Unwatched {}

/// A network on a device, prepared to draw a number of items at a time.
pub struct DiffusionSampler {
    program: Program,
    items: usize,
    len: usize,
    classes: usize,
    /// Values that the network is shown of an item.
    shown: usize,
    region: bool,
}

impl DiffusionSampler {
    /// Prepares to draw up to `most` items at a time: as many as the device takes at once.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model takes no noise away or cannot be guided so; errors of the device.
    pub async fn new(device: &Device, model: &dyn Model, state: &State, weights: Weights, options: &Options, most: usize) -> Result<Self> {
        let network = need::denoises(model)?;
        options.check(network)?;
        let graph = |items| step_graph(network, options, items);
        let (program, _, items) = Program::of_items(device, state, weights, CHUNK.min(most), graph).await?;
        let len = network.dims().iter().product();
        let shown = network.shown().map_or(0, |shown| shown.dims(network.dims()).iter().product());
        Ok(Self { program, items, len, classes: network.classes(), shown, region: options.region })
    }

    /// Items drawn at a time.
    pub fn chunk(&self) -> usize {
        self.items
    }

    /// Goes the moves of a job of at most [`DiffusionSampler::chunk`] items; returns the last points `[count, H, W, C]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the job has more items or other lengths; errors of the device.
    pub async fn draw(&mut self, state: &mut State, job: &Job<'_>, watch: &mut dyn Watch) -> Result<Vec<f32>> {
        self.draw_pushed(state, job, watch, None).await
    }

    /// As [`DiffusionSampler::draw`], with x̂₀ moved by `push` in each move, of a sampler that was made for it.
    ///
    /// # Errors
    /// As [`DiffusionSampler::draw`]; those of `push`.
    pub async fn draw_pushed(
        &mut self,
        state: &mut State,
        job: &Job<'_>,
        watch: &mut dyn Watch,
        mut push: Option<&mut dyn Push>,
    ) -> Result<Vec<f32>> {
        let (count, whole) = (job.start.len() / self.len, self.items * self.len);
        let fits = count <= self.items && job.start.len() == count * self.len && job.region.is_some() == self.region;
        let fits = fits && job.region.is_none_or(|r| [r.mask.len(), r.given.len()] == [job.start.len(); 2]);
        let labelled = self.classes == 0 || job.labels.len() == count;
        if !fits || !labelled || job.shown.len() != count * self.shown {
            return Err(Error::Shape(format!("a job of {count} items does not fit a sampler of {}", self.items)));
        }
        let to_length = |values: &[f32], length: usize| {
            let mut values = values.to_vec();
            values.resize(length, 0.0);
            values
        };
        let filled = |values: &[f32]| to_length(values, whole);
        let start = filled(job.start);
        for name in ["at", "base"] {
            self.program.write(name, &start)?;
        }
        self.program.write("before", &vec![0.0; whole])?;
        if let Some(region) = &job.region {
            self.program.write("mask", &filled(region.mask))?;
            self.program.write("given", &filled(region.given))?;
        }
        if self.shown > 0 {
            self.program.write("shown", &to_length(job.shown, self.items * self.shown))?;
        }
        if self.classes > 0 {
            self.program.write("labels", &one_hot(job.labels, self.classes + 1, self.items))?;
        }
        watch.begins(job, count);
        if watch.wants(0) {
            watch.points(0, job.start);
        }
        let mut points = job.start.to_vec();
        for (number, motion) in job.moves.iter().enumerate() {
            let values: [f32; ROW] = row(motion);
            self.program.write("move", &values)?;
            self.program.write("head", &motion.head.row())?;
            if let Some(push) = &mut push {
                self.program.write("push", &to_length(&push.push(motion.level, &points).await?, whole))?;
            }
            let step = Step { seed: job.seed, step: number as u32, first_item: job.first as u32, ..Step::default() };
            self.program.run(state, &step).await?;
            let (done, last) = (number + 1, number + 1 == job.moves.len());
            if last || push.is_some() || watch.wants(done) {
                points = self.program.read(state, "next").await?;
                points.truncate(count * self.len);
                if last || watch.wants(done) {
                    watch.points(done, &points);
                }
            }
            for (output, input) in [("next", "at"), ("kept", "base"), ("x0", "before")].into_iter().filter(|_| !last) {
                self.program.carry(state, output, input)?;
            }
            watch.moved(done);
            if watch.stops() {
                return Err(Error::Interrupted);
            }
        }
        Ok(points)
    }
}
