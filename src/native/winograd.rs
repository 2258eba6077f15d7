//! Convolutions that fall apart into 2×2 ones, by minimal filtering (Winograd, 1980; Lavin and Gray, 2016).
//!
//! Two neighbouring sums of two taps, `y₀ = d₀g₀ + d₁g₁` and `y₁ = d₁g₀ + d₂g₁`, take three products instead of four:
//! `a = (d₀ − d₁)g₀`, `b = d₁(g₀ + g₁)`, `c = (d₂ − d₁)g₁`, `y₀ = a + b`, `y₁ = b + c`. In two dimensions a 2×2 tile takes nine instead of
//! sixteen. A 4×4 kernel of stride 2 is four such convolutions, one for each parity of the source, and its adjoint is one for each phase;
//! in the weight gradient tile and taps change places. No factor but ±1 appears, so that rounding stays as small as it was.

#![allow(clippy::needless_range_loop)] // indices name lanes here

use rayon::prelude::*;

use super::convolution::{Convolution, WeightGradient, finish};
use super::geometry::{Geometry, PhaseTables, Reader};
use super::scratch;
use super::simd::{self, Job, MAX_COLUMNS, MAX_ROWS, Tile};
use crate::tensor::{Gather, Phase};

/// Products of a tile.
const PRODUCTS: usize = 9;
/// Channels transformed at a time.
const LANES: usize = 16;
/// Tiles multiplied at a time, in as many images as hold them.
const ROWS: usize = 64;
/// Length of the sums that run without leaving the registers: a panel of this many rows of weights stays in the first cache.
const DEPTH: usize = 256;
/// The same for weight gradients, where both operands are panels.
const SPAN: usize = 128;
/// Tiles a weight gradient takes at least, or sums would not be worth loading.
const LEAST: usize = 32;
/// Bytes of transformed images a weight gradient holds at a time, if that is a part for each thread.
const HELD: usize = 4 << 20;

type Lane = [f32; LANES];

/// A convolution as sums of 2×2 ones.
pub struct Split {
    /// Of each phase.
    phases: Vec<Vec<Unit>>,
    /// Rows and columns of tiles of an image's phase.
    tiles: [usize; 2],
}

/// A 2×2 convolution: its taps by their place in the phase's list.
struct Unit([usize; 4]);

impl Split {
    /// A gather's parts, where it has such parts and the channels fill registers.
    pub fn of(gather: &Gather, [cs, cd]: [usize; 2]) -> Option<Self> {
        let extent = gather.phases.first()?.extent;
        let even = extent.iter().all(|e| *e > 0 && e % 2 == 0) && gather.phases.iter().all(|p| p.extent == extent);
        if !even || cs == 0 || cs % LANES != 0 || cd == 0 || cd % MAX_COLUMNS != 0 {
            return None;
        }
        let phases: Vec<_> = gather.phases.iter().map(|p| units(p, gather.step_source as i32)).collect::<Option<_>>()?;
        let alike = !phases[0].is_empty() && phases.iter().all(|units| units.len() == phases[0].len());
        alike.then(|| Self { phases, tiles: extent.map(|e| e / 2) })
    }

