//! Convolutions by taps in `f32`: no patch matrix, one cache-sized window an image, register tiles over gathered rows.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::{Geometry, PhaseTables, Reader};
use super::simd::{self, MAX_ROWS, Tile};
use super::winograd::{self, Split};
use super::{Evaluator, Operand, scratch};
use crate::tensor::Gather;
use crate::tensor::{Expr, Shape, Step};

/// A convolution or its adjoint, seen from the destination.
pub struct Convolution<'a, T> {
    /// What each destination position gathers.
    pub gather: &'a Gather,
    /// Whether weights are read as `[taps, destination, source]` instead of `[taps, source, destination]` channels.
    pub transposed: bool,
    /// Source images.
    pub source: &'a [T],
    /// Channels of source and destination.
    pub channels: [usize; 2],
    /// Weights.
    pub weights: &'a [T],
    /// Program the source is read through.
    pub prologue: Option<&'a Expr>,
    /// Program over the sums (input 0) and `operands`.
    pub epilogue: Option<&'a Expr>,
    /// The epilogue's further inputs.
    pub operands: &'a [Operand<'a, T>],
    /// Shape of the output.
    pub shape: &'a Shape,
    /// The step's seed and counters.
    pub step: &'a Step,
}

/// A weight gradient.
pub struct WeightGradient<'a, T> {
    /// The forward gather.
    pub gather: &'a Gather,
    /// Source images.
    pub source: &'a [T],
    /// Gradient of the convolution's output.
    pub upstream: &'a [T],
    /// Channels of source and upstream.
    pub channels: [usize; 2],
    /// Program the source is read through.
    pub prologue: Option<&'a Expr>,
    /// The step's seed and counters.
    pub step: &'a Step,
}

/// Rows one task multiplies where positions need no window.
const ROWS: usize = 256;
/// Elements one task takes through a prologue or epilogue, where that is not part of a larger task.
const MAPPED: usize = 16 * 1024;
/// Tasks that a product of few rows falls into at least, if they have so many rows each …
const TASKS: usize = 12;
const LEAST: usize = 64;
/// … and sums that are worth a task of their own.
const WORK: usize = 256 * 1024;
/// Length of the sums that run without leaving the registers: a panel of this many rows of weights stays in the first cache.
const DEPTH: usize = 256;
/// Positions a weight gradient takes at a time, for the same reason.
const SPAN: usize = 128;
/// Weight gradients up to this size are summed image by image in partial copies; larger ones are cut by rows instead.
const SMALL: usize = 64 * 1024;
/// Partial copies of a small weight gradient.
const PARTS: usize = 16;

/// A product's second factor as it lies: `[taps, source, destination]` channels, or `[taps, destination, source]`.
#[derive(Clone, Copy)]
struct Factor<'a> {
    data: &'a [f32],
    channels: [usize; 2],
    transposed: bool,
}

/// Columns of a transposed factor that are read side by side.
const STRIP: usize = 8;

