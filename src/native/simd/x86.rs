//! The tile in AVX2 and AVX-512, and in pairs of bf16, written once for all.

#![allow(clippy::needless_range_loop)] // indices name registers here

use super::Tile;

/// Sums in AVX-512.
mod wide_sums {
    pub use std::arch::x86_64::{
        __m512 as Vector, __mmask16 as Mask, _mm512_loadu_ps as load, _mm512_mask_storeu_ps as store_some, _mm512_setzero_ps as zero,
        _mm512_storeu_ps as store,
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

/// What the tile is made of in AVX-512.
mod avx512 {
    pub use super::wide_sums::*;
    pub use std::arch::x86_64::_mm512_fmadd_ps as add_product;

    use std::arch::x86_64::_mm512_set1_ps;

    pub use load as columns;

    /// Offsets that one step of a sum takes.
    pub const STEP: usize = 1;

    /// # Safety
    /// The element must be readable.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn splat(origin: *const f32, offset: i32) -> Vector {
        // SAFETY: the caller's promise.
        _mm512_set1_ps(unsafe { *origin.offset(offset as isize) })
    }
}

/// The same of pairs of bf16, whose offsets count either numbers or pairs.
macro_rules! pairs {
    ($name:ident, $step:literal, $bytes:literal) => {
        mod $name {
            pub use super::wide_sums::*;

            use std::arch::x86_64::{__m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32};

            pub const STEP: usize = $step;

            /// # Safety
            /// The pair must be readable.
            #[inline]
            #[target_feature(enable = "avx512f")]
            pub unsafe fn splat(origin: *const f32, offset: i32) -> __m512i {
                // SAFETY: the caller's promise.
                _mm512_set1_epi32(unsafe { origin.wrapping_byte_offset(offset as isize * $bytes).cast::<i32>().read_unaligned() })
            }

            /// # Safety
            /// Sixteen pairs must be readable.
            #[inline]
            #[target_feature(enable = "avx512f")]
            pub unsafe fn columns(from: *const f32) -> __m512i {
                // SAFETY: the caller's promise.
                unsafe { _mm512_loadu_si512(from.cast()) }
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bf16")]
            pub fn add_product(a: __m512i, b: __m512i, sum: Vector) -> Vector {
                // SAFETY: both are 512 bits of which any are numbers.
                let [a, b] = [a, b].map(|pairs| unsafe { std::mem::transmute::<__m512i, __m512bh>(pairs) });
                _mm512_dpbf16_ps(sum, a, b)
            }
        }
    };
}

pairs!(adjacent, 2, 2);
pairs!(stacked, 1, 4);

/// What it is made of in AVX2.
mod avx2 {
    pub use std::arch::x86_64::{
        __m256 as Vector, __m256i as Mask, _mm256_fmadd_ps as add_product, _mm256_loadu_ps as load, _mm256_maskload_ps as load_some,
        _mm256_maskstore_ps as store_some, _mm256_setzero_ps as zero, _mm256_storeu_ps as store,
    };

    use std::arch::x86_64::{_mm256_cmpgt_epi32, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32};

    pub use load as columns;

    pub const LANES: usize = 8;
    pub const STEP: usize = 1;

    /// # Safety
    /// The element must be readable.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn splat(origin: *const f32, offset: i32) -> Vector {
        // SAFETY: the caller's promise.
        _mm256_set1_ps(unsafe { *origin.offset(offset as isize) })
    }

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
                for offset in tile.offsets.chunks_exact(STEP) {
                    let columns: [_; V] = std::array::from_fn(|j| columns(b.add(LANES * j)));
                    for i in 0..R {
                        let a = splat(rows[i], offset[0]);
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
tile!(wide_adjacent, adjacent, "avx512f,avx512bf16");
tile!(wide_stacked, stacked, "avx512f,avx512bf16");
tile!(middle, avx2, "avx2,fma");

/// A tile by the form that has as many rows and vectors.
macro_rules! forms {
    ($(#[$doc:meta])* $name:ident, $tile:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As of [`super::multiply`], and the machine must have the features.
        pub unsafe fn $name(tile: &Tile<'_>, columns: usize) {
            // SAFETY: the caller's promise. Each form has at least as many rows as are asked for.
            unsafe {
                match (columns, tile.rows.len()) {
                    (32, 1) => $tile::<1, 2>(tile),
                    (32, 2..=4) => $tile::<4, 2>(tile),
                    (32, _) => $tile::<8, 2>(tile),
                    (_, 1) => $tile::<1, 1>(tile),
                    (_, 2..=4) => $tile::<4, 1>(tile),
                    _ => $tile::<8, 1>(tile),
                }
            }
        }
    };
}

forms!(
    /// Multiplies a tile in AVX-512.
    multiply_wide,
    wide
);
forms!(
    /// Multiplies a tile of [`super::Packing::Adjacent`].
    multiply_adjacent,
    wide_adjacent
);
forms!(
    /// Multiplies a tile of [`super::Packing::Stacked`].
    multiply_stacked,
    wide_stacked
);