    fn tiles(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The positions of the phase that tile `t` covers.
    fn positions(&self, t: usize) -> [usize; 4] {
        let width = 2 * self.tiles[1];
        let first = 2 * (t / self.tiles[1]) * width + 2 * (t % self.tiles[1]);
        [first, first + 1, first + width, first + width + 1]
    }
}

fn units(phase: &Phase, step: i32) -> Option<Vec<Unit>> {
    let class = |at: usize| phase.taps[at].0.map(|o| o.rem_euclid(step));
    let mut classes: Vec<Vec<usize>> = Vec::new();
    for at in 0..phase.taps.len() {
        match classes.iter_mut().find(|members| class(members[0]) == class(at)) {
            Some(members) => members.push(at),
            None => classes.push(vec![at]),
        }
    }
    let unit = |members: Vec<usize>| {
        let first = [0, 1].map(|a| members.iter().map(|m| phase.taps[*m].0[a]).min().unwrap_or(0));
        let tap = |k: i32| {
            let offset = [first[0] + step * (k / 2), first[1] + step * (k % 2)];
            members.iter().copied().find(|m| phase.taps[*m].0 == offset)
        };
        (members.len() == 4).then_some(())?;
        Some(Unit([tap(0)?, tap(1)?, tap(2)?, tap(3)?]))
    };
    classes.into_iter().map(unit).collect()
}

#[inline(always)]
fn lane(data: &[f32], at: usize) -> &Lane {
    data[at..at + LANES].first_chunk().expect("as long as the range")
}

/// What taps, or the gradients of a tile, are multiplied as.
#[inline(always)]
fn spread(g: [&Lane; 4]) -> [Lane; PRODUCTS] {
    let mut out = [[0.0; LANES]; PRODUCTS];
    for c in 0..LANES {
        let (top, bottom) = ([g[0][c], g[1][c]], [g[2][c], g[3][c]]);
        let middle = [top[0] + bottom[0], top[1] + bottom[1]];
        for (i, [left, right]) in [top, middle, bottom].into_iter().enumerate() {
            out[3 * i][c] = left;
            out[3 * i + 1][c] = left + right;
            out[3 * i + 2][c] = right;
        }
    }
    out
}

/// The sum of what [`summed`] names.
#[inline(always)]
fn sum(products: [&Lane; 4], out: &mut [f32]) {
    let [a, b, c, d] = products;
    let mut sums = [0.0; LANES];
    for j in 0..LANES {
        sums[j] = (a[j] + b[j]) + (c[j] + d[j]);
    }
    out.copy_from_slice(&sums);
}

/// What a 3×3 patch of the source is multiplied as.
#[inline(always)]
fn differences(d: [&Lane; 9]) -> [Lane; PRODUCTS] {
    let mut out = [[0.0; LANES]; PRODUCTS];
    for c in 0..LANES {
        let row = |i: usize| [d[3 * i][c], d[3 * i + 1][c], d[3 * i + 2][c]];
        let [top, middle, bottom] = [row(0), row(1), row(2)];
        let less = |x: [f32; 3]| [x[0] - middle[0], x[1] - middle[1], x[2] - middle[2]];
        for (i, [a, b, e]) in [less(top), middle, less(bottom)].into_iter().enumerate() {
            out[3 * i][c] = a - b;
            out[3 * i + 1][c] = b;
            out[3 * i + 2][c] = e - b;
        }
    }
    out
}

/// Elements from one product's array of `len` to the next's: arrays a power of two apart would share few sets of the first cache.
const fn stride(len: usize) -> usize {
    len + LANES
}

/// The products that output `k` of a tile, or tap `k` of a gradient, is the sum of.
const fn summed(k: usize) -> [usize; 4] {
    let first = 3 * (k / 2) + k % 2;
    [first, first + 1, first + 3, first + 4]
}

/// Transforms patches of one image: `[product][unit][block of channels][row][channel]`.
struct Patches<'a> {
    split: &'a Split,
    phase: usize,
    tables: &'a PhaseTables,
    window: &'a [f32],
    channels: usize,
    /// Elements from a row and a column of a patch to the next.
    steps: [usize; 2],
    /// Rows of `out`, and the first of this image.
    rows: [usize; 2],
    out: &'a mut [f32],
}

impl Job for Patches<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { split, tables, window, channels, steps, rows: [rows, first], out, .. } = self;
        let units = &split.phases[self.phase];
        let product = stride(units.len() * channels * rows);
        for (u, Unit(taps)) in units.iter().enumerate() {
            for t in 0..split.tiles() {
                let corner = (tables.origins[split.positions(t)[0]] + tables.offsets[taps[0] * channels]) as usize;
                for c in (0..channels).step_by(LANES) {
                    let at = |row: usize, column: usize| lane(window, corner + row * steps[0] + column * steps[1] + c);
                    let patch = [at(0, 0), at(0, 1), at(0, 2), at(1, 0), at(1, 1), at(1, 2), at(2, 0), at(2, 1), at(2, 2)];
                    let at = (u * channels + c) * rows + (first + t) * LANES;
                    for (k, values) in differences(patch).iter().enumerate() {
                        out[k * product + at..][..LANES].copy_from_slice(values);
                    }
                }
            }
        }
    }
}

/// Transforms the weights of one phase and block of columns: `[product][unit, source channel][column]`.
struct Weights<'a> {
    units: &'a [Unit],
    tables: &'a PhaseTables,
    weights: &'a [f32],
    channels: [usize; 2],
    transposed: bool,
    first: usize,
    width: usize,
    out: &'a mut [f32],
}

impl Job for Weights<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { units, tables, weights, channels: [cs, cd], first, width, out, .. } = self;
        let product = stride(units.len() * cs * width);
        for (u, Unit(taps)) in units.iter().enumerate() {
            let bases = taps.map(|t| tables.taps[t] * cs * cd);
            // A square of channels at a time, which is turned where weights lie the other way.
            for c in (0..cs).step_by(LANES) {
                for d in (0..width).step_by(LANES) {
                    let mut squares = [[[0.0f32; LANES]; LANES]; 4];
                    for (square, base) in squares.iter_mut().zip(bases) {
                        for i in 0..LANES {
                            if self.transposed {
                                let line = lane(weights, base + (first + d + i) * cs + c);
                                square.iter_mut().zip(line).for_each(|(row, v)| row[i] = *v);
                            } else {
                                square[i] = *lane(weights, base + (c + i) * cd + first + d);
                            }
                        }
                    }
                    for i in 0..LANES {
                        let at = (u * cs + c + i) * width + d;
                        let taps = [&squares[0][i], &squares[1][i], &squares[2][i], &squares[3][i]];
                        for (k, values) in spread(taps).iter().enumerate() {
                            out[k * product + at..][..LANES].copy_from_slice(values);
                        }
                    }
                }
            }
        }
    }
}

/// Adds up the products of an image's tiles in one block of columns.
struct Sums<'a> {
    split: &'a Split,
    tables: &'a PhaseTables,
    /// Products of this image: `[product][tile][column]`, products `apart`.
    products: &'a [f32],
    apart: usize,
    first: usize,
    width: usize,
    out: &'a mut [f32],
}

