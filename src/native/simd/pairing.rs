//! Numbers rounded to bf16, to the nearest and to even ones between two, and laid in pairs: as AVX512-BF16 does it, or one by one.

#[cfg(target_arch = "x86_64")]
use super::level::{Level, level};

/// Rows of numbers in memory.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The first of them.
    pub from: &'a [f32],
    /// Numbers from one row to the next.
    pub stride: usize,
    /// How many rows there are, and how many numbers of each are meant.
    pub count: usize,
    pub used: usize,
}

/// Rounds numbers.
pub fn round(from: &[f32], to: &mut [u16]) {
    assert!(from.len() <= to.len());
    #[cfg(target_arch = "x86_64")]
    if vectors() {
        // SAFETY: the features were seen on this machine, and `to` is as long as `from`.
        return unsafe { x86::round(from, to) };
    }
    to.iter_mut().zip(from).for_each(|(to, from)| *to = rounded(*from) as u16);
}

/// Lays each two rows in pairs, the even row's number in the lower half of a word: rows of `width` words, zeros behind those that are used
/// and beside a last row of an odd number.
pub fn stack(rows: Rows<'_>, width: usize, to: &mut [u32]) {
    let Rows { from, stride, count, used } = rows;
    assert!(count == 0 || (count - 1) * stride + used <= from.len());
    assert!(used <= width && count.div_ceil(2) * width <= to.len());
    #[cfg(target_arch = "x86_64")]
    if vectors() {
        // SAFETY: the features were seen on this machine, and both ends of what is read and written above.
        return unsafe { x86::stack(rows, width, to) };
    }
    for (i, to) in to.chunks_exact_mut(width).take(count.div_ceil(2)).enumerate() {
        let number = |row: usize, j: usize| if row < count && j < used { from[row * stride + j] } else { 0.0 };
        to.iter_mut().enumerate().for_each(|(j, to)| *to = pair(number(2 * i, j), number(2 * i + 1, j)));
    }
}

/// Pairs each number with the one so far ahead, or with zero beyond the last.
pub fn pair_ahead(from: &[f32], ahead: usize, to: &mut [u32]) {
    assert!(from.len() <= to.len());
    let both = from.len().saturating_sub(ahead);
    let (paired, last) = to.split_at_mut(both);
    last.iter_mut().zip(&from[both..]).for_each(|(to, here)| *to = rounded(*here));
    #[cfg(target_arch = "x86_64")]
    if vectors() {
        // SAFETY: the features were seen on this machine; there are as many numbers here, ahead and in `paired`.
        return unsafe { x86::beside(&from[..both], &from[from.len() - both..], paired) };
    }
    let there = &from[from.len() - both..];
    paired.iter_mut().zip(from.iter().zip(there)).for_each(|(to, (here, there))| *to = pair(*here, *there));
}

/// Whether this machine rounds and pairs vectors at the level in use.
#[cfg(target_arch = "x86_64")]
fn vectors() -> bool {
    matches!(level(), Level::Avx512 | Level::Amx) && is_x86_feature_detected!("avx512bf16")
}

/// Two numbers in a word.
pub fn pair(low: f32, high: f32) -> u32 {
    rounded(low) | rounded(high) << 16
}

