//! The tile in AVX2 and AVX-512, written once for both.

#![allow(clippy::needless_range_loop)] // indices name registers here

use super::Tile;

/// What the tile is made of in AVX-512.
mod avx512 {
    pub use std::arch::x86_64::{
        __m512 as Vector, __mmask16 as Mask, _mm512_fmadd_ps as add_product, _mm512_loadu_ps as load, _mm512_mask_storeu_ps as store_some,
        _mm512_set1_ps as splat, _mm512_setzero_ps as zero, _mm512_storeu_ps as store,
    };

    pub const LANES: usize = 16;

    /// The lanes of vector `j` that `used` columns fill.
    #[inline]
    pub fn mask(used: usize, j: usize) -> Mask {
        ((1u32 << used.saturating_sub(LANES * j).min(LANES)) - 1) as Mask
    }

    /// # Safety
    /// The masked elements must be readable.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn load_some(from: *const f32, mask: Mask) -> Vector {
        // SAFETY: the caller's promise.
        unsafe { std::arch::x86_64::_mm512_maskz_loadu_ps(mask, from) }
    }
}

/// What it is made of in AVX2.
mod avx2 {
    pub use std::arch::x86_64::{
        __m256 as Vector, __m256i as Mask, _mm256_fmadd_ps as add_product, _mm256_loadu_ps as load, _mm256_maskload_ps as load_some,
        _mm256_maskstore_ps as store_some, _mm256_set1_ps as splat, _mm256_setzero_ps as zero, _mm256_storeu_ps as store,
    };

    use std::arch::x86_64::{_mm256_cmpgt_epi32, _mm256_set1_epi32, _mm256_setr_epi32};

    pub const LANES: usize = 8;

    /// The lanes of vector `j` that `used` columns fill.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn mask(used: usize, j: usize) -> Mask {
        let left = used as i32 - (LANES * j) as i32;
        _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }
}

/// Rows beyond the tile's repeat its last: they hold the same sums, which are stored again.
#[inline(always)]
fn pad<const R: usize, P: Copy>(rows: &[P], count: usize) -> [P; R] {
    assert!(count <= R && count <= rows.len());
    std::array::from_fn(|i| rows[i.min(count - 1)])
}

/// A tile of R rows and V vectors of columns. A macro and no generic function: features hold for what stands in a function itself.
macro_rules! tile {
    ($name:ident, $vectors:ident, $features:literal) => {
        /// # Safety
        /// As of [`super::multiply`], and the machine must have the features.
        #[target_feature(enable = $features)]
        pub unsafe fn $name<const R: usize, const V: usize>(tile: &Tile<'_>) {
            use $vectors::*;
            assert!(tile.used <= LANES * V);
            let rows: [*const f32; R] = pad(tile.rows, tile.rows.len());
            let whole = tile.used == LANES * V;
            let masks: [Mask; V] = std::array::from_fn(|j| mask(tile.used, j));
            // SAFETY: the caller's promise; masks keep loads and stores of sums to the columns in use.
            unsafe {
                let mut acc = [[zero(); V]; R];
                if !tile.fresh {
                    let sums: [*mut f32; R] = pad(tile.sums, tile.rows.len());
                    // Two loops: one with the choice inside would keep the sums in memory.
                    if whole {
                        for i in 0..R {
                            for j in 0..V {
                                acc[i][j] = load(sums[i].add(LANES * j));
                            }
                        }
                    } else {
                        for i in 0..R {
                            for j in 0..V {
                                acc[i][j] = load_some(sums[i].wrapping_add(LANES * j), masks[j]);
                            }
                        }
                    }
                }
                let mut b = tile.b;
                for &offset in tile.offsets {
                    let columns: [Vector; V] = std::array::from_fn(|j| load(b.add(LANES * j)));
                    for i in 0..R {
                        let a = splat(*rows[i].offset(offset as isize));
                        for j in 0..V {
                            acc[i][j] = add_product(a, columns[j], acc[i][j]);
                        }
                    }
                    b = b.wrapping_add(tile.stride);
                }
                // Anew: addresses kept so long would push others out of the registers.
                let sums: [*mut f32; R] = pad(tile.sums, tile.rows.len());
                if whole {
                    for i in 0..R {
                        for j in 0..V {
                            store(sums[i].add(LANES * j), acc[i][j]);
                        }
                    }
                } else {
                    for i in 0..R {
                        for j in 0..V {
                            store_some(sums[i].wrapping_add(LANES * j), masks[j], acc[i][j]);
                        }
                    }
                }
            }
        }
    };
}

tile!(wide, avx512, "avx512f");
tile!(middle, avx2, "avx2,fma");
