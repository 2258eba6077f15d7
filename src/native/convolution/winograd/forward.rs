//! Convolutions and adjoints.

use std::marker::PhantomData;

use crate::parallel::prelude::*;

use super::Split;
use super::filter::Filter;
use super::geometry::{Geometry, Reader};
use super::lanes::{LANES, stride};
use super::product::{Product, multiply};
use super::transform::{Patches, Sums, Weights};
use crate::native::convolution::Convolution;
use crate::native::convolution::product::with_rounded;
use crate::native::scratch;
use crate::native::simd::{self, Packing, Rows};

/// Positions of the tiles multiplied at a time: part of an image, or as many images as hold them.
const POSITIONS: usize = 256;
/// Tiles multiplied at a time at least, or weights would not be worth loading.
const LEAST: usize = 32;
/// Length of the sums that run without leaving the registers: a panel of this many rows of weights stays in the first cache.
const DEPTH: usize = 256;

/// `out[p] = epilogue(Σ_t source[p + t] · W_t)`
pub fn convolve<F: Filter<P, T, O>, const P: usize, const T: usize, const O: usize>(
    job: &Convolution<'_, f32>,
    split: &Split<T>,
    output: &mut [f32],
) {
    let [cs, cd] = job.channels;
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let reader = Reader { prologue: job.prologue, step: job.step };
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    // How images are grouped changes no sum, so it may depend on the cores.
    let share = (output.len() / dest).div_ceil(crate::parallel::current_num_threads());
    let most = (POSITIONS / O).max(LEAST);
    let group = (most / split.tiles()).clamp(1, share);
    let each = if group == 1 { most.min(split.tiles()) } else { split.tiles() };
    let depth = split.phases[0].len() * cs;
    let width = simd::columns(cd);
    let blocks = cd / width;
    let packing = job.packing(cs);
    let product = stride(depth / packing.depth() * width);
    let panel = P * product;
    let steps = [geometry.window[1], 1].map(|s| s * job.gather.step_source * cs);
    let filter = PhantomData::<F>;
    scratch::with(split.phases.len() * blocks * panel, |panels| {
        panels.par_chunks_mut(panel).enumerate().for_each(|(at, out)| {
            let (phase, first) = (at / blocks, at % blocks * width);
            let (units, tables) = (&split.phases[phase], &geometry.phases[phase]);
            let (weights, channels, transposed) = (job.weights, job.channels, job.transposed);
            let whole = stride(depth * width);
            let transform = |out: &mut [f32]| {
                simd::dispatch(Weights::<F, P, T, O> { filter, units, tables, weights, channels, transposed, first, width, out });
            };
            if packing == Packing::Single {
                return transform(out);
            }
            scratch::with(P * whole, |singles| {
                transform(singles);
                for (singles, pairs) in singles.chunks_exact(whole).zip(out.chunks_exact_mut(product)) {
                    let rows = Rows { from: singles, stride: width, count: depth, used: width };
                    simd::stack(rows, width, bytemuck::cast_slice_mut(pairs));
                    packing.lay(pairs, depth / packing.depth(), width);
                }
            });
        });
        let panels = &*panels;
        output.par_chunks_mut(group * dest).enumerate().for_each(|(at, out)| {
            let images = job.source[at * group * size..].chunks(size).take(out.len() / dest);
            let count = images.len();
            let most = count * each;
            let window_len = split.window(geometry, job.gather.step_source, cs);
            scratch::with(count * window_len, |windows| {
                for (image, window) in images.zip(windows.chunks_mut(window_len)) {
                    let (window, beyond) = window.split_at_mut(geometry.len(cs));
                    geometry.fill(image, job.gather.source, cs, reader, window);
                    beyond.fill(0.0);
                }
                // A row of each, of all products.
                let [chunk, apart] = [LANES, width].map(|n| stride(P * n));
                let patch_len = depth / LANES * most * chunk;
                scratch::with(patch_len + most.next_multiple_of(simd::rows()) * apart, |held| {
                    let (patches, products) = held.split_at_mut(patch_len);
                    let parts = (0..split.tiles()).step_by(each).map(|first| first..split.tiles().min(first + each));
                    for (phase, tiles) in (0..geometry.phases.len()).flat_map(|phase| parts.clone().map(move |tiles| (phase, tiles))) {
                        let tables = &geometry.phases[phase];
                        let rows = count * tiles.len();
                        let offsets: Vec<i32> = (0..depth).map(|k| (k / LANES * rows * chunk + k % LANES) as i32).collect();
                        for (n, window) in windows.chunks(window_len).enumerate() {
                            let (rows, out) = ([rows, n * tiles.len()], &mut *patches);
                            let (channels, tiles) = (cs, tiles.clone());
                            simd::dispatch(Patches::<F, P, T, O> {
                                filter,
                                split,
                                phase,
                                tables,
                                window,
                                channels,
                                steps,
                                tiles,
                                rows,
                                out,
                            });
                        }
                        let mut product_of = |a: &[f32]| {
                            for block in 0..blocks {
                                let panel = &panels[(phase * blocks + block) * panel..][..panel];
                                for k in 0..P {
                                    let origin = |r| k * LANES + r * chunk;
                                    let panel = &panel[k * product..];
                                    for begin in (0..depth).step_by(DEPTH) {
                                        let offsets = &offsets[begin..depth.min(begin + DEPTH)];
                                        let panel = &panel[begin / packing.depth() * width..];
                                        let (fresh, sums) = (begin == 0, &mut products[k * width..]);
                                        multiply(&Product { packing, a, origin, rows, offsets, panel, width, fresh }, (sums, apart));
                                    }
                                }
                                for (n, out) in out.chunks_mut(dest).enumerate() {
                                    let products = &products[n * tiles.len() * apart..];
                                    let (first, tiles) = (block * width, tiles.clone());
                                    simd::dispatch(Sums::<F, P, T, O> { filter, split, tables, products, tiles, first, width, out });
                                }
                            }
                        };
                        if packing == Packing::Single { product_of(patches) } else { with_rounded(patches, product_of) }
                    }
                });
            });
            job.finish(at * group * dest, out);
        });
    });
}
