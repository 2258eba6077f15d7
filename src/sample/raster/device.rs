//! The raster sampler on the GPU: the steps of rows and positions as one kernel, compiled from the network's own graph.

use std::collections::HashMap;
use std::time::Instant;

use super::draw::STREAM;
use super::program::{Operand, RasterProgram, RasterStep, View, Work};
use super::{Drawn, Job};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Standalone};
use crate::graph::{Expr, Shape};
use crate::model::Law;
use crate::runtime::Spent;
use crate::shader::{Access, Target, expand, function};

/// Longest a dispatch should run, in seconds.
const LONGEST: f64 = 0.05;
/// Images that one set of buffers draws.
const MOST_IMAGES: usize = 1024;

/// Images of a workgroup where an invocation draws one by itself: as many as a CPU's vectors hold.
const ALONE: u32 = 8;

/// Buffers of the kernel, in binding order.
#[derive(Clone, Copy)]
enum Buffer {
    Step,
    Job,
    Constants,
    Kept,
    Table,
    Features,
    Images,
    LogP,
}

/// A network ready to sample on an adapter.
pub struct DeviceSampler {
    gpu: Gpu,
    text: String,
    table: Vec<u32>,
    alone: bool,
    constants: Vec<u32>,
    /// Elements of one image, and of one image's features.
    item: usize,
    features: usize,
    positions: usize,
    /// For each feature that is given: its first element within an image's features, and how many there are.
    given: Vec<[usize; 2]>,
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

/// Addresses that tell steps of one kind apart: each is a word of the step's row in the table.
#[derive(Default)]
struct Row(Vec<u32>);

impl Row {
    /// WGSL of an address.
    fn address(&mut self, at: usize) -> String {
        self.0.push(at as u32);
        // The first word of a row is the kind.
        format!("table[step_row + {}u]", self.0.len())
    }
}

impl Layout<'_> {
    /// WGSL of a feature's first channel at `row`, `column`, given WGSL of where it starts in an image's.
    fn feature(&self, feature: usize, start: &str) -> String {
        let f = &self.program.features[feature];
        let width = self.program.size[1];
        if f.wide {
            format!("base + {start} + ((row % {}u) * {width}u + column) * {}u", f.rows, f.channels)
        } else {
            format!("base + {start}")
        }
    }

    /// The same for one feature alone.
    fn fixed(&self, feature: usize) -> String {
        self.feature(feature, &format!("{}u", self.feature_at[feature]))
    }

    /// The same for whichever channels of whichever feature a row names.
    fn named(&self, view: View, row: &mut Row) -> String {
        let start = row.address(self.feature_at[view.feature] + view.first);
        self.feature(view.feature, &start)
    }

    /// WGSL of an operand's element for channel `index`.
    fn operand(&self, operand: Operand, channels: usize, row: &mut Row) -> Result<String> {
        let (array, at, len) = match operand {
            Operand::Feature(view) => ("features", self.named(view, row), view.channels),
            Operand::Constant(c) => ("constants", row.address(self.constant_at[c]), self.constants[c].1.len()),
        };
        match len {
            1 => Ok(format!("{array}[{at}]")),
            n if n == channels => Ok(format!("{array}[{at} + index]")),
            n => Err(Error::Shape(format!("{n} values do not broadcast over {channels} channels in the raster kernel"))),
        }
    }

    fn program(&self, expr: &Expr, given: Option<&str>, operands: &[Operand], channels: usize, row: &mut Row) -> Result<String> {
        let mut inputs: Vec<String> = given.map(String::from).into_iter().collect();
        for operand in operands {
            inputs.push(self.operand(*operand, channels, row)?);
        }
        Ok(function(expr, &inputs, false, channels, channels).trim_end().to_string())
    }

    /// WGSL of a step whose functions are called by `kind`, and its row of the table.
    fn step(&self, number: usize, kind: usize, alone: bool) -> Result<(String, Row)> {
        let RasterStep { output, work } = &self.program.steps[number];
        let d = self.program.features[*output].channels;
        let mut row = Row::default();
        let whole = View { feature: *output, first: 0, channels: d };
        let mut defines = vec![("K", kind.to_string()), ("D", d.to_string()), ("OUTPUT_AT", self.named(whole, &mut row))];
        let text = match work {
            Work::Map { expr, operands } => {
                defines.push(("PROGRAM", self.program(expr, None, operands, d, &mut row)?));
                expand("raster_map", &defines)
            }
            Work::Join([a, b]) => {
                defines.push(("FIRST_AT", self.named(*a, &mut row)));
                defines.push(("SECOND_AT", self.named(*b, &mut row)));
                defines.push(("SPLIT", a.channels.to_string()));
                expand("raster_join", &defines)
            }
            Work::Conv { source, taps, weights, epilogue, operands } => {
                let identity = Expr::identity();
                let expr = epilogue.as_ref().unwrap_or(&identity);
                // Lanes that share an image are spread over its channels; one alone reads the source less often if it takes several.
                let four = alone && d.is_multiple_of(4);
                defines.push(("FOUR", if four { "1".into() } else { String::new() }));
                defines.push(("WIDE", if four { 4 } else { 1 }.to_string()));
                defines.push(("ZERO", if four { "vec4<f32>(0.0)" } else { "0.0" }.to_string()));
                defines.push(("C", source.channels.to_string()));
                defines.push(("SOURCE_AT", self.named(*source, &mut row)));
                defines.push(("WEIGHTS", row.address(self.constant_at[*weights])));
                defines.push(("PROGRAM", self.program(expr, Some("sum"), operands, d, &mut row)?));
                defines.push(("TAPS", taps.len().to_string()));
                defines.push(("OFFSETS", row.address(self.offsets_at[number])));
                expand("raster_conv", &defines)
            }
        };
        Ok((text?, row))
    }

