//! Weight gradients.

use std::marker::PhantomData;

use crate::parallel::prelude::*;

use super::filter::Filter;
use super::geometry::{Geometry, Reader};
use super::lanes::{LANES, stride};
use super::product::{Product, multiply};
use super::transform::{Gradients, Patches, TapSums};
use super::{Split, Unit};
use crate::native::convolution::WeightGradient;
use crate::native::scratch;
use crate::native::simd::{self, Packing, Rows};

/// Tiles a weight gradient takes at a time, where both operands are panels: part of an image, or as many images as hold them.
const SPAN: usize = 128;
/// Tiles it takes at least, or sums would not be worth loading.
const LEAST: usize = 32;
/// Channels whose taps' gradients one task adds up.
const CHANNELS: usize = 16;
/// Bytes of transformed images it holds at a time, if that is a part for each thread: few enough for the second cache.
const HELD: usize = 1 << 20;

/// `out[t, c, d] = Σ_p source[p + t, c] · upstream[p, d]`
pub fn weight_gradient<F: Filter<P, T, O>, const P: usize, const T: usize, const O: usize>(
    job: &WeightGradient<'_, f32>,
    split: &Split<T>,
    output: &mut [f32],
) {
    let [cs, cd] = job.channels;
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let reader = Reader { prologue: job.prologue, step: job.step };
    let (tables, units) = (&geometry.phases[0], &split.phases[0]);
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    let images = job.upstream.len() / dest;
    // How images are grouped changes no sum, so it may depend on the cores.
    let threads = crate::parallel::current_num_threads();
    let group = (SPAN / split.tiles()).min(images.div_ceil(threads)).max(LEAST / split.tiles()).clamp(1, images);
    let each = if group == 1 { SPAN.min(split.tiles()) } else { split.tiles() };
    let packing = job.packing();
    let rows = (group * each).next_multiple_of(packing.depth() * packing.panel_rows(1));
    // Pieces are some images, or some tiles of one.
    let cuts = split.tiles().div_ceil(each);
    let pieces = images.div_ceil(group) * cuts;
    let piece = |at: usize| {
        let (first, from) = (at / cuts * group, at % cuts * each);
        (first..images.min(first + group), from..split.tiles().min(from + each))
    };
    let width = simd::columns(cd);
    let steps = [geometry.window[1], 1].map(|s| s * job.gather.step_source * cs);
    let (chunk, gradient) = (stride(P * LANES), stride(cd * rows));
    let patch_len = units.len() * cs / LANES * rows * chunk;
    let whole_len = patch_len + P * gradient;
    let part_len = whole_len / packing.depth();
    let parts = (HELD / (part_len * size_of::<f32>())).max(threads).min(pieces);
    // Sums of products: `[product][unit][block of columns][channel][column]`, whole tiles of channels.
    let sum_len = cs.next_multiple_of(simd::rows()) * width;
    let blocks = cd / width;
    let offsets: Vec<i32> = (0..rows / packing.depth()).map(|t| (t * chunk) as i32).collect();
    let filter = PhantomData::<F>;
    scratch::with(P * units.len() * blocks * sum_len, |sums| {
        scratch::with(parts * part_len, |held| {
            for begin in (0..pieces).step_by(parts) {
                let held = &mut held[..(pieces - begin).min(parts) * part_len];
                let transform = |part: usize, held: &mut [f32]| {
                    let (patches, gradients) = held.split_at_mut(patch_len);
                    let (images, tiles) = piece(begin + part);
                    // Rows of the window that the tiles' patches lie in; where columns are odd the last one runs on into one more.
                    let [above, below] = [tiles.start, tiles.end - 1].map(|t| split.first(t)[0] * job.gather.step_source);
                    let seen = above..below + F::PATCH * job.gather.step_source + 1;
                    for (n, image) in images.enumerate() {
                        let (rows, tiles) = ([rows, n * tiles.len()], tiles.clone());
                        scratch::with(split.window(geometry, job.gather.step_source, cs), |window| {
                            let (inside, beyond) = window.split_at_mut(geometry.len(cs));
                            let source = &job.source[image * size..][..size];
                            geometry.fill_rows(seen.clone(), source, job.gather.source, cs, reader, inside);
                            beyond.fill(0.0);
                            let (window, channels, tiles, out) = (&*window, cs, tiles.clone(), &mut *patches);
                            simd::dispatch(Patches::<F, P, T, O> {
                                filter,
                                split,
                                phase: 0,
                                tables,
                                window,
                                channels,
                                steps,
                                tiles,
                                rows,
                                out,
                            });
                        });
                        let (upstream, channels, out) = (&job.upstream[image * dest..][..dest], cd, &mut *gradients);
                        simd::dispatch(Gradients::<F, P, T, O> { filter, split, tables, upstream, channels, width, tiles, rows, out });
                    }
                };
                held.par_chunks_mut(part_len).enumerate().for_each(|(part, held)| {
                    if packing == Packing::Single {
                        return transform(part, held);
                    }
                    scratch::with(whole_len, |singles| {
                        transform(part, singles);
                        let (images, tiles) = piece(begin + part);
                        let (patches, gradients) = singles.split_at_mut(patch_len);
                        let rows_of = |from, stride, count| Rows { from, stride, count, used: stride };
                        // The last ones have nothing beside them.
                        let last = images.len() * tiles.len();
                        let whole = last.next_multiple_of(packing.depth() * packing.panel_rows(1));
                        if last < whole {
                            patches.chunks_exact_mut(rows * chunk).for_each(|patches| patches[last * chunk..whole * chunk].fill(0.0));
                            let blocks = gradients.chunks_exact_mut(gradient).flat_map(|of| of[..cd * rows].chunks_exact_mut(rows * width));
                            blocks.for_each(|block| block[last * width..whole * width].fill(0.0));
                        }
                        let (patch_pairs, gradient_pairs) = held.split_at_mut(patch_len / 2);
                        simd::stack(rows_of(patches, chunk, patch_len / chunk), chunk, bytemuck::cast_slice_mut(patch_pairs));
                        for (from, to) in gradients.chunks_exact(gradient).zip(gradient_pairs.chunks_exact_mut(gradient / 2)) {
                            simd::stack(rows_of(from, width, cd / width * rows), width, bytemuck::cast_slice_mut(to));
                            packing.lay(to, cd / width * rows / packing.depth(), width);
                        }
                    });
                });
                let (held, depth) = (&*held, packing.depth());
                sums.par_chunks_mut(sum_len).enumerate().for_each(|(at, sums)| {
                    let (product, unit, block) = (at / blocks / units.len(), at / blocks % units.len(), at % blocks);
                    for (part, held) in held.chunks(part_len).enumerate() {
                        let (patches, gradients) = held.split_at(patch_len / depth);
                        let (images, tiles) = piece(begin + part);
                        let tiles = (images.len() * tiles.len()).div_ceil(depth);
                        let rows = rows / depth;
                        let a = &patches[unit * cs / LANES * rows * chunk + product * LANES..];
                        let gradients = &gradients[product * gradient / depth + block * width * rows..][..width * rows];
                        let origin = |c: usize| c / LANES * rows * chunk + c % LANES;
                        for first in (0..tiles).step_by(SPAN) {
                            let offsets = &offsets[first..tiles.min(first + SPAN)];
                            let panel = &gradients[first * width..];
                            let fresh = begin + part + first == 0;
                            multiply(&Product { packing, a, origin, rows: cs, offsets, panel, width, fresh }, (&mut *sums, width));
                        }
                    }
                });
            }
        });
        let sums = &*sums;
        // Of each unit and some channels, the rows of its taps.
        let mut rows: Vec<_> = output.chunks_mut(cs * cd).map(|weight| weight.chunks_mut(CHANNELS * cd)).collect();
        let mut jobs = Vec::new();
        for (unit, Unit(taps)) in units.iter().enumerate() {
            for channel in (0..cs).step_by(CHANNELS) {
                let out = taps.map(|t| rows[tables.taps[t]].next().expect("as many as there are channels"));
                let sums = std::array::from_fn(|k| &sums[(k * units.len() + unit) * blocks * sum_len..][..blocks * sum_len]);
                jobs.push(TapSums::<F, P, T, O> { filter, sums, sum_len, width, channel, out, columns: cd });
            }
        }
        rows.into_iter().flatten().for_each(|unread| unread.fill(0.0));
        jobs.into_par_iter().for_each(simd::dispatch);
    });
}
