//! The raster sampler on the GPU: the steps of one position as one kernel, compiled from the network's own graph.

use std::time::Instant;

use super::draw::STREAM;
use super::program::{Operand, RasterProgram, Work};
use super::{Drawn, Job};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Standalone};
use crate::graph::{Expr, Shape};
use crate::runtime::Spent;
use crate::shader::{Access, expand, function};

/// Longest a dispatch should run, in seconds.
const LONGEST: f64 = 0.05;
/// Images that one set of buffers draws.
const MOST_IMAGES: usize = 1024;

/// Buffers of the kernel, in binding order.
#[derive(Clone, Copy)]
enum Buffer {
    Step,
    Job,
    Constants,
    Kept,
    Features,
    Images,
    LogP,
}

/// A network ready to sample on an adapter.
pub struct DeviceSampler {
    gpu: Gpu,
    text: String,
    constants: Vec<u32>,
    /// Elements of one image, and of one image's features.
    item: usize,
    features: usize,
    positions: usize,
    /// The kernel with buffers for so many images.
    kernel: Option<(usize, Standalone)>,
}

/// Where everything lies.
struct Layout<'a> {
    program: &'a RasterProgram,
    constants: &'a [(Shape, Vec<f32>)],
    /// First element of each feature within an image's, and of each constant.
    feature_at: Vec<usize>,
    constant_at: Vec<usize>,
    /// First element of each step's tap offsets, behind the constants.
    offsets_at: Vec<usize>,
}

impl Layout<'_> {
    /// WGSL of a feature's first channel at `row`, `column`.
    fn feature(&self, feature: usize) -> String {
        let (f, at) = (&self.program.features[feature], self.feature_at[feature]);
        let width = self.program.size[1];
        if f.wide { format!("base + {at}u + ((row % {}u) * {width}u + column) * {}u", f.rows, f.channels) } else { format!("base + {at}u") }
    }

    /// WGSL of an operand's element for channel `index`.
    fn operand(&self, operand: Operand, channels: usize) -> Result<String> {
        let (at, len) = match operand {
            Operand::Feature(f) => (self.feature(f), self.program.features[f].channels),
            Operand::Constant(c) => (format!("{}u", self.constant_at[c]), self.constants[c].1.len()),
        };
        let array = if matches!(operand, Operand::Feature(_)) { "features" } else { "constants" };
        match len {
            1 => Ok(format!("{array}[{at}]")),
            n if n == channels => Ok(format!("{array}[{at} + index]")),
            n => Err(Error::Shape(format!("{n} values do not broadcast over {channels} channels in the raster kernel"))),
        }
    }

    fn program(&self, expr: &Expr, given: Option<&str>, operands: &[Operand], channels: usize) -> Result<String> {
        let mut inputs: Vec<String> = given.map(String::from).into_iter().collect();
        for operand in operands {
            inputs.push(self.operand(*operand, channels)?);
        }
        Ok(function(expr, &inputs, false, channels, channels).trim_end().to_string())
    }

    fn step(&self, number: usize, output: usize, work: &Work) -> Result<String> {
        let d = self.program.features[output].channels;
        let mut defines = vec![("K", number.to_string()), ("D", d.to_string()), ("OUTPUT_AT", self.feature(output))];
        match work {
            Work::Map { expr, operands } => {
                defines.push(("PROGRAM", self.program(expr, None, operands, d)?));
                expand("raster_map", &defines)
            }
            Work::Conv { source, taps, weights, epilogue, operands } => {
                let identity = Expr::identity();
                defines.push(("C", self.program.features[*source].channels.to_string()));
                defines.push(("SOURCE_AT", self.feature(*source)));
                defines.push(("WEIGHTS", self.constant_at[*weights].to_string()));
                defines.push(("PROGRAM", self.program(epilogue.as_ref().unwrap_or(&identity), Some("sum"), operands, d)?));
                defines.push(("TAPS", taps.len().to_string()));
                defines.push(("OFFSETS", self.offsets_at[number].to_string()));
                expand("raster_conv", &defines)
            }
        }
    }
}

/// Row and column offsets of a step's taps, flat.
fn offsets(work: &Work) -> Vec<f32> {
    match work {
        Work::Conv { taps, .. } => taps.iter().flatten().map(|o| *o as f32).collect(),
        Work::Map { .. } => Vec::new(),
    }
}

/// First element of each part laid end to end, and the whole length.
fn lay(lengths: impl Iterator<Item = usize>) -> (Vec<usize>, usize) {
    let mut end = 0;
    let starts = lengths.map(|len| {
        end += len;
        end - len
    });
    (starts.collect(), end)
}