    /// WGSL of every kind of step, how many kinds there are, and the rows of all steps, each with its kind first, equally long.
    fn steps(&self, alone: bool) -> Result<(String, usize, Vec<Vec<u32>>)> {
        let mut kinds: Vec<String> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut rows = Vec::new();
        for number in 0..self.program.steps.len() {
            // Steps whose text differs in nothing but its name are of one kind.
            let (nameless, row) = self.step(number, 0, alone)?;
            let kind = *seen.entry(nameless).or_insert(kinds.len());
            if kind == kinds.len() {
                kinds.push(self.step(number, kind, alone)?.0);
            }
            rows.push([vec![kind as u32], row.0].concat());
        }
        let longest = rows.iter().map(Vec::len).max().unwrap_or(1);
        rows.iter_mut().for_each(|row| row.resize(longest, 0));
        Ok((kinds.concat(), kinds.len(), rows))
    }
}

/// Row and column offsets of a step's taps, flat.
fn offsets(work: &Work) -> Vec<f32> {
    match work {
        Work::Conv { taps, .. } => taps.iter().flatten().map(|o| *o as f32).collect(),
        Work::Map { .. } | Work::Join(_) => Vec::new(),
    }
}

/// WGSL that draws a value from its pixel's outputs.
fn draw(law: &Law) -> Result<String> {
    match law {
        Law::Bernoulli => expand("raster_bernoulli", &[]),
        Law::Categorical { levels } => expand("raster_categorical", &[("LEVELS", levels.to_string())]),
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

/// A raster program as a kernel.
pub struct Compiled {
    /// Its WGSL.
    pub text: String,
    /// Elements of one image's features.
    pub features: usize,
    /// First element of each feature in them.
    pub feature_at: Vec<usize>,
    /// Words that say what each step does and where.
    pub table: Vec<u32>,
}

/// The kernel of a program. `alone`: an invocation draws an image by itself instead of a workgroup.
///
/// Steps of one kind share their code, and a loop goes through a table of them: drivers take time in proportion to the code, or to its
/// square (lavapipe: minutes for a network of dozens of steps written out).
///
/// # Errors
/// [`Error::Shape`] where an operand broadcasts in a way the kernel has no words for.
pub fn kernel(program: &RasterProgram, law: &Law, constants: &[(Shape, Vec<f32>)], target: &Target, alone: bool) -> Result<Compiled> {
    let width = program.size[1];
    let (feature_at, features) = lay(program.features.iter().map(|f| f.channels * f.places(width)));
    let (constant_at, end) = lay(constants.iter().map(|(_, v)| v.len()));
    let (offsets_at, _) = lay(program.steps.iter().map(|s| offsets(&s.work).len()));
    let offsets_at = offsets_at.into_iter().map(|at| at + end).collect();
    let layout = Layout { program, constants, feature_at, constant_at, offsets_at };
    let (steps, kinds, rows) = layout.steps(alone)?;
    let row_len = rows.first().map_or(1, Vec::len);
    let cases: String =
        (0..kinds).map(|k| format!("        case {k}u: {{ step_{k}(row, first, columns, base, lane, step_row); }}\n")).collect();
    let lists = [&program.row, &program.pixel, &program.late];
    let starts = lists.into_iter().flatten().map(|number| (number * row_len) as u32);
    let colours = program.features[0].channels;
    let most = program.steps.iter().map(|s| program.features[s.output].channels).max().unwrap_or(1);
    let lanes = if alone { 1 } else { (most.next_power_of_two() as u32).clamp(32, 128).min(target.max_invocations) };
    let flag = |on: bool| if on { "1".to_string() } else { String::new() };
    let defines = vec![
        ("STEPS", steps),
        ("CASES", cases.trim_end().to_string()),
        ("ALONE", flag(alone)),
        ("BARRIER", if alone { "" } else { "storageBarrier();" }.to_string()),
        ("LANES", lanes.to_string()),
        ("THREADS", if alone { ALONE } else { lanes }.to_string()),
        ("COUNT", rows.len().to_string()),
        ("ROW_STEPS", program.row.len().to_string()),
        ("PIXEL_STEPS", program.pixel.len().to_string()),
        ("LATE_STEPS", program.late.len().to_string()),
        ("ROW", row_len.to_string()),
        ("WIDTH", width.to_string()),
        ("COLOURS", colours.to_string()),
        ("DRAW", draw(law)?.trim_end().to_string()),
        ("ITEM", (program.size[0] * width * colours).to_string()),
        ("FEATURES", features.to_string()),
        ("STREAM", STREAM.to_string()),
        ("IMAGE_AT", layout.fixed(0)),
        ("LOGITS_AT", layout.fixed(program.logits)),
    ];
    let table = rows.concat().into_iter().chain(starts).collect();
    let text = expand("raster", &defines)?;
    Ok(Compiled { text, features, feature_at: layout.feature_at, table })
}

impl DeviceSampler {
    /// Prepares a program, given the values of its constants. `grouped`: a workgroup draws an image, even if the adapter is a CPU.
    ///
    /// # Errors
    /// As [`kernel`].
    pub fn new(gpu: &Gpu, program: &RasterProgram, law: &Law, constants: &[(Shape, Vec<f32>)], grouped: bool) -> Result<Self> {
        let alone = gpu.target().is_cpu() && !grouped;
        let Compiled { text, features, feature_at, table } = kernel(program, law, constants, gpu.target(), alone)?;
        Ok(Self {
            gpu: gpu.clone(),
            text,
            table,
            alone,
            constants: constants
                .iter()
                .flat_map(|(_, v)| v.clone())
                .chain(program.steps.iter().flat_map(|s| offsets(&s.work)))
                .map(f32::to_bits)
                .collect(),
            item: program.size[0] * program.size[1] * program.features[0].channels,
            features,
            positions: program.size[0] * program.size[1],
            given: program
                .given
                .iter()
                .map(|(f, _)| [feature_at[*f], program.features[*f].channels * program.features[*f].places(program.size[1])])
                .collect(),
            kernel: None,
        })
    }

    /// Draws (or completes) images; nothing is read back before they are done. Adds to `spent` where the time went. `given` holds the
    /// values of [`RasterProgram::given`] for all of them, in that order.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost or the images do not fit.
    pub fn sample(&mut self, job: &Job<'_>, given: &[Vec<f32>], spent: &mut Spent) -> Result<Drawn> {
        let mut drawn = Drawn { images: Vec::new(), log_p: Vec::new() };
        for start in (0..job.count).step_by(MOST_IMAGES) {
            let count = MOST_IMAGES.min(job.count - start);
            self.part(job, given, start, count, &mut drawn, spent)?;
        }
        Ok(drawn)
    }

    /// Elements of some images' features before the first is drawn: zeros, and what is given.
    fn first_features(&self, given: &[Vec<f32>], start: usize, count: usize) -> Vec<u32> {
        let mut words = vec![0; count * self.features];
        for ([at, len], values) in self.given.iter().zip(given) {
            for (image, words) in words.chunks_exact_mut(self.features).enumerate() {
                let values = &values[(start + image) * len..][..*len];
                words[*at..at + len].iter_mut().zip(values).for_each(|(word, value)| *word = value.to_bits());
            }
        }
        words
    }

    fn part(&mut self, job: &Job<'_>, given: &[Vec<f32>], start: usize, count: usize, drawn: &mut Drawn, spent: &mut Spent) -> Result<()> {
        if self.kernel.as_ref().is_none_or(|(made, _)| *made != count) {
            let sizes = [
                (Access::Read, 12),
                (Access::Read, 5),
                (Access::Read, self.constants.len()),
                (Access::Read, self.item),
                (Access::Read, self.table.len()),
                (Access::ReadWrite, count * self.features),
                (Access::ReadWrite, count * self.item),
                (Access::ReadWrite, count),
            ];
            let kernel = Standalone::new(&self.gpu, "raster", self.text.clone(), &sizes)?;
            kernel.upload(Buffer::Constants as usize, &self.constants);
            kernel.upload(Buffer::Table as usize, &self.table);
            self.kernel = Some((count, kernel));
        }
        let Some((_, kernel)) = &self.kernel else { return Ok(()) };
        let begun = Instant::now();
        kernel.upload(Buffer::Step as usize, &[job.seed as u32, (job.seed >> 32) as u32, 0, (job.first + start) as u32]);
        kernel.upload(Buffer::Features as usize, &self.first_features(given, start, count));
        kernel.upload(Buffer::LogP as usize, &vec![0; count]);
        if let Some((values, kept)) = job.keep {
            let given = &values[start * self.item..(start + count) * self.item];
            kernel.upload(Buffer::Images as usize, &given.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            kernel.upload(Buffer::Kept as usize, &kept.iter().map(|k| u32::from(*k)).collect::<Vec<_>>());
        }
        spent.transfers += begun.elapsed().as_secs_f64();
        // Short dispatches first; as long as the budget allows once it is known what a position takes.
        let groups = if self.alone { (count as u32).div_ceil(ALONE) } else { count as u32 };
        let mut at = 0;
        let mut each = 1;
        while at < self.positions {
            let last = (at + each).min(self.positions);
            let words = [at as u32, last as u32, (1.0 / job.temperature).to_bits(), u32::from(job.keep.is_some()), count as u32];
            let begun = Instant::now();
            kernel.upload(Buffer::Job as usize, &words);
            kernel.dispatch([groups, 1, 1]);
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
