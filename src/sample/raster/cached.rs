//! The cached sampler on the CPU: groups of images side by side, each through the register tile of the convolutions.

use rayon::prelude::*;

use super::draw;
use super::program::{Feature, Operand, RasterProgram, Work};
use super::{Drawn, Job};
use crate::error::Result;
use crate::graph::{Shape, Step};
use crate::native::simd::{self, MAX_ROWS, Tile};
use crate::native::{Evaluator, Operand as Columns};

/// A network ready to sample: its steps and what does not change with the image.
pub struct CachedSampler {
    program: RasterProgram,
    constants: Vec<(Shape, Vec<f32>)>,
    /// For each step, its weights in panels of tile width: `[block][tap, channel][column]`.
    panels: Vec<Vec<f32>>,
    /// 0, 1, 2, …: the channels of one tap.
    channels: Vec<i32>,
}

impl CachedSampler {
    /// Prepares a program, given the values of its constants.
    pub fn new(program: RasterProgram, constants: Vec<(Shape, Vec<f32>)>) -> Self {
        let panels = program
            .steps
            .iter()
            .map(|step| match &step.work {
                Work::Conv { weights, .. } => {
                    let (shape, values) = &constants[*weights];
                    pack(values, shape.dims()[0] * shape.dims()[1], shape.channels())
                }
                Work::Map { .. } => Vec::new(),
            })
            .collect();
        let most = program.features.iter().map(|f| f.channels).max().unwrap_or(0) as i32;
        Self { program, constants, panels, channels: (0..most).collect() }
    }

