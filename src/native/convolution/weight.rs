//! Weight gradients in `f32`.

use std::ops::Range;

use crate::parallel::prelude::*;

use super::WeightGradient;
use super::geometry::{Geometry, PhaseTables, Reader};
use super::panels::{Factor, pack_row};
use super::product::{multiply_by_columns, positions_in_rows, with_source};
use super::winograd;
use crate::native::scratch;
use crate::native::simd::{self, MAX_ROWS, Packing, Rows, Tile};

/// Positions a weight gradient takes at a time, for the same reason.
const SPAN: usize = 128;
/// Weight gradients up to this size are summed image by image in partial copies; larger ones are cut by rows instead.
const SMALL: usize = 64 * 1024;
/// Numbers that are paired by one task at least.
const PAIRED: usize = 16 * 1024;
/// Partial copies of a small weight gradient.
const PARTS: usize = 16;

/// `out[t, c, d] = Σ_p source[p + t, c] · upstream[p, d]`
pub fn weight_gradient(job: &WeightGradient<'_, f32>, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    if output.is_empty() || size == 0 || dest == 0 || job.upstream.is_empty() {
        return output.fill(0.0);
    }
    if winograd::weight_gradient(job, output) {
        return;
    }
    let rows = positions_in_rows(job.gather, false);
    if let (Some([from, _]), true) = (rows, output.len() > SMALL && i32::try_from(job.source.len()).is_ok()) {
        return weight_gradient_flat(job, [from * cs, cd], output);
    }
    let flat = rows == Some([1, 1]);
    let packing = job.packing();
    let images = job.upstream.len() / dest;
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let reader = Reader { prologue: job.prologue, step: job.step };
    let rows_all = geometry.phases[0].offsets.len();
    // Pieces are spans of rows where positions need no window, else as many images as make sums long enough to be worth their tile.
    let origins = &geometry.phases[0].origins;
    let group = if flat { 1 } else { (SPAN / origins.len().max(1)).clamp(1, images.max(1)) };
    let window_of = geometry.len(cs);
    let [height, width] = if flat { [SPAN, 1] } else { job.gather.phases[0].extent };
    // Positions that lie equally far apart, one after the other.
    let (along, apart) = match width {
        1 if flat => (height, cs),
        1 => (height, job.gather.step_source * geometry.window[1] * cs),
        _ => (width, job.gather.step_source * cs),
    };
    let grouped: Vec<i32> = if flat {
        (0..SPAN).step_by(packing.depth()).map(|p| (p * cs) as i32).collect()
    } else {
        let first = |g: usize| move |p: usize| origins[p] + (g * window_of) as i32;
        let firsts = (0..origins.len()).filter(|p| (p % along).is_multiple_of(packing.depth()));
        (0..group).flat_map(|g| firsts.clone().map(first(g))).collect()
    };
    let pieces = if flat { (images * dest / cd).div_ceil(SPAN) } else { images.div_ceil(group) };
    let piece = |at: usize, fresh: bool, window: &mut [f32], rows: &[i32], out: &mut [f32]| {
        let sums = Sums { rows, origins: &grouped, along, packing, fresh, cd };
        let multiply = |count: usize, window: &[f32], upstream: &[f32], out: &mut [f32]| {
            if packing == Packing::Single {
                sums.add(count, window, upstream, out);
            } else {
                scratch::with(window.len(), |pairs| {
                    simd::pair_ahead(window, apart, bytemuck::cast_slice_mut(pairs));
                    sums.add(count, pairs, upstream, out);
                });
            }
        };
        if flat {
            let first = at * SPAN;
            let count = SPAN.min(images * dest / cd - first);
            let source = &job.source[first * cs..(first + count) * cs];
            let upstream = &job.upstream[first * cd..(first + count) * cd];
            if job.prologue.is_some() {
                reader.copy(source, &mut window[..source.len()]);
                multiply(count, &window[..source.len()], upstream, out);
            } else {
                multiply(count, source, upstream, out);
            }
        } else {
            let first = at * group;
            let count = group.min(images - first);
            let window = &mut window[..count * window_of];
            for (image, part) in job.source[first * size..].chunks(size).zip(window.chunks_mut(window_of)) {
                geometry.fill(image, job.gather.source, cs, reader, part);
            }
            let upstream = &job.upstream[first * dest..(first + count) * dest];
            multiply(count * origins.len(), window, upstream, out);
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
    let packing = if positions.is_multiple_of(2) { job.packing() } else { Packing::Single };
    let tables = PhaseTables {
        origins: (0..cs as i32).collect(),
        offsets: (0..positions / packing.depth()).map(|p| (p * cs) as i32).collect(),
        targets: (0..cs).map(|c| (c * cd) as u32).collect(),
        taps: vec![0],
    };
    let upstream = Factor { data: job.upstream, channels: [positions, cd], transposed: false };
    let reader = Reader { prologue: job.prologue, step: job.step };
    with_source(reader, Packing::Single, job.source, |source| {
        if packing == Packing::Single {
            return multiply_by_columns(&tables, cs, (upstream, packing), source, output);
        }
        scratch::with(source.len() / 2, |pairs| {
            let each = PAIRED / cs + 1;
            let jobs = pairs.par_chunks_mut(each * cs).zip(source.par_chunks(2 * each * cs));
            jobs.for_each(|(pairs, source)| {
                let rows = Rows { from: source, stride: cs, count: source.len() / cs, used: cs };
                simd::stack(rows, cs, bytemuck::cast_slice_mut(pairs));
            });
            multiply_by_columns(&tables, cs, (upstream, packing), pairs, output);
        });
    });
}

/// What one window adds to rows of a weight gradient.
struct Sums<'a> {
    /// Offsets of the rows from a position.
    rows: &'a [i32],
    /// Of positions; of pairs those of the first one.
    origins: &'a [i32],
    /// Positions that lie equally far apart, one after the other.
    along: usize,
    packing: Packing,
    /// Whether sums begin with what is added.
    fresh: bool,
    /// Columns.
    cd: usize,
}

