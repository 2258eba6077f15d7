//! Group normalisations and their gradients: a workgroup an image and group.

use super::{Defines, bytes, flag, rows, text};
use crate::graph::Signature;
use crate::shader::{Binding, Bindings, Launch, Stage, Target};
use crate::tensor::Grouping;

/// Which of the three kernels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::op) enum GroupNormPart {
    Forward,
    Sums,
    Input,
}

pub(in crate::op) fn group_norm(of: Grouping, part: GroupNormPart, s: &Signature<'_>, target: &Target) -> Launch {
    let &[n, h, w, c] = s.inputs[0].dims() else { return Launch::default() };
    if s.inputs[0].is_empty() {
        return Launch::default();
    }
    let size = c / of.groups;
    let unit = if size.is_multiple_of(4) { 4 } else { 1 };
    let array = if unit == 4 { "array<vec4<f32>>" } else { "array<f32>" };
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Output, "output", array);
    for (number, name) in ["input_x", "scale", "shift", "upstream", "sums"].into_iter().enumerate().take(s.inputs.len()) {
        bindings.bind(Binding::Input(number), name, array);
    }
    let (bindings, declared) = bindings.finish();
    let most = if target.is_cpu() { 64 } else { 256.min(target.max_invocations as usize) };
    // Columns of a workgroup side by side, and strands of rows in each.
    let lanes = (size / unit).min(most);
    let strands = (most / lanes).min(h * w);
    let groups = rows((n * of.groups) as u64);
    let defines: Defines = vec![
        ("BINDINGS", declared),
        ("T", if unit == 4 { "vec4<f32>" } else { "f32" }.into()),
        ("WIDE", if unit == 4 { "4" } else { "" }.into()),
        ("SILU", flag(of.silu)),
        ("FORWARD", flag(part == GroupNormPart::Forward)),
        ("SUMS", flag(part == GroupNormPart::Sums)),
        ("INPUT", flag(part == GroupNormPart::Input)),
        ("GRADIENT", flag(part != GroupNormPart::Forward)),
        ("OWN_SCALE", flag(s.inputs[1].rank() > 1)),
        ("OWN_SHIFT", flag(s.inputs[2].rank() > 1)),
        ("IMAGES", text(n)),
        ("GROUPS", text(of.groups)),
        ("ROWS", text(h * w)),
        ("CHANNELS", text(c / unit)),
        ("SIZE", text(size / unit)),
        ("COUNT", text(h * w * size)),
        ("EPSILON", format!("{:e}", of.epsilon as f32)),
        ("LANES", text(lanes)),
        ("STRANDS", text(strands)),
        ("THREADS", text(lanes * strands)),
        ("GRID_X", text(groups[0])),
    ];
    let bytes = bytes(s.inputs.iter().copied().chain([s.output]));
    let flops = 10 * s.inputs[0].len() as u64;
    Launch { stages: vec![Stage { kernel: "group_norm", defines, bindings, groups, flops, bytes }], ..Launch::default() }
}
