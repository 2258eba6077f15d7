//! Weight gradients of convolutions.

use super::conv::{Common, PAD, fetches, matrix_tiles};
use super::defaults::Defaults;
use super::pack::{self, fours};
use super::reduce::{Chain, Kind, Source};
use super::variants::Problem;
use super::{bytes, flat, text};
use crate::graph::{Expr, Signature};
use crate::op::Gather;
use crate::shader::{Binding, Launch, Stage, Target, Tile, Variant};

/// What the length of a split is a multiple of: the depth of a tile.
const DEPTH: usize = 16;
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
    let pixels = images * gather.source[0] * gather.source[1];
    let texels = [pixels * fours(c), positions * fours(d)];
    let choice = Problem { operation: "conv_weight", gather, images, channels: [c, d], texels }.weight(m, target);
    let workers = match choice.variant {
        // Not offered: a weight gradient's sums are long, but never few.
        Variant::Dot(_) => m.div_ceil(4) * d.div_ceil(4).div_ceil(64),
        Variant::Tile(Tile { bm, bn, .. }) | Variant::Split(Tile { bm, bn, .. }, _) | Variant::Matrix { bm, bn, .. } => {
            m.div_ceil(bm) * d.div_ceil(bn)
        }
        Variant::Direct { tm, tn } | Variant::Texture { tm, tn } => (m.div_ceil(tm) * d.div_ceil(tn)).div_ceil(64),
    };
    let enough = Defaults::of(target.class).splits;
    let most = (positions.div_ceil(LEAST)).min(MOST_SCRATCH / (m * d)).max(1);
    let chunk = positions.div_ceil(enough.div_ceil(workers).min(most)).next_multiple_of(DEPTH);
    let splits = positions.div_ceil(chunk);

    let mut launch = Launch::default();
    let output = if splits == 1 { Binding::Output } else { Binding::Scratch(0) };
    let shape = Common { gather, images, c, d, transposed: false };
    let (bindings, mut defines) = match choice.variant {
        Variant::Texture { .. } => {
            launch.textures = texels.to_vec();
            launch.stages.push(pack::rows(0, pixels, c, prologue.as_ref(), 0, target));
            launch.stages.push(pack::rows(1, positions, d, None, 1, target));
            let (mut bindings, mut defines) = shape.begin_packed(output);
            bindings.bind(Binding::TextureRead(1), "packed_upstream", "");
            defines.push(("CHANNELS", text(c)));
            (bindings, defines)
        }
        _ => {
            let (mut bindings, defines) = shape.begin(prologue.as_ref(), output);
            bindings.bind(Binding::Input(1), "upstream", if d.is_multiple_of(4) { "array<vec4<f32>>" } else { "array<f32>" });
            (bindings, defines)
        }
    };
    let (bindings, declared) = bindings.finish();
    defines.extend([("BINDINGS", declared), ("CHUNK", text(chunk))]);
    let mut spread = |rows: usize, tn: usize| {
        let flat = flat(rows * d.div_ceil(tn), target);
        defines.extend([("TN4", text(tn / 4)), ("THREADS", text(flat.threads)), ("GRID_X", text(flat.grid_x))]);
        [flat.groups[0], flat.groups[1], splits as u32]
    };
    let (kernel, groups) = match choice.variant {
        Variant::Direct { tm, tn } => ("conv_weight_direct", spread(m.div_ceil(tm), tn)),
        Variant::Dot(_) => ("conv_weight_direct", spread(m.div_ceil(4), 4)),
        // Two four-vectors of rows, which never cross a tap.
        Variant::Texture { tn, .. } => ("conv_weight_texture", spread((taps * fours(c)).div_ceil(2), tn)),
        // Its sum is split in any case, by shape.
        Variant::Tile(tile) | Variant::Split(tile, _) => {
            let Tile { bm, bn, bk, tm, .. } = tile;
            defines.extend([
                ("BM", text(bm)),
                ("BN", text(bn)),
                ("BK", text(bk)),
                ("TM4", text(tm / 4)),
                ("THREADS", text(tile.threads())),
                ("A_TILE", text(bk * bm / 4)),
                ("B_TILE", text(bk * bn / 4)),
            ]);
            defines.extend(fetches([bm, bn, bk], tile.threads()));
            ("conv_weight", [m.div_ceil(bm) as u32, d.div_ceil(bn) as u32, splits as u32])
        }
        Variant::Matrix { bm, bn, bk, rows, columns } => {
            let threads = matrix_tiles(&mut defines, [bm, bn, bk], [rows, columns], [bk * (bm + PAD), bk * (bn + PAD)], target);
            defines.extend(fetches([bm, bn, bk], threads));
            ("conv_weight_matrix", [m.div_ceil(bm) as u32, d.div_ceil(bn) as u32, splits as u32])
        }
    };
    launch.stages.push(Stage {
        kernel,
        defines,
        bindings,
        groups,
        flops: 2 * (positions * m * d) as u64,
        bytes: bytes(s.inputs.iter().copied()) + 4 * (splits * m * d) as u64,
    });
    launch.choice = Some(choice);
    if splits > 1 {
        launch.scratch.push(splits * m * d);
        let mut chain = Chain { kind: Kind::Sum, count: splits, target, launch };
        chain.run(Source::Buffer(Binding::ScratchRead(0)), [1, splits, m * d], Binding::Output);
        launch = chain.launch;
    }
    launch
}
