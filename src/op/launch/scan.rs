//! Scans: a workgroup goes through an image where its states fit workgroup memory and its weights registers, or where it has few cells a step;
//! otherwise, and where the adapter is a CPU, each step is a dispatch over all images.

use std::sync::Arc;

use super::{Defines, bytes, flag, flat, rows, text};
use crate::graph::Signature;
use crate::shader::{Binding, Bindings, Launch, Stage, Target};
use crate::tensor::{GATES, Gating, Walk};

/// Most units whose weights, those of one gate, an invocation holds in registers.
const HELD: usize = 32;
/// Most weights that every workgroup reads anew in each step: half a megabyte. No GPU has timed it.
const READ: usize = 128 << 10;
/// Cells whose gates are known at a time, where workgroup memory holds them.
const CHUNK: usize = 32;
/// Bytes of a number.
const F32: usize = 4;

/// Who goes through an image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A workgroup of so many invocations, a whole number of cells' gates, each with the weights of a gate in registers.
    Gates(usize),
    /// A workgroup of so many invocations, each with a unit of a lane, which read weights as they go.
    Units(usize),
    /// A dispatch a step.
    Steps,
}

/// What the kernels know of a scan.
struct Geometry<'a> {
    walk: Walk,
    gating: Gating,
    images: usize,
    size: [usize; 2],
    units: usize,
    target: &'a Target,
}

impl<'a> Geometry<'a> {
    fn of((walk, gating): (Walk, Gating), hidden: &[usize], target: &'a Target) -> Self {
        Self { walk, gating, images: hidden[0], size: [hidden[1], hidden[2]], units: hidden[3], target }
    }

    fn gates(&self) -> usize {
        GATES * self.units
    }

    fn cells(&self) -> usize {
        self.images * self.size[0] * self.size[1]
    }

    /// Lanes and units of all images.
    fn chains(&self) -> usize {
        self.images * self.walk.lanes(self.size) * self.units
    }

    /// Numbers that `channels` of each lane and its margin take for two steps.
    fn states(&self, channels: usize) -> usize {
        2 * (self.walk.lanes(self.size) + 2 * self.walk.margin()) * channels
    }

    /// Numbers that workgroup memory holds.
    fn room(&self) -> usize {
        self.target.workgroup_bytes as usize / F32
    }

    /// The way where a workgroup needs so many numbers of workgroup memory: to hold weights, and not to.
    fn way(&self, [holding, reading]: [usize; 2]) -> Way {
        let (gates, most) = (self.gates(), self.target.max_invocations as usize);
        let cells = self.walk.lanes(self.size) * self.units;
        let weights = self.walk.taps().len() * self.units * self.gating.entered() * self.units;
        if self.target.is_cpu() {
            Way::Steps
        } else if self.units <= HELD && gates <= most && holding <= self.room() {
            Way::Gates(most / gates * gates)
        } else if cells <= most && reading <= self.room() && weights <= READ {
            Way::Units(cells)
        } else {
            Way::Steps
        }
    }

    fn defines(&self) -> Defines {
        vec![
            ("HEIGHT", text(self.size[0])),
            ("WIDTH", text(self.size[1])),
            ("UNITS", text(self.units)),
            ("TAPS", text(self.walk.taps().len())),
            ("ENTERED", text(self.gating.entered())),
            ("CARRIED", text(self.gating.carried())),
            ("GRU", flag(self.gating == Gating::Gru)),
            ("STEPS", text(self.walk.steps(self.size))),
            ("LANES", text(self.walk.lanes(self.size))),
            ("MARGIN", text(self.walk.margin())),
            ("ROWS", flag(matches!(self.walk, Walk::Rows { .. }))),
            ("RIGHTWARD", flag(self.walk == Walk::Rightward)),
            ("LEFTWARD", flag(self.walk == Walk::Leftward)),
            ("IMAGES", text(self.images)),
            ("LENGTH", text(self.walk.adjoint_len([self.size[0], self.size[1], self.units]))),
        ]
    }

    /// A stage of one invocation for each of `count` results.
    fn flat(&self, kernel: &'static str, count: usize, bound: &[(Binding, &str)], flops: u64, bytes: u64) -> Stage {
        let flat = flat(count, self.target);
        let mut defines = vec![("COUNT", text(count)), ("THREADS", text(flat.threads)), ("GRID_X", text(flat.grid_x))];
        defines.extend(self.defines());
        self.stage(kernel, defines, bound, flat.groups, flops, bytes)
    }

    /// A stage of one workgroup an image.
    fn walk(&self, kernel: &'static str, threads: usize, own: Defines, bound: &[(Binding, &str)], flops: u64, bytes: u64) -> Stage {
        let groups = rows(self.images as u64);
        let mut defines = vec![("THREADS", text(threads)), ("GRID_X", text(groups[0]))];
        defines.extend(own);
        defines.extend(self.defines());
        self.stage(kernel, defines, bound, groups, flops, bytes)
    }

    /// The dispatches of a step each, in the order of `steps`.
    fn steps(&self, kernel: &'static str, steps: impl Iterator<Item = usize>, bound: &[(Binding, &str)], flops: u64) -> Vec<Stage> {
        let all = (self.size[0] * self.size[1]).max(1) as u64;
        let stage = |step: usize| {
            let cells = self.walk.cells(step, self.size).count();
            let flat = flat(self.images * self.units * cells, self.target);
            // One text for all steps: how many workgroups there are is no part of it but in their rows, which are filled first.
            let grid_x = if flat.groups[1] > 1 { flat.grid_x } else { super::MAX_GROUPS };
            let mut defines = vec![("COUNT", text(self.images * self.units)), ("THREADS", text(flat.threads)), ("GRID_X", text(grid_x))];
            defines.extend(self.defines());
            let mut bound = bound.to_vec();
            bound.push((Binding::Table(Arc::from([step as u32])), "at_step"));
            self.stage(kernel, defines, &bound, flat.groups, flops * cells as u64 / all, 0)
        };
        steps.map(stage).collect()
    }

