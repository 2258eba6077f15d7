//! One of the nine products.

use crate::native::simd::{self, MAX_ROWS, Tile};

/// `sums[r] += Σ_k a[origin(r) + offset_k] · panel[k]`
pub(super) struct Product<'a, O> {
    pub(super) a: &'a [f32],
    pub(super) origin: O,
    pub(super) rows: usize,
    pub(super) offsets: &'a [i32],
    pub(super) panel: &'a [f32],
    pub(super) width: usize,
    /// Whether sums start from zero.
    pub(super) fresh: bool,
}

/// Adds a product to `sums`, which has whole tiles of rows.
pub(super) fn multiply<O: Fn(usize) -> usize>(job: &Product<'_, O>, sums: &mut [f32]) {
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
