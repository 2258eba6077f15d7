//! Products of gathered rows and panels, and of plain matrices.

use std::ops::Range;

use crate::parallel::prelude::*;

use super::geometry::{PhaseTables, Reader};
use super::panels::{Factor, Panels, depth_each};
use crate::native::scratch;
use crate::native::simd::{self, MOST_ROWS, Packing, Tile};
use crate::tensor::Gather;

/// Elements one task takes through a prologue or epilogue, where that is not part of a larger task.
pub(super) const MAPPED: usize = 16 * 1024;
/// Tasks that a product of few rows falls into at least, if they have so many rows each …
const TASKS: usize = 12;
const LEAST: usize = 64;
/// … and sums that are worth a task of their own.
const WORK: usize = 256 * 1024;

/// Where a gather is a product of matrices: how many positions of source and destination stand beside each other in their rows. Besides
/// 1×1 convolutions these are kernels as large as the image, and their adjoints, whose weights lie transposed.
pub(super) fn positions_in_rows(gather: &Gather, transposed: bool) -> Option<[usize; 2]> {
    let [phase] = &gather.phases[..] else { return None };
    let in_order = |size: [usize; 2], sign: i32| {
        let tap = |at: usize| ([at / size[1], at % size[1]].map(|a| sign * a as i32), at);
        phase.taps.len() == size[0] * size[1] && phase.taps.iter().enumerate().all(|(at, t)| *t == tap(at))
    };
    let taps = phase.taps.len();
    if gather.step_source != 1 || gather.step_dest != 1 {
        None
    } else if gather.source == gather.dest && in_order([1, 1], 1) {
        Some([1, 1])
    } else if !transposed && gather.dest == [1, 1] && in_order(gather.source, 1) {
        Some([taps, 1])
    } else if transposed && gather.source == [1, 1] && in_order(gather.dest, -1) {
        Some([1, taps])
    } else {
        None
    }
}

/// Hands `work` source values as they are read, in `f32` or as bf16 one after the other.
pub(super) fn with_source(reader: Reader<'_>, packing: Packing, source: &[f32], work: impl FnOnce(&[f32])) {
    match (packing, reader.prologue) {
        (Packing::Single, None) => work(source),
        (Packing::Single, Some(_)) => with_read(reader, source, work),
        (_, None) => with_rounded(source, work),
        (_, Some(_)) => with_read(reader, source, |source| with_rounded(source, work)),
    }
}

/// Hands `work` source values as its program maps them.
pub(super) fn with_read(reader: Reader<'_>, source: &[f32], work: impl FnOnce(&[f32])) {
    scratch::with(source.len(), |window| {
        window.par_chunks_mut(MAPPED).zip(source.par_chunks(MAPPED)).for_each(|(window, source)| reader.copy(source, window));
        work(window);
    });
}

/// Hands `work` values rounded to bf16.
pub(super) fn with_rounded(values: &[f32], work: impl FnOnce(&[f32])) {
    scratch::with(values.len().div_ceil(2), |rounded| {
        let to: &mut [u16] = bytemuck::cast_slice_mut(rounded);
        to.par_chunks_mut(MAPPED).zip(values.par_chunks(MAPPED)).for_each(|(to, values)| simd::round(values, to));
        work(rounded);
    });
}

/// Multiplies the first `count` positions of a window by the panels.
pub(super) fn multiply(tables: &PhaseTables, count: usize, panels: &Panels, window: &[f32], cd: usize, out: &mut [f32]) {
    let &Panels { width, depth, packing, .. } = panels;
    let each = depth_each(depth, packing);
    let block = packing.panel_rows(depth / packing.depth());
    let span = packing.span(width, cd);
    for first in (0..cd).step_by(span) {
        for begin in (0..depth.max(1)).step_by(each) {
            let numbers = begin..depth.min(begin + each);
            let rows = &panels.data[first * block + begin / packing.depth() * width..];
            let panel = Panel { rows, apart: block * width, width, packing, numbers, first, used: span.min(cd - first) };
            // SAFETY: `out` is this call's alone.
            unsafe { multiply_panel(tables, 0..count, &panel, window, out) };
        }
    }
}

