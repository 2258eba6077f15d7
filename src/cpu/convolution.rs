//! Convolutions by taps in `f32`: no patch matrix, one cache-sized window an image, register tiles over gathered rows.

use rayon::prelude::*;

use super::geometry::{Geometry, PhaseTables, Reader};
use super::simd::{self, MAX_ROWS, Tile};
use super::winograd::{self, Split};
use super::{Evaluator, Operand, scratch};
use crate::graph::{Expr, Shape, Step};
use crate::op::Gather;

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
/// Length of the sums that run without leaving the registers: a panel of this many rows of weights stays in the first cache.
const DEPTH: usize = 256;
/// Positions a weight gradient takes at a time, for the same reason.
const SPAN: usize = 128;
/// Weight gradients up to this size are summed image by image in partial copies; larger ones are cut by rows instead.
const SMALL: usize = 64 * 1024;
/// Partial copies of a small weight gradient.
const PARTS: usize = 16;

/// Weights in panels of tile width: `[block][tap, source channel][column]`, zeros in the columns beyond the last.
struct Panels {
    data: Vec<f32>,
    width: usize,
    depth: usize,
}

impl Panels {
    fn new(phase: &PhaseTables, weights: &[f32], [cs, cd]: [usize; 2], transposed: bool) -> Self {
        let width = simd::columns(cd);
        let depth = phase.taps.len() * cs;
        let blocks = cd.div_ceil(width);
        let mut data = vec![0.0; blocks * depth * width];
        if depth > 0 {
            let fill = |(block, panel): (usize, &mut [f32])| {
                let first = block * width;
                let used = width.min(cd - first);
                for (k, row) in panel.chunks_exact_mut(width).enumerate() {
                    let (tap, c) = (phase.taps[k / cs], k % cs);
                    if transposed {
                        let base = tap * cs * cd + first * cs + c;
                        row[..used].iter_mut().enumerate().for_each(|(j, v)| *v = weights[base + j * cs]);
                    } else {
                        let base = (tap * cs + c) * cd + first;
                        row[..used].copy_from_slice(&weights[base..base + used]);
                    }
                }
            };
            data.par_chunks_mut(depth * width).enumerate().for_each(fill);
        }
        Self { data, width, depth }
    }
}

fn is_flat(gather: &Gather) -> bool {
    let [phase] = &gather.phases[..] else { return false };
    gather.source == gather.dest && gather.step_source == 1 && gather.step_dest == 1 && phase.taps == [([0, 0], 0)]
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
    let reader = Reader { prologue: job.prologue, step: job.step };
    if is_flat(job.gather) {
        let tables = PhaseTables {
            origins: (0..ROWS).map(|r| (r * cs) as i32).collect(),
            offsets: (0..cs as i32).collect(),
            targets: (0..ROWS).map(|r| (r * cd) as u32).collect(),
            taps: vec![0],
        };
        let panels = Panels::new(&tables, job.weights, job.channels, job.transposed);
        let rows = |(task, out): (usize, &mut [f32])| {
            let source = &job.source[task * ROWS * cs..][..out.len() / cd * cs];
            if job.prologue.is_some() {
                scratch::with(source.len(), |window| {
                    reader.copy(source, window);
                    multiply(&tables, out.len() / cd, &panels, window, cd, out);
                });
            } else {
                multiply(&tables, out.len() / cd, &panels, source, cd, out);
            }
            finish(job, task * ROWS * cd, out);
        };
        output.par_chunks_mut(ROWS * cd).enumerate().for_each(rows);
        return;
    }
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let panels: Vec<Panels> = geometry.phases.iter().map(|p| Panels::new(p, job.weights, job.channels, job.transposed)).collect();
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

/// Carries out the epilogue on output elements from `start` on.
pub(super) fn finish(job: &Convolution<'_, f32>, start: usize, out: &mut [f32]) {
    if let Some(expr) = job.epilogue {
        Evaluator::in_place(expr, job.operands, job.shape, job.step).run(start, out);
    }
}

/// Multiplies the first `count` positions of a window by the panels.
fn multiply(tables: &PhaseTables, count: usize, panels: &Panels, window: &[f32], cd: usize, out: &mut [f32]) {
    let height = simd::rows();
    let width = panels.width;
    for block in 0..cd.div_ceil(width) {
        let first = block * width;
        let used = width.min(cd - first);
        let mut begin = 0;
        loop {
            let depth = DEPTH.min(panels.depth - begin);
            let panel = &panels.data[(block * panels.depth + begin) * width..];
            for tile in (0..count).step_by(height) {
                let rows = height.min(count - tile);
                let origins = &tables.origins[tile..tile + rows];
                let targets = &tables.targets[tile..tile + rows];
                let base = out.as_mut_ptr();
                let at = |i: usize| origins[i.min(rows - 1)] as usize;
                let to = |i: usize| targets[i.min(rows - 1)] as usize + first;
                assert!((0..rows).all(|i| to(i) + used <= out.len()));
                let operands = Tile {
                    rows: &std::array::from_fn::<_, MAX_ROWS, _>(|i| window.as_ptr().wrapping_add(at(i)))[..rows],
                    offsets: &tables.offsets[begin..begin + depth],
                    b: panel.as_ptr(),
                    stride: width,
                    sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add(to(i)))[..rows],
                    used,
                    fresh: begin == 0,
                };
                // SAFETY: origins and offsets were made together to stay within the window, the panel holds `depth` rows of `width`,
                // and targets were looked at above.
                unsafe { simd::multiply(&operands, width) };
            }
            begin += depth;
            if begin >= panels.depth {
                break;
            }
        }
    }
}

