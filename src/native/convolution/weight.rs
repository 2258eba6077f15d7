//! Weight gradients in `f32`.

use std::ops::Range;

use crate::parallel::prelude::*;

use super::WeightGradient;
use super::geometry::{Geometry, PhaseTables, Reader};
use super::panels::{Factor, pack_row};
use super::product::{multiply_by_columns, positions_in_rows, with_source};
use super::winograd;
use crate::native::scratch;
use crate::native::simd::{self, MOST_ROWS, Packing, Rows, Tile};

/// Steps of sums that run without leaving the registers, so that a panel of them stays in the first cache.
const STEPS: usize = 128;
/// Positions that the processor's tiles take at a time; of other tiles as many as there are steps.
const TILED: usize = 512;
/// Bytes of windows and panels that are held at a time, if that is a piece for each thread: few enough for the second cache.
const HELD: usize = 1 << 20;
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
    let geometry = Geometry::of(job.gather, job.channels);
    let pieces = Pieces::new(job, &geometry, rows == Some([1, 1]));
    let sums = Sums { origins: &pieces.origins, along: pieces.along, packing: pieces.packing, cd };
    let offsets = &pieces.geometry.phases[0].offsets;
    if output.len() <= SMALL {
        let each = pieces.count.div_ceil(PARTS);
        let parts = pieces.count.div_ceil(each);
        scratch::with(parts * output.len(), |partials| {
            partials.par_chunks_mut(output.len()).enumerate().for_each(|(part, partial)| {
                scratch::with(pieces.window_len + pieces.panels_len, |held| {
                    for at in part * each..((part + 1) * each).min(pieces.count) {
                        pieces.lay(job, &sums, at, held);
                        sums.add(pieces.positions(at), offsets, pieces.operands(job, at, held), at == part * each, partial);
                    }
                });
            });
            output.fill(0.0);
            for partial in partials.chunks(output.len()) {
                output.iter_mut().zip(partial).for_each(|(sum, p)| *sum += p);
            }
        });
        return;
    }
    let piece = (pieces.window_len + pieces.panels_len).max(1);
    let parts = (HELD / (piece * size_of::<f32>())).max(crate::parallel::current_num_threads()).min(pieces.count);
    let rows = offsets.len().div_ceil(PARTS).next_multiple_of(sums.packing.height());
    scratch::with(parts * piece, |held| {
        for begin in (0..pieces.count).step_by(parts) {
            let held = &mut held[..(pieces.count - begin).min(parts) * piece];
            held.par_chunks_mut(piece).enumerate().for_each(|(part, held)| pieces.lay(job, &sums, begin + part, held));
            let held = &*held;
            output.par_chunks_mut(rows * cd).zip(offsets.par_chunks(rows)).for_each(|(out, rows)| {
                for (at, held) in (begin..).zip(held.chunks(piece)) {
                    sums.add(pieces.positions(at), rows, pieces.operands(job, at, held), at == 0, out);
                }
            });
        }
    });
}

/// What a weight gradient takes at a time: some positions, or as many images as make sums long enough to be worth their tile.
struct Pieces<'a> {
    geometry: &'a Geometry,
    packing: Packing,
    /// How many there are.
    count: usize,
    /// Positions of all, of a piece, and of an image; these where positions need no window.
    all: usize,
    each: usize,
    image: usize,
    flat: bool,
    /// Of a piece's positions, or of the first of each two.
    origins: Vec<i32>,
    /// Positions that lie equally far apart, one after the other, and how far.
    along: usize,
    apart: usize,
    /// Numbers that a piece's window takes, where it has one of its own, and its panels.
    window_len: usize,
    panels_len: usize,
}

impl<'a> Pieces<'a> {
    fn new(job: &WeightGradient<'_, f32>, geometry: &'a Geometry, flat: bool) -> Self {
        let [cs, cd] = job.channels;
        let packing = job.packing();
        let origins = &geometry.phases[0].origins;
        let (all, span) = (job.upstream.len() / cd, span(packing));
        let image = origins.len().max(1);
        let each = if flat { span } else { (span / image).clamp(1, (all / image).max(1)) * image };
        let window_of = geometry.len(cs);
        let [height, width] = if flat { [span, 1] } else { job.gather.phases[0].extent };
        let (along, apart) = match width {
            1 if flat => (height, cs),
            1 => (height, job.gather.step_source * geometry.window[1] * cs),
            _ => (width, job.gather.step_source * cs),
        };
        let grouped: Vec<i32> = if flat {
            (0..span).step_by(packing.depth()).map(|p| (p * cs) as i32).collect()
        } else {
            let first = |g: usize| move |p: usize| origins[p] + (g * window_of) as i32;
            let firsts = (0..origins.len()).filter(|p| (p % along).is_multiple_of(packing.depth()));
            (0..each / image).flat_map(|g| firsts.clone().map(first(g))).collect()
        };
        let in_place = flat && job.prologue.is_none() && packing == Packing::Single;
        let window_len = if in_place {
            0
        } else if flat {
            span * cs
        } else {
            each / image * window_of
        };
        let panels_len = grouped.len().next_multiple_of(STEPS) * cd.next_multiple_of(simd::columns(cd));
        Self {
            packing,
            count: all.div_ceil(each),
            all,
            each,
            image,
            flat,
            origins: grouped,
            along,
            apart,
            window_len,
            panels_len,
            geometry,
        }
    }

