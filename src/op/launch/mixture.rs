//! Mixtures of discretised logistics and their gradient.

use super::{Defines, bytes, flag, flat, text};
use crate::graph::Signature;
use crate::shader::{Binding, Bindings, Launch, Stage, Target};
use crate::tensor::{LEAST_LOG_SCALE, Mixture};

/// The kernel of −ln p, or of its gradient where there is a third input: an invocation a pixel.
pub(in crate::op) fn mixture(mixture: &Mixture, s: &Signature<'_>, target: &Target) -> Launch {
    let pixels = s.inputs[1].len() / mixture.colours;
    if pixels == 0 {
        return Launch::default();
    }
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Output, "output", "array<f32>");
    for (number, name) in ["input_parameters", "input_levels", "input_upstream"].into_iter().take(s.inputs.len()).enumerate() {
        bindings.bind(Binding::Input(number), name, "array<f32>");
    }
    let (bindings, declared) = bindings.finish();
    let flat = flat(pixels, target);
    let defines: Defines = vec![
        ("BINDINGS", declared),
        ("PIXELS", text(pixels)),
        ("COMPONENTS", text(mixture.components)),
        ("COLOURS", text(mixture.colours)),
        ("PARAMETERS", text(mixture.parameters())),
        ("COLOUR", text(mixture.stride())),
        ("TOP", format!("{:?}", mixture.levels as f32 - 1.0)),
        ("LEAST", format!("{LEAST_LOG_SCALE:?}")),
        ("SEVERAL", flag(mixture.colours > 1)),
        ("GRADIENT", flag(s.inputs.len() == 3)),
        ("POSTERIOR", text(mixture.components * mixture.colours)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
    ];
    let bytes = bytes(s.inputs.iter().copied().chain([s.output]));
    let flops = (25 * s.inputs.len() * mixture.components * s.inputs[1].len()) as u64;
    Launch { stages: vec![Stage { kernel: "mixture", defines, bindings, groups: flat.groups, flops, bytes }], ..Launch::default() }
}
