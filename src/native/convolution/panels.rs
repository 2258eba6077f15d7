//! Second factors packed in panels as wide as the register tile.

use crate::parallel::prelude::*;

use super::geometry::PhaseTables;
use crate::native::simd;

/// Length of the sums that run without leaving the registers: a panel of this many rows of weights stays in the first cache.
const DEPTH: usize = 256;

/// A product's second factor as it lies: `[taps, source, destination]` channels, or `[taps, destination, source]`.
#[derive(Clone, Copy)]
pub(super) struct Factor<'a> {
    pub(super) data: &'a [f32],
    pub(super) channels: [usize; 2],
    pub(super) transposed: bool,
}

/// Columns of a transposed factor that are read side by side.
const STRIP: usize = 8;

impl Factor<'_> {
    /// Packs source channels of a tap from `from` on as rows of a panel of `width` columns, the first of them `first`.
    pub(super) fn pack(self, tap: usize, from: usize, first: usize, width: usize, panel: &mut [f32]) {
        let [cs, cd] = self.channels;
        let used = width.min(cd - first);
        if !self.transposed {
            for (k, row) in panel.chunks_exact_mut(width).enumerate() {
                pack_row(&self.data[(tap * cs + from + k) * cd + first..][..used], row);
            }
            return;
        }
        let rows = panel.len() / width;
        for strip in (0..width).step_by(STRIP) {
            // Columns beyond the last repeat it: what they are multiplied to is left out.
            let column = |j: usize| &self.data[(tap * cd + first + (strip + j).min(used - 1)) * cs + from..][..rows];
            let columns: [&[f32]; STRIP] = std::array::from_fn(column);
            for (k, row) in panel.chunks_exact_mut(width).enumerate() {
                let row: &mut [f32; STRIP] = row[strip..].first_chunk_mut().expect("panels hold whole strips");
                *row = columns.map(|column| column[k]);
            }
        }
    }
}

/// Fills a row of a panel, with zeros in the columns beyond the last.
pub(super) fn pack_row(values: &[f32], row: &mut [f32]) {
    let (used, beyond) = row.split_at_mut(values.len());
    // Copies of known length are no calls.
    let ((lanes, rest), (from, last)) = (used.as_chunks_mut::<16>(), values.as_chunks::<16>());
    for (lane, from) in lanes.iter_mut().zip(from) {
        *lane = *from;
    }
    for (v, last) in rest.iter_mut().zip(last) {
        *v = *last;
    }
    beyond.fill(0.0);
}

/// Rows of a panel that is multiplied at a time, such that all are about as long.
pub(super) fn depth_each(depth: usize) -> usize {
    depth.div_ceil(depth.div_ceil(DEPTH).max(1)).max(1)
}

/// Weights in panels of tile width: `[block][tap, source channel][column]`.
pub(super) struct Panels {
    pub(super) data: Vec<f32>,
    pub(super) width: usize,
    pub(super) depth: usize,
}

impl Panels {
    pub(super) fn new(phase: &PhaseTables, weights: Factor<'_>) -> Self {
        let [cs, cd] = weights.channels;
        let width = simd::columns(cd);
        let depth = phase.taps.len() * cs;
        let mut data = vec![0.0; cd.div_ceil(width) * depth * width];
        if depth > 0 {
            data.par_chunks_mut(depth * width).enumerate().for_each(|(block, panel)| {
                for (tap, rows) in phase.taps.iter().zip(panel.chunks_exact_mut(cs * width)) {
                    weights.pack(*tap, 0, block * width, width, rows);
                }
            });
        }
        Self { data, width, depth }
    }
}
