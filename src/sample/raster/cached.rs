//! The cached sampler on the CPU: groups of images side by side, each through the register tile of the convolutions.

use rayon::prelude::*;

use super::draw::{Chance, Pixel};
use super::program::{Operand, RasterProgram, View, Work};
use super::{Drawn, Job};
use crate::error::Result;
use crate::graph::{Shape, Step};
use crate::model::Law;
use crate::native::simd::{self, MAX_ROWS, Tile};
use crate::native::{Evaluator, Operand as Columns};

/// A network ready to sample: its steps and what does not change with the image.
pub struct CachedSampler {
    program: RasterProgram,
    law: Law,
    constants: Vec<(Shape, Vec<f32>)>,
    /// For each step, its weights in panels of tile width: `[block][tap, channel][column]`.
    panels: Vec<Vec<f32>>,
    /// 0, 1, 2, …: the channels of one tap.
    channels: Vec<i32>,
}

impl CachedSampler {
    /// Prepares a program, given the values of its constants.
    pub fn new(program: RasterProgram, law: Law, constants: Vec<(Shape, Vec<f32>)>) -> Self {
        let panels = program
            .steps
            .iter()
            .map(|step| match &step.work {
                Work::Conv { weights, .. } => {
                    let (shape, values) = &constants[*weights];
                    pack(values, shape.dims()[0] * shape.dims()[1], shape.channels())
                }
                Work::Map { .. } | Work::Join(_) => Vec::new(),
            })
            .collect();
        let most = program.features.iter().map(|f| f.channels).max().unwrap_or(0) as i32;
        Self { program, law, constants, panels, channels: (0..most).collect() }
    }

    /// Draws (or completes) a batch of images. `given` holds the values of [`RasterProgram::given`] for all of them, in that order.
    pub fn sample(&self, job: &Job<'_>, given: &[Vec<f32>]) -> Result<Drawn> {
        let group = simd::rows();
        let item = self.program.size[0] * self.program.size[1] * self.program.features[0].channels;
        let mut images = vec![0.0; job.count * item];
        let mut log_p = vec![0.0; job.count];
        images.par_chunks_mut(group * item).zip(log_p.par_chunks_mut(group)).enumerate().for_each(|(g, (images, log_p))| {
            let mut images_of_group = Group::new(self, log_p.len());
            images_of_group.give(g * group, given);
            images_of_group.run(job, g * group, images, log_p);
        });
        Ok(Drawn { images, log_p })
    }
}

fn pack(values: &[f32], depth: usize, d: usize) -> Vec<f32> {
    let width = simd::columns(d);
    let mut panels = vec![0.0; d.div_ceil(width) * depth * width];
    for (block, panel) in panels.chunks_exact_mut(depth * width).enumerate() {
        let first = block * width;
        let used = width.min(d - first);
        for (k, row) in panel.chunks_exact_mut(width).enumerate() {
            row[..used].copy_from_slice(&values[k * d + first..k * d + first + used]);
        }
    }
    panels
}

/// Some images being drawn side by side.
struct Group<'a> {
    sampler: &'a CachedSampler,
    count: usize,
    /// For each feature, `[row of the ring, column, image, channel]`.
    buffers: Vec<Vec<f32>>,
}

/// Where a step is carried out: some columns of a row.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    columns: usize,
}

impl<'a> Group<'a> {
    fn new(sampler: &'a CachedSampler, count: usize) -> Self {
        let width = sampler.program.size[1];
        let buffers = sampler.program.features.iter().map(|f| vec![0.0; count * f.channels * f.places(width)]).collect();
        Self { sampler, count, buffers }
    }

    /// Lays down what other inputs than the image give, of images from `first` on.
    fn give(&mut self, first: usize, given: &[Vec<f32>]) {
        let program = &self.sampler.program;
        for ((feature, _), values) in program.given.iter().zip(given) {
            let (channels, places) = (program.features[*feature].channels, program.features[*feature].places(program.size[1]));
            for (at, cell) in self.buffers[*feature].chunks_exact_mut(channels).enumerate() {
                let (place, image) = (at / self.count, first + at % self.count);
                cell.copy_from_slice(&values[(image * places + place) * channels..][..channels]);
            }
        }
    }

    /// Where a feature of a position lies in its buffer.
    fn at(&self, feature: usize, row: usize, column: usize) -> usize {
        let f = &self.sampler.program.features[feature];
        if f.wide { ((row % f.rows) * self.sampler.program.size[1] + column) * self.count * f.channels } else { 0 }
    }

    fn run(&mut self, job: &Job<'_>, first: usize, images: &mut [f32], log_p: &mut [f64]) {
        let program = &self.sampler.program;
        let [height, width] = program.size;
        let colours = program.features[0].channels;
        let logits = program.logits;
        let outputs = program.features[logits].channels;
        let item = height * width * colours;
        for row in 0..height {
            self.compute(&program.row, Place { row, column: 0, columns: width });
            for column in 0..width {
                let position = Place { row, column, columns: 1 };
                // What lay here belonged to a row that has left the ring.
                let here = self.at(0, row, column);
                self.buffers[0][here..here + self.count * colours].fill(0.0);
                for colour in 0..colours {
                    self.compute(&program.pixel, position);
                    let place = (row * width + column) * colours + colour;
                    let base = self.at(logits, row, column);
                    for i in 0..self.count {
                        let value = match job.given(first + i, place) {
                            Some(value) => value,
                            None => {
                                let earlier = &images[i * item + place - colour..i * item + place];
                                let pixel = Pixel { outputs: &self.buffers[logits][base + i * outputs..][..outputs], colours, earlier };
                                let chance = Chance { seed: job.seed, image: (job.first + first + i) as u32, place: place as u32 };
                                let (value, ln) = self.sampler.law.draw(&pixel, job.temperature, chance);
                                log_p[i] += ln;
                                value
                            }
                        };
                        images[i * item + place] = value;
                        self.buffers[0][here + i * colours + colour] = value;
                    }
                }
                self.compute(&program.late, position);
            }
        }
    }

