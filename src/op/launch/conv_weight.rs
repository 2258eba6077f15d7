//! Weight gradients of convolutions.

use super::conv::Common;
use super::reduce::{Chain, Kind, Source};
use super::{bytes, flat, text};
use crate::graph::{Expr, Signature};
use crate::op::Gather;
use crate::shader::{Binding, Launch, Stage, Target};

/// Depth of a tile.
const DEPTH: usize = 16;
/// Workgroups that keep any adapter busy.
const ENOUGH: usize = 512;
/// Positions a split sums at least, and scratch elements all splits may take together.
const LEAST: usize = 128;
const MOST_SCRATCH: usize = 8 << 20;

pub(in crate::op) fn conv_weight(gather: &Gather, prologue: &Option<Expr>, s: &Signature<'_>, target: &Target) -> Launch {
    if s.output.is_empty() {
        return Launch::default();
    }
    let [taps, c, d] = [0, 1, 2].map(|axis| s.output.dims()[axis]);
    let images = s.inputs[0].dims()[0];
    let [m, positions] = [taps * c, images * gather.dest[0] * gather.dest[1]];
    if positions == 0 {
        return super::map(&Expr::build(|b| b.constant(0.0)), &Signature { inputs: Vec::new(), output: s.output }, target);
    }
    let side = |n: usize| if n <= 16 { 16 } else { 32 } + if n > 48 { 32 } else { 0 };
    let (bm, bn) = (side(m), side(d));
    let tn = if d > 4 { 8 } else { 4 };
    let tiles = if target.is_cpu { (m.div_ceil(4) * d.div_ceil(tn)).div_ceil(64) } else { m.div_ceil(bm) * d.div_ceil(bn) };
    let enough = if target.is_cpu { 4 } else { ENOUGH };
    let most = (positions.div_ceil(LEAST)).min(MOST_SCRATCH / (m * d)).max(1);
    let chunk = positions.div_ceil(enough.div_ceil(tiles).min(most)).next_multiple_of(DEPTH);
    let splits = positions.div_ceil(chunk);

    let mut launch = Launch::default();
    let output = if splits == 1 { Binding::Output } else { Binding::Scratch(0) };
    let shape = Common { gather, images, c, d, transposed: false };
    let (mut bindings, mut defines) = shape.begin(prologue.as_ref(), output);
    bindings.bind(Binding::Input(1), "upstream", if d % 4 == 0 { "array<vec4<f32>>" } else { "array<f32>" });
    let (bindings, declared) = bindings.finish();
    defines.extend([("BINDINGS", declared), ("CHUNK", text(chunk))]);
    let (kernel, groups) = if target.is_cpu {
        let flat = flat(m.div_ceil(4) * d.div_ceil(tn), target);
        defines.extend([("TN4", text(tn / 4)), ("THREADS", text(flat.threads)), ("GRID_X", text(flat.grid_x))]);
        ("conv_weight_direct", [flat.groups[0], flat.groups[1], splits as u32])
    } else {
        defines.extend([
            ("BM", text(bm)),
            ("BN", text(bn)),
            ("BK", text(DEPTH)),
            ("THREADS", text(bm * bn / 16)),
            ("A_TILE", text(DEPTH * bm / 4)),
            ("B_TILE", text(DEPTH * bn / 4)),
        ]);
        ("conv_weight", [m.div_ceil(bm) as u32, d.div_ceil(bn) as u32, splits as u32])
    };
    launch.stages.push(Stage {
        kernel,
        defines,
        bindings,
        groups,
        flops: 2 * (positions * m * d) as u64,
        bytes: bytes(s.inputs.iter().copied()) + 4 * (splits * m * d) as u64,
    });
    if splits > 1 {
        launch.scratch.push(splits * m * d);
        let mut chain = Chain { kind: Kind::Sum, target, launch };
        chain.run(Source::Buffer(Binding::ScratchRead(0)), [1, splits, m * d], Binding::Output);
        launch = chain.launch;
    }
    launch
}
