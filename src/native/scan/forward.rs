//! The forward pass.

use crate::parallel::prelude::*;

use super::cell::{activate, advance};
use super::{Panels, Plan, ScanJob};
use crate::native::{scratch, simd};

/// Hidden states.
pub fn forward(job: &ScanJob<'_, f32>, output: &mut [f32]) {
    let n = job.hidden;
    let size = job.cells() * n;
    if output.is_empty() {
        return;
    }
    let plan = Plan::new(job);
    let entered = job.entered();
    let panels = Panels::new(plan.taps.len() * n, entered, |k, j| job.weights[k * entered + j]);
    let offsets = plan.offsets([n, n], 1);
    let group = plan.group(output.len() / size);
    let rows = group * job.walk.widest(job.size);
    let chains = job.walk.lanes(job.size) * n;
    let parts = output.par_chunks_mut(group * size).zip(job.sums.par_chunks(4 * group * size));
    parts.for_each(|(output, sums)| {
        scratch::with(group * (plan.len * n + chains) + rows * 4 * n, |room| {
            let (windows, rest) = room.split_at_mut(group * plan.len * n);
            let (chains, gates) = rest.split_at_mut(group * chains);
            simd::dispatch(Forward { plan: &plan, panels: &panels, offsets: &offsets, output, sums, windows, chains, gates });
        });
    });
}

struct Forward<'a> {
    plan: &'a Plan<'a>,
    panels: &'a Panels,
    offsets: &'a [i32],
    output: &'a mut [f32],
    sums: &'a [f32],
    /// For each image hidden states with a margin around them.
    windows: &'a mut [f32],
    /// For each image and lane the state that cells go on from.
    chains: &'a mut [f32],
    gates: &'a mut [f32],
}

impl simd::Job for Forward<'_> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let Self { plan, panels, offsets, output, sums, windows, chains, gates } = self;
        let n = plan.job.hidden;
        let (size, window) = (plan.job.cells() * n, plan.len * n);
        let images = output.len() / size;
        let chain = chains.len() / (windows.len() / window);
        for w in windows.chunks_exact_mut(window).take(images) {
            plan.begin(w, 0);
        }
        for state in chains.chunks_exact_mut(n) {
            state.copy_from_slice(&plan.job.initial[plan.job.gating.carried() * n..]);
        }
        let mut origins: Vec<*const f32> = Vec::with_capacity(gates.len() / (4 * n));
        let mut targets: Vec<*mut f32> = Vec::with_capacity(gates.len() / (4 * n));
        for step in plan.steps.windows(2) {
            let cells = &plan.cells[step[0]..step[1]];
            origins.clear();
            targets.clear();
            let mut rows = gates.chunks_exact_mut(4 * n);
            for image in 0..images {
                for (cell, own) in cells.iter().zip(&mut rows) {
                    own.copy_from_slice(&sums[4 * (image * size + cell.image * n)..][..4 * n]);
                    origins.push(windows.as_ptr().wrapping_add(image * window + cell.window * n));
                }
            }
            let to = gates.as_mut_ptr();
            targets.extend((0..origins.len()).map(|row| to.wrapping_add(row * 4 * n)));
            // SAFETY: a cell's neighbours lie within the window's margin; sums lie in another buffer.
            unsafe { panels.multiply(&origins, &targets, offsets) };
            let mut rows = gates.chunks_exact_mut(4 * n);
            for image in 0..images {
                for (cell, gates) in cells.iter().zip(&mut rows) {
                    let at = image * size + cell.image * n;
                    let own = &mut output[at..at + n];
                    activate(gates, n, plan.job.gating);
                    advance(plan.job.gating, gates, &mut chains[image * chain + cell.lane * n..][..n], own);
                    windows[image * window + cell.window * n..][..n].copy_from_slice(own);
                }
            }
        }
    }
}