    /// How many positions a piece has.
    fn positions(&self, at: usize) -> usize {
        self.each.min(self.all - at * self.each)
    }

    /// Lays a piece's window and panels in what is held of it.
    fn lay(&self, job: &WeightGradient<'_, f32>, sums: &Sums<'_>, at: usize, held: &mut [f32]) {
        let [cs, cd] = job.channels;
        let (first, count) = (at * self.each, self.positions(at));
        let (window, panels) = held.split_at_mut(self.window_len);
        sums.lay(count, &job.upstream[first * cd..][..count * cd], panels);
        let reader = Reader { prologue: job.prologue, step: job.step };
        let fill = |window: &mut [f32]| {
            if self.flat {
                return reader.copy(&job.source[first * cs..][..count * cs], window);
            }
            let size = job.gather.source[0] * job.gather.source[1] * cs;
            let images = job.source[first / self.image * size..].chunks(size);
            for (image, window) in images.zip(window.chunks_mut(self.geometry.len(cs))) {
                self.geometry.fill(image, job.gather.source, cs, reader, window);
            }
        };
        let len = if self.flat { count * cs } else { count / self.image * self.geometry.len(cs) };
        if self.packing != Packing::Single {
            scratch::with(len, |single| {
                fill(single);
                simd::pair_ahead(single, self.apart, bytemuck::cast_slice_mut(&mut window[..len]));
            });
        } else if self.window_len > 0 {
            fill(&mut window[..len]);
        }
    }

    /// The factors of a piece's products.
    fn operands<'b>(&self, job: &WeightGradient<'b, f32>, at: usize, held: &'b [f32]) -> [&'b [f32]; 2] {
        let (window, panels) = held.split_at(self.window_len);
        let window = if self.window_len == 0 { &job.source[at * self.each * job.channels[0]..] } else { window };
        [window, panels]
    }
}

/// Positions taken at a time.
fn span(packing: Packing) -> usize {
    if packing != Packing::Single && simd::has_tiles() { TILED } else { STEPS }
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

/// What windows add to rows of a weight gradient.
struct Sums<'a> {
    /// Of positions; of pairs those of the first one.
    origins: &'a [i32],
    /// Positions that lie equally far apart, one after the other.
    along: usize,
    packing: Packing,
    /// Columns.
    cd: usize,
}

impl Sums<'_> {
    /// Origins of so many positions.
    fn origins(&self, positions: usize) -> &[i32] {
        let pairs = |positions: usize| positions.div_ceil(self.packing.depth());
        &self.origins[..positions / self.along * pairs(self.along) + pairs(positions % self.along)]
    }

    /// Lays the gradient at so many positions in panels: `[steps][block of columns][step][column]`.
    fn lay(&self, count: usize, upstream: &[f32], panels: &mut [f32]) {
        let &Self { packing, cd, .. } = self;
        let width = simd::columns(cd);
        let mut panels = panels.chunks_exact_mut(STEPS * width);
        for (at, origins) in self.origins(count).chunks(STEPS).enumerate() {
            for (first, panel) in (0..cd).step_by(width).zip(&mut panels) {
                let used = width.min(cd - first);
                if packing == Packing::Single {
                    // Packed even if the tile is full: rows far apart share few sets of the first cache.
                    let upstream = &upstream[at * STEPS * cd..][..origins.len() * cd];
                    for (row, g) in panel.chunks_exact_mut(width).zip(upstream.chunks_exact(cd)) {
                        pack_row(&g[first..first + used], row);
                    }
                } else {
                    self.stack(at * STEPS..at * STEPS + origins.len(), count, &upstream[first..], used, panel);
                    packing.lay(panel, origins.len(), width);
                }
            }
        }
    }

    /// Adds the products of a window and panels to rows, which lie so far from a position; or begins sums with them.
    fn add(&self, count: usize, rows: &[i32], [window, panels]: [&[f32]; 2], fresh: bool, out: &mut [f32]) {
        let &Self { packing, cd, .. } = self;
        let height = packing.height();
        let width = simd::columns(cd);
        let (span, blocks) = (packing.span(width, cd), cd.div_ceil(width));
        for (at, origins) in self.origins(count).chunks(STEPS).enumerate() {
            for first in (0..cd).step_by(span) {
                let panel = &panels[(at * blocks + first / width) * STEPS * width..];
                for tile in (0..rows.len()).step_by(height) {
                    let count = height.min(rows.len() - tile);
                    let sums = &mut out[tile * cd..(tile + count) * cd];
                    let base = sums.as_mut_ptr().wrapping_add(first);
                    let (mut from, mut to) = ([std::ptr::null(); MOST_ROWS], [std::ptr::null_mut(); MOST_ROWS]);
                    for (i, row) in rows[tile..tile + count].iter().enumerate() {
                        from[i] = window.as_ptr().wrapping_offset(*row as isize);
                        to[i] = base.wrapping_add(i * cd);
                    }
                    let operands = Tile {
                        rows: &from[..count],
                        sums: &to[..count],
                        offsets: origins,
                        b: panel.as_ptr(),
                        stride: width,
                        used: span.min(cd - first),
                        fresh: fresh && at == 0,
                    };
                    // SAFETY: a row's offset plus an origin lies within the window by construction of the tables, the panel holds one row
                    // of `width` columns for each of them, and `sums` are `count` rows of `cd`.
                    unsafe { packing.multiply(&operands, width, STEPS * width) };
                }
            }
        }
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
