//! Convolutions in `f32`: one cache-sized window an image, register tiles over gathered rows.

use crate::parallel::prelude::*;

use super::Convolution;
use super::geometry::{Geometry, PhaseTables, Reader};
use super::panels::{Factor, Panels};
use super::product::{MAPPED, multiply, multiply_by_columns, positions_in_rows, with_rounded, with_source};
use super::winograd;
use crate::native::scratch;
use crate::native::simd::Packing;

/// Rows one task multiplies where positions need no window.
const ROWS: usize = 256;

/// `out[p] = epilogue(Σ_t source[p + t] · W_t)`
pub fn convolve(job: &Convolution<'_, f32>, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    if output.is_empty() {
        return;
    }
    if winograd::convolve(job, output) {
        return;
    }
    let weights = Factor { data: job.weights, channels: job.channels, transposed: job.transposed };
    if let Some([from, to]) = positions_in_rows(job.gather, job.transposed) {
        return convolve_flat(job, Factor { channels: [from * cs, to * cd], ..weights }, output);
    }
    let reader = Reader { prologue: job.prologue, step: job.step };
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let packing = job.packing(cs);
    let panels: Vec<Panels> = geometry.phases.iter().map(|p| Panels::new(p, weights, packing)).collect();
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    output.par_chunks_mut(dest).enumerate().for_each(|(n, out)| {
        scratch::with(geometry.len(cs), |window| {
            geometry.fill(&job.source[n * size..(n + 1) * size], job.gather.source, cs, reader, window);
            let mut product = |window: &[f32]| {
                for (tables, panels) in geometry.phases.iter().zip(&panels) {
                    multiply(tables, tables.origins.len(), panels, window, cd, out);
                }
            };
            if packing == Packing::Single { product(window) } else { with_rounded(window, product) }
        });
        job.finish(n * dest, out);
    });
}

/// The same as a product of matrices.
fn convolve_flat(job: &Convolution<'_, f32>, weights: Factor<'_>, output: &mut [f32]) {
    let [cs, cd] = weights.channels;
    let tables = PhaseTables {
        origins: (0..ROWS).map(|r| (r * cs) as i32).collect(),
        offsets: (0..cs as i32).collect(),
        targets: (0..ROWS).map(|r| (r * cd) as u32).collect(),
        taps: vec![0],
    };
    let rows = output.len() / cd;
    let reader = Reader { prologue: job.prologue, step: job.step };
    let packing = job.packing(cs);
    if rows <= ROWS {
        let source = &job.source[..rows * cs];
        with_source(reader, packing, source, |source| multiply_by_columns(&tables, rows, (weights, packing), source, output));
        output.par_chunks_mut(MAPPED).enumerate().for_each(|(task, out)| job.finish(task * MAPPED, out));
        return;
    }
    let panels = Panels::new(&tables, weights, packing);
    output.par_chunks_mut(ROWS * cd).enumerate().for_each(|(task, out)| {
        let rows = out.len() / cd;
        with_source(reader, packing, &job.source[task * ROWS * cs..][..rows * cs], |source| {
            multiply(&tables, rows, &panels, source, cd, out)
        });
        job.finish(task * ROWS * cd, out);
    });
}
