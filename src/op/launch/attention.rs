//! Attention: an invocation a position and head, which meets tiles of the other positions in workgroup memory.

use super::{Defines, bytes, flag, rows, text};
use crate::graph::Signature;
use crate::native::attention::Heads;
use crate::shader::{Binding, Bindings, Launch, Stage, Target};

/// Bytes of a number.
const F32: usize = 4;
/// Positions met at a time at most.
const TILE: usize = 32;

/// What a kernel computes for each position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The values' sum.
    Forward,
    /// The logarithm of the total of its shares, and their gradients' mean.
    Totals,
    /// The gradient of its query.
    Queries,
    /// The gradients of its key and value.
    Keys,
}

fn stage(h: Heads, part: Part, s: &Signature<'_>, target: &Target) -> Stage {
    let images = s.inputs[0].len() / (3 * h.length * h.inner());
    let quads = "array<vec4<f32>>";
    let mut bindings = Bindings::default();
    let pairs = "array<vec2<f32>>";
    match part {
        Part::Totals => bindings.bind(Binding::Scratch(0), "totals", pairs),
        _ => bindings.bind(Binding::Output, "output", quads),
    }
    bindings.bind(Binding::Input(0), "input_x", quads);
    if part == Part::Totals {
        bindings.bind(Binding::Input(1), "made", quads);
    }
    if part != Part::Forward {
        bindings.bind(Binding::Input(2), "upstream", quads);
    }
    if matches!(part, Part::Queries | Part::Keys) {
        bindings.bind(Binding::ScratchRead(0), "totals", pairs);
    }
    let (bindings, declared) = bindings.finish();
    let threads = 64.min(target.max_invocations as usize);
    // Two rows and a pair for each position of a tile, a whole number of four: scores are met four at a time.
    let room = target.workgroup_bytes as usize / (F32 * (2 * h.width + 2));
    let tile = TILE.min(room).min(h.length.next_multiple_of(4)) / 4 * 4;
    let blocks = h.length.div_ceil(threads);
    let groups = rows((images * h.heads * blocks) as u64);
    let products = match part {
        Part::Totals => 1,
        Part::Forward => 2,
        Part::Queries => 3,
        Part::Keys => 4,
    };
    let defines: Defines = vec![
        ("BINDINGS", declared),
        ("FORWARD", flag(part == Part::Forward)),
        ("TOTALS", flag(part == Part::Totals)),
        ("QUERIES", flag(part == Part::Queries)),
        ("KEYS", flag(part == Part::Keys)),
        ("ONLINE", flag(matches!(part, Part::Forward | Part::Totals))),
        ("GRADIENT", flag(matches!(part, Part::Queries | Part::Keys))),
        ("SECOND", flag(part != Part::Totals)),
        ("IMAGES", text(images)),
        ("HEADS", text(h.heads)),
        ("LENGTH", text(h.length)),
        ("WIDTH", text(h.width / 4)),
        ("TILE", text(tile.max(4))),
        ("TILE_QUADS", text(tile.max(4) * h.width / 4)),
        ("SCALE", format!("{:e}", 1.0 / (h.width as f32).sqrt())),
        ("BLOCKS", text(blocks)),
        ("THREADS", text(threads)),
        ("GRID_X", text(groups[0])),
    ];
    let flops = 2 * products * (s.inputs[0].len() / 3 * h.length) as u64;
    Stage { kernel: "attention", defines, bindings, groups, flops, bytes: bytes(s.inputs.iter().copied().chain([s.output])) }
}

pub(in crate::op) fn attention(h: Heads, s: &Signature<'_>, target: &Target) -> Launch {
    if s.output.is_empty() {
        return Launch::default();
    }
    Launch { stages: vec![stage(h, Part::Forward, s, target)], ..Launch::default() }
}

pub(in crate::op) fn attention_gradient(h: Heads, s: &Signature<'_>, target: &Target) -> Launch {
    if s.output.is_empty() {
        return Launch::default();
    }
    let stages = [Part::Totals, Part::Queries, Part::Keys].map(|part| stage(h, part, s, target)).into();
    let positions = s.inputs[1].len() / h.width;
    Launch { stages, scratch: vec![2 * positions], ..Launch::default() }
}
