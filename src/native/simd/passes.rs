//! The tile in passes: as many rows and vectors at a time as there are registers, for vectors that the target always has.

use super::Tile;

/// The sums of one pass.
pub struct Pass<'a, const R: usize> {
    /// Address of each row's origin.
    pub rows: [*const f32; R],
    /// Offset from each row's origin, one for each k.
    pub offsets: &'a [i32],
    /// The pass's part of the first of the k rows of columns.
    pub b: *const f32,
    /// Elements from one row of `b` to the next.
    pub stride: usize,
    /// Where each row's sums lie, whole vectors of them.
    pub sums: [*mut f32; R],
    /// Whether sums start from zero instead of what is there.
    pub fresh: bool,
}

/// Takes a tile R rows and C columns at a time. Rows beyond the last repeat it; sums of fewer columns go through an array.
///
/// # Safety
/// As of [`super::multiply`]; `pass` must read and write what its [`Pass`] names and no more.
pub unsafe fn each<const R: usize, const C: usize>(tile: &Tile<'_>, pass: impl Fn(&Pass<'_, R>)) {
    let &Tile { offsets, stride, fresh, .. } = tile;
    for (rows, sums) in tile.rows.chunks(R).zip(tile.sums[..tile.rows.len()].chunks(R)) {
        let row = |i: usize| i.min(rows.len() - 1);
        for first in (0..tile.used).step_by(C) {
            let used = C.min(tile.used - first);
            // SAFETY: the caller's promise; the array has whole vectors of each row.
            unsafe {
                let (rows, b) = (std::array::from_fn(|i| rows[row(i)]), tile.b.add(first));
                if used == C {
                    let sums = std::array::from_fn(|i| sums[row(i)].add(first));
                    pass(&Pass { rows, offsets, b, stride, sums, fresh });
                    continue;
                }
                let mut edge = [[0.0f32; C]; R];
                if !fresh {
                    for (edge, sums) in edge.iter_mut().zip(sums) {
                        std::ptr::copy_nonoverlapping(sums.add(first), edge.as_mut_ptr(), used);
                    }
                }
                let base = edge.as_mut_ptr().cast::<f32>();
                pass(&Pass { rows, offsets, b, stride, sums: std::array::from_fn(|i| base.add(i * C)), fresh });
                for (edge, sums) in edge.iter().zip(sums) {
                    std::ptr::copy_nonoverlapping(edge.as_ptr(), sums.add(first), used);
                }
            }
        }
    }
}

/// Does something with a constant that is each of some numbers: written out, so that registers are named where loops are kept for size.
macro_rules! unrolled {
    ($i:ident in [$($number:literal),*] $work:expr) => {{ $({ const $i: usize = $number; $work })* }};
}

/// A tile in passes of some rows and vectors, each named by its number.
macro_rules! passes {
    ($name:ident, $vectors:ident, $rows:tt $columns:tt) => {
        /// # Safety
        /// As of [`super::multiply`].
        pub unsafe fn $name(tile: &Tile<'_>) {
            use $vectors::{LANES, add_product, load, splat, store, zero};
            const R: usize = $rows.len();
            const V: usize = $columns.len();
            let pass = |pass: &Pass<'_, R>| {
                let &Pass { rows, sums, stride, .. } = pass;
                // SAFETY: the tile's sums and operands are the caller's promise.
                unsafe {
                    let mut acc = [[zero(); V]; R];
                    if !pass.fresh {
                        unrolled!(I in $rows unrolled!(J in $columns acc[I][J] = load(sums[I].add(LANES * J))));
                    }
                    let mut b = pass.b;
                    for &offset in pass.offsets {
                        let mut columns = [zero(); V];
                        unrolled!(J in $columns columns[J] = load(b.add(LANES * J)));
                        unrolled!(I in $rows {
                            let a = splat(rows[I].offset(offset as isize));
                            unrolled!(J in $columns acc[I][J] = add_product(a, columns[J], acc[I][J]));
                        });
                        b = b.wrapping_add(stride);
                    }
                    unrolled!(I in $rows unrolled!(J in $columns store(sums[I].add(LANES * J), acc[I][J])));
                }
            };
            // SAFETY: the caller's promise.
            unsafe { each::<R, { LANES * V }>(tile, pass) }
        }
    };
}

pub(super) use {passes, unrolled};
