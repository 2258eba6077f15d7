//! Sixteen channels of a tile side by side, and what they are multiplied as.

#![allow(clippy::needless_range_loop)] // indices name lanes here

/// Products of a tile.
pub(super) const PRODUCTS: usize = 9;
/// Channels transformed at a time.
pub(super) const LANES: usize = 16;

pub(super) type Lane = [f32; LANES];

#[inline(always)]
pub(super) fn lane(data: &[f32], at: usize) -> &Lane {
    data[at..at + LANES].first_chunk().expect("as long as the range")
}

/// What taps, or the gradients of a tile, are multiplied as.
#[inline(always)]
pub(super) fn spread(g: [&Lane; 4]) -> [Lane; PRODUCTS] {
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
pub(super) fn sum(products: [&Lane; 4], out: &mut [f32]) {
    let [a, b, c, d] = products;
    let mut sums = [0.0; LANES];
    for j in 0..LANES {
        sums[j] = (a[j] + b[j]) + (c[j] + d[j]);
    }
    out.copy_from_slice(&sums);
}

/// What a 3×3 patch of the source is multiplied as.
#[inline(always)]
pub(super) fn differences(d: [&Lane; 9]) -> [Lane; PRODUCTS] {
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
pub(super) const fn stride(len: usize) -> usize {
    len + LANES
}

/// The products that output `k` of a tile, or tap `k` of a gradient, is the sum of.
pub(super) const fn summed(k: usize) -> [usize; 4] {
    let first = 3 * (k / 2) + k % 2;
    [first, first + 1, first + 3, first + 4]
}
