//! Convolutions and their adjoints.

use std::sync::Arc;

use super::{Defines, bytes, flag, flat, text};
use crate::graph::{Expr, Shape, Signature};
use crate::op::Gather;
use crate::shader::{Binding, Bindings, Launch, Pointwise, Stage, Target};

/// Tile sizes of `conv.wgsl`: positions, channels, depth, positions and channels of one invocation.
#[derive(Clone, Copy, Debug)]
struct Tile {
    bm: usize,
    bn: usize,
    bk: usize,
    tm: usize,
    tn: usize,
}

/// From the largest to the smallest; each fits 16 KiB of workgroup memory and 256 invocations.
const TILES: [Tile; 7] = [
    Tile { bm: 128, bn: 64, bk: 16, tm: 8, tn: 4 },
    Tile { bm: 64, bn: 64, bk: 16, tm: 4, tn: 4 },
    Tile { bm: 128, bn: 32, bk: 16, tm: 4, tn: 4 },
    Tile { bm: 64, bn: 32, bk: 16, tm: 4, tn: 4 },
    Tile { bm: 32, bn: 32, bk: 16, tm: 4, tn: 4 },
    Tile { bm: 128, bn: 16, bk: 16, tm: 4, tn: 4 },
    Tile { bm: 64, bn: 16, bk: 16, tm: 4, tn: 4 },
];

/// Workgroups that keep any adapter busy.
const ENOUGH: usize = 256;

/// The tile with the least padding among those that make enough workgroups; else the one that makes most.
fn choose(positions: usize, phases: usize, channels: usize) -> Tile {
    let groups = |t: &Tile| positions.div_ceil(t.bm) * channels.div_ceil(t.bn) * phases;
    let padded = |t: &Tile| channels.next_multiple_of(t.bn);
    let least = TILES.iter().map(padded).min().unwrap_or(0);
    // A wider tile rereads the source less, which pays for a quarter of padding.
    let fits = |t: &&Tile| padded(t) * 4 <= least * 5;
    let busy = TILES.iter().filter(fits).find(|t| groups(t) >= ENOUGH);
    busy.or_else(|| TILES.iter().filter(fits).max_by_key(|t| groups(t))).copied().unwrap_or(TILES[4])
}

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
    let direct = target.is_cpu || d < 8;
    let shape = Common { gather, images, c, d, transposed };
    let (mut bindings, mut defines) = shape.begin(prologue.as_ref(), Binding::Output);
    bindings.bind(Binding::Input(1), "weights", if shape.wide_weights(direct) { "array<vec4<f32>>" } else { "array<f32>" });
    let identity = Expr::identity();
    let expr = epilogue.as_ref().unwrap_or(&identity);
    let inputs = s.inputs.iter().copied().enumerate().skip(2).collect();
    let program = Pointwise { name: "epilogue", expr, given: true, inputs, full: s.output, wide: d.is_multiple_of(4) };
    defines.push(("EPILOGUE", program.emit(&mut bindings)));
    defines.push(("RANDOM", flag(expr.is_random())));
    let phases = gather.phases.len();
    let (kernel, groups) = if direct {
        let (tm, tn) = direct_tile(positions, d, target);
        let flat = flat(positions.div_ceil(tm) * d.div_ceil(tn), target);
        defines.extend([("TM", text(tm)), ("TN4", text(tn / 4)), ("THREADS", text(flat.threads)), ("GRID_X", text(flat.grid_x))]);
        ("conv_direct", [flat.groups[0], flat.groups[1], phases as u32])
    } else {
        let t = choose(positions, phases, d);
        let threads = t.bm / t.tm * (t.bn / t.tn);
        defines.extend([
            ("BM", text(t.bm)),
            ("BN", text(t.bn)),
            ("BK", text(t.bk)),
            ("TM", text(t.tm)),
            ("TN4", text(t.tn / 4)),
            ("THREADS_X", text(t.bn / t.tn)),
            ("THREADS_Y", text(t.bm / t.tm)),
            ("A_TILE", text(t.bm * (t.bk / 4 + 1))),
            ("B_TILE", text(t.bk * t.bn / 4)),
            ("A_EACH", text((t.bm * t.bk / 4).div_ceil(threads))),
        ]);
        ("conv", [positions.div_ceil(t.bm) as u32, d.div_ceil(t.bn) as u32, phases as u32])
    };
    let (bindings, declared) = bindings.finish();
    defines.push(("BINDINGS", declared));
    let taps: usize = gather.phases.iter().map(|p| p.taps.len() * p.extent[0] * p.extent[1]).sum();
    let flops = (2 * images * taps * c * d) as u64;
    let bytes = bytes(s.inputs.iter().copied().chain([s.output]));
    Launch { stages: vec![Stage { kernel, defines, bindings, groups, flops, bytes }], scratch: Vec::new() }
}

/// Positions and channels of one invocation of the direct kernel.
fn direct_tile(positions: usize, d: usize, target: &Target) -> (usize, usize) {
    match (target.is_cpu, d) {
        (true, 8..) if positions >= 64 => (8, 8),
        (true, _) if positions >= 64 => (8, 4),
        (true, _) => (4, 4),
        (false, _) => (1, 4),
    }
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
    fn wide_weights(&self, direct: bool) -> bool {
        if self.transposed { !direct && self.c.is_multiple_of(4) } else { self.d.is_multiple_of(4) }
    }

    /// Binds output, table and source and defines the geometry.
    pub(super) fn begin(&self, prologue: Option<&Expr>, output: Binding) -> (Bindings, Defines) {
        let array = |wide: bool| if wide { "array<vec4<f32>>" } else { "array<f32>" };
        let (wide_c, wide_d) = (self.c.is_multiple_of(4), self.d.is_multiple_of(4));
        let mut bindings = Bindings::default();
        bindings.bind(output, "output", array(wide_d));
        bindings.bind(Binding::Table(table(self.gather)), "table", "array<vec4<i32>>");
        bindings.bind(Binding::Input(0), "source", array(wide_c));
        let identity = Expr::identity();
        let scalar = Shape::scalar();
        let expr = prologue.unwrap_or(&identity);
        let program = Pointwise { name: "prologue", expr, given: true, inputs: Vec::new(), full: &scalar, wide: wide_c };
        let g = self.gather;
        let one = g.phases.len() == 1 && g.step_dest == 1;
        let defines = vec![
            ("PROLOGUE", program.emit(&mut bindings)),
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
            ("C", text(self.c)),
            ("D", text(self.d)),
            ("WIDE_C", flag(wide_c)),
            ("WIDE_D", flag(wide_d)),
            ("TRANSPOSED", flag(self.transposed)),
        ];
        (bindings, defines)
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
