//! Images, weights and gradients into what is multiplied, and products into sums.

#![allow(clippy::needless_range_loop)] // indices name lanes here

use std::marker::PhantomData;
use std::ops::Range;

use super::filter::Filter;
use super::geometry::PhaseTables;
use super::lanes::{Apart, Each, LANES, NOTHING, Places, lane, stride};
use super::{Split, Unit};
use crate::native::simd::{Arithmetic, Job, turn};

/// Transforms patches of one image's tiles: `[unit][block of channels][row][product][channel]`, rows [`stride`] apart.
pub(super) struct Patches<'a, F, const P: usize, const T: usize, const O: usize> {
    pub(super) filter: PhantomData<F>,
    pub(super) split: &'a Split<T>,
    pub(super) phase: usize,
    pub(super) tables: &'a PhaseTables,
    pub(super) window: &'a [f32],
    pub(super) channels: usize,
    /// Elements from a row and a column of a patch to the next.
    pub(super) steps: [usize; 2],
    pub(super) tiles: Range<usize>,
    /// Rows of `out`, and the first of this image.
    pub(super) rows: [usize; 2],
    pub(super) out: &'a mut [f32],
}

impl<F: Filter<P, T, O>, const P: usize, const T: usize, const O: usize> Job for Patches<'_, F, P, T, O> {
    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { split, tables, window, channels, steps, tiles, rows: [rows, first], out, .. } = self;
        let units = &split.phases[self.phase];
        let chunk = stride(P * LANES);
        for (u, Unit(taps)) in units.iter().enumerate() {
            for (row, t) in tiles.clone().enumerate() {
                let corner = (tables.origins[split.corner(t)] + tables.offsets[taps[0] * channels]) as usize;
                for c in (0..channels).step_by(LANES) {
                    let mut patch = [&NOTHING; P];
                    for k in 0..P {
                        patch[k] = lane(window, corner + k / F::PATCH * steps[0] + k % F::PATCH * steps[1] + c);
                    }
                    let at = ((u * channels + c) / LANES * rows + first + row) * chunk;
                    F::patch(patch, &mut Apart { out: &mut *out, first: at, apart: LANES });
                }
            }
        }
    }
}

/// Transforms the weights of one phase and block of columns: `[product][unit, source channel][column]`.
pub(super) struct Weights<'a, F, const P: usize, const T: usize, const O: usize> {
    pub(super) filter: PhantomData<F>,
    pub(super) units: &'a [Unit<T>],
    pub(super) tables: &'a PhaseTables,
    pub(super) weights: &'a [f32],
    pub(super) channels: [usize; 2],
    pub(super) transposed: bool,
    pub(super) first: usize,
    pub(super) width: usize,
    pub(super) out: &'a mut [f32],
}

impl<F: Filter<P, T, O>, const P: usize, const T: usize, const O: usize> Job for Weights<'_, F, P, T, O> {
    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { units, tables, weights, channels: [cs, cd], first, width, out, .. } = self;
        let product = stride(units.len() * cs * width);
        let mut turned = [[NOTHING; LANES]; T];
        for (u, Unit(taps)) in units.iter().enumerate() {
            let bases = taps.map(|t| tables.taps[t] * cs * cd);
            // A square of channels at a time, which is turned where weights lie the other way.
            for c in (0..cs).step_by(LANES) {
                for d in (0..width).step_by(LANES) {
                    if self.transposed {
                        for (turned, base) in turned.iter_mut().zip(bases) {
                            turn(&weights[base + (first + d) * cs + c..], cs, turned);
                        }
                    }
                    for i in 0..LANES {
                        let mut taps = [&NOTHING; T];
                        for k in 0..T {
                            taps[k] = if self.transposed { &turned[k][i] } else { lane(weights, bases[k] + (c + i) * cd + first + d) };
                        }
                        F::taps(taps, &mut Apart { out: &mut *out, first: (u * cs + c + i) * width + d, apart: product });
                    }
                }
            }
        }
    }
}

