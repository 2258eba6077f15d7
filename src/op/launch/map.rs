//! Pointwise programs.

use super::{Defines, bytes, flag, flat, text};
use crate::graph::{Expr, Signature};
use crate::shader::{Binding, Bindings, Launch, Pointwise, Stage, Target, can_widen};

pub(in crate::op) fn map(expr: &Expr, signature: &Signature<'_>, target: &Target) -> Launch {
    let full = signature.output;
    if full.is_empty() {
        return Launch::default();
    }
    let wide = can_widen(&signature.inputs, full);
    let width = if wide { 4 } else { 1 };
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Output, "output", if wide { "array<vec4<f32>>" } else { "array<f32>" });
    let inputs = signature.inputs.iter().copied().enumerate().collect();
    let program = Pointwise { name: "program", expr, given: false, inputs, full, wide }.emit(&mut bindings);
    let (bindings, declared) = bindings.finish();
    let count = full.len() / width;
    let flat = flat(count, target);
    let defines: Defines = vec![
        ("BINDINGS", declared),
        ("PROGRAM", program),
        ("RANDOM", flag(expr.is_random())),
        ("COUNT", text(count)),
        ("WIDTH", text(width)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
    ];
    Launch {
        stages: vec![Stage {
            kernel: "map",
            defines,
            bindings,
            groups: flat.groups,
            flops: (full.len() * expr.instrs().len()) as u64,
            bytes: bytes(signature.inputs.iter().copied().chain([full])),
        }],
        ..Launch::default()
    }
}
