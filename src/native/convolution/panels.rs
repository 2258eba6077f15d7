//! Second factors packed in panels as wide as the register tile.

use crate::parallel::prelude::*;

use super::geometry::PhaseTables;
use crate::native::simd::{self, MAX_COLUMNS, Packing, Rows};

/// Length of the sums that run without leaving the registers: a panel of this many rows of weights stays in the first cache …
const DEPTH: usize = 256;
/// … or in the second one, which is near enough to the processor's tiles; narrow panels of pairs stay in the first.
const TILED_DEPTH: usize = 512;

/// A product's second factor as it lies: `[taps, source, destination]` channels, or `[taps, destination, source]`.
#[derive(Clone, Copy)]
pub(super) struct Factor<'a> {
    pub(super) data: &'a [f32],
    pub(super) channels: [usize; 2],
    pub(super) transposed: bool,
}

/// Columns of a transposed factor that are read side by side.
const STRIP: usize = 8;
/// Rows that are laid before they are paired.
const ROWS: usize = 32;

impl Factor<'_> {
    /// Packs source channels of a tap from `from` on as rows of a panel of `width` columns, the first of them `first`; or each two of them
    /// as a row of pairs.
    pub(super) fn pack(self, packing: Packing, tap: usize, from: usize, first: usize, width: usize, panel: &mut [f32]) {
        if packing == Packing::Single {
            return self.lay(tap, from, first, width, panel);
        }
        let [cs, cd] = self.channels;
        if !self.transposed {
            let rows = Rows {
                from: &self.data[(tap * cs + from) * cd + first..],
                stride: cd,
                count: 2 * (panel.len() / width),
                used: width.min(cd - first),
            };
            return simd::stack(rows, width, bytemuck::cast_slice_mut(panel));
        }
        let mut rows = [0.0; ROWS * MAX_COLUMNS];
        for (chunk, pairs) in panel.chunks_mut(ROWS / 2 * width).enumerate() {
            let rows = &mut rows[..2 * pairs.len()];
            self.lay(tap, from + chunk * ROWS, first, width, rows);
            let rows = Rows { from: rows, stride: width, count: rows.len() / width, used: width };
            simd::stack(rows, width, bytemuck::cast_slice_mut(pairs));
        }
    }

    fn lay(self, tap: usize, from: usize, first: usize, width: usize, panel: &mut [f32]) {
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

/// Numbers of a sum that are multiplied at a time, such that all times are about as long; whole rows of a panel.
pub(super) fn depth_each(depth: usize, packing: Packing) -> usize {
    let rows = packing.panel_rows(1);
    let most = if rows > 1 { TILED_DEPTH } else { DEPTH };
    depth.div_ceil(depth.div_ceil(most).max(1)).next_multiple_of(2 * rows).max(1)
}

/// Weights in panels of tile width: `[block][tap, source channel][column]`, or pairs of source channels.
pub(super) struct Panels {
    pub(super) data: Vec<f32>,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) packing: Packing,
}

impl Panels {
    pub(super) fn new(phase: &PhaseTables, weights: Factor<'_>, packing: Packing) -> Self {
        let [cs, cd] = weights.channels;
        let width = simd::columns(cd);
        let depth = phase.taps.len() * cs;
        let rows = packing.panel_rows(depth / packing.depth());
        let mut data = vec![0.0; cd.div_ceil(width) * rows * width];
        if rows > 0 {
            data.par_chunks_mut(rows * width).enumerate().for_each(|(block, panel)| {
                for (tap, rows) in phase.taps.iter().zip(panel.chunks_exact_mut(cs / packing.depth() * width)) {
                    weights.pack(packing, *tap, 0, block * width, width, rows);
                }
                packing.lay(panel, depth / packing.depth(), width);
            });
        }
        Self { data, width, depth, packing }
    }
}