impl Factor<'_> {
    /// Packs source channels of a tap from `from` on as rows of a panel of `width` columns, the first of them `first`.
    fn pack(self, tap: usize, from: usize, first: usize, width: usize, panel: &mut [f32]) {
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
fn pack_row(values: &[f32], row: &mut [f32]) {
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
fn depth_each(depth: usize) -> usize {
    depth.div_ceil(depth.div_ceil(DEPTH).max(1)).max(1)
}

/// Weights in panels of tile width: `[block][tap, source channel][column]`.
struct Panels {
    data: Vec<f32>,
    width: usize,
    depth: usize,
}

impl Panels {
    fn new(phase: &PhaseTables, weights: Factor<'_>) -> Self {
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

/// Where a gather is a product of matrices: how many positions of source and destination stand beside each other in their rows. Besides
/// 1×1 convolutions these are kernels as large as the image, and their adjoints, whose weights lie transposed.
fn positions_in_rows(gather: &Gather, transposed: bool) -> Option<[usize; 2]> {
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

/// `out[p] = epilogue(Σ_t source[p + t] · W_t)`
pub fn convolve(job: &Convolution<'_, f32>, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    if output.is_empty() {
        return;
    }
    if let Some(split) = Split::of(job.gather, job.channels) {
        return winograd::convolve(job, &split, output);
    }
    let weights = Factor { data: job.weights, channels: job.channels, transposed: job.transposed };
    if let Some([from, to]) = positions_in_rows(job.gather, job.transposed) {
        return convolve_flat(job, Factor { channels: [from * cs, to * cd], ..weights }, output);
    }
    let reader = Reader { prologue: job.prologue, step: job.step };
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let panels: Vec<Panels> = geometry.phases.iter().map(|p| Panels::new(p, weights)).collect();
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    output.par_chunks_mut(dest).enumerate().for_each(|(n, out)| {
        scratch::with(geometry.len(cs), |window| {
            geometry.fill(&job.source[n * size..(n + 1) * size], job.gather.source, cs, reader, window);
            for (tables, panels) in geometry.phases.iter().zip(&panels) {
                multiply(tables, tables.origins.len(), panels, window, cd, out);
            }
        });
        finish(job, n * dest, out);
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
    if rows <= ROWS {
        with_source(reader, &job.source[..rows * cs], |source| multiply_by_columns(&tables, rows, weights, source, output));
        output.par_chunks_mut(MAPPED).enumerate().for_each(|(task, out)| finish(job, task * MAPPED, out));
        return;
    }
    let panels = Panels::new(&tables, weights);
    output.par_chunks_mut(ROWS * cd).enumerate().for_each(|(task, out)| {
        let rows = out.len() / cd;
        with_source(reader, &job.source[task * ROWS * cs..][..rows * cs], |source| multiply(&tables, rows, &panels, source, cd, out));
        finish(job, task * ROWS * cd, out);
    });
}

/// Hands `work` source values as they are read.
fn with_source(reader: Reader<'_>, source: &[f32], work: impl FnOnce(&[f32])) {
    if reader.prologue.is_none() {
        return work(source);
    }
    scratch::with(source.len(), |window| {
        window.par_chunks_mut(MAPPED).zip(source.par_chunks(MAPPED)).for_each(|(window, source)| reader.copy(source, window));
        work(window);
    });
}

/// Carries out the epilogue on output elements from `start` on.
pub(super) fn finish(job: &Convolution<'_, f32>, start: usize, out: &mut [f32]) {
    if let Some(expr) = job.epilogue {
        Evaluator::in_place(expr, job.operands, job.shape, job.step).run(start, out);
    }
}

/// Multiplies the first `count` positions of a window by the panels.
fn multiply(tables: &PhaseTables, count: usize, panels: &Panels, window: &[f32], cd: usize, out: &mut [f32]) {
    let width = panels.width;
    let each = depth_each(panels.depth);
    for first in (0..cd).step_by(width) {
        for begin in (0..panels.depth.max(1)).step_by(each) {
            let rows = &panels.data[(first * panels.depth + begin * width)..][..each.min(panels.depth - begin) * width];
            // SAFETY: `out` is this call's alone.
            unsafe { multiply_panel(tables, 0..count, &Panel { rows, width, begin, first, used: width.min(cd - first) }, window, out) };
        }
    }
}

/// The same for flat products of few rows: each task packs some columns of the second factor and multiplies rows by them while they are
/// in the first cache.
fn multiply_by_columns(tables: &PhaseTables, count: usize, factor: Factor<'_>, source: &[f32], out: &mut [f32]) {
    let [depth, cd] = factor.channels;
    let blocks = cd.div_ceil(simd::columns(cd));
    let groups = TASKS.div_ceil(blocks).min(count.div_ceil(LEAST));
    let rows = count.div_ceil(groups).next_multiple_of(simd::rows());
    let each = depth_each(depth);
    let out = Columns(out);
    let task = |task: usize| {
        let (group, first) = (task / blocks, task % blocks * simd::columns(cd));
        let width = simd::columns(cd - first);
        let positions = group * rows..count.min((group + 1) * rows);
        scratch::with(each * width, |panel| {
            for begin in (0..depth.max(1)).step_by(each) {
                let rows = &mut panel[..each.min(depth - begin) * width];
                factor.pack(0, begin, first, width, rows);
                let panel = Panel { rows, width, begin, first, used: width.min(cd - first) };
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
    width: usize,
    /// The first row's place among all.
    begin: usize,
    /// The first column's place in the output, and how many there are of them.
    first: usize,
    used: usize,
}

/// Adds the products of positions of a window and a panel to the output.
///
/// # Safety
/// `out` must be valid, and nobody else may touch the panel's columns of these positions meanwhile.
unsafe fn multiply_panel(tables: &PhaseTables, positions: Range<usize>, panel: &Panel<'_>, window: &[f32], out: *mut [f32]) {
    let height = simd::rows();
    let &Panel { rows: packed, width, begin, first, used } = panel;
    let offsets = &tables.offsets[begin..begin + packed.len() / width];
    for tile in positions.clone().step_by(height) {
        let rows = height.min(positions.end - tile);
        let origins = &tables.origins[tile..tile + rows];
        let targets = &tables.targets[tile..tile + rows];
        let at = |i: usize| origins[i.min(rows - 1)] as usize;
        let to = |i: usize| targets[i.min(rows - 1)] as usize + first;
        assert!((0..rows).all(|i| to(i) + used <= out.len()));
        let operands = Tile {
            rows: &std::array::from_fn::<_, MAX_ROWS, _>(|i| window.as_ptr().wrapping_add(at(i)))[..rows],
            sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| out.cast::<f32>().wrapping_add(to(i)))[..rows],
            offsets,
            b: packed.as_ptr(),
            stride: width,
            used,
            fresh: begin == 0,
        };
        // SAFETY: origins and offsets were made together to stay within the window, the panel holds a row of `width` for each offset,
        // targets were looked at above, and the columns are the caller's.
        unsafe { simd::multiply(&operands, width) };
    }
}

/// `out[t, c, d] = Σ_p source[p + t, c] · upstream[p, d]`
pub fn weight_gradient(job: &WeightGradient<'_, f32>, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    if output.is_empty() || size == 0 || dest == 0 || job.upstream.is_empty() {
        return output.fill(0.0);
    }
    if let Some(split) = Split::of(job.gather, job.channels) {
        return winograd::weight_gradient(job, &split, output);
    }
    let rows = positions_in_rows(job.gather, false);
    if let (Some([from, _]), true) = (rows, output.len() > SMALL && i32::try_from(job.source.len()).is_ok()) {
        return weight_gradient_flat(job, [from * cs, cd], output);
    }
    let flat = rows == Some([1, 1]);
    let images = job.upstream.len() / dest;
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let reader = Reader { prologue: job.prologue, step: job.step };
    let rows_all = geometry.phases[0].offsets.len();
    // Pieces are spans of rows where positions need no window, else as many images as make sums long enough to be worth their tile.
    let origins = &geometry.phases[0].origins;
    let group = if flat { 1 } else { (SPAN / origins.len().max(1)).clamp(1, images.max(1)) };
    let window_of = geometry.len(cs);
    let grouped: Vec<i32> = (0..group).flat_map(|g| origins.iter().map(move |o| o + (g * window_of) as i32)).collect();
    let pieces = if flat { (images * dest / cd).div_ceil(SPAN) } else { images.div_ceil(group) };
    let piece = |at: usize, fresh: bool, window: &mut [f32], rows: &[i32], out: &mut [f32]| {
        if flat {
            let first = at * SPAN;
            let count = SPAN.min(images * dest / cd - first);
            let source = &job.source[first * cs..(first + count) * cs];
            let upstream = &job.upstream[first * cd..(first + count) * cd];
            let origins: [i32; SPAN] = std::array::from_fn(|p| (p * cs) as i32);
            if job.prologue.is_some() {
                reader.copy(source, &mut window[..source.len()]);
                accumulate(rows, &origins[..count], &window[..source.len()], upstream, fresh, cd, out);
            } else {
                accumulate(rows, &origins[..count], source, upstream, fresh, cd, out);
            }
        } else {
            let first = at * group;
            let count = group.min(images - first);
            let window = &mut window[..count * window_of];
            for (image, part) in job.source[first * size..].chunks(size).zip(window.chunks_mut(window_of)) {
                geometry.fill(image, job.gather.source, cs, reader, part);
            }
            let upstream = &job.upstream[first * dest..(first + count) * dest];
            accumulate(rows, &grouped[..count * origins.len()], window, upstream, fresh, cd, out);
        }
    };
    let window_len = if flat { SPAN * cs } else { group * window_of };
    let offsets = &geometry.phases[0].offsets;
    if output.len() <= SMALL {
        let each = pieces.div_ceil(PARTS);
        let parts = pieces.div_ceil(each);
        scratch::with(parts * output.len(), |partials| {
            partials.par_chunks_mut(output.len()).enumerate().for_each(|(part, partial)| {
                scratch::with(window_len, |window| {
                    for at in part * each..((part + 1) * each).min(pieces) {
                        piece(at, at == part * each, window, offsets, partial);
                    }
                });
            });
            output.fill(0.0);
            for partial in partials.chunks(output.len()) {
                output.iter_mut().zip(partial).for_each(|(sum, p)| *sum += p);
            }
        });
    } else {
        let rows = rows_all.div_ceil(PARTS).next_multiple_of(simd::rows());
        output.par_chunks_mut(rows * cd).zip(offsets.par_chunks(rows)).for_each(|(out, rows)| {
            scratch::with(window_len, |window| {
                for at in 0..pieces {
                    piece(at, at == 0, window, rows, out);
                }
            });
        });
    }
}

/// A large weight gradient as a product of matrices, whose sums run over rows of both.
fn weight_gradient_flat(job: &WeightGradient<'_, f32>, [cs, cd]: [usize; 2], output: &mut [f32]) {
    let positions = job.upstream.len() / cd;
    let tables = PhaseTables {
        origins: (0..cs as i32).collect(),
        offsets: (0..positions).map(|p| (p * cs) as i32).collect(),
        targets: (0..cs).map(|c| (c * cd) as u32).collect(),
        taps: vec![0],
    };
    let upstream = Factor { data: job.upstream, channels: [positions, cd], transposed: false };
    let reader = Reader { prologue: job.prologue, step: job.step };
    with_source(reader, job.source, |source| multiply_by_columns(&tables, cs, upstream, source, output));
}

/// Adds one window's part to rows of the weight gradient, or begins them with it.
fn accumulate(rows: &[i32], origins: &[i32], window: &[f32], upstream: &[f32], fresh: bool, cd: usize, out: &mut [f32]) {
    let height = simd::rows();
    let width = simd::columns(cd);
    scratch::with(SPAN * width, |panel| {
        for (span, origins) in origins.chunks(SPAN).enumerate() {
            let upstream = &upstream[span * SPAN * cd..][..origins.len() * cd];
            for first in (0..cd).step_by(width) {
                let used = width.min(cd - first);
                // Packed even if the tile is full: rows far apart share few sets of the first cache.
                for (row, g) in panel.chunks_exact_mut(width).zip(upstream.chunks_exact(cd)) {
                    pack_row(&g[first..first + used], row);
                }
                for tile in (0..rows.len()).step_by(height) {
                    let count = height.min(rows.len() - tile);
                    let sums = &mut out[tile * cd..(tile + count) * cd];
                    let base = sums.as_mut_ptr().wrapping_add(first);
                    let origin = |i: usize| window.as_ptr().wrapping_offset(rows[tile + i.min(count - 1)] as isize);
                    let operands = Tile {
                        rows: &std::array::from_fn::<_, MAX_ROWS, _>(origin)[..count],
                        sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add(i.min(count - 1) * cd))[..count],
                        offsets: origins,
                        b: panel.as_ptr(),
                        stride: width,
                        used,
                        fresh: fresh && span == 0,
                    };
                    // SAFETY: a row's offset plus an origin lies within the window by construction of the tables, the panel holds one
                    // row of `width` columns for each origin, and `sums` are `count` rows of `cd`.
                    unsafe { simd::multiply(&operands, width) };
                }
            }
        }
    });
}
