//! Products of matrices, pair by pair: an invocation an element.

use super::{Defines, flat, text};
use crate::native::product::Sizes;
use crate::shader::{Binding, Bindings, Launch, Stage, Target};

pub(in crate::op) fn product(sizes: Sizes, target: &Target) -> Launch {
    let Sizes { batch, m, k, n, turned } = sizes;
    let count = batch * m * n;
    if count == 0 || k == 0 {
        return Launch::default();
    }
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Output, "output", "array<f32>");
    bindings.bind(Binding::Input(0), "input_a", "array<f32>");
    bindings.bind(Binding::Input(1), "input_b", "array<f32>");
    let (bindings, declared) = bindings.finish();
    let flat = flat(count, target);
    // Elements from one to the next along a sum, and from one row or column to the next.
    let [a_along, a_row] = if turned[0] { [m, 1] } else { [1, k] };
    let [b_along, b_column] = if turned[1] { [1, k] } else { [n, 1] };
    let defines: Defines = vec![
        ("BINDINGS", declared),
        ("COUNT", text(count)),
        ("M", text(m)),
        ("K", text(k)),
        ("N", text(n)),
        ("A_ALONG", text(a_along)),
        ("A_ROW", text(a_row)),
        ("B_ALONG", text(b_along)),
        ("B_COLUMN", text(b_column)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
    ];
    let flops = 2 * (count * k) as u64;
    let bytes = 4 * (batch * (m * k + k * n + m * n)) as u64;
    Launch { stages: vec![Stage { kernel: "product", defines, bindings, groups: flat.groups, flops, bytes }], ..Launch::default() }
}
