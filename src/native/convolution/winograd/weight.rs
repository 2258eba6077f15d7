//! Weight gradients.

use rayon::prelude::*;

use super::Split;
use super::geometry::{Geometry, Reader};
use super::lanes::{LANES, PRODUCTS, stride};
use super::product::{Product, multiply};
use super::transform::{Gradients, Patches, TapSums};
use crate::native::convolution::WeightGradient;
use crate::native::{scratch, simd};

/// The same for weight gradients, where both operands are panels.
const SPAN: usize = 128;
/// Tiles a weight gradient takes at least, or sums would not be worth loading.
const LEAST: usize = 32;
/// Bytes of transformed images a weight gradient holds at a time, if that is a part for each thread.
const HELD: usize = 4 << 20;

/// `out[t, c, d] = Σ_p source[p + t, c] · upstream[p, d]`
pub fn weight_gradient(job: &WeightGradient<'_, f32>, split: &Split, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    let geometry = Geometry::of(job.gather, job.channels);
    let geometry = &*geometry;
    let reader = Reader { prologue: job.prologue, step: job.step };
    let (tables, units) = (&geometry.phases[0], &split.phases[0]);
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    let images = job.upstream.len() / dest;
    // How images are grouped changes no sum, so it may depend on the cores.
    let threads = rayon::current_num_threads();
    let group = (SPAN / split.tiles()).min(images.div_ceil(threads)).max(LEAST / split.tiles()).clamp(1, images);
    let rows = group * split.tiles();
    let width = simd::columns(cd);
    let steps = [geometry.window[1], 1].map(|s| s * job.gather.step_source * cs);
    let (patch, gradient) = (stride(units.len() * cs * rows), stride(cd * rows));
    let (patch_len, part_len) = (PRODUCTS * patch, PRODUCTS * (patch + gradient));
    let parts = (HELD / (part_len * size_of::<f32>())).max(threads).min(images.div_ceil(group));
    // Sums of products: `[product][unit][block of columns][channel][column]`, whole tiles of channels.
    let sum_len = cs.next_multiple_of(simd::rows()) * width;
    let blocks = cd / width;
    let offsets: Vec<i32> = (0..rows).map(|t| (t * LANES) as i32).collect();
    scratch::with(PRODUCTS * units.len() * blocks * sum_len, |sums| {
        scratch::with(parts * part_len, |held| {
            for begin in (0..images).step_by(parts * group) {
                let count = (images - begin).min(parts * group);
                let held = &mut held[..count.div_ceil(group) * part_len];
                held.par_chunks_mut(part_len).enumerate().for_each(|(part, held)| {
                    let (patches, gradients) = held.split_at_mut(patch_len);
                    let first = begin + part * group;
                    for (n, image) in (first..images.min(first + group)).enumerate() {
                        let rows = [rows, n * split.tiles()];
                        scratch::with(geometry.len(cs), |window| {
                            geometry.fill(&job.source[image * size..][..size], job.gather.source, cs, reader, window);
                            simd::dispatch(Patches { split, phase: 0, tables, window, channels: cs, steps, rows, out: patches });
                        });
                        let upstream = &job.upstream[image * dest..][..dest];
                        simd::dispatch(Gradients { split, tables, upstream, channels: cd, width, rows, out: gradients });
                    }
                });
                let held = &*held;
                sums.par_chunks_mut(sum_len).enumerate().for_each(|(at, sums)| {
                    let (product, unit, block) = (at / blocks / units.len(), at / blocks % units.len(), at % blocks);
                    for (part, held) in held.chunks(part_len).enumerate() {
                        let (patches, gradients) = held.split_at(patch_len);
                        let tiles = (count - part * group).min(group) * split.tiles();
                        let a = &patches[product * patch + unit * cs * rows..][..cs * rows];
                        let gradients = &gradients[product * gradient + block * width * rows..][..width * rows];
                        let origin = |c: usize| c / LANES * rows * LANES + c % LANES;
                        for first in (0..tiles).step_by(SPAN) {
                            let offsets = &offsets[first..tiles.min(first + SPAN)];
                            let panel = &gradients[first * width..];
                            let fresh = begin + part + first == 0;
                            multiply(&Product { a, origin, rows: cs, offsets, panel, width, fresh }, sums);
                        }
                    }
                });
            }
        });
        let sums = &*sums;
        output.par_chunks_mut(cs * cd).enumerate().for_each(|(weight, out)| {
            simd::dispatch(TapSums { units, tables, weight, sums, sum_len, columns: cd, width, out });
        });
    });
}