/// The same for flat products of few rows: each task packs some columns of the second factor and multiplies rows by them while they are
/// in the first cache.
pub(super) fn multiply_by_columns(
    tables: &PhaseTables,
    count: usize,
    (factor, packing): (Factor<'_>, Packing),
    source: &[f32],
    out: &mut [f32],
) {
    let [depth, cd] = factor.channels;
    let blocks = cd.div_ceil(simd::columns(cd));
    let groups = TASKS.div_ceil(blocks).min(count.div_ceil(LEAST));
    let rows = count.div_ceil(groups).next_multiple_of(packing.height());
    let each = depth_each(depth, packing);
    let out = Columns(out);
    let task = |task: usize| {
        let (group, first) = (task / blocks, task % blocks * simd::columns(cd));
        let width = simd::columns(cd - first);
        let positions = group * rows..count.min((group + 1) * rows);
        scratch::with(each * width, |panel| {
            for begin in (0..depth.max(1)).step_by(each) {
                let numbers = begin..depth.min(begin + each);
                let rows = numbers.len() / packing.depth();
                factor.pack(packing, 0, begin, first, width, &mut panel[..rows * width]);
                packing.lay(panel, rows, width);
                let panel = Panel { rows: panel, apart: 0, width, packing, numbers, first, used: width.min(cd - first) };
                // SAFETY: no other task has these columns of these rows.
                unsafe { multiply_panel(tables, positions.clone(), &panel, source, out.whole()) };
            }
        });
    };
    let sums = rows * depth * simd::columns(cd);
    (0..blocks * count.div_ceil(rows)).into_par_iter().with_min_len(WORK.div_ceil(sums.max(1))).for_each(task);
}

/// An output that several tasks write, while its one borrower waits for them.
struct Columns(*mut [f32]);

// SAFETY: a task reads and writes columns of its own only, or rows of its own.
unsafe impl Sync for Columns {}

impl Columns {
    fn whole(&self) -> *mut [f32] {
        self.0
    }
}

/// Some rows of a packed factor.
struct Panel<'a> {
    rows: &'a [f32],
    /// Elements from its columns to as many further ones.
    apart: usize,
    width: usize,
    packing: Packing,
    /// The numbers of the sum that they hold.
    numbers: Range<usize>,
    /// The first column's place in the output, and how many there are of them.
    first: usize,
    used: usize,
}

/// Adds the products of positions of a window and a panel to the output.
///
/// # Safety
/// `out` must be valid, and nobody else may touch the panel's columns of these positions meanwhile.
unsafe fn multiply_panel(tables: &PhaseTables, positions: Range<usize>, panel: &Panel<'_>, window: &[f32], out: *mut [f32]) {
    let &Panel { rows: packed, apart, width, packing, ref numbers, first, used } = panel;
    let height = packing.height();
    let offsets = packing.offsets(&tables.offsets, numbers.clone());
    let panel_len = packing.panel_rows(packing.rows(offsets.len())) * width;
    assert!(packed.len() >= used.div_ceil(width).saturating_sub(1) * apart + panel_len);
    for tile in positions.clone().step_by(height) {
        let rows = height.min(positions.end - tile);
        let origins = &tables.origins[tile..tile + rows];
        let targets = &tables.targets[tile..tile + rows];
        let (mut from, mut to) = ([std::ptr::null(); MOST_ROWS], [std::ptr::null_mut(); MOST_ROWS]);
        for (i, (origin, target)) in origins.iter().zip(targets).enumerate() {
            let target = *target as usize + first;
            assert!(target + used <= out.len());
            from[i] = packing.place(window.as_ptr(), *origin as usize);
            to[i] = out.cast::<f32>().wrapping_add(target);
        }
        let operands =
            Tile { rows: &from[..rows], sums: &to[..rows], offsets, b: packed.as_ptr(), stride: width, used, fresh: numbers.start == 0 };
        // SAFETY: origins and offsets were made together to stay within the window, the panel holds a row of `width` for each of them
        // and targets lie within the output, as was looked at above, and the columns are the caller's.
        unsafe { packing.multiply(&operands, width, apart) };
    }
}