/// `out[t, c, d] = Σ_p source[p + t, c] · upstream[p, d]`
pub fn weight_gradient(job: &WeightGradient<'_, f32>, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    output.fill(0.0);
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    if output.is_empty() || size == 0 || dest == 0 {
        return;
    }
    if let Some(split) = Split::of(job.gather, job.channels) {
        return winograd::weight_gradient(job, &split, output);
    }
    let flat = is_flat(job.gather);
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
    let piece = |at: usize, window: &mut [f32], rows: &[i32], out: &mut [f32]| {
        if flat {
            let first = at * SPAN;
            let count = SPAN.min(images * dest / cd - first);
            let source = &job.source[first * cs..(first + count) * cs];
            let upstream = &job.upstream[first * cd..(first + count) * cd];
            let origins: [i32; SPAN] = std::array::from_fn(|p| (p * cs) as i32);
            if job.prologue.is_some() {
                reader.copy(source, &mut window[..source.len()]);
                accumulate(rows, &origins[..count], &window[..source.len()], upstream, cd, out);
            } else {
                accumulate(rows, &origins[..count], source, upstream, cd, out);
            }
        } else {
            let first = at * group;
            let count = group.min(images - first);
            let window = &mut window[..count * window_of];
            for (image, part) in job.source[first * size..].chunks(size).zip(window.chunks_mut(window_of)) {
                geometry.fill(image, job.gather.source, cs, reader, part);
            }
            accumulate(rows, &grouped[..count * origins.len()], window, &job.upstream[first * dest..(first + count) * dest], cd, out);
        }
    };
    let window_len = if flat { SPAN * cs } else { group * window_of };
    let offsets = &geometry.phases[0].offsets;
    if output.len() <= SMALL {
        let each = pieces.div_ceil(PARTS);
        let parts = pieces.div_ceil(each);
        scratch::with(parts * output.len(), |partials| {
            partials.par_chunks_mut(output.len()).enumerate().for_each(|(part, partial)| {
                partial.fill(0.0);
                scratch::with(window_len, |window| {
                    for at in part * each..((part + 1) * each).min(pieces) {
                        piece(at, window, offsets, partial);
                    }
                });
            });
            for partial in partials.chunks(output.len()) {
                output.iter_mut().zip(partial).for_each(|(sum, p)| *sum += p);
            }
        });
    } else {
        let rows = rows_all.div_ceil(PARTS).next_multiple_of(simd::rows());
        output.par_chunks_mut(rows * cd).zip(offsets.par_chunks(rows)).for_each(|(out, rows)| {
            scratch::with(window_len, |window| {
                for at in 0..pieces {
                    piece(at, window, rows, out);
                }
            });
        });
    }
}

/// Adds one window's part to rows of the weight gradient.
fn accumulate(rows: &[i32], origins: &[i32], window: &[f32], upstream: &[f32], cd: usize, out: &mut [f32]) {
    let height = simd::rows();
    let width = simd::columns(cd);
    scratch::with(SPAN * width, |padded| {
        for (span, origins) in origins.chunks(SPAN).enumerate() {
            let upstream = &upstream[span * SPAN * cd..][..origins.len() * cd];
            for first in (0..cd).step_by(width) {
                let used = width.min(cd - first);
                let (b, stride) = if used == width {
                    (upstream[first..].as_ptr(), cd)
                } else {
                    for (row, g) in padded.chunks_exact_mut(width).zip(upstream.chunks_exact(cd)) {
                        row[..used].copy_from_slice(&g[first..first + used]);
                        row[used..].fill(0.0);
                    }
                    (padded.as_ptr(), width)
                };
                for tile in (0..rows.len()).step_by(height) {
                    let count = height.min(rows.len() - tile);
                    let sums = &mut out[tile * cd..(tile + count) * cd];
                    let base = sums.as_mut_ptr().wrapping_add(first);
                    let origin = |i: usize| window.as_ptr().wrapping_offset(rows[tile + i.min(count - 1)] as isize);
                    let operands = Tile {
                        rows: &std::array::from_fn::<_, MAX_ROWS, _>(origin)[..count],
                        offsets: origins,
                        b,
                        stride,
                        sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add(i.min(count - 1) * cd))[..count],
                        used,
                        fresh: false,
                    };
                    // SAFETY: a row's offset plus an origin lies within the window by construction of the tables, `b` holds one row of
                    // at least `width` columns for each origin, and `sums` are `count` rows of `cd`.
                    unsafe { simd::multiply(&operands, width) };
                }
            }
        }
    });
}
