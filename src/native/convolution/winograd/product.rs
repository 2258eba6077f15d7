//! One of a tile's products, for many tiles.

use crate::native::simd::{self, MAX_ROWS, Packing, Tile};

/// `sums[r] += Σ_k a[origin(r) + offset_k] · panel[k]`
pub(super) struct Product<'a, O> {
    pub(super) packing: Packing,
    pub(super) a: &'a [f32],
    pub(super) origin: O,
    pub(super) rows: usize,
    pub(super) offsets: &'a [i32],
    pub(super) panel: &'a [f32],
    pub(super) width: usize,
    /// Whether sums start from zero.
    pub(super) fresh: bool,
}

/// Adds a product to `sums`, whose rows are so far apart, and of which there are whole tiles.
pub(super) fn multiply<O: Fn(usize) -> usize>(job: &Product<'_, O>, (sums, apart): (&mut [f32], usize)) {
    let (height, width) = (simd::rows(), job.width);
    let last = job.rows.next_multiple_of(height).saturating_sub(1);
    let panel_rows = job.packing.panel_rows(job.packing.rows(job.offsets.len()));
    assert!(job.panel.len() >= panel_rows * width && width <= apart && last * apart + width <= sums.len());
    let base = sums.as_mut_ptr();
    for tile in (0..job.rows).step_by(height) {
        let row = |i: usize| job.packing.place(job.a.as_ptr(), (job.origin)((tile + i.min(height - 1)).min(job.rows - 1)));
        let operands = Tile {
            rows: &std::array::from_fn::<_, MAX_ROWS, _>(row)[..height],
            offsets: job.offsets,
            b: job.panel.as_ptr(),
            stride: width,
            sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add((tile + i.min(height - 1)) * apart))[..height],
            used: width,
            fresh: job.fresh,
        };
        // SAFETY: both callers' offsets reach the ends of blocks of `a` that hold `rows` rows, the panel has a row of `width` for each of
        // them, and the last row of the last tile was seen to lie within `sums`.
        unsafe { job.packing.multiply(&operands, width, 0) };
    }
}
