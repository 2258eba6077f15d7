//! Where tiles of the factor that is not packed are read: from where it lies, or from a copy.

use std::arch::x86_64::*;

use super::{Along, Block, Blocks, DEEP, SIDE, below};

/// Whether sixteen offsets count up one by one.
///
/// # Safety
/// The machine must have AVX-512.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn run(offsets: &[i32; SIDE]) -> bool {
    const IN_TURN: [i32; SIDE] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    // SAFETY: sixteen numbers each.
    let [offsets_here, in_turn] = [offsets, &IN_TURN].map(|numbers| unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) });
    _mm512_cmpeq_epi32_mask(offsets_here, _mm512_add_epi32(in_turn, _mm512_set1_epi32(offsets[0]))) == __mmask16::MAX
}

/// The pairs of each row as they lie, where tiles can be read from there, or gathered.
///
/// # Safety
/// Each row must have a pair at every second offset.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn rows(rows: &[*const f32], offsets: &[i32], held: &mut Blocks<{ 2 * DEEP }>) -> Along {
    let (runs, rest) = offsets.as_chunks::<SIDE>();
    // SAFETY: this function has the features.
    let in_turn = |halves: &[[i32; SIDE]]| halves.iter().all(|half| unsafe { run(half) });
    let second = if rows.len() > SIDE { SIDE } else { 0 };
    let step = rows.get(1).map_or(0, |next| (*next as isize).wrapping_sub(rows[0] as isize));
    let even = |pair: &[*const f32]| pair[1] == pair[0].wrapping_byte_offset(step);
    let all_run = runs.len().is_multiple_of(2) && rest.is_empty() && in_turn(runs);
    let one_run = all_run && runs.windows(2).all(|pair| pair[1][0] == pair[0][0] + SIDE as i32);
    if one_run && rows.len().is_multiple_of(SIDE) && step >= 0 && rows.windows(2).all(even) {
        let first = [0, second].map(|at| rows[at].wrapping_byte_offset(2 * offsets[0] as isize).cast::<u32>());
        return Along { first, row: step as usize, next: 4 * SIDE };
    }
    for (part, rows) in rows.chunks(SIDE).enumerate() {
        for (block, offsets) in offsets.chunks(2 * SIDE).enumerate() {
            let to = held.row(part * DEEP + block, 0);
            // SAFETY: the caller's promise; a tile has room for sixteen rows.
            unsafe {
                match offsets.as_chunks::<SIDE>() {
                    ([low, high], []) if all_run || in_turn(&[*low, *high]) => copy(rows, [low[0], high[0]], to),
                    _ => gather(rows, offsets, to),
                }
            }
        }
    }
    let first = held.0.as_ptr().cast::<u32>();
    Along { first: [first, first.wrapping_add(second * DEEP * SIDE)], row: 4 * SIDE, next: size_of::<Block>() }
}

/// Copies eight pairs of each row from both places on.
///
/// # Safety
/// Rows must have them, sixteen at most, and `to` room for as many rows of sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn copy(rows: &[*const f32], [low, high]: [i32; 2], to: *mut u32) {
    let [first, second] = [low, high].map(|at| 2 * at as isize);
    // SAFETY: the caller's promise.
    unsafe {
        if high == low + SIDE as i32 {
            for (i, row) in rows.iter().enumerate() {
                _mm512_store_si512(to.add(i * SIDE).cast(), _mm512_loadu_si512(row.wrapping_byte_offset(first).cast()));
            }
            return;
        }
        for (i, row) in rows.iter().enumerate() {
            let [low, high] = [first, second].map(|at| _mm256_loadu_si256(row.wrapping_byte_offset(at).cast()));
            let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            _mm512_store_si512(to.add(i * SIDE).cast(), both);
        }
    }
}

/// Gathers the pairs of each row, sixteen at most, zeros behind them.
///
/// # Safety
/// Rows must have a pair at every second offset, and `to` room for as many rows of sixteen words.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn gather(rows: &[*const f32], offsets: &[i32], to: *mut u32) {
    let mut places = [0; SIDE];
    places.iter_mut().zip(offsets.iter().step_by(2)).for_each(|(place, at)| *place = *at);
    // SAFETY: sixteen words; the mask keeps to pairs that there are.
    unsafe {
        let places = _mm512_loadu_si512(places.as_ptr().cast());
        for (i, row) in rows.iter().enumerate() {
            let pairs = _mm512_mask_i32gather_epi32::<2>(_mm512_setzero_si512(), below(offsets.len() / 2), places, row.cast());
            _mm512_store_si512(to.add(i * SIDE).cast(), pairs);
        }
    }
}

/// The pairs of each row as they lie, where tiles can be read from there, or copied.
///
/// # Safety
/// Each row must have a pair at every offset.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn window(rows: &[*const f32], offsets: &[i32], held: &mut Blocks<{ 2 * DEEP }>) -> Along {
    let apart = offsets.get(1).map_or(0, |next| next - offsets[0]);
    let even = offsets.len().is_multiple_of(SIDE) && offsets.windows(2).all(|pair| pair[1] - pair[0] == apart);
    let beside = |rows: &[*const f32]| rows.iter().enumerate().all(|(i, row)| *row == rows[0].wrapping_add(i));
    let whole = rows.len().is_multiple_of(SIDE) && rows.chunks(SIDE).all(beside);
    let second = if rows.len() > SIDE { SIDE } else { 0 };
    if even && whole && apart >= 0 {
        let first = [0, second].map(|at| rows[at].wrapping_offset(offsets[0] as isize).cast::<u32>());
        let apart = 4 * apart as usize;
        return Along { first, row: apart, next: SIDE * apart };
    }
    for (part, rows) in rows.chunks(SIDE).enumerate() {
        let mask = below(rows.len());
        let to = |at: usize, held: &mut Blocks<{ 2 * DEEP }>| held.row(part * DEEP + at / SIDE, at % SIDE);
        let adjacent = beside(rows);
        let mut places = [0i64; SIDE];
        places.iter_mut().zip(rows).for_each(|(place, row)| *place = (*row as i64) - (rows[0] as i64));
        for (at, offset) in offsets.iter().enumerate() {
            let from = rows[0].wrapping_offset(*offset as isize);
            // SAFETY: masks, and the places that are read, keep to rows that there are.
            unsafe {
                let pairs = if adjacent {
                    _mm512_maskz_loadu_epi32(mask, from.cast())
                } else {
                    let mut words = [0u32; SIDE];
                    let read = |place: &i64| from.wrapping_byte_offset(*place as isize).cast::<u32>().read_unaligned();
                    words.iter_mut().zip(&places[..rows.len()]).for_each(|(word, place)| *word = read(place));
                    _mm512_loadu_si512(words.as_ptr().cast())
                };
                _mm512_store_si512(to(at, held).cast(), pairs);
            }
        }
        for at in offsets.len()..offsets.len().next_multiple_of(SIDE) {
            // SAFETY: a row of the tile.
            unsafe { _mm512_store_si512(to(at, held).cast(), _mm512_setzero_si512()) };
        }
    }
    let first = held.0.as_ptr().cast::<u32>();
    let second = if rows.len() > SIDE { DEEP * SIDE * SIDE } else { 0 };
    Along { first: [first, first.wrapping_add(second)], row: 4 * SIDE, next: size_of::<Block>() }
}
