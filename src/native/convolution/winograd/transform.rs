//! Images, weights and gradients into what is multiplied, and products into sums.

#![allow(clippy::needless_range_loop)] // indices name lanes here

use super::geometry::PhaseTables;
use super::lanes::{LANES, PRODUCTS, differences, lane, spread, stride, sum, summed};
use super::{Split, Unit};
use crate::native::simd::Job;

/// Transforms patches of one image: `[product][unit][block of channels][row][channel]`.
pub(super) struct Patches<'a> {
    pub(super) split: &'a Split,
    pub(super) phase: usize,
    pub(super) tables: &'a PhaseTables,
    pub(super) window: &'a [f32],
    pub(super) channels: usize,
    /// Elements from a row and a column of a patch to the next.
    pub(super) steps: [usize; 2],
    /// Rows of `out`, and the first of this image.
    pub(super) rows: [usize; 2],
    pub(super) out: &'a mut [f32],
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
pub(super) struct Weights<'a> {
    pub(super) units: &'a [Unit],
    pub(super) tables: &'a PhaseTables,
    pub(super) weights: &'a [f32],
    pub(super) channels: [usize; 2],
    pub(super) transposed: bool,
    pub(super) first: usize,
    pub(super) width: usize,
    pub(super) out: &'a mut [f32],
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
pub(super) struct Sums<'a> {
    pub(super) split: &'a Split,
    pub(super) tables: &'a PhaseTables,
    /// Products of this image: `[product][tile][column]`, products `apart`.
    pub(super) products: &'a [f32],
    pub(super) apart: usize,
    pub(super) first: usize,
    pub(super) width: usize,
    pub(super) out: &'a mut [f32],
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

/// Transforms gradients of one image's tiles: `[product][block of columns][row][column]`.
pub(super) struct Gradients<'a> {
    pub(super) split: &'a Split,
    pub(super) tables: &'a PhaseTables,
    pub(super) upstream: &'a [f32],
    pub(super) channels: usize,
    pub(super) width: usize,
    /// Rows of `out`, and the first of this image.
    pub(super) rows: [usize; 2],
    pub(super) out: &'a mut [f32],
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

/// Adds up the products of one tap's gradient.
pub(super) struct TapSums<'a> {
    pub(super) units: &'a [Unit],
    pub(super) tables: &'a PhaseTables,
    pub(super) weight: usize,
    /// As in [`weight_gradient`].
    pub(super) sums: &'a [f32],
    pub(super) sum_len: usize,
    pub(super) columns: usize,
    pub(super) width: usize,
    pub(super) out: &'a mut [f32],
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
