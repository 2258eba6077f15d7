//! The register tile every matrix product runs through, for each vector width.
//!
//! `acc[i][j] += Σ_k a_i[offset_k] · b[k][j]`: rows are gathered through a table of offsets, so convolutions need no copy of their
//! patches. Each element's sum runs over k in order, whatever the tile, so results do not depend on how work is cut. Sums are loaded from
//! and stored to where they belong, with masks where a row has fewer columns than the tile.

use super::Tile;
#[cfg(target_arch = "aarch64")]
use super::arm;
use super::level::{Level, level};
use super::portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::wasm;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Largest number of rows of a tile of `f32`.
pub const MAX_ROWS: usize = 8;
/// Largest number of columns of a tile.
pub const MAX_COLUMNS: usize = 32;

/// Columns of the tile for products with `n` columns.
pub fn columns(n: usize) -> usize {
    columns_at(level(), n)
}

#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
fn columns_at(level: Level, n: usize) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx if n > 16 => 32,
        _ => 16,
    }
}

/// Rows of the tile.
pub fn rows() -> usize {
    rows_at(level())
}

fn rows_at(level: Level) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx => 8,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => 6,
        #[cfg(target_arch = "aarch64")]
        Level::Neon | Level::Bf16 => 6,
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 => 8,
        Level::Portable => 8,
    }
}

/// Multiplies one tile of up to [`rows`] × `columns`.
///
/// # Safety
/// Every `rows[i] + offsets[k]` and every `b[k·stride .. + columns]` must be readable, and every `sums[i][.. used]` writable.
pub unsafe fn multiply(tile: &Tile<'_>, columns: usize) {
    // SAFETY: passed on to the caller.
    unsafe { multiply_at(level(), tile, columns) }
}

/// # Safety
/// As of [`multiply`]; this machine must have the level.
unsafe fn multiply_at(level: Level, tile: &Tile<'_>, columns: usize) {
    assert!(!tile.rows.is_empty() && tile.rows.len() <= tile.sums.len() && tile.used <= columns);
    // SAFETY: passed on to the caller. Each form has at least as many rows as are asked for.
    unsafe {
        match (level, tile.rows.len()) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512 | Level::Amx, ..) => x86::multiply_wide(tile, columns),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, 1..=2) => x86::middle::<2, 2>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, ..) => x86::middle::<6, 2>(tile),
            #[cfg(target_arch = "aarch64")]
            (Level::Neon | Level::Bf16, ..) if tile.used <= arm::NARROW => arm::narrow(tile),
            #[cfg(target_arch = "aarch64")]
            (Level::Neon | Level::Bf16, 1..=2) => arm::low(tile),
            #[cfg(target_arch = "aarch64")]
            (Level::Neon | Level::Bf16, ..) => arm::whole(tile),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            (Level::Simd128, ..) => wasm::tile(tile),
            (Level::Portable, ..) => portable::tile(tile),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::fence::Fenced;
    use super::super::levels;
    use super::*;

    /// What stands where nothing may be written.
    const CANARY: f32 = -7777.0;

    /// A number of −1..1 that is another one for each place.
    fn number(at: usize) -> f32 {
        (at.wrapping_mul(2_654_435_761) % 2003) as f32 / 1001.5 - 1.0
    }

    /// Multiplies a tile of `count` rows, the last of which and the last row of `b` end at fences.
    fn check(level: Level, columns: usize, count: usize, used: usize, depth: usize, fresh: bool) {
        let (apart, stride) = (used + 3, columns + 5);
        let a = Fenced::new(count + 2 * depth, number);
        let b = Fenced::new((depth * stride).saturating_sub(5), |i| number(i + 17));
        let before = |at: usize| if at % apart < used { number(at + 5) } else { CANARY };
        let sums = Fenced::new(count * apart - 3, before);
        let offsets: Vec<i32> = (0..depth as i32).map(|k| 2 * k).collect();
        let rows: Vec<*const f32> = (0..count).map(|i| a.start().cast_const().wrapping_add(i)).collect();
        let targets: Vec<*mut f32> = (0..count).map(|i| sums.start().wrapping_add(i * apart)).collect();
        let tile = Tile { rows: &rows, offsets: &offsets, b: b.start(), stride, sums: &targets, used, fresh };
        // SAFETY: rows have a number for each offset, `b` has as many rows of columns, and each row's sums are `used` long.
        unsafe { multiply_at(level, &tile, columns) };
        for (at, found) in sums.numbers().iter().enumerate() {
            let (i, j) = (at / apart, at % apart);
            let first = if fresh { 0.0 } else { before(at) };
            let pairs = || (0..depth).map(|k| (a.numbers()[i + 2 * k], b.numbers()[k * stride + j]));
            let place = format!("{level:?}, {count} rows, {used} of {columns} columns, {depth} deep, at {i}, {j}");
            if j >= used {
                assert_eq!(*found, CANARY, "{place}");
                continue;
            }
            let meant = pairs().fold(f64::from(first), |sum, (a, b)| sum + f64::from(a) * f64::from(b));
            assert!((f64::from(*found) - meant).abs() < 1e-5, "{place}: {found} for {meant}");
            // To the bit it is the sum in order, whatever the tile.
            let fused = level != Level::Portable;
            let in_order = pairs().fold(first, |sum, (a, b)| if fused { a.mul_add(b, sum) } else { sum + a * b });
            assert_eq!(found.to_bits(), in_order.to_bits(), "{place}: {found} for {in_order}");
        }
    }

    #[test]
    fn tiles_are_sums_in_order_and_stay_within_their_columns() {
        for level in levels() {
            for columns in [columns_at(level, 1), columns_at(level, MAX_COLUMNS)] {
                assert!(columns <= MAX_COLUMNS && rows_at(level) <= MAX_ROWS);
                for count in 1..=rows_at(level) {
                    for used in 1..=columns {
                        for (depth, fresh) in [(0, true), (0, false), (1, true), (2, false), (19, true), (19, false)] {
                            check(level, columns, count, used, depth, fresh);
                        }
                    }
                }
            }
        }
    }
}