/// Adds up the products of some tiles of an image in one block of columns.
pub(super) struct Sums<'a, F, const P: usize, const T: usize, const O: usize> {
    pub(super) filter: PhantomData<F>,
    pub(super) split: &'a Split<T>,
    pub(super) tables: &'a PhaseTables,
    /// Products of these tiles: `[tile][product][column]`, tiles [`stride`] apart.
    pub(super) products: &'a [f32],
    pub(super) tiles: Range<usize>,
    pub(super) first: usize,
    pub(super) width: usize,
    pub(super) out: &'a mut [f32],
}

impl<F: Filter<P, T, O>, const P: usize, const T: usize, const O: usize> Job for Sums<'_, F, P, T, O> {
    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { split, tables, products, tiles, first, width, out, .. } = self;
        for (products, t) in products.chunks(stride(P * width)).zip(tiles) {
            let targets = split.positions::<O>(t).map(|p| p.map(|p| tables.targets[p] as usize + first));
            for j in (0..width).step_by(LANES) {
                let mut own = [&NOTHING; P];
                for k in 0..P {
                    own[k] = lane(products, k * width + j);
                }
                F::sums(own, &mut Places { out: &mut *out, places: &targets, at: j });
            }
        }
    }
}

/// Transforms gradients of some tiles of one image: `[product][block of columns][row][column]`.
pub(super) struct Gradients<'a, F, const P: usize, const T: usize, const O: usize> {
    pub(super) filter: PhantomData<F>,
    pub(super) split: &'a Split<T>,
    pub(super) tables: &'a PhaseTables,
    pub(super) upstream: &'a [f32],
    pub(super) channels: usize,
    pub(super) width: usize,
    pub(super) tiles: Range<usize>,
    /// Rows of `out`, and the first of this image.
    pub(super) rows: [usize; 2],
    pub(super) out: &'a mut [f32],
}

impl<F: Filter<P, T, O>, const P: usize, const T: usize, const O: usize> Job for Gradients<'_, F, P, T, O> {
    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { split, tables, upstream, channels, width, tiles, rows: [rows, first], out, .. } = self;
        let product = stride(channels * rows);
        for (row, t) in tiles.enumerate() {
            let positions = split.positions::<O>(t).map(|p| p.map(|p| tables.targets[p] as usize));
            for d in (0..channels).step_by(LANES) {
                let at = (d / width * rows + first + row) * width + d % width;
                let mut tile = [&NOTHING; O];
                for k in 0..O {
                    if let Some(position) = positions[k] {
                        tile[k] = lane(upstream, position + d);
                    }
                }
                F::gradient(tile, &mut Apart { out: &mut *out, first: at, apart: product });
            }
        }
    }
}

/// Adds up the products of the gradients of a unit's taps, at some of the source's channels.
pub(super) struct TapSums<'a, F, const P: usize, const T: usize, const O: usize> {
    pub(super) filter: PhantomData<F>,
    /// As in [`super::weight::weight_gradient`]: of the unit, of each product.
    pub(super) sums: [&'a [f32]; P],
    pub(super) sum_len: usize,
    pub(super) width: usize,
    /// The first channel, and rows of as many columns of each tap from there on.
    pub(super) channel: usize,
    pub(super) out: [&'a mut [f32]; T],
    pub(super) columns: usize,
}

impl<F: Filter<P, T, O>, const P: usize, const T: usize, const O: usize> Job for TapSums<'_, F, P, T, O> {
    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        let Self { sums, sum_len, width, channel, mut out, columns, .. } = self;
        for c in 0..out[0].len() / columns {
            for column in (0..columns).step_by(LANES) {
                let at = column / width * sum_len + (channel + c) * width + column % width;
                let mut own = [&NOTHING; P];
                for k in 0..P {
                    own[k] = lane(sums[k], at);
                }
                F::taps_of(own, &mut Each { out: &mut out, at: c * columns + column });
            }
        }
    }
}
