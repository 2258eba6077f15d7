//! Gated units and their gradient.

use super::{Defines, bytes, flag, flat, text};
use crate::graph::{Shape, Signature};
use crate::shader::{Binding, Bindings, Launch, Stage, Target};

pub(in crate::op) fn gate(s: &Signature<'_>, target: &Target) -> Launch {
    stage(s, s.output, &["input_x"], target)
}

pub(in crate::op) fn gate_gradient(s: &Signature<'_>, target: &Target) -> Launch {
    stage(s, s.inputs[1], &["input_x", "input_upstream"], target)
}

/// One stage with an invocation for four elements (or one) of the narrower side.
fn stage(s: &Signature<'_>, narrow: &Shape, names: &[&str], target: &Target) -> Launch {
    if narrow.is_empty() {
        return Launch::default();
    }
    let channels = narrow.channels();
    let wide = channels.is_multiple_of(4);
    let unit = if wide { 4 } else { 1 };
    let array = if wide { "array<vec4<f32>>" } else { "array<f32>" };
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Output, "output", array);
    for (number, name) in names.iter().enumerate() {
        bindings.bind(Binding::Input(number), name, array);
    }
    let (bindings, declared) = bindings.finish();
    let flat = flat(narrow.len() / unit, target);
    let defines: Defines = vec![
        ("BINDINGS", declared),
        ("T", if wide { "vec4<f32>" } else { "f32" }.into()),
        ("WIDE", if wide { "4" } else { "" }.into()),
        ("GRADIENT", flag(names.len() == 2)),
        ("COUNT", text(narrow.len() / unit)),
        ("CHANNELS", text(channels / unit)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
    ];
    let bytes = bytes(s.inputs.iter().copied().chain([s.output]));
    let flops = 3 * s.output.len() as u64;
    Launch { stages: vec![Stage { kernel: "gate", defines, bindings, groups: flat.groups, flops, bytes }], ..Launch::default() }
}
