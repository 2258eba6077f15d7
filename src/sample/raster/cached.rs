//! The cached sampler on the CPU: groups of images side by side.

use crate::parallel::prelude::*;

use super::draw::{Chance, Pixel};
use super::program::{Order, RasterProgram};
use super::steps::{Group, Network, Place};
use super::{Drawn, Job, Watch};
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::model::{Law, Model, need};
use crate::native::simd;
use crate::runtime::{State, Weights};

/// A network ready to sample, and how values are drawn from its outputs.
pub struct CachedSampler {
    network: Network,
    law: Law,
}

impl CachedSampler {
    /// Prepares a program, given the values of its constants.
    pub fn new(program: RasterProgram, law: Law, constants: Vec<(Shape, Vec<f32>)>) -> Self {
        Self { network: Network::new(program, constants), law }
    }

    /// Prepares a model with its weights as they are now.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model is not autoregressive, or its values depend on more than those before them.
    pub async fn of(model: &dyn Model, state: &State, weights: Weights) -> Result<Self> {
        let raster = need::raster(model)?;
        let graph = raster.raster_graph(1)?;
        let program = RasterProgram::new(&graph, state.spec())?;
        if !program.given.is_empty() {
            return Err(Error::usage(format!("what this {} draws depends on labels; take a run without conditional=true", model.name())));
        }
        let constants = super::constants(&graph, &program, state, weights).await?;
        Ok(Self::new(program, raster.law(), constants))
    }

    /// By which law values are drawn.
    pub fn law(&self) -> &Law {
        &self.law
    }

    /// The network behind it.
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// Draws (or completes) a batch of images, or none once `watch` ends it. `given` holds the values of [`RasterProgram::given`] for all
    /// of them, in that order.
    pub fn sample(&self, job: &Job<'_>, given: &[Vec<f32>], watch: &dyn Watch) -> Option<Drawn> {
        let group = simd::rows();
        let item = self.network.item();
        let mut images = vec![0.0; job.count * item];
        let mut log_p = vec![0.0; job.count];
        let draw = |(g, (images, log_p)): (usize, (&mut [f32], &mut [f64]))| {
            let mut images_of_group = Group::new(&self.network, log_p.len());
            images_of_group.give(g * group, given);
            images_of_group.run(&self.law, job, g * group, images, log_p, watch)
        };
        let done = images.par_chunks_mut(group * item).zip(log_p.par_chunks_mut(group)).enumerate().all(draw);
        done.then_some(Drawn { images, log_p })
    }
}

/// How the values of some images that are drawn side by side come about.
pub(super) struct Drawing<'a> {
    pub(super) law: &'a Law,
    pub(super) temperature: f32,
    pub(super) seed: u64,
    /// Number of the first image in the whole job.
    pub(super) first: usize,
    /// Place of the first value that there is of an image.
    pub(super) begins: usize,
    /// Values that are given, `[images, values]`, and for each of an image's values whether it is kept.
    pub(super) keep: Option<(&'a [f32], &'a [bool])>,
}

impl Group<'_> {
    /// Draws the images from number `first` on to the end, unless `watch` ends it.
    fn run(&mut self, law: &Law, job: &Job<'_>, first: usize, images: &mut [f32], log_p: &mut [f64], watch: &dyn Watch) -> bool {
        let item = self.network.item();
        let keep = job.keep.map(|(values, kept)| (&values[first * item..], kept));
        let drawing = Drawing { law, temperature: job.temperature, seed: job.seed, first: job.first + first, begins: 0, keep };
        for row in 0..self.network.program.size[0] {
            if watch.stops() {
                return false;
            }
            self.draw_row(&drawing, row, images, log_p);
            if watch.wants() {
                watch.drawn(first, item, images, (row + 1) * self.network.program.size[1]);
            }
        }
        true
    }

    /// Draws the values of a row of all images `[images, values]`.
    pub(super) fn draw_row(&mut self, drawing: &Drawing<'_>, row: usize, images: &mut [f32], log_p: &mut [f64]) {
        let program = &self.network.program;
        if row > 0 {
            self.compute_row(&program.ended, row - 1);
        }
        self.compute_row(&program.row, row);
        (0..program.size[1]).for_each(|column| self.draw_position(drawing, [row, column], images, log_p));
    }

    /// Draws the values of a position that are not kept. Features are made for values that are drawn, and once for positions that read them.
    fn draw_position(&mut self, drawing: &Drawing<'_>, position: [usize; 2], images: &mut [f32], log_p: &mut [f64]) {
        let (program, [row, column]) = (&self.network.program, position);
        let colours = program.features[0].channels;
        let (logits, item) = (program.logits, images.len() / self.count);
        let outputs = program.features[logits].channels;
        // What lay here belonged to a row that has left the ring.
        let here = self.at(0, row, column);
        self.buffers[0][here..here + self.count * colours].fill(0.0);
        let base = self.at(logits, row, column);
        let place = (row * program.size[1] + column) * colours;
        // The colour that features were made for last.
        let mut made = None;
        for colour in 0..colours {
            let at = place + colour - drawing.begins;
            let given = drawing.keep.filter(|(_, kept)| kept[at]).map(|(values, _)| values);
            if given.is_none() {
                self.compute_at(if made.is_none() { &program.pixel } else { &program.again }, position);
                made = Some(colour);
            }
            for i in 0..self.count {
                let value = match given {
                    Some(values) => values[i * item + at],
                    None => {
                        let earlier = &images[i * item + at - colour..i * item + at];
                        let pixel = Pixel { outputs: &self.buffers[logits][base + i * outputs..][..outputs], colours, earlier };
                        let chance = Chance { seed: drawing.seed, image: (drawing.first + i) as u32, place: (place + colour) as u32 };
                        let (value, ln) = drawing.law.draw(&pixel, drawing.temperature, chance);
                        log_p[i] += ln;
                        value
                    }
                };
                images[i * item + at] = value;
                self.buffers[0][here + i * colours + colour] = value;
            }
        }
        let rest = match made {
            None => &program.pixel,
            Some(last) if last + 1 == colours => &program.late,
            Some(_) => &program.again,
        };
        self.compute_at(rest, position);
    }

    /// Carries out steps for all columns of a row.
    fn compute_row(&mut self, steps: &[usize], row: usize) {
        let program = &self.network.program;
        for &number in steps {
            let step = &program.steps[number];
            let output = &program.features[step.output];
            if !row.is_multiple_of(output.stride) {
                continue;
            }
            let columns = output.columns(program.size[1]);
            let stride = output.stride;
            let one = |column: usize| Place { row, column: column * stride, columns: 1, stride };
            match step.order() {
                Order::Together => self.compute(number, Place { row, column: 0, columns, stride }),
                Order::Rightward => (0..columns).for_each(|column| self.compute(number, one(column))),
                Order::Leftward => (0..columns).rev().for_each(|column| self.compute(number, one(column))),
            }
        }
    }

    /// Carries out steps at a position.
    fn compute_at(&mut self, steps: &[usize], [row, column]: [usize; 2]) {
        let program = &self.network.program;
        for &number in steps {
            let stride = program.features[program.steps[number].output].stride;
            if row.is_multiple_of(stride) && column.is_multiple_of(stride) {
                self.compute(number, Place { row, column, columns: 1, stride });
            }
        }
    }
}
