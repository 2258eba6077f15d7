//! Gated units, gated residuals, concatenated exponential linear units, and their gradients: all read or write maps of C channels beside
//! maps of 2C.

use super::{Defines, bytes, flag, flat, text};
use crate::graph::{Shape, Signature};
use crate::shader::{Binding, Bindings, Launch, Stage, Target};

pub(in crate::op) fn gate(s: &Signature<'_>, target: &Target) -> Launch {
    stage("gate", s, s.output, &["input_x"], [false, false], target)
}

pub(in crate::op) fn gate_gradient(s: &Signature<'_>, target: &Target) -> Launch {
    stage("gate", s, s.inputs[1], &["input_x", "input_upstream"], [true, false], target)
}

pub(in crate::op) fn gated_residual(s: &Signature<'_>, target: &Target) -> Launch {
    stage("gate", s, s.output, &["input_residual", "input_x"], [false, true], target)
}

pub(in crate::op) fn gated_residual_gradient(s: &Signature<'_>, target: &Target) -> Launch {
    stage("gate", s, s.inputs[1], &["input_x", "input_upstream"], [true, true], target)
}

pub(in crate::op) fn concat_elu(s: &Signature<'_>, target: &Target) -> Launch {
    stage("concat_elu", s, s.inputs[0], &["input_x"], [false, false], target)
}

pub(in crate::op) fn concat_elu_gradient(s: &Signature<'_>, target: &Target) -> Launch {
    stage("concat_elu", s, s.output, &["input_x", "input_upstream"], [true, false], target)
}

/// One stage with an invocation for four elements (or one) of the narrower side.
fn stage(
    kernel: &'static str,
    s: &Signature<'_>,
    narrow: &Shape,
    names: &[&str],
    [gradient, residual]: [bool; 2],
    target: &Target,
) -> Launch {
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
    let mut defines: Defines = vec![
        ("BINDINGS", declared),
        ("T", if wide { "vec4<f32>" } else { "f32" }.into()),
        ("GRADIENT", flag(gradient)),
        ("COUNT", text(narrow.len() / unit)),
        ("CHANNELS", text(channels / unit)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
    ];
    if kernel == "gate" {
        defines.extend([("WIDE", if wide { "4" } else { "" }.into()), ("RESIDUAL", flag(residual))]);
    }
    let bytes = bytes(s.inputs.iter().copied().chain([s.output]));
    let flops = 3 * s.output.len() as u64;
    Launch { stages: vec![Stage { kernel, defines, bindings, groups: flat.groups, flops, bytes }], ..Launch::default() }
}
