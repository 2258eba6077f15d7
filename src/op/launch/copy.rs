//! Data movement: slices, their adjoint, joins and plain copies.

use super::{Defines, flag, flat, text};
use crate::graph::{Shape, Signature};
use crate::op::slice::around;
use crate::op::{Concat, Embed, Slice};
use crate::shader::{Binding, Bindings, Launch, Stage, Target};

pub(in crate::op) fn slice(op: &Slice, s: &Signature<'_>, target: &Target) -> Launch {
    let inner = around(s.output, op.axis)[1];
    let from = s.inputs[0].dims()[op.axis] * inner;
    movement("SLICE", s.output.len(), [op.len * inner, from, op.start * inner], 1, target)
}

pub(in crate::op) fn embed(op: &Embed, s: &Signature<'_>, target: &Target) -> Launch {
    let inner = around(s.output, op.axis)[1];
    let from = s.inputs[0].dims()[op.axis] * inner;
    movement("EMBED", s.output.len(), [op.total * inner, from, op.start * inner], 1, target)
}

pub(in crate::op) fn concat(op: &Concat, s: &Signature<'_>, target: &Target) -> Launch {
    let inner = around(s.output, op.axis)[1];
    let row = |shape: &Shape| shape.dims()[op.axis] * inner;
    let inputs = s.inputs.iter().filter(|shape| !shape.is_empty()).count();
    if inputs < 2 {
        // Nothing can be bound of an empty input; the other is the result.
        let number = usize::from(s.inputs[0].is_empty());
        return renumbered(movement("COPY", s.output.len(), [1, 1, 0], 1, target), number);
    }
    movement("CONCAT", s.output.len(), [row(s.output), row(s.inputs[0]), 0], 2, target)
}

/// A plain copy of `len` elements from input 0.
pub(crate) fn copy(len: usize, target: &Target) -> Launch {
    movement("COPY", len, [4, 4, 0], 1, target)
}

fn renumbered(mut launch: Launch, number: usize) -> Launch {
    for binding in launch.stages.iter_mut().flat_map(|s| &mut s.bindings) {
        if let Binding::Input(k) = binding {
            *k = number;
        }
    }
    launch
}

fn movement(kind: &'static str, len: usize, [to, from, start]: [usize; 3], inputs: usize, target: &Target) -> Launch {
    if len == 0 {
        return Launch::default();
    }
    let wide = [len, to, from, start].iter().all(|n| n % 4 == 0);
    let unit = if wide { 4 } else { 1 };
    let ty = if wide { "vec4<f32>" } else { "f32" };
    let array = format!("array<{ty}>");
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Output, "output", &array);
    for (number, name) in ["input_a", "input_b"].into_iter().enumerate().take(inputs) {
        bindings.bind(Binding::Input(number), name, &array);
    }
    let (bindings, declared) = bindings.finish();
    let flat = flat(len / unit, target);
    let mut defines: Defines = vec![
        ("BINDINGS", declared),
        ("T", ty.into()),
        ("COUNT", text(len / unit)),
        ("TO", text(to / unit)),
        ("FROM", text(from / unit)),
        ("START", text(start / unit)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
    ];
    defines.extend(["COPY", "SLICE", "EMBED", "CONCAT"].map(|k| (k, flag(k == kind))));
    let bytes = 8 * len as u64;
    Launch { stages: vec![Stage { kernel: "copy", defines, bindings, groups: flat.groups, flops: 0, bytes }], ..Launch::default() }
}