    fn stage(
        &self,
        kernel: &'static str,
        mut defines: Defines,
        bound: &[(Binding, &str)],
        groups: [u32; 3],
        flops: u64,
        bytes: u64,
    ) -> Stage {
        let mut bindings = Bindings::default();
        for (binding, name) in bound {
            let ty = if matches!(binding, Binding::Table(_)) { "array<u32>" } else { "array<f32>" };
            bindings.bind(binding.clone(), name, ty);
        }
        let (bindings, declared) = bindings.finish();
        defines.push(("BINDINGS", declared));
        Stage { kernel, defines, bindings, groups, flops, bytes }
    }
}

pub(in crate::op) fn scan(of: (Walk, Gating), s: &Signature<'_>, target: &Target) -> Launch {
    if s.output.is_empty() {
        return Launch::default();
    }
    let geometry = Geometry::of(of, s.output.dims(), target);
    let walk = geometry.walk;
    let (gates, states) = (geometry.gates(), geometry.states(geometry.units));
    let flops = (2 * geometry.cells() * s.inputs[1].len()) as u64;
    let mut bound =
        vec![(Binding::Output, "output"), (Binding::Input(0), "sums"), (Binding::Input(1), "weights"), (Binding::Input(2), "initial")];
    let moved = bytes(s.inputs.iter().copied().chain([s.output]));
    let threads = match geometry.way([states + gates, states]) {
        Way::Gates(threads) => threads,
        Way::Units(threads) => {
            let stage = geometry.walk("scan_units", threads, vec![("STATES", text(states))], &bound, flops, moved);
            return Launch { stages: vec![stage], ..Launch::default() };
        }
        Way::Steps => {
            bound.push((Binding::Scratch(0), "cells"));
            let stages = geometry.steps("scan_step", 0..walk.steps(geometry.size), &bound, flops);
            return Launch { stages, scratch: vec![geometry.cells() * geometry.units], ..Launch::default() };
        }
    };
    let chunk = ((geometry.room() - states) / gates).clamp(1, CHUNK).min(walk.widest(geometry.size));
    let own = vec![
        ("CHUNK", text(chunk)),
        ("CHUNK_GATES", text(chunk * gates)),
        ("STATES", text(states)),
        ("DEPTH", text(walk.taps().len() * geometry.units)),
    ];
    Launch { stages: vec![geometry.walk("scan", threads, own, &bound, flops, moved)], ..Launch::default() }
}

pub(in crate::op) fn scan_adjoint(of: (Walk, Gating), s: &Signature<'_>, target: &Target) -> Launch {
    let geometry = Geometry::of(of, s.inputs[0].dims(), target);
    let walk = geometry.walk;
    if s.output.is_empty() || geometry.cells() == 0 {
        return Launch::default();
    }
    let (cells, gates, units) = (geometry.cells(), geometry.gates(), geometry.units);
    let flops = (2 * cells * s.inputs[2].len()) as u64;
    let [upstream, sums, weights, initial, hidden] = [0, 1, 2, 3, 4].map(Binding::Input);
    let mut scratch = vec![cells * gates, geometry.chains()];
    let all_gates = Binding::ScratchRead(0);

    let bound = [
        (Binding::Scratch(0), "gates"),
        (sums, "sums"),
        (weights.clone(), "weights"),
        (initial.clone(), "initial"),
        (hidden.clone(), "hidden"),
    ];
    let moved = bytes([s.inputs[1], s.inputs[1], s.inputs[4]]);
    let mut stages = vec![geometry.flat("scan_gates", cells * gates, &bound, flops, moved)];

    // What cells go on from are the hidden states themselves in a GRU.
    let all_cells = match geometry.gating {
        Gating::Gru => hidden,
        Gating::Lstm => {
            scratch.push(cells * units);
            let bound = [(Binding::Scratch(2), "cells"), (all_gates.clone(), "gates"), (initial.clone(), "initial")];
            let moved = bytes([s.inputs[1], s.inputs[0]]);
            stages.push(geometry.flat("scan_cells", geometry.chains(), &bound, 3 * (cells * units) as u64, moved));
            Binding::ScratchRead(2)
        }
    };

    let bound = [
        (Binding::Output, "output"),
        (upstream, "upstream"),
        (weights, "weights"),
        (initial, "initial"),
        (all_gates, "gates"),
        (all_cells, "cells"),
        (Binding::Scratch(1), "asked"),
    ];
    let states = geometry.states(gates);
    match geometry.way([states; 2]) {
        Way::Gates(threads) | Way::Units(threads) => {
            let moved = bytes([s.inputs[0], s.inputs[0], s.inputs[1], s.output]);
            stages.push(geometry.walk("scan_adjoint", threads, vec![("STATES", text(states))], &bound, flops, moved));
        }
        Way::Steps => stages.extend(geometry.steps("scan_adjoint_step", (0..walk.steps(geometry.size)).rev(), &bound, flops)),
    }

    let sums = geometry.images * (walk.taps().len() * gates + units);
    stages.push(geometry.flat("scan_initial", sums, &[(Binding::Output, "output"), (Binding::ScratchRead(1), "asked")], 0, 0));
    Launch { stages, scratch, ..Launch::default() }
}
