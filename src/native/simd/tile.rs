//! The register tile every matrix product runs through, for each vector width.
//!
//! `acc[i][j] += Σ_k a_i[offset_k] · b[k][j]`: rows are gathered through a table of offsets, so convolutions need no copy of their
//! patches. Each element's sum runs over k in order, whatever the tile, so results do not depend on how work is cut. Sums are loaded from
//! and stored to where they belong, with masks where a row has fewer columns than the tile.

use super::Tile;
use super::level::{Level, level};
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Largest number of rows of a tile.
pub const MAX_ROWS: usize = 8;
/// Largest number of columns of a tile.
pub const MAX_COLUMNS: usize = 32;

/// Columns of the tile for products with `n` columns.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub fn columns(n: usize) -> usize {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if n > 16 => 32,
        _ => 16,
    }
}

/// Rows of the tile.
pub fn rows() -> usize {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => 8,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => 6,
        Level::Portable => 4,
    }
}

/// Multiplies one tile of up to [`rows`] × `columns`.
///
/// # Safety
/// Every `rows[i] + offsets[k]` and every `b[k·stride .. + columns]` must be readable, and every `sums[i][.. used]` writable.
pub unsafe fn multiply(tile: &Tile<'_>, columns: usize) {
    assert!(!tile.rows.is_empty() && tile.rows.len() <= tile.sums.len() && tile.used <= columns);
    // SAFETY: passed on to the caller; the level was seen on this machine. Each form has at least as many rows as are asked for.
    unsafe {
        match (level(), tile.rows.len()) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, ..) => x86::multiply_wide(tile, columns),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, 1..=2) => x86::middle::<2, 2>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, ..) => x86::middle::<6, 2>(tile),
            (Level::Portable, ..) => portable::<4, 16>(tile),
        }
    }
}

unsafe fn portable<const R: usize, const C: usize>(tile: &Tile<'_>) {
    assert!(tile.rows.len() <= R && tile.used <= C);
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[0.0f32; C]; R];
        if !tile.fresh {
            for (row, sums) in acc.iter_mut().zip(&tile.sums[..tile.rows.len()]) {
                std::ptr::copy_nonoverlapping(*sums, row.as_mut_ptr(), tile.used);
            }
        }
        let rows: [*const f32; R] = std::array::from_fn(|i| tile.rows[i.min(tile.rows.len() - 1)]);
        for (k, &offset) in tile.offsets.iter().enumerate() {
            let b = &*(tile.b.add(k * tile.stride).cast::<[f32; C]>());
            for (origin, row) in rows.iter().zip(&mut acc) {
                let a = *origin.offset(offset as isize);
                for (sum, b) in row.iter_mut().zip(b) {
                    *sum += a * b;
                }
            }
        }
        for (row, sums) in acc.iter().zip(&tile.sums[..tile.rows.len()]) {
            std::ptr::copy_nonoverlapping(row.as_ptr(), *sums, tile.used);
        }
    }
}
