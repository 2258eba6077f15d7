//! Convolutions and their adjoints.

use std::sync::Arc;

use super::pack::{self, fours};
use super::variants::Problem;
use super::{Defines, bytes, flag, flat, rows, text};
use crate::graph::{Expr, Shape, Signature};
use crate::op::Gather;
use crate::shader::{Binding, Bindings, Launch, Matrices, Pointwise, Stage, Target, Tile, Variant};

pub(in crate::op) fn conv(
    gather: &Gather,
    transposed: bool,
    prologue: &Option<Expr>,
    epilogue: &Option<Expr>,
    s: &Signature<'_>,
    target: &Target,
) -> Launch {
    if s.output.is_empty() {
        return Launch::default();
    }
    let images = s.output.dims()[0];
    let [c, d] = [s.inputs[0].channels(), s.output.channels()];
    let positions = images * gather.phases.iter().map(|p| p.extent[0] * p.extent[1]).max().unwrap_or(0);
    let all_taps = s.inputs[1].len() / (c * d).max(1);
    let pixels = images * gather.source[0] * gather.source[1];
    let problem = Problem {
        operation: if transposed { "conv_input" } else { "conv" },
        gather,
        images,
        channels: [c, d],
        texels: [pixels * fours(c), pack::weight_texels(all_taps, [c, d])],
    };
    let choice = problem.conv(positions, s.output.len(), target);
    let mut launch = Launch::default();
    let shape = Common { gather, images, c, d, transposed };
    let split = if let Variant::Split(_, parts) = choice.variant { Some(parts) } else { None };
    let output = if split.is_some() { Binding::Scratch(0) } else { Binding::Output };
    let (mut bindings, mut defines) = match choice.variant {
        Variant::Texture { .. } => {
            launch.textures = problem.texels.to_vec();
            launch.stages.push(pack::rows(0, pixels, c, prologue.as_ref(), 0, target));
            launch.stages.push(pack::weights(1, all_taps, [c, d], transposed, 1, target));
            let (mut bindings, defines) = shape.begin_packed(output);
            bindings.bind(Binding::TextureRead(1), "packed_weights", "");
            (bindings, defines)
        }
        _ => {
            let (mut bindings, defines) = shape.begin(prologue.as_ref(), output);
            let wide = shape.wide_weights();
            bindings.bind(Binding::Input(1), "weights", if wide { "array<vec4<f32>>" } else { "array<f32>" });
            (bindings, defines)
        }
    };
    let identity = Expr::identity();
    let expr = epilogue.as_ref().unwrap_or(&identity);
    let inputs = s.inputs.iter().copied().enumerate().skip(2).collect();
    let program = Pointwise { name: "epilogue", expr, given: true, inputs, full: s.output, wide: d.is_multiple_of(4) };
    // The parts of a split product are stored as they are.
    let whole = split.is_none();
    defines.push(("EPILOGUE", if whole { program.emit(&mut bindings) } else { String::new() }));
    defines.push(("RANDOM", flag(whole && expr.is_random())));
    let phases = gather.phases.len() as u32;
    let (kernel, groups) = match choice.variant {
        Variant::Direct { tm, tn } | Variant::Texture { tm, tn } => {
            let flat = flat(positions.div_ceil(tm) * d.div_ceil(tn), target);
            defines.extend([("TM", text(tm)), ("TN4", text(tn / 4)), ("THREADS", text(flat.threads)), ("GRID_X", text(flat.grid_x))]);
            let kernel = if launch.stages.is_empty() { "conv_direct" } else { "conv_texture" };
            (kernel, [flat.groups[0], flat.groups[1], phases])
        }
        Variant::Dot(threads) => {
            let groups = rows((positions * d.div_ceil(4)) as u64);
            defines.extend([("THREADS", text(threads)), ("GRID_X", text(groups[0]))]);
            ("conv_dot", [groups[0], groups[1], phases])
        }
        Variant::Tile(tile) | Variant::Split(tile, _) => {
            let Tile { bm, bn, bk, tm, tn } = tile;
            defines.extend([
                ("BM", text(bm)),
                ("BN", text(bn)),
                ("BK", text(bk)),
                ("TM", text(tm)),
                ("TN4", text(tn / 4)),
                ("THREADS_X", text(bn / tn)),
                ("THREADS_Y", text(bm / tm)),
                ("A_TILE", text(bm * (bk / 4 + 1))),
                ("B_TILE", text(if transposed { bn * (bk / 4 + 1) } else { bk * bn / 4 })),
                ("SPLIT", flag(split.is_some())),
                ("PARTS", text(split.unwrap_or(1))),
                ("LENGTH", text(s.output.len())),
            ]);
            defines.extend(fetches([bm, bn, bk], tile.threads()));
            defines.push(("ALIGNED", flag(c.is_multiple_of(bk) && shape.wide_weights())));
            ("conv", [positions.div_ceil(bm) as u32, d.div_ceil(bn) as u32, phases * split.unwrap_or(1) as u32])
        }
        Variant::Matrix { bm, bn, bk, rows, columns } => {
            let b_tile = if transposed { bn * (bk + PAD) } else { bk * (bn + PAD) };
            let threads = matrix_tiles(&mut defines, [bm, bn, bk], [rows, columns], [bm * (bk + PAD), b_tile], target);
            defines.extend(fetches([bm, bn, bk], threads));
            defines.push(("ALIGNED", flag(c.is_multiple_of(bk) && shape.wide_weights())));
            defines.push(("A_ALONG_K", flag(true)));
            ("conv_matrix", [positions.div_ceil(bm) as u32, d.div_ceil(bn) as u32, phases])
        }
    };
    let (bindings, declared) = bindings.finish();
    defines.push(("BINDINGS", declared));
    let taps: usize = gather.phases.iter().map(|p| p.taps.len() * p.extent[0] * p.extent[1]).sum();
    let flops = (2 * images * taps * c * d) as u64;
    let bytes = bytes(s.inputs.iter().copied().chain([s.output]));
    launch.stages.push(Stage { kernel, defines, bindings, groups, flops, bytes });
    if let Some(parts) = split {
        launch.scratch.push(parts * s.output.len());
        launch.stages.push(add_parts(&program, parts, target));
    }
    launch.choice = Some(choice);
    launch
}

