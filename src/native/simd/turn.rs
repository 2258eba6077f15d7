//! Squares of numbers turned over: rows become columns.

#[cfg(target_arch = "x86_64")]
use super::level::{Level, level};

/// Rows and columns of a square.
const SIDE: usize = 16;

/// Turns over the square whose rows begin `stride` apart.
///
/// # Panics
/// Where `from` ends within the square.
pub fn turn(from: &[f32], stride: usize, to: &mut [[f32; SIDE]; SIDE]) {
    assert!((SIDE - 1) * stride + SIDE <= from.len());
    #[cfg(target_arch = "x86_64")]
    if matches!(level(), Level::Avx512 | Level::Amx) {
        // SAFETY: the level was seen on this machine, and the last row lies within `from`.
        return unsafe { x86::turn(from.as_ptr(), stride, to) };
    }
    for (i, row) in from.chunks(stride).take(SIDE).enumerate() {
        to.iter_mut().zip(row).for_each(|(column, v)| column[i] = *v);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::SIDE;

    /// # Safety
    /// The machine must have AVX-512, and sixteen numbers of each of sixteen rows must be readable.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn turn(from: *const f32, stride: usize, to: &mut [[f32; SIDE]; SIDE]) {
        // SAFETY: the caller's promise.
        let rows: [__m512; SIDE] = std::array::from_fn(|i| unsafe { _mm512_loadu_ps(from.add(i * stride)) });
        // Blocks of 4×4 within each quarter, then the quarters.
        let mut fours = [_mm512_setzero_ps(); SIDE];
        for i in (0..SIDE).step_by(4) {
            let [a, b, c, d] = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
            let low = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)].map(|x| _mm512_castps_pd(x));
            let high = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)].map(|x| _mm512_castps_pd(x));
            fours[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low[0], low[1]));
            fours[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low[0], low[1]));
            fours[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high[0], high[1]));
            fours[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high[0], high[1]));
        }
        for i in 0..4 {
            let [a, b, c, d] = [fours[i], fours[i + 4], fours[i + 8], fours[i + 12]];
            let even = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d)];
            let odd = [_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d)];
            let columns = [
                _mm512_shuffle_f32x4::<0x88>(even[0], even[1]),
                _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]),
                _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]),
                _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]),
            ];
            for (k, column) in columns.into_iter().enumerate() {
                // SAFETY: a column is sixteen numbers long.
                unsafe { _mm512_storeu_ps(to[4 * k + i].as_mut_ptr(), column) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for stride in [16, 17, 40] {
            let from: Vec<f32> = (0..15 * stride + 16).map(|at| at as f32).collect();
            let mut to = [[0.0; SIDE]; SIDE];
            turn(&from, stride, &mut to);
            for (i, column) in to.iter().enumerate() {
                assert!(column.iter().enumerate().all(|(j, v)| *v == (j * stride + i) as f32), "column {i} at {stride}: {column:?}");
            }
        }
    }
}