impl Sums<'_> {
    /// Adds the products of a window and the gradient at so many positions.
    fn add(&self, count: usize, window: &[f32], upstream: &[f32], out: &mut [f32]) {
        let &Self { rows, packing, fresh, cd, .. } = self;
        let height = simd::rows();
        let width = simd::columns(cd);
        let pairs = |positions: usize| positions.div_ceil(packing.depth());
        let steps = count / self.along * pairs(self.along) + pairs(count % self.along);
        scratch::with(SPAN * width, |panel| {
            for (span, origins) in self.origins[..steps].chunks(SPAN).enumerate() {
                for first in (0..cd).step_by(width) {
                    let used = width.min(cd - first);
                    match packing {
                        // Packed even if the tile is full: rows far apart share few sets of the first cache.
                        Packing::Single => {
                            let upstream = &upstream[span * SPAN * cd..][..origins.len() * cd];
                            for (row, g) in panel.chunks_exact_mut(width).zip(upstream.chunks_exact(cd)) {
                                pack_row(&g[first..first + used], row);
                            }
                        }
                        _ => self.stack(span * SPAN..span * SPAN + origins.len(), count, &upstream[first..], used, panel),
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
                        // row of `width` columns for each of them, and `sums` are `count` rows of `cd`.
                        unsafe { packing.multiply(&operands, width) };
                    }
                }
            }
        });
    }

    /// Lays the gradient at some pairs of positions as rows of a panel. The last of an odd number along has nothing beside it.
    fn stack(&self, pairs: Range<usize>, count: usize, upstream: &[f32], used: usize, panel: &mut [f32]) {
        let &Self { along, cd, .. } = self;
        let width = simd::columns(cd);
        // An even number along leaves no gap.
        let along = if along.is_multiple_of(2) { count } else { along };
        let each = along.div_ceil(2);
        let mut at = pairs.start;
        while at < pairs.end {
            let (row, within) = (at / each, at % each);
            let taken = (each - within).min(pairs.end - at);
            let first = row * along + 2 * within;
            let numbers = (2 * taken).min(((row + 1) * along).min(count) - first);
            let rows = Rows { from: &upstream[first * cd..], stride: cd, count: numbers, used };
            simd::stack(rows, width, bytemuck::cast_slice_mut(&mut panel[(at - pairs.start) * width..]));
            at += taken;
        }
    }
}
