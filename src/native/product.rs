//! Products of matrices, pair by pair: through the register tile in `f32`, as defined in `f64`.

use crate::parallel::prelude::*;

use super::simd::{self, MAX_ROWS, Tile};
use super::{Real, scratch};

/// The extents of `[batch, m, k] · [batch, k, n]`, and which factors' matrices lie the other way.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub turned: [bool; 2],
}

impl Sizes {
    /// Elements from one to the next along a sum, and from one row of the first factor to the next.
    fn first(self) -> [usize; 2] {
        if self.turned[0] { [self.m, 1] } else { [1, self.k] }
    }

    /// The same of columns of the second.
    fn second(self) -> [usize; 2] {
        if self.turned[1] { [1, self.k] } else { [self.n, 1] }
    }

    /// Calls `work` with the matrices of each pair.
    fn each<T: Real>(self, a: &[T], b: &[T], out: &mut [T], work: impl Fn(&[T], &[T], &mut [T]) + Sync) {
        let Self { m, k, n, .. } = self;
        if out.is_empty() || k == 0 {
            return out.fill(T::default());
        }
        out.par_chunks_mut(m * n).zip(a.par_chunks(m * k).zip(b.par_chunks(k * n))).for_each(|(out, (a, b))| work(a, b, out));
    }
}

/// Number types that products are computed in.
pub trait Multiply: Real {
    /// Puts the products of `a` and `b` in `out`.
    fn multiply(sizes: Sizes, a: &[Self], b: &[Self], out: &mut [Self]);
}

impl Multiply for f64 {
    fn multiply(sizes: Sizes, a: &[Self], b: &[Self], out: &mut [Self]) {
        let ([along, row], [down, column]) = (sizes.first(), sizes.second());
        sizes.each(a, b, out, |a, b, out| {
            for (at, sum) in out.iter_mut().enumerate() {
                let (i, j) = (at / sizes.n, at % sizes.n);
                *sum = (0..sizes.k).map(|k| a[i * row + k * along] * b[j * column + k * down]).sum();
            }
        });
    }
}

impl Multiply for f32 {
    fn multiply(sizes: Sizes, a: &[Self], b: &[Self], out: &mut [Self]) {
        let offsets: Vec<i32> = (0..sizes.k).map(|k| (k * sizes.first()[0]) as i32).collect();
        sizes.each(a, b, out, |a, b, out| {
            let width = simd::columns(sizes.n);
            scratch::with(sizes.k * width, |panel| {
                for first in (0..sizes.n).step_by(width) {
                    pack(sizes, b, first, width, panel);
                    multiply_panel(sizes, (a, &offsets), panel, [first, width], out);
                }
            });
        });
    }
}

/// Columns of the second factor from `first` on, zeros beyond the last.
fn pack(sizes: Sizes, b: &[f32], first: usize, width: usize, panel: &mut [f32]) {
    let ([down, column], used) = (sizes.second(), width.min(sizes.n - first));
    for (k, row) in panel.chunks_exact_mut(width).enumerate() {
        for (j, v) in row.iter_mut().enumerate() {
            *v = if j < used { b[(first + j) * column + k * down] } else { 0.0 };
        }
    }
}

/// Some columns of the product of one pair.
fn multiply_panel(sizes: Sizes, (a, offsets): (&[f32], &[i32]), panel: &[f32], [first, width]: [usize; 2], out: &mut [f32]) {
    let Sizes { m, k, n, .. } = sizes;
    let (row, height) = (sizes.first()[1], simd::rows());
    assert!(a.len() == m * k && out.len() == m * n && panel.len() == k * width && offsets.len() == k);
    let base = out.as_mut_ptr();
    for tile in (0..m).step_by(height) {
        let count = height.min(m - tile);
        let at = |i: usize| tile + i.min(count - 1);
        let operands = Tile {
            rows: &std::array::from_fn::<_, MAX_ROWS, _>(|i| a.as_ptr().wrapping_add(at(i) * row))[..count],
            offsets,
            b: panel.as_ptr(),
            stride: width,
            sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add(at(i) * n + first))[..count],
            used: width.min(n - first),
            fresh: true,
        };
        // SAFETY: a row's place and an offset are the place of an element of `a`, the panel has a row of `width` for each offset, and rows
        // of the output have `used` columns from `first` on.
        unsafe { simd::multiply(&operands, width) };
    }
}
