//! The cached sampler on the CPU: groups of images side by side.

use rayon::prelude::*;

use super::draw::{Chance, Pixel};
use super::program::{Order, RasterProgram};
use super::steps::{Group, Network, Place};
use super::{Drawn, Job, Stop};
use crate::graph::Shape;
use crate::model::Law;
use crate::native::simd;

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

    /// Draws (or completes) a batch of images, or none once `stop` says so. `given` holds the values of [`RasterProgram::given`] for all of them, in that order.
    pub fn sample(&self, job: &Job<'_>, given: &[Vec<f32>], stop: &Stop<'_>) -> Option<Drawn> {
        let group = simd::rows();
        let item = self.network.item();
        let mut images = vec![0.0; job.count * item];
        let mut log_p = vec![0.0; job.count];
        let groups = images.par_chunks_mut(group * item).zip(log_p.par_chunks_mut(group)).enumerate();
        let done = groups.all(|(g, (images, log_p))| {
            let mut images_of_group = Group::new(&self.network, log_p.len());
            images_of_group.give(g * group, given);
            images_of_group.run(&self.law, job, g * group, images, log_p, stop)
        });
        done.then_some(Drawn { images, log_p })
    }
}

impl Group<'_> {
    /// Draws the images from number `first` on to the end, unless `stop` says so.
    fn run(&mut self, law: &Law, job: &Job<'_>, first: usize, images: &mut [f32], log_p: &mut [f64], stop: &Stop<'_>) -> bool {
        let program = &self.network.program;
        let [height, width] = program.size;
        let colours = program.features[0].channels;
        let logits = program.logits;
        let outputs = program.features[logits].channels;
        let item = height * width * colours;
        for row in 0..height {
            if stop() {
                return false;
            }
            if row > 0 {
                self.compute_row(&program.ended, row - 1);
            }
            self.compute_row(&program.row, row);
            for column in 0..width {
                let position = [row, column];
                // What lay here belonged to a row that has left the ring.
                let here = self.at(0, row, column);
                self.buffers[0][here..here + self.count * colours].fill(0.0);
                for colour in 0..colours {
                    self.compute_at(if colour == 0 { &program.pixel } else { &program.again }, position);
                    let place = (row * width + column) * colours + colour;
                    let base = self.at(logits, row, column);
                    for i in 0..self.count {
                        let value = match job.given(first + i, place) {
                            Some(value) => value,
                            None => {
                                let earlier = &images[i * item + place - colour..i * item + place];
                                let pixel = Pixel { outputs: &self.buffers[logits][base + i * outputs..][..outputs], colours, earlier };
                                let chance = Chance { seed: job.seed, image: (job.first + first + i) as u32, place: place as u32 };
                                let (value, ln) = law.draw(&pixel, job.temperature, chance);
                                log_p[i] += ln;
                                value
                            }
                        };
                        images[i * item + place] = value;
                        self.buffers[0][here + i * colours + colour] = value;
                    }
                }
                self.compute_at(&program.late, position);
            }
        }
        true
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
