//! Convolutions and adjoints.

use rayon::prelude::*;

use super::Split;
use super::geometry::{Geometry, Reader};
use super::lanes::{LANES, PRODUCTS, stride};
use super::product::{Product, multiply};
use super::transform::{Patches, Sums, Weights};
use crate::native::convolution::Convolution;
use crate::native::{scratch, simd};

/// Tiles multiplied at a time, in as many images as hold them.
const ROWS: usize = 64;
/// Length of the sums that run without leaving the registers: a panel of this many rows of weights stays in the first cache.
const DEPTH: usize = 256;

/// `out[p] = epilogue(Σ_t source[p + t] · W_t)`
pub fn convolve(job: &Convolution<'_, f32>, split: &Split, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let reader = Reader { prologue: job.prologue, step: job.step };
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    // How images are grouped changes no sum, so it may depend on the cores.
    let share = (output.len() / dest).div_ceil(rayon::current_num_threads());
    let group = (ROWS / split.tiles()).clamp(1, share);
    let depth = split.phases[0].len() * cs;
    let width = simd::columns(cd);
    let blocks = cd / width;
    let product = stride(depth * width);
    let panel = PRODUCTS * product;
    let steps = [geometry.window[1], 1].map(|s| s * job.gather.step_source * cs);
    scratch::with(split.phases.len() * blocks * panel, |panels| {
        panels.par_chunks_mut(panel).enumerate().for_each(|(at, out)| {
            let (phase, first) = (at / blocks, at % blocks * width);
            let (units, tables) = (&split.phases[phase], &geometry.phases[phase]);
            let (weights, channels, transposed) = (job.weights, job.channels, job.transposed);
            simd::dispatch(Weights { units, tables, weights, channels, transposed, first, width, out });
        });
        let panels = &*panels;
        output.par_chunks_mut(group * dest).enumerate().for_each(|(at, out)| {
            let images = job.source[at * group * size..].chunks(size).take(out.len() / dest);
            let rows = images.len() * split.tiles();
            let padded = rows.next_multiple_of(simd::rows());
            let offsets: Vec<i32> = (0..depth).map(|k| (k / LANES * rows * LANES + k % LANES) as i32).collect();
            let window_len = geometry.len(cs);
            scratch::with(images.len() * window_len, |windows| {
                for (image, window) in images.zip(windows.chunks_mut(window_len)) {
                    geometry.fill(image, job.gather.source, cs, reader, window);
                }
                let (patch, apart) = (stride(depth * rows), stride(padded * width));
                scratch::with(PRODUCTS * (patch + apart), |held| {
                    let (patches, products) = held.split_at_mut(PRODUCTS * patch);
                    for (phase, tables) in geometry.phases.iter().enumerate() {
                        for (n, window) in windows.chunks(window_len).enumerate() {
                            let rows = [rows, n * split.tiles()];
                            simd::dispatch(Patches { split, phase, tables, window, channels: cs, steps, rows, out: patches });
                        }
                        for block in 0..blocks {
                            let panel = &panels[(phase * blocks + block) * panel..][..panel];
                            for k in 0..PRODUCTS {
                                let a = &patches[k * patch..][..depth * rows];
                                let panel = &panel[k * product..][..depth * width];
                                let sums = &mut products[k * apart..][..padded * width];
                                for begin in (0..depth).step_by(DEPTH) {
                                    let offsets = &offsets[begin..depth.min(begin + DEPTH)];
                                    let panel = &panel[begin * width..];
                                    multiply(&Product { a, origin: |r| r * LANES, rows, offsets, panel, width, fresh: begin == 0 }, sums);
                                }
                            }
                            for (n, out) in out.chunks_mut(dest).enumerate() {
                                let products = &products[n * split.tiles() * width..];
                                let first = block * width;
                                simd::dispatch(Sums { split, tables, products, apart, first, width, out });
                            }
                        }
                    }
                });
            });
            job.finish(at * group * dest, out);
        });
    });
}
