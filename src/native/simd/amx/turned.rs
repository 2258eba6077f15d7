//! Tiles turned: rows as columns.

use std::arch::x86_64::*;

use super::SIDE;

/// Lays rows of a panel as [`super::multiply_stacked`] reads them: of each sixteen rows and columns a tile, turned, zeros below the last row.
pub fn turn(panel: &mut [f32], rows: usize, columns: usize) {
    assert!(rows.next_multiple_of(SIDE) * columns <= panel.len() && columns.is_multiple_of(SIDE) && columns <= 2 * SIDE);
    for (at, part) in panel.chunks_mut(SIDE * columns).take(rows.div_ceil(SIDE)).enumerate() {
        part[(rows - at * SIDE).min(SIDE) * columns..].fill(0.0);
        // SAFETY: `part` is sixteen rows of so many columns, and whoever has panels of pairs has the features.
        unsafe { turn_part(part.as_mut_ptr(), columns) }
    }
}

/// # Safety
/// Sixteen rows of columns must be readable and writable, in AVX-512.
#[target_feature(enable = "avx512f")]
unsafe fn turn_part(part: *mut f32, columns: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let row = |j: usize| -> [__m512; SIDE] { std::array::from_fn(|i| _mm512_loadu_ps(part.add(i * columns + j))) };
        let put = |block: usize, rows: [__m512; SIDE]| {
            rows.into_iter().enumerate().for_each(|(i, row)| _mm512_storeu_ps(part.add((block * SIDE + i) * SIDE), row));
        };
        if columns == SIDE {
            return put(0, turned(row(0)));
        }
        let [low, high] = [turned(row(0)), turned(row(SIDE))];
        put(0, low);
        put(1, high);
    }
}

/// Rows as columns.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn turned(rows: [__m512; SIDE]) -> [__m512; SIDE] {
    let by_two = |at: usize| {
        let [a, b] = [rows[at], rows[at + 1]];
        [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)].map(|rows| _mm512_castps_pd(rows))
    };
    // Of rows 4i to 4i + 3 what stands in columns c, c + 4, c + 8 and c + 12.
    let by_four = |at: usize| {
        let ([low, high], [next_low, next_high]) = (by_two(at), by_two(at + 2));
        [
            _mm512_unpacklo_pd(low, next_low),
            _mm512_unpackhi_pd(low, next_low),
            _mm512_unpacklo_pd(high, next_high),
            _mm512_unpackhi_pd(high, next_high),
        ]
        .map(|rows| _mm512_castpd_ps(rows))
    };
    let quarters = [by_four(0), by_four(4), by_four(8), by_four(12)];
    let mut columns = [_mm512_setzero_ps(); SIDE];
    for c in 0..4 {
        let [a, b, c_, d] = quarters.map(|quarter| quarter[c]);
        let [ab_even, ab_odd] = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b)];
        let [cd_even, cd_odd] = [_mm512_shuffle_f32x4::<0x88>(c_, d), _mm512_shuffle_f32x4::<0xDD>(c_, d)];
        columns[c] = _mm512_shuffle_f32x4::<0x88>(ab_even, cd_even);
        columns[c + 8] = _mm512_shuffle_f32x4::<0xDD>(ab_even, cd_even);
        columns[c + 4] = _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd);
        columns[c + 12] = _mm512_shuffle_f32x4::<0xDD>(ab_odd, cd_odd);
    }
    columns
}