/// A number's bf16; what is no number stays none.
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { bits >> 16 | 0x40 } else { nearest }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Rows, pair, rounded};

    const LANES: usize = 16;

    /// # Safety
    /// The machine must have the features, and `to` room for all of `from`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub unsafe fn round(from: &[f32], to: &mut [u16]) {
        let whole = from.len() / (2 * LANES) * (2 * LANES);
        for at in (0..whole).step_by(2 * LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let [low, high] = [0, LANES].map(|j| _mm512_loadu_ps(from.as_ptr().add(at + j)));
                let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                _mm512_storeu_si512(to.as_mut_ptr().add(at).cast(), both);
            }
        }
        to[whole..].iter_mut().zip(&from[whole..]).for_each(|(to, from)| *to = rounded(*from) as u16);
    }

    /// Sixteen pairs of numbers of two vectors.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pairs(low: __m512, high: __m512) -> __m512i {
        const IN_TURN: [i16; 2 * LANES] = {
            let mut order = [0; 2 * LANES];
            let mut at = 0;
            while at < LANES {
                order[2 * at] = at as i16;
                order[2 * at + 1] = (LANES + at) as i16;
                at += 1;
            }
            order
        };
        // SAFETY: 512 bits each, of which any are numbers.
        let [order, both] = unsafe {
            [
                std::mem::transmute::<[i16; 2 * LANES], __m512i>(IN_TURN),
                std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)),
            ]
        };
        _mm512_permutexvar_epi16(order, both)
    }

    /// # Safety
    /// The machine must have the features, and rows lie within `from` and `to`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub unsafe fn stack(Rows { from, stride, count, used }: Rows<'_>, width: usize, to: &mut [u32]) {
        let mask = |len: usize, j: usize| ((1u32 << len.saturating_sub(j).min(LANES)) - 1) as __mmask16;
        for i in 0..count.div_ceil(2) {
            let (even, out) = (from.as_ptr().wrapping_add(2 * i * stride), to.as_mut_ptr().wrapping_add(i * width));
            let (odd, beside) = (even.wrapping_add(stride), 2 * i + 1 < count);
            for j in (0..width).step_by(LANES) {
                let here = mask(used, j);
                let there = if beside { here } else { 0 };
                // SAFETY: masks keep to what is used of rows that there are, and to `width` words.
                unsafe {
                    let low = _mm512_maskz_loadu_ps(here, even.wrapping_add(j));
                    let high = _mm512_maskz_loadu_ps(there, odd.wrapping_add(j));
                    let out = out.wrapping_add(j);
                    if j + LANES <= width {
                        _mm512_storeu_si512(out.cast(), pairs(low, high));
                    } else {
                        _mm512_mask_storeu_epi32(out.cast(), mask(width, j), pairs(low, high));
                    }
                }
            }
        }
    }

    /// # Safety
    /// The machine must have the features, and all three be of one length.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub unsafe fn beside(low: &[f32], high: &[f32], to: &mut [u32]) {
        let whole = to.len() / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let [low, high] = [low, high].map(|from| _mm512_loadu_ps(from.as_ptr().add(at)));
                _mm512_storeu_si512(to.as_mut_ptr().add(at).cast(), pairs(low, high));
            }
        }
        let last = low[whole..].iter().zip(&high[whole..]);
        to[whole..].iter_mut().zip(last).for_each(|(to, (low, high))| *to = pair(*low, *high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all sizes, ties between two bf16 and what is no number among them; none that a machine may take for zero.
    fn numbers(count: usize) -> Vec<f32> {
        let ties =
            [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -1.0 - 1.0 / 256.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.0, -0.0, 3.0e-38];
        let value = |i: usize| f32::from_bits((i as u32).wrapping_mul(2_654_435_761) & 0x7FFF_FFFF | (i as u32 & 1) << 31);
        let plain = move |i: usize| if value(i).is_normal() { value(i) } else { i as f32 };
        (0..count).map(|i| if i % 3 == 0 { ties[i / 3 % ties.len()] } else { plain(i) }).collect()
    }

    #[test]
    fn numbers_round_as_the_bf16_crate_has_it() {
        let from = [numbers(1000), vec![f32::NAN]].concat();
        let mut to = vec![0; from.len()];
        round(&from, &mut to);
        for (from, to) in from.iter().zip(&to) {
            let (wanted, found) = (half::bf16::from_f32(*from), half::bf16::from_bits(*to));
            assert!(wanted == found || wanted.is_nan() && found.is_nan(), "{from}: {found} for {wanted}");
        }
    }

    #[test]
    fn rows_and_numbers_ahead_stand_in_pairs() {
        for (count, stride, used, width) in
            [(8, 32, 32, 32), (7, 40, 21, 32), (5, 16, 5, 16), (3, 50, 50, 50), (1, 3, 2, 16), (0, 4, 4, 16)]
        {
            let from = numbers(count * stride);
            let mut to = vec![7; count.div_ceil(2) * width + 3];
            stack(Rows { from: &from, stride, count, used }, width, &mut to);
            let number = |row: usize, j: usize| if row < count && j < used { from[row * stride + j] } else { 0.0 };
            let wanted = |at: usize| pair(number(at / width * 2, at % width), number(at / width * 2 + 1, at % width));
            assert!((0..to.len() - 3).all(|at| to[at] == wanted(at)), "{count} rows of {used}");
            assert_eq!(to[to.len() - 3..], [7; 3]);
        }
        for (len, ahead) in [(100, 3), (64, 16), (20, 20), (5, 9)] {
            let from = numbers(len);
            let mut to = vec![7; len + 1];
            pair_ahead(&from, ahead, &mut to);
            assert!((0..len).all(|at| to[at] == pair(from[at], from.get(at + ahead).copied().unwrap_or(0.0))), "{len}, {ahead} ahead");
            assert_eq!(to[len], 7);
        }
    }
}