    /// Draws (or completes) a batch of images.
    pub fn sample(&self, job: &Job<'_>) -> Result<Drawn> {
        let group = simd::rows();
        let item = self.program.size[0] * self.program.size[1] * self.program.features[0].channels;
        let mut images = vec![0.0; job.count * item];
        let mut log_p = vec![0.0; job.count];
        images.par_chunks_mut(group * item).zip(log_p.par_chunks_mut(group)).enumerate().for_each(|(g, (images, log_p))| {
            Group::new(self, log_p.len()).run(job, g * group, images, log_p);
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

impl<'a> Group<'a> {
    fn new(sampler: &'a CachedSampler, count: usize) -> Self {
        let width = sampler.program.size[1];
        let len = |f: &Feature| count * f.channels * if f.wide { f.rows * width } else { 1 };
        Self { sampler, count, buffers: sampler.program.features.iter().map(|f| vec![0.0; len(f)]).collect() }
    }

    /// Where a feature of the position lies in its buffer.
    fn at(&self, feature: usize, row: usize, column: usize) -> usize {
        let f = &self.sampler.program.features[feature];
        if f.wide { ((row % f.rows) * self.sampler.program.size[1] + column) * self.count * f.channels } else { 0 }
    }

    fn run(&mut self, job: &Job<'_>, first: usize, images: &mut [f32], log_p: &mut [f64]) {
        let [height, width] = self.sampler.program.size;
        let colours = self.sampler.program.features[0].channels;
        let logits = self.sampler.program.logits;
        let outputs = self.sampler.program.features[logits].channels;
        let levels = outputs / colours;
        let item = height * width * colours;
        for row in 0..height {
            for column in 0..width {
                // What lay here belonged to a row that has left the ring.
                let here = self.at(0, row, column);
                self.buffers[0][here..here + self.count * colours].fill(0.0);
                for colour in 0..colours {
                    self.compute(0..self.sampler.program.steps.len(), row, column);
                    let place = (row * width + column) * colours + colour;
                    let base = self.at(logits, row, column);
                    for i in 0..self.count {
                        let start = base + i * outputs + colour * levels;
                        let given = job.given(first + i, place);
                        let logits = &self.buffers[logits][start..start + levels];
                        let value = match given {
                            Some(value) => value,
                            None => {
                                let u = draw::uniform(job.seed, (job.first + first + i) as u32, place as u32);
                                let (value, ln) = draw::draw(logits, job.temperature, u);
                                log_p[i] += ln;
                                value
                            }
                        };
                        images[i * item + place] = value;
                        self.buffers[0][here + i * colours + colour] = value;
                    }
                }
                self.compute(self.sampler.program.late.iter().copied(), row, column);
            }
        }
    }

    /// Carries out steps at a position.
    fn compute(&mut self, steps: impl Iterator<Item = usize>, row: usize, column: usize) {
        let sampler = self.sampler;
        for number in steps {
            let (step, panels) = (&sampler.program.steps[number], &sampler.panels[number]);
            let channels = sampler.program.features[step.output].channels;
            let at = self.at(step.output, row, column);
            let len = self.count * channels;
            let mut output = std::mem::take(&mut self.buffers[step.output]);
            let out = &mut output[at..at + len];
            let shape = Shape::from([self.count, 1, 1, channels]);
            match &step.work {
                Work::Conv { source, taps, epilogue, operands, .. } => {
                    self.convolve(*source, taps, panels, [row, column], channels, out);
                    if let Some(expr) = epilogue {
                        let operands = self.operands(operands, &shape, row, column);
                        Evaluator::in_place(expr, &operands, &shape, &Step::default()).run(0, out);
                    }
                }
                Work::Map { expr, operands } => {
                    let operands = self.operands(operands, &shape, row, column);
                    Evaluator::new(expr, &operands, &shape, &Step::default()).run(0, out);
                }
            }
            self.buffers[step.output] = output;
        }
    }

    fn operands(&self, operands: &[Operand], shape: &Shape, row: usize, column: usize) -> Vec<Columns<'_, f32>> {
        let find = |operand: &Operand| match *operand {
            Operand::Constant(c) => {
                let (own, values) = &self.sampler.constants[c];
                Columns::new(values, own, shape)
            }
            Operand::Feature(f) => {
                let channels = self.sampler.program.features[f].channels;
                let at = self.at(f, row, column);
                Columns::new(&self.buffers[f][at..at + self.count * channels], &Shape::from([self.count, 1, 1, channels]), shape)
            }
        };
        operands.iter().map(find).collect()
    }

    /// The sums of a convolution at one position, in the order the whole convolution takes them.
    fn convolve(&self, source: usize, taps: &[[i32; 2]], panels: &[f32], [row, column]: [usize; 2], d: usize, out: &mut [f32]) {
        let [_, width] = self.sampler.program.size;
        let channels = self.sampler.program.features[source].channels;
        let buffer = &self.buffers[source];
        let columns = simd::columns(d);
        let depth = taps.len() * channels;
        out.fill(0.0);
        for block in 0..d.div_ceil(columns) {
            let first = block * columns;
            let used = columns.min(d - first);
            for (t, [dy, dx]) in taps.iter().enumerate() {
                let (r, c) = (row as i32 + dy, column as i32 + dx);
                // Zeros outside the image add nothing.
                if r < 0 || c < 0 || c >= width as i32 {
                    continue;
                }
                let at = self.at(source, r as usize, c as usize);
                let features = &buffer[at..at + self.count * channels];
                let base = out[..self.count * d].as_mut_ptr().wrapping_add(first);
                let last = self.count - 1;
                let tile = Tile {
                    rows: &std::array::from_fn::<_, MAX_ROWS, _>(|i| features[i.min(last) * channels..].as_ptr())[..self.count],
                    offsets: &self.sampler.channels[..channels],
                    b: panels[(block * depth + t * channels) * columns..].as_ptr(),
                    stride: columns,
                    sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add(i.min(last) * d))[..self.count],
                    used,
                    fresh: false,
                };
                // SAFETY: each row has `channels` readable elements, the panel `channels` more rows of `columns`, and `out` a row of `d`
                // for each image.
                unsafe { simd::multiply(&tile, columns) };
            }
        }
    }
}