impl Job for Sums<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { split, tables, products, apart, first, width, out } = self;
        let tiles = split.tiles();
        let products: [&[f32]; PRODUCTS] = std::array::from_fn(|k| &products[k * apart..][..tiles * width]);
        for t in 0..tiles {
            let targets = split.positions(t).map(|p| tables.targets[p] as usize + first);
            for j in (0..width).step_by(LANES) {
                let at = t * width + j;
                let mut values = [[0.0; LANES]; 4];
                for i in 0..3 {
                    let [a, b, c] = [lane(products[3 * i], at), lane(products[3 * i + 1], at), lane(products[3 * i + 2], at)];
                    for l in 0..LANES {
                        let pair = [a[l] + b[l], b[l] + c[l]];
                        if i < 2 {
                            values[0][l] += pair[0];
                            values[1][l] += pair[1];
                        }
                        if i > 0 {
                            values[2][l] += pair[0];
                            values[3][l] += pair[1];
                        }
                    }
                }
                for (target, values) in targets.into_iter().zip(&values) {
                    out[target + j..][..LANES].copy_from_slice(values);
                }
            }
        }
    }
}

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
            finish(job, at * group * dest, out);
        });
    });
}

/// `sums[r] += Σ_k a[origin(r) + offset_k] · panel[k]`
struct Product<'a, O> {
    a: &'a [f32],
    origin: O,
    rows: usize,
    offsets: &'a [i32],
    panel: &'a [f32],
    width: usize,
    /// Whether sums start from zero.
    fresh: bool,
}

/// Adds a product to `sums`, which has whole tiles of rows.
fn multiply<O: Fn(usize) -> usize>(job: &Product<'_, O>, sums: &mut [f32]) {
    let (height, width) = (simd::rows(), job.width);
    assert!(job.panel.len() >= job.offsets.len() * width);
    for (tile, acc) in sums.chunks_exact_mut(height * width).enumerate() {
        let row = |i: usize| job.a.as_ptr().wrapping_add((job.origin)((tile * height + i.min(height - 1)).min(job.rows - 1)));
        let base = acc.as_mut_ptr();
        let operands = Tile {
            rows: &std::array::from_fn::<_, MAX_ROWS, _>(row)[..height],
            offsets: job.offsets,
            b: job.panel.as_ptr(),
            stride: width,
            sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add(i.min(height - 1) * width))[..height],
            used: width,
            fresh: job.fresh,
        };
        // SAFETY: both callers' offsets reach the ends of blocks of `a` that hold `rows` rows, the panel has a row of `width` for each of
        // them, and `acc` is one whole tile.
        unsafe { simd::multiply(&operands, width) };
    }
}

/// Transforms gradients of one image's tiles: `[product][block of columns][row][column]`.
struct Gradients<'a> {
    split: &'a Split,
    tables: &'a PhaseTables,
    upstream: &'a [f32],
    channels: usize,
    width: usize,
    /// Rows of `out`, and the first of this image.
    rows: [usize; 2],
    out: &'a mut [f32],
}

impl Job for Gradients<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { split, tables, upstream, channels, width, rows: [rows, first], out } = self;
        let product = stride(channels * rows);
        for t in 0..split.tiles() {
            let positions = split.positions(t).map(|p| tables.targets[p] as usize);
            for d in (0..channels).step_by(LANES) {
                let at = (d / width * rows + first + t) * width + d % width;
                let [a, b, c, e] = positions.map(|p| p + d);
                let tile = [lane(upstream, a), lane(upstream, b), lane(upstream, c), lane(upstream, e)];
                for (k, values) in spread(tile).iter().enumerate() {
                    out[k * product + at..][..LANES].copy_from_slice(values);
                }
            }
        }
    }
}

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

/// Adds up the products of one tap's gradient.
struct TapSums<'a> {
    units: &'a [Unit],
    tables: &'a PhaseTables,
    weight: usize,
    /// As in [`weight_gradient`].
    sums: &'a [f32],
    sum_len: usize,
    columns: usize,
    width: usize,
    out: &'a mut [f32],
}

impl Job for TapSums<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { units, tables, weight, sums, sum_len, columns, width, out } = self;
        let blocks = columns / width;
        let place = |(u, Unit(taps)): (usize, &Unit)| Some((u, taps.iter().position(|t| tables.taps[*t] == weight)?));
        let Some((unit, k)) = units.iter().enumerate().find_map(place) else { return out.fill(0.0) };
        for (c, out) in out.chunks_exact_mut(columns).enumerate() {
            for (j, out) in out.chunks_exact_mut(LANES).enumerate() {
                let (block, column) = (j * LANES / width, j * LANES % width);
                let [a, b, c, d] = summed(k).map(|p| ((p * units.len() + unit) * blocks + block) * sum_len + c * width + column);
                sum([lane(sums, a), lane(sums, b), lane(sums, c), lane(sums, d)], out);
            }
        }
    }
}
