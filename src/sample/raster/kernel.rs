//! A raster program as a kernel.

use std::collections::HashMap;

use super::draw::STREAM;
use super::program::{Known, Operand, Order, RasterProgram, RasterStep, View, Work, extents};
use crate::error::{Error, Result};
use crate::graph::{Expr, Shape};
use crate::model::Law;
use crate::shader::{Target, expand, function};
use crate::tensor::{Gating, LEAST_DEVIATION, LEAST_LOG_SCALE, Walk};

/// Images of a workgroup where an invocation draws one by itself: as many as a CPU's vectors hold.
pub(super) const ALONE: u32 = 8;

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
        let width = f.columns(self.program.size[1]);
        let every = if f.stride == 1 { String::new() } else { format!(" / {}u", f.stride) };
        if f.wide {
            format!("base + {start} + ((row{every} % {}u) * {width}u + column{every}) * {}u", f.rows, f.channels)
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

    /// WGSL of an operand's element for channel `index` of a step of so many channels and such a stride.
    fn operand(&self, operand: Operand, (channels, stride): (usize, usize), row: &mut Row) -> Result<String> {
        let (array, at, len) = match operand {
            Operand::Feature(view) => ("features", self.named(view, row), view.channels),
            Operand::Constant(c) => {
                let [rows, columns, own] = extents(&self.constants[c].0);
                let mut at = row.address(self.constant_at[c]);
                for (name, extent, each) in [("row", rows, columns * own), ("column", columns, own)] {
                    if extent > 1 {
                        at += &format!(" + {name} / {stride}u * {each}u");
                    }
                }
                ("constants", at, own)
            }
        };
        match len {
            1 => Ok(format!("{array}[{at}]")),
            n if n == channels => Ok(format!("{array}[{at} + index]")),
            n => Err(Error::Shape(format!("{n} values do not broadcast over {channels} channels in the raster kernel"))),
        }
    }

    fn program(&self, expr: &Expr, given: Option<&str>, operands: &[Operand], size: (usize, usize), row: &mut Row) -> Result<String> {
        let mut inputs: Vec<String> = given.map(String::from).into_iter().collect();
        for operand in operands {
            inputs.push(self.operand(*operand, size, row)?);
        }
        Ok(function(expr, &inputs, false, size.0, size.0).trim_end().to_string())
    }

    /// WGSL of a step whose functions are called by `kind`, and its row of the table.
    fn step(&self, number: usize, kind: usize, alone: bool) -> Result<(String, Row)> {
        let RasterStep { output, work } = &self.program.steps[number];
        let (d, stride) = (self.program.features[*output].channels, self.program.features[*output].stride);
        let mut row = Row::default();
        let whole = |feature| View { feature, first: 0, channels: d };
        let mut defines = vec![
            ("K", kind.to_string()),
            ("D", d.to_string()),
            ("EVERY", if stride == 1 { String::new() } else { format!(" * {stride}u") }),
            ("CELLS", if stride == 1 { "columns".into() } else { format!("((columns + {}u) / {stride}u)", stride - 1) }),
            ("OUTPUT_AT", self.named(whole(*output), &mut row)),
        ];
        let text = match work {
            Work::Map { expr, operands } => {
                defines.push(("PROGRAM", self.program(expr, None, operands, (d, stride), &mut row)?));
                expand("raster_map", &defines)
            }
            Work::Halves { exprs, source } => {
                let mut half = |expr| self.program(expr, None, &[Operand::Feature(*source)], (source.channels, stride), &mut row);
                let [first, second] = [half(&exprs[0])?, half(&exprs[1])?];
                defines.push(("FIRST", first));
                defines.push(("SECOND", second));
                defines.push(("HALF", source.channels.to_string()));
                expand("raster_halves", &defines)
            }
            Work::Join([a, b]) => {
                defines.push(("FIRST_AT", self.named(*a, &mut row)));
                defines.push(("SECOND_AT", self.named(*b, &mut row)));
                defines.push(("SPLIT", a.channels.to_string()));
                expand("raster_join", &defines)
            }
            Work::Conv { source, taps, transposed, weights, epilogue, operands } => {
                let identity = Expr::identity();
                let expr = epilogue.as_ref().unwrap_or(&identity);
                // Lanes that share an image are spread over its channels; one alone reads the source less often if it takes several.
                let four = four(alone, d);
                let from = &self.program.features[source.feature];
                // Weights of a transposed convolution are [taps, D, C].
                let [of_output, of_input] = if *transposed { [source.channels, 1] } else { [1, d] };
                defines.push(("FOUR", flag(four)));
                defines.push(("WIDE", if four { 4 } else { 1 }.to_string()));
                defines.push(("ZERO", if four { "vec4<f32>(0.0)" } else { "0.0" }.to_string()));
                defines.push(("C", source.channels.to_string()));
                defines.push(("SOURCE_AT", self.named(*source, &mut row)));
                defines.push(("WEIGHTS", row.address(self.constant_at[*weights])));
                defines.push(("OF_OUTPUT", times(of_output)));
                defines.push(("OF_INPUT", times(of_input)));
                defines.push(("STEP", of_output.to_string()));
                defines.push(("PROGRAM", self.program(expr, Some("sum"), operands, (d, stride), &mut row)?));
                defines.push(("TAPS", taps.len().to_string()));
                defines.push(("OFFSETS", row.address(self.offsets_at[number])));
                // Taps of what is given may reach below the image, and a transposed convolution's lie between the source's places.
                defines.push(("BELOW", flag(from.known == Known::Given)));
                defines.push(("BETWEEN", flag(*transposed && from.stride > 1)));
                defines.push(("STRIDE", from.stride.to_string()));
                expand("raster_conv", &defines)
            }
            Work::Scan { walk, gating, sums, weights, initial, cells } => {
                let [height, width] = self.program.size.map(|side| side.div_ceil(stride));
                defines.push(("SUMS_AT", self.named(*sums, &mut row)));
                defines.push(("CELLS_AT", self.named(whole(*cells), &mut row)));
                defines.push(("WEIGHTS", row.address(self.constant_at[*weights])));
                defines.push(("INITIAL", row.address(self.constant_at[*initial])));
                defines.push(("OFFSETS", row.address(self.offsets_at[number])));
                defines.push(("TAPS", walk.taps().len().to_string()));
                defines.push(("HEIGHT", height.to_string()));
                defines.push(("SPAN", width.to_string()));
                defines.push(("STRIDE", stride.to_string()));
                defines.push(("ENTERED", gating.entered().to_string()));
                defines.push(("CARRIED", gating.carried().to_string()));
                defines.push(("GRU", flag(*gating == Gating::Gru)));
                defines.push(("BY_ROWS", flag(matches!(walk, Walk::Rows { .. }))));
                let [dy, dx] = walk.carry();
                defines.push(("CARRY_ROW", dy.to_string()));
                defines.push(("CARRY_COLUMN", dx.to_string()));
                expand("raster_scan", &defines)
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

/// Whether a convolution's output channels are summed four at a time.
pub(super) fn four(alone: bool, channels: usize) -> bool {
    alone && channels.is_multiple_of(4)
}

/// Row and column offsets of a step's taps, flat; those of a recurrence in places of its own.
fn offsets(work: &Work) -> Vec<f32> {
    let flat = |taps: &[[i32; 2]]| taps.iter().flatten().map(|o| *o as f32).collect();
    match work {
        Work::Conv { taps, .. } => flat(taps),
        Work::Scan { walk, .. } => flat(&walk.taps()),
        Work::Map { .. } | Work::Halves { .. } | Work::Join(_) => Vec::new(),
    }
}

/// WGSL of a flag.
fn flag(on: bool) -> String {
    if on { "1".to_string() } else { String::new() }
}

/// WGSL of a product with a number.
fn times(by: usize) -> String {
    if by == 1 { String::new() } else { format!(" * {by}u") }
}

/// WGSL that draws a value from its pixel's outputs.
fn draw(law: &Law) -> Result<String> {
    match law {
        Law::Bernoulli => expand("raster_bernoulli", &[]),
        Law::Categorical { levels } => expand("raster_categorical", &[("LEVELS", levels.to_string())]),
        Law::Mixture(mixture) => {
            let defines = [
                ("COMPONENTS", mixture.components.to_string()),
                ("COLOUR", mixture.stride().to_string()),
                ("TOP", format!("{:?}", mixture.levels as f32 - 1.0)),
                ("LEAST", format!("{LEAST_LOG_SCALE:?}")),
            ];
            expand("raster_mixture", &defines)
        }
        Law::Gaussian(mixture) => {
            let defines = [("COMPONENTS", mixture.components.to_string()), ("LEAST", format!("{LEAST_DEVIATION:?}"))];
            expand("raster_gaussian", &defines)
        }
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

/// A raster program's kernel and what it reads.
pub struct Compiled {
    /// Its WGSL.
    pub text: String,
    /// Elements of one image's features.
    pub features: usize,
    /// First element of each feature in them.
    pub feature_at: Vec<usize>,
    /// Words that say what each step does and where.
    pub table: Vec<u32>,
    /// What is the same for all images, and taps, as bits.
    pub constants: Vec<u32>,
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
    let turn = |number: &usize| {
        let step = &program.steps[*number];
        let order = match step.order() {
            Order::Together => 0,
            Order::Rightward => 1,
            Order::Leftward => 2,
        };
        [(number * row_len) as u32, program.features[step.output].stride as u32, order]
    };
    let turns = [&program.ended, &program.row, &program.pixel, &program.again, &program.late].into_iter().flatten().flat_map(turn);
    let colours = program.features[0].channels;
    let most = program.steps.iter().map(|s| program.features[s.output].channels).max().unwrap_or(1);
    let lanes = if alone { 1 } else { (most.next_power_of_two() as u32).clamp(32, 128).min(target.max_invocations) };
    let defines = vec![
        ("STEPS", steps),
        ("CASES", cases.trim_end().to_string()),
        ("ALONE", flag(alone)),
        ("BARRIER", if alone { "" } else { "storageBarrier();" }.to_string()),
        ("LANES", lanes.to_string()),
        ("THREADS", if alone { ALONE } else { lanes }.to_string()),
        ("COUNT", rows.len().to_string()),
        ("ENDED_STEPS", program.ended.len().to_string()),
        ("ROW_STEPS", program.row.len().to_string()),
        ("PIXEL_STEPS", program.pixel.len().to_string()),
        ("AGAIN_STEPS", program.again.len().to_string()),
        ("LATE_STEPS", program.late.len().to_string()),
        ("ROW", row_len.to_string()),
        ("HEIGHT", program.size[0].to_string()),
        ("WIDTH", width.to_string()),
        ("COLOURS", colours.to_string()),
        ("DRAW", draw(law)?.trim_end().to_string()),
        ("ITEM", (program.size[0] * width * colours).to_string()),
        ("FEATURES", features.to_string()),
        ("STREAM", STREAM.to_string()),
        ("IMAGE_AT", layout.fixed(0)),
        ("LOGITS_AT", layout.fixed(program.logits)),
    ];
    let table = rows.concat().into_iter().chain(turns).collect();
    let text = expand("raster", &defines)?;
    let taps = program.steps.iter().flat_map(|step| offsets(&step.work));
    let constants = constants.iter().flat_map(|(_, values)| values.clone()).chain(taps).map(f32::to_bits).collect();
    Ok(Compiled { text, features, feature_at: layout.feature_at, table, constants })
}