/// Adds the parts of a split product and finishes with its epilogue.
fn add_parts(epilogue: &Pointwise<'_>, parts: usize, target: &Target) -> Stage {
    let mut bindings = Bindings::default();
    let ty = if epilogue.wide { "array<vec4<f32>>" } else { "array<f32>" };
    bindings.bind(Binding::Output, "output", ty);
    bindings.bind(Binding::ScratchRead(0), "parts", ty);
    let width = if epilogue.wide { 4 } else { 1 };
    let count = epilogue.full.len() / width;
    let flat = flat(count, target);
    let mut defines = vec![("EPILOGUE", epilogue.emit(&mut bindings)), ("RANDOM", flag(epilogue.expr.is_random()))];
    let (bindings, declared) = bindings.finish();
    defines.extend([
        ("BINDINGS", declared),
        ("COUNT", text(count)),
        ("WIDTH", text(width)),
        ("PARTS", text(parts)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
    ]);
    let len = epilogue.full.len() as u64;
    let flops = len * (parts + epilogue.expr.instrs().len()) as u64;
    Stage { kernel: "conv_parts", defines, bindings, groups: flat.groups, flops, bytes: 4 * len * (parts as u64 + 1) }
}

/// f16 numbers by which the rows of a tile of operands are longer than they need be, against bank conflicts.
pub(super) const PAD: usize = 8;

/// Defines what `shaders/shared/matrix_tiles.wgsl` needs, for tiles of operands of so many numbers; returns the invocations of a workgroup.
pub(super) fn matrix_tiles(
    defines: &mut Defines,
    [bm, bn, bk]: [usize; 3],
    [rows, columns]: [usize; 2],
    [a, b]: [usize; 2],
    target: &Target,
) -> usize {
    // Variants are of this kind only where there are matrices.
    let Matrices { side, subgroup } = target.matrices.unwrap_or(Matrices { side: 8, subgroup: 32 });
    let threads = rows * columns * subgroup;
    defines.extend([
        ("SIDE", text(side)),
        ("ROWS", text(rows)),
        ("COLUMNS", text(columns)),
        ("FM", text(bm / side / rows)),
        ("FN", text(bn / side / columns)),
        ("BK", text(bk)),
        ("THREADS", text(threads)),
        ("A_TILE", text(a)),
        ("B_TILE", text(b)),
        ("C_TILE", text(rows * columns * side * side)),
    ]);
    threads
}

/// How tiles of `bm` rows by `bn` columns, `bk` deep, are fetched by so many invocations, four numbers at a time
/// (`shaders/shared/conv_fetch.wgsl`, `shaders/shared/conv_weight_fetch.wgsl`).
pub(super) fn fetches([bm, bn, bk]: [usize; 3], threads: usize) -> Defines {
    let [a, b] = [bm * bk / 4, bk * bn / 4];
    vec![
        ("A_EACH", text(a.div_ceil(threads))),
        ("B_EACH", text(b.div_ceil(threads))),
        ("A_WHOLE", flag(a.is_multiple_of(threads))),
        ("B_WHOLE", flag(b.is_multiple_of(threads))),
    ]
}

/// What the convolution kernels share.
pub(super) struct Common<'a> {
    pub(super) gather: &'a Gather,
    pub(super) images: usize,
    pub(super) c: usize,
    pub(super) d: usize,
    pub(super) transposed: bool,
}

