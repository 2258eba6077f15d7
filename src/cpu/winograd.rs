//! Convolutions that fall apart into 2×2 ones, by minimal filtering (Winograd, 1980; Lavin and Gray, 2016).
//!
//! Two neighbouring sums of two taps, `y₀ = d₀g₀ + d₁g₁` and `y₁ = d₁g₀ + d₂g₁`, take three products instead of four:
//! `a = (d₀ − d₁)g₀`, `b = d₁(g₀ + g₁)`, `c = (d₂ − d₁)g₁`, `y₀ = a + b`, `y₁ = b + c`. In two dimensions a 2×2 tile takes nine instead of
//! sixteen. A 4×4 kernel of stride 2 is four such convolutions, one for each parity of the source, and its adjoint is one for each phase;
//! in the weight gradient tile and taps change places. No factor but ±1 appears, so that rounding stays as small as it was.

use rayon::prelude::*;

use super::convolution::{Convolution, WeightGradient, apply, finish};
use super::geometry::{Geometry, PhaseTables};
use super::scratch;
use super::simd::{self, Job, MAX_COLUMNS, MAX_ROWS, Tile};
use crate::op::{Gather, Phase};

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
/// Bytes of transformed images a weight gradient holds at a time.
const HELD: usize = 8 << 20;

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
        let product = units.len() * channels * rows;
        for (u, Unit(taps)) in units.iter().enumerate() {
            for t in 0..split.tiles() {
                let corner = (tables.origins[split.positions(t)[0]] + tables.offsets[taps[0] * channels]) as usize;
                for c in (0..channels).step_by(LANES) {
                    let patch = std::array::from_fn(|k| lane(window, corner + k / 3 * steps[0] + k % 3 * steps[1] + c));
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
        let product = units.len() * cs * width;
        for (u, Unit(taps)) in units.iter().enumerate() {
            let bases = taps.map(|t| tables.taps[t] * cs * cd);
            // A square of channels at a time, which is turned where weights lie the other way.
            for c in (0..cs).step_by(LANES) {
                for d in (0..width).step_by(LANES) {
                    let mut square = [[[0.0f32; LANES]; LANES]; PRODUCTS];
                    for i in 0..LANES {
                        let at = if self.transposed { (first + d + i) * cs + c } else { (c + i) * cd + first + d };
                        for (k, values) in spread(bases.map(|base| lane(weights, base + at))).into_iter().enumerate() {
                            square[k][i] = values;
                        }
                    }
                    for (k, square) in square.iter().enumerate() {
                        let at = k * product + (u * cs + c) * width + d;
                        for i in 0..LANES {
                            let row = &mut out[at + i * width..][..LANES];
                            if self.transposed {
                                row.iter_mut().zip(square).for_each(|(v, line)| *v = line[i]);
                            } else {
                                row.copy_from_slice(&square[i]);
                            }
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
        for t in 0..split.tiles() {
            for (k, position) in split.positions(t).into_iter().enumerate() {
                let target = &mut out[tables.targets[position] as usize + first..][..width];
                let [a, b, c, d] = summed(k).map(|p| &products[p * apart + t * width..][..width]);
                for j in 0..width {
                    target[j] = (a[j] + b[j]) + (c[j] + d[j]);
                }
            }
        }
    }
}

/// `out[p] = epilogue(Σ_t source[p + t] · W_t)`
pub fn convolve(job: &Convolution<'_, f32>, split: &Split, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    let geometry = Geometry::new(job.gather, job.channels);
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    let group = (ROWS / split.tiles()).max(1);
    let depth = split.phases[0].len() * cs;
    let width = simd::columns(cd);
    let blocks = cd / width;
    let panel = PRODUCTS * depth * width;
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
                    geometry.fill(image, job.gather.source, cs, window);
                }
                apply(job.prologue, job.step, windows);
                scratch::with(PRODUCTS * (depth * rows + padded * width), |held| {
                    let (patches, products) = held.split_at_mut(PRODUCTS * depth * rows);
                    for (phase, tables) in geometry.phases.iter().enumerate() {
                        for (n, window) in windows.chunks(window_len).enumerate() {
                            let rows = [rows, n * split.tiles()];
                            simd::dispatch(Patches { split, phase, tables, window, channels: cs, steps, rows, out: patches });
                        }
                        for block in 0..blocks {
                            let panel = &panels[(phase * blocks + block) * panel..][..panel];
                            products.fill(0.0);
                            for k in 0..PRODUCTS {
                                let patches = &patches[k * depth * rows..][..depth * rows];
                                let panel = &panel[k * depth * width..][..depth * width];
                                let products = &mut products[k * padded * width..][..padded * width];
                                for begin in (0..depth).step_by(DEPTH) {
                                    let offsets = &offsets[begin..depth.min(begin + DEPTH)];
                                    multiply(patches, |r| r * LANES, rows, offsets, &panel[begin * width..], width, products);
                                }
                            }
                            for (n, out) in out.chunks_mut(dest).enumerate() {
                                let products = &products[n * split.tiles() * width..];
                                let first = block * width;
                                simd::dispatch(Sums { split, tables, products, apart: padded * width, first, width, out });
                            }
                        }
                    }
                });
            });
            finish(job, at * group * dest, out);
        });
    });
}

