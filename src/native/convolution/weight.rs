//! Weight gradients in `f32`.

use crate::parallel::prelude::*;

use super::WeightGradient;
use super::geometry::{Geometry, PhaseTables, Reader};
use super::panels::{Factor, pack_row};
use super::product::{multiply_by_columns, positions_in_rows, with_source};
use super::winograd::{self, Split, Three, Two};
use crate::native::scratch;
use crate::native::simd::{self, MAX_ROWS, Tile};

/// Positions a weight gradient takes at a time, for the same reason.
const SPAN: usize = 128;
/// Weight gradients up to this size are summed image by image in partial copies; larger ones are cut by rows instead.
const SMALL: usize = 64 * 1024;
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
    if let Some(split) = Split::<4>::of(job.gather, job.channels) {
        return winograd::weight_gradient::<Two, 9, 4>(job, &split, output);
    }
    if let Some(split) = Split::<9>::of(job.gather, job.channels) {
        return winograd::weight_gradient::<Three, 16, 9>(job, &split, output);
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