    /// Carries out steps somewhere.
    fn compute(&mut self, steps: &[usize], place: Place) {
        let sampler = self.sampler;
        for &number in steps {
            let (step, panels) = (&sampler.program.steps[number], &sampler.panels[number]);
            let channels = sampler.program.features[step.output].channels;
            let at = self.at(step.output, place.row, place.column);
            let len = place.columns * self.count * channels;
            let mut output = std::mem::take(&mut self.buffers[step.output]);
            let out = &mut output[at..at + len];
            let shape = Shape::from([place.columns, self.count, 1, channels]);
            match &step.work {
                Work::Conv { source, taps, epilogue, operands, .. } => {
                    self.convolve(*source, taps, panels, place, channels, out);
                    if let Some(expr) = epilogue {
                        let operands = self.operands(operands, &shape, place);
                        Evaluator::in_place(expr, &operands, &shape, &Step::default()).run(0, out);
                    }
                }
                Work::Map { expr, operands } => {
                    let operands = self.operands(operands, &shape, place);
                    Evaluator::new(expr, &operands, &shape, &Step::default()).run(0, out);
                }
                Work::Join(parts) => {
                    let mut from = 0;
                    for part in parts {
                        let (values, stride) = self.cells(*part, place);
                        let repeats = values.len().div_ceil(stride);
                        for (i, cell) in out.chunks_exact_mut(channels).enumerate() {
                            cell[from..from + part.channels].copy_from_slice(&values[i % repeats * stride..][..part.channels]);
                        }
                        from += part.channels;
                    }
                }
            }
            self.buffers[step.output] = output;
        }
    }

    /// What a view shows at some columns: the values from its first on, and from one image's to the next's. A feature that is kept for
    /// the position alone is the same in all columns, and shows itself once.
    fn cells(&self, view: View, place: Place) -> (&[f32], usize) {
        let f = &self.sampler.program.features[view.feature];
        let at = self.at(view.feature, place.row, place.column);
        let columns = if f.wide { place.columns } else { 1 };
        (&self.buffers[view.feature][at + view.first..at + columns * self.count * f.channels], f.channels)
    }

    fn operands(&self, operands: &[Operand], shape: &Shape, place: Place) -> Vec<Columns<'_, f32>> {
        let find = |operand: &Operand| match *operand {
            Operand::Constant(c) => {
                let (own, values) = &self.sampler.constants[c];
                Columns::new(values, own, shape)
            }
            Operand::Feature(view) => {
                let (values, stride) = self.cells(view, place);
                Columns::cells(values, view.channels, stride, shape)
            }
        };
        operands.iter().map(find).collect()
    }

    /// The sums of a convolution, in the order the whole convolution takes them. Positions of all images side by side are the rows of
    /// one product.
    fn convolve(&self, source: View, taps: &[[i32; 2]], panels: &[f32], place: Place, d: usize, out: &mut [f32]) {
        let width = self.sampler.program.size[1] as i32;
        let of_feature = self.sampler.program.features[source.feature].channels;
        let buffer = &self.buffers[source.feature];
        let columns = simd::columns(d);
        let depth = taps.len() * source.channels;
        let rows = place.columns * self.count;
        out.fill(0.0);
        for block in 0..d.div_ceil(columns) {
            let first = block * columns;
            let used = columns.min(d - first);
            for start in (0..rows).step_by(simd::rows()) {
                let end = rows.min(start + simd::rows());
                for (t, [dy, dx]) in taps.iter().enumerate() {
                    let r = place.row as i32 + dy;
                    // Zeros outside the image add nothing.
                    let inside = |column: i32| (column - dx - place.column as i32).clamp(0, place.columns as i32) as usize * self.count;
                    let (from, to) = (start.max(inside(0)), end.min(inside(width)));
                    if r < 0 || from >= to {
                        continue;
                    }
                    // The first row's position is inside the image.
                    let column = (place.column + from / self.count) as i32 + dx;
                    let at = self.at(source.feature, r as usize, column as usize) + from % self.count * of_feature + source.first;
                    let features = &buffer[at..at + (to - from - 1) * of_feature + source.channels];
                    let base = out[from * d..to * d].as_mut_ptr().wrapping_add(first);
                    let last = to - from - 1;
                    let tile = Tile {
                        rows: &std::array::from_fn::<_, MAX_ROWS, _>(|i| features[i.min(last) * of_feature..].as_ptr())[..=last],
                        offsets: &self.sampler.channels[..source.channels],
                        b: panels[(block * depth + t * source.channels) * columns..].as_ptr(),
                        stride: columns,
                        sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add(i.min(last) * d))[..=last],
                        used,
                        fresh: false,
                    };
                    // SAFETY: each row has `channels` readable elements, the panel `channels` more rows of `columns`, and `out` a row of
                    // `d` for each position and image.
                    unsafe { simd::multiply(&tile, columns) };
                }
            }
        }
    }
}
