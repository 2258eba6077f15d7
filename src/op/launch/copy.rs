//! Data movement: slices, their adjoint, joins and plain copies.

use super::{Defines, flag, flat, text};
use crate::graph::Signature;
use crate::shader::{Binding, Bindings, Launch, Stage, Target};

/// A range of each row; `rows` are the elements of a row in the output and in the input, and where the range starts.
pub(in crate::op) fn slice(rows: [usize; 3], len: usize, target: &Target) -> Launch {
    movement("SLICE", len, rows, 1, target)
}

/// Rows set into longer ones of zeros; `rows` are the elements of a row in the output and in the input, and where the input goes.
pub(in crate::op) fn embed(rows: [usize; 3], len: usize, target: &Target) -> Launch {
    movement("EMBED", len, rows, 1, target)
}

/// Rows of two inputs side by side; `rows` are the elements of a row in the output and in the first input.
pub(in crate::op) fn concat(rows: [usize; 2], s: &Signature<'_>, target: &Target) -> Launch {
    let inputs = s.inputs.iter().filter(|shape| !shape.is_empty()).count();
    if inputs < 2 {
        // Nothing can be bound of an empty input; the other is the result.
        let number = usize::from(s.inputs[0].is_empty());
        return renumbered(movement("COPY", s.output.len(), [1, 1, 0], 1, target), number);
    }
    movement("CONCAT", s.output.len(), [rows[0], rows[1], 0], 2, target)
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
