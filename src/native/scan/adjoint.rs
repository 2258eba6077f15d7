//! The way back: the gates again, from hidden states, then step by step in reverse.

use crate::parallel::prelude::*;

use super::cell::{activate, retreat};
use super::{Panels, Plan, ScanJob};
use crate::native::{scratch, simd};
use crate::tensor::{Gating, Read};

/// What `op::ScanAdjoint` makes.
pub fn adjoint(job: &ScanJob<'_, f32>, upstream: &[f32], hidden: &[f32], output: &mut [f32]) {
    let n = job.hidden;
    let size = job.cells() * n;
    if upstream.is_empty() {
        return output.fill(0.0);
    }
    let plan = Plan::new(job);
    let depth = plan.taps.len();
    let entered = job.entered();
    let forward = Panels::new(depth * n, entered, |k, j| job.weights[k * entered + j]);
    let back = Panels::new(depth * entered, n, |k, unit| job.weights[(k / entered * n + unit) * entered + k % entered]);
    let offsets = [plan.offsets([n, n], 1), plan.offsets([entered, 4 * n], -1)];
    let group = plan.group(upstream.len() / size);
    let rows = group * job.walk.widest(job.size);
    let chains = job.walk.lanes(job.size) * n;
    let len = job.adjoint_len();
    let inputs = job.sums.par_chunks(4 * group * size).zip(upstream.par_chunks(group * size)).zip(hidden.par_chunks(group * size));
    output.par_chunks_mut(group * len).zip(inputs).for_each(|(output, ((sums, upstream), hidden))| {
        scratch::with(group * (6 * plan.len * n + chains) + rows * n, |room| {
            let (windows, rest) = room.split_at_mut(group * 6 * plan.len * n);
            let (chains, d_hidden) = rest.split_at_mut(group * chains);
            let panels = [&forward, &back];
            simd::dispatch(Adjoint { plan: &plan, panels, offsets: &offsets, output, sums, upstream, hidden, windows, chains, d_hidden });
        });
    });
}

struct Adjoint<'a> {
    plan: &'a Plan<'a>,
    panels: [&'a Panels; 2],
    offsets: &'a [Vec<i32>; 2],
    output: &'a mut [f32],
    sums: &'a [f32],
    upstream: &'a [f32],
    hidden: &'a [f32],
    /// For each image with a margin around them: gates, hidden states, cell states.
    windows: &'a mut [f32],
    /// For each image and lane the gradient of the cell state.
    chains: &'a mut [f32],
    d_hidden: &'a mut [f32],
}