/// The kernel's WGSL, and the elements of one image's features.
///
/// # Errors
/// [`Error::Shape`] where an operand broadcasts in a way the kernel has no words for.
pub fn kernel(program: &RasterProgram, constants: &[(Shape, Vec<f32>)], invocations: u32) -> Result<(String, usize)> {
    let width = program.size[1];
    let (feature_at, features) = lay(program.features.iter().map(|f| f.channels * if f.wide { f.rows * width } else { 1 }));
    let (constant_at, end) = lay(constants.iter().map(|(_, v)| v.len()));
    let (offsets_at, _) = lay(program.steps.iter().map(|s| offsets(&s.work).len()));
    let offsets_at = offsets_at.into_iter().map(|at| at + end).collect();
    let layout = Layout { program, constants, feature_at, constant_at, offsets_at };
    let (mut steps, mut calls) = (String::new(), String::new());
    for (number, step) in program.steps.iter().enumerate() {
        steps += &layout.step(number, step.output, &step.work)?;
        calls += &format!("            step_{number}(row, column, base, lane);\n            storageBarrier();\n");
    }
    let again = |step: &usize| format!("        step_{step}(row, column, base, lane);\n        storageBarrier();\n");
    let late: String = program.late.iter().map(again).collect();
    let colours = program.features[0].channels;
    let levels = program.features[program.logits].channels / colours;
    let most = program.steps.iter().map(|s| program.features[s.output].channels).max().unwrap_or(1);
    let threads = (most.next_power_of_two() as u32).clamp(32, 128).min(invocations);
    let defines = vec![
        ("STEPS", steps),
        ("CALLS", calls.trim_end().to_string()),
        ("LATE", late.trim_end().to_string()),
        ("THREADS", threads.to_string()),
        ("WIDTH", width.to_string()),
        ("COLOURS", colours.to_string()),
        ("LEVELS", levels.to_string()),
        ("BERNOULLI", if levels == 1 { "1".into() } else { String::new() }),
        ("ITEM", (program.size[0] * width * colours).to_string()),
        ("FEATURES", features.to_string()),
        ("STREAM", STREAM.to_string()),
        ("IMAGE_AT", layout.feature(0)),
        ("LOGITS_AT", layout.feature(program.logits)),
    ];
    Ok((expand("raster", &defines)?, features))
}

impl DeviceSampler {
    /// Prepares a program, given the values of its constants.
    ///
    /// # Errors
    /// As [`kernel`].
    pub fn new(gpu: &Gpu, program: &RasterProgram, constants: &[(Shape, Vec<f32>)]) -> Result<Self> {
        let (text, features) = kernel(program, constants, gpu.target().max_invocations)?;
        Ok(Self {
            gpu: gpu.clone(),
            text,
            constants: constants
                .iter()
                .flat_map(|(_, v)| v.clone())
                .chain(program.steps.iter().flat_map(|s| offsets(&s.work)))
                .map(f32::to_bits)
                .collect(),
            item: program.size[0] * program.size[1] * program.features[0].channels,
            features,
            positions: program.size[0] * program.size[1],
            kernel: None,
        })
    }

    /// Draws (or completes) images; nothing is read back before they are done. Adds to `spent` where the time went.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost or the images do not fit.
    pub fn sample(&mut self, job: &Job<'_>, spent: &mut Spent) -> Result<Drawn> {
        let mut drawn = Drawn { images: Vec::new(), log_p: Vec::new() };
        for start in (0..job.count).step_by(MOST_IMAGES) {
            let count = MOST_IMAGES.min(job.count - start);
            self.part(job, start, count, &mut drawn, spent)?;
        }
        Ok(drawn)
    }

    fn part(&mut self, job: &Job<'_>, start: usize, count: usize, drawn: &mut Drawn, spent: &mut Spent) -> Result<()> {
        if self.kernel.as_ref().is_none_or(|(made, _)| *made != count) {
            let sizes = [
                (Access::Read, 12),
                (Access::Read, 4),
                (Access::Read, self.constants.len()),
                (Access::Read, self.item),
                (Access::ReadWrite, count * self.features),
                (Access::ReadWrite, count * self.item),
                (Access::ReadWrite, count),
            ];
            let kernel = Standalone::new(&self.gpu, "raster", self.text.clone(), &sizes)?;
            kernel.upload(Buffer::Constants as usize, &self.constants);
            self.kernel = Some((count, kernel));
        }
        let Some((_, kernel)) = &self.kernel else { return Ok(()) };
        let begun = Instant::now();
        kernel.upload(Buffer::Step as usize, &[job.seed as u32, (job.seed >> 32) as u32, 0, (job.first + start) as u32]);
        kernel.upload(Buffer::Features as usize, &vec![0; count * self.features]);
        kernel.upload(Buffer::LogP as usize, &vec![0; count]);
        if let Some((values, kept)) = job.keep {
            let given = &values[start * self.item..(start + count) * self.item];
            kernel.upload(Buffer::Images as usize, &given.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            kernel.upload(Buffer::Kept as usize, &kept.iter().map(|k| u32::from(*k)).collect::<Vec<_>>());
        }
        spent.transfers += begun.elapsed().as_secs_f64();
        // Short dispatches first; as long as the budget allows once it is known what a position takes.
        let mut at = 0;
        let mut each = 1;
        while at < self.positions {
            let last = (at + each).min(self.positions);
            let words = [at as u32, last as u32, (1.0 / job.temperature).to_bits(), u32::from(job.keep.is_some())];
            let begun = Instant::now();
            kernel.upload(Buffer::Job as usize, &words);
            kernel.dispatch([count as u32, 1, 1]);
            let host = begun.elapsed().as_secs_f64();
            kernel.finish()?;
            let took = begun.elapsed().as_secs_f64();
            spent.host += host;
            spent.kernels += took - host;
            if each < self.positions {
                // The first dispatch may compile the kernel, so it says little; growth is bounded for the same reason.
                let room = (LONGEST / took.max(1e-6) * each as f64) as usize;
                each = room.clamp(1, each * 4);
            }
            at = last;
        }
        let begun = Instant::now();
        drawn.images.extend(kernel.read(Buffer::Images as usize, count * self.item)?);
        drawn.log_p.extend(kernel.read(Buffer::LogP as usize, count)?.into_iter().map(f64::from));
        spent.transfers += begun.elapsed().as_secs_f64();
        Ok(())
    }
}
