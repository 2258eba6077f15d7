//! Operands packed into storage textures: channels in fours, padded with zeros.

use super::{Defines, flag, flat, text};
use crate::graph::{Expr, Shape};
use crate::shader::{Binding, Bindings, Pointwise, Stage, Target};

/// Texels of a row of every packed texture; `shaders/shared/texels.wgsl` knows it too.
pub(crate) const TEXTURE_WIDTH: usize = 4096;

/// Texels that `n` channels take.
pub(super) fn fours(n: usize) -> usize {
    n.div_ceil(4)
}

/// Packs `[rows, channels]` as `[rows][fours]`, read through a program.
pub(super) fn rows(input: usize, rows: usize, channels: usize, prologue: Option<&Expr>, texture: usize, target: &Target) -> Stage {
    let wide = channels.is_multiple_of(4);
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Texture(texture), "packed", "");
    bindings.bind(Binding::Input(input), "source", if wide { "array<vec4<f32>>" } else { "array<f32>" });
    let identity = Expr::identity();
    let scalar = Shape::scalar();
    let expr = prologue.unwrap_or(&identity);
    let program = Pointwise { name: "prologue", expr, given: true, inputs: Vec::new(), full: &scalar, wide };
    let defines = vec![("PROLOGUE", program.emit(&mut bindings)), ("WEIGHTS", flag(false)), ("TRANSPOSED", flag(false))];
    stage(bindings, defines, rows * fours(channels), rows * channels, [channels, channels], target)
}

/// Packs weights `[taps, c, d]` (transposed: `[taps, d, c]`) as `[taps][c, a multiple of four][fours of d]`.
pub(super) fn weights(input: usize, taps: usize, [c, d]: [usize; 2], transposed: bool, texture: usize, target: &Target) -> Stage {
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Texture(texture), "packed", "");
    bindings.bind(Binding::Input(input), "source", "array<f32>");
    let defines = vec![("PROLOGUE", String::new()), ("WEIGHTS", flag(true)), ("TRANSPOSED", flag(transposed))];
    stage(bindings, defines, weight_texels(taps, [c, d]), taps * c * d, [c, d], target)
}

/// Texels of packed weights.
pub(super) fn weight_texels(taps: usize, [c, d]: [usize; 2]) -> usize {
    taps * 4 * fours(c) * fours(d)
}

fn stage(bindings: Bindings, mut defines: Defines, texels: usize, read: usize, [c, d]: [usize; 2], target: &Target) -> Stage {
    let flat = flat(texels, target);
    let (bindings, declared) = bindings.finish();
    defines.extend([
        ("BINDINGS", declared),
        ("WIDE", flag(c.is_multiple_of(4))),
        ("C", text(c)),
        ("D", text(d)),
        ("TEXELS", text(texels)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
    ]);
    Stage { kernel: "pack", defines, bindings, groups: flat.groups, flops: 0, bytes: 4 * read as u64 + 16 * texels as u64 }
}