impl simd::Job for Adjoint<'_> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let Self { plan, panels, offsets, output, sums, upstream, hidden, windows, chains, d_hidden } = self;
        let n = plan.job.hidden;
        let size = plan.job.cells() * n;
        let images = upstream.len() / size;
        let window = plan.len * n;
        let chain = chains.len() / (windows.len() / (6 * window));
        let mut origins: Vec<*const f32> = Vec::with_capacity(plan.cells.len());
        let mut targets: Vec<*mut f32> = Vec::with_capacity(plan.cells.len());
        for image in 0..images {
            let own = &mut windows[image * 6 * window..(image + 1) * 6 * window];
            let (gates, states) = own.split_at_mut(4 * window);
            let (hiddens, cell_states) = states.split_at_mut(window);
            gates.fill(0.0);
            plan.begin(hiddens, 0);
            plan.begin(cell_states, plan.job.gating.carried());
            origins.clear();
            targets.clear();
            for cell in &plan.cells {
                let from = image * size + cell.image * n;
                hiddens[cell.window * n..][..n].copy_from_slice(&hidden[from..from + n]);
                gates[cell.window * 4 * n..][..4 * n].copy_from_slice(&sums[4 * from..4 * (from + n)]);
            }
            let (from, to) = (hiddens.as_ptr(), gates.as_mut_ptr());
            origins.extend(plan.cells.iter().map(|cell| from.wrapping_add(cell.window * n)));
            targets.extend(plan.cells.iter().map(|cell| to.wrapping_add(cell.window * 4 * n)));
            // SAFETY: a cell's neighbours lie within the window's margin; sums lie in another buffer.
            unsafe { panels[0].multiply(&origins, &targets, &offsets[0]) };
            let carry = plan.jump(plan.job.walk.carry());
            for cell in &plan.cells {
                let gates = &mut gates[cell.window * 4 * n..][..4 * n];
                activate(gates, n, plan.job.gating);
                let (own, before) = (cell.window * n, (cell.window as i32 + carry) as usize * n);
                match plan.job.gating {
                    Gating::Lstm => {
                        for k in 0..n {
                            cell_states[own + k] = gates[n + k] * cell_states[before + k] + gates[k] * gates[2 * n + k];
                        }
                    }
                    Gating::Gru => cell_states[own..own + n].copy_from_slice(&hiddens[own..own + n]),
                }
            }
        }
        chains.fill(0.0);
        for step in plan.steps.windows(2).rev() {
            let cells = &plan.cells[step[0]..step[1]];
            origins.clear();
            targets.clear();
            let mut rows = d_hidden.chunks_exact_mut(n);
            for image in 0..images {
                for (cell, own) in cells.iter().zip(&mut rows) {
                    own.copy_from_slice(&upstream[image * size + cell.image * n..][..n]);
                    origins.push(windows.as_ptr().wrapping_add(image * 6 * window + cell.window * 4 * n));
                }
            }
            let to = d_hidden.as_mut_ptr();
            targets.extend((0..origins.len()).map(|row| to.wrapping_add(row * n)));
            // SAFETY: as above; what a later cell gave back stands where its gates were, and the margin holds zeros.
            unsafe { panels[1].multiply(&origins, &targets, &offsets[1]) };
            let carry = plan.jump(plan.job.walk.carry());
            let mut rows = d_hidden.chunks_exact(n);
            for image in 0..images {
                let own = &mut windows[image * 6 * window..(image + 1) * 6 * window];
                let (gates, states) = own.split_at_mut(4 * window);
                let cell_states = &states[window..];
                for (cell, d_hidden) in cells.iter().zip(&mut rows) {
                    let before = (cell.window as i32 + carry) as usize * n;
                    retreat(
                        plan.job.gating,
                        &mut gates[cell.window * 4 * n..][..4 * n],
                        &cell_states[cell.window * n..][..n],
                        &cell_states[before..before + n],
                        d_hidden,
                        &mut chains[image * chain + cell.lane * n..][..n],
                    );
                }
            }
        }
        for (image, out) in output.chunks_exact_mut(plan.job.adjoint_len()).enumerate() {
            let gates = &windows[image * 6 * window..][..4 * window];
            collect(plan, gates, &chains[image * chain..(image + 1) * chain], out);
        }
    }
}

/// Gathers an image's gradients.
fn collect(plan: &Plan<'_>, gates: &[f32], chains: &[f32], out: &mut [f32]) {
    let (n, walk, size) = (plan.job.hidden, plan.job.walk, plan.job.size);
    let (dz, rest) = out.split_at_mut(plan.job.cells() * 4 * n);
    let (met, d_cell) = rest.split_at_mut(plan.taps.len() * 4 * n);
    for cell in &plan.cells {
        dz[cell.image * 4 * n..][..4 * n].copy_from_slice(&gates[cell.window * 4 * n..][..4 * n]);
    }
    met.fill(0.0);
    for (tap, met) in plan.taps.iter().zip(met.chunks_exact_mut(4 * n)) {
        for cell in &plan.cells {
            if walk.read([cell.image / size[1], cell.image % size[1]], *tap, size) == Read::Initial {
                let own = &gates[cell.window * 4 * n..][..4 * n];
                met.iter_mut().zip(own).for_each(|(m, d)| *m += d);
            }
        }
    }
    d_cell.fill(0.0);
    for chain in chains.chunks_exact(n) {
        d_cell.iter_mut().zip(chain).for_each(|(d, c)| *d += c);
    }
}