impl Common<'_> {
    /// Whether the weights are read four at a time.
    fn wide_weights(&self) -> bool {
        if self.transposed { self.c.is_multiple_of(4) } else { self.d.is_multiple_of(4) }
    }

    /// Binds output, table and source and defines the geometry.
    pub(super) fn begin(&self, prologue: Option<&Expr>, output: Binding) -> (Bindings, Defines) {
        let wide_c = self.c.is_multiple_of(4);
        let mut bindings = self.common(output);
        bindings.bind(Binding::Input(0), "source", if wide_c { "array<vec4<f32>>" } else { "array<f32>" });
        let identity = Expr::identity();
        let scalar = Shape::scalar();
        let expr = prologue.unwrap_or(&identity);
        let program = Pointwise { name: "prologue", expr, given: true, inputs: Vec::new(), full: &scalar, wide: wide_c };
        let mut defines = self.geometry(self.c);
        defines.push(("PROLOGUE", program.emit(&mut bindings)));
        (bindings, defines)
    }

    /// The same for a source packed in texture 0, whose pixels are counted in texels.
    pub(super) fn begin_packed(&self, output: Binding) -> (Bindings, Defines) {
        let mut bindings = self.common(output);
        bindings.bind(Binding::TextureRead(0), "packed_source", "");
        (bindings, self.geometry(fours(self.c)))
    }

    fn common(&self, output: Binding) -> Bindings {
        let mut bindings = Bindings::default();
        bindings.bind(output, "output", if self.d.is_multiple_of(4) { "array<vec4<f32>>" } else { "array<f32>" });
        bindings.bind(Binding::Table(table(self.gather)), "table", "array<vec4<i32>>");
        bindings
    }

    fn geometry(&self, c: usize) -> Defines {
        let g = self.gather;
        let one = g.phases.len() == 1 && g.step_dest == 1;
        vec![
            ("PHASES", text(g.phases.len())),
            ("ONE_PHASE", flag(one)),
            ("TAPS", text(g.phases.first().map_or(0, |p| p.taps.len()))),
            ("IMAGES", text(self.images)),
            ("SOURCE_H", text(g.source[0])),
            ("SOURCE_W", text(g.source[1])),
            ("DEST_H", text(g.dest[0])),
            ("DEST_W", text(g.dest[1])),
            ("STEP_SOURCE", text(g.step_source)),
            ("STEP_DEST", text(g.step_dest)),
            ("C", text(c)),
            ("D", text(self.d)),
            ("WIDE_C", flag(self.c.is_multiple_of(4))),
            ("WIDE_D", flag(self.d.is_multiple_of(4))),
            ("TRANSPOSED", flag(self.transposed)),
        ]
    }
}

/// The geometry as `shared/gather.wgsl` reads it.
fn table(gather: &Gather) -> Arc<[u32]> {
    let mut words: Vec<u32> = Vec::new();
    let mut first = 2 * gather.phases.len();
    for phase in &gather.phases {
        words.extend([phase.origin, phase.extent].iter().flatten().map(|&v| v as u32));
        words.extend([first as u32, phase.taps.len() as u32, 0, 0]);
        first += phase.taps.len();
    }
    for ([dy, dx], weight) in gather.phases.iter().flat_map(|p| &p.taps) {
        words.extend([*dy as u32, *dx as u32, *weight as u32, 0]);
    }
    words.into()
}