/// `sums[r] += Σ_k a[origin(r) + offset_k] · panel[k]`, `sums` having whole tiles of rows.
fn multiply(a: &[f32], origin: impl Fn(usize) -> usize, rows: usize, offsets: &[i32], panel: &[f32], width: usize, sums: &mut [f32]) {
    let height = simd::rows();
    assert!(panel.len() >= offsets.len() * width && sums.len() >= rows.next_multiple_of(height) * width);
    for (tile, acc) in sums.chunks_exact_mut(height * width).enumerate() {
        let row = |i: usize| a.as_ptr().wrapping_add(origin((tile * height + i.min(height - 1)).min(rows - 1)));
        let operands =
            Tile { rows: std::array::from_fn::<_, MAX_ROWS, _>(row), offsets, b: panel.as_ptr(), stride: width, acc: acc.as_mut_ptr() };
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
        for t in 0..split.tiles() {
            let positions = split.positions(t).map(|p| tables.targets[p] as usize);
            for d in (0..channels).step_by(LANES) {
                let at = (d / width * rows + first + t) * width + d % width;
                for (k, values) in spread(positions.map(|p| lane(upstream, p + d))).iter().enumerate() {
                    out[k * channels * rows + at..][..LANES].copy_from_slice(values);
                }
            }
        }
    }
}

/// `out[t, c, d] = Σ_p source[p + t, c] · upstream[p, d]`
pub fn weight_gradient(job: &WeightGradient<'_, f32>, split: &Split, output: &mut [f32]) {
    let [cs, cd] = job.channels;
    let geometry = Geometry::new(job.gather, job.channels);
    let (tables, units) = (&geometry.phases[0], &split.phases[0]);
    let size = job.gather.source[0] * job.gather.source[1] * cs;
    let dest = job.gather.dest[0] * job.gather.dest[1] * cd;
    let images = job.upstream.len() / dest;
    let group = (SPAN / split.tiles()).clamp(1, images);
    let rows = group * split.tiles();
    let width = simd::columns(cd);
    let steps = [geometry.window[1], 1].map(|s| s * job.gather.step_source * cs);
    let (patch_len, gradient_len) = (PRODUCTS * units.len() * cs * rows, PRODUCTS * cd * rows);
    let part_len = patch_len + gradient_len;
    let parts = (HELD / (part_len * size_of::<f32>())).clamp(1, images.div_ceil(group));
    // Sums of products: `[product][unit][block of columns][channel][column]`, whole tiles of channels.
    let sum_len = cs.next_multiple_of(simd::rows()) * width;
    let blocks = cd / width;
    let offsets: Vec<i32> = (0..rows).map(|t| (t * LANES) as i32).collect();
    scratch::with(PRODUCTS * units.len() * blocks * sum_len, |sums| {
        sums.fill(0.0);
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
                            geometry.fill(&job.source[image * size..][..size], job.gather.source, cs, window);
                            apply(job.prologue, job.step, window);
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
                        let patches = &patches[(product * units.len() + unit) * cs * rows..][..cs * rows];
                        let gradients = &gradients[(product * blocks + block) * width * rows..][..width * rows];
                        let origin = |c: usize| c / LANES * rows * LANES + c % LANES;
                        for first in (0..tiles).step_by(SPAN) {
                            let offsets = &offsets[first..tiles.min(first + SPAN)];
                            multiply(patches, origin, cs, offsets, &gradients[first * width..], width, sums);
                        }
                    }
                });
            }
        });
        let sums = &*sums;
        output.par_chunks_mut(cs * cd).enumerate().for_each(|(weight, out)| {
            let found = units.iter().enumerate().find_map(|(u, Unit(taps))| {
                let k = taps.iter().position(|t| tables.taps[*t] == weight)?;
                Some((u, k))
            });
            let Some((unit, k)) = found else { return out.fill(0.0) };
            for (c, out) in out.chunks_mut(cd).enumerate() {
                for (block, out) in out.chunks_mut(width).enumerate() {
                    let at = |product: usize| ((product * units.len() + unit) * blocks + block) * sum_len + c * width;
                    let [a, b, c, d] = summed(k).map(|p| &sums[at(p)..][..width]);
                    for (j, v) in out.iter_mut().enumerate() {
                        *v = (a[j] + b[j]) + (c[j] + d[j]);
                    }
                }
            }
        });
    });
}
