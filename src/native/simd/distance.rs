//! Squared distances between eight rows and sixteen, for each vector width.

#[cfg(target_arch = "x86_64")]
use super::level::Level;
use super::level::level;

/// Adds up, column by column, the squared differences of eight rows (`from`, one entry a column) and sixteen (`to`, the same), in `sums`.
pub fn distances(from: &[[f32; 8]], to: &[[f32; 16]], sums: &mut [[f32; 16]; 8]) {
    match level() {
        // SAFETY: the level was seen on this machine, and it means these features.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx => unsafe { x86::wide::<8, 1>(from, 0, to, sums) },
        // SAFETY: as above; four rows are as many as registers hold.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe {
            x86::middle::<4, 2>(from, 0, to, sums);
            x86::middle::<4, 2>(from, 4, to, sums);
        },
        _ => portable(from, to, sums),
    }
}

fn portable(from: &[[f32; 8]], to: &[[f32; 16]], sums: &mut [[f32; 16]; 8]) {
    for (i, sums) in sums.iter_mut().enumerate() {
        let mut acc = [0.0; 16];
        for (from, to) in from.iter().zip(to) {
            for (sum, b) in acc.iter_mut().zip(to) {
                let d = b - from[i];
                *sum += d * d;
            }
        }
        *sums = acc;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(clippy::needless_range_loop)] // indices name registers here

    mod avx512 {
        pub use std::arch::x86_64::{
            __m512 as Vector, _mm512_fmadd_ps as add_product, _mm512_loadu_ps as load, _mm512_set1_ps as splat, _mm512_setzero_ps as zero,
            _mm512_storeu_ps as store, _mm512_sub_ps as difference,
        };
        pub const LANES: usize = 16;
    }

    mod avx2 {
        pub use std::arch::x86_64::{
            __m256 as Vector, _mm256_fmadd_ps as add_product, _mm256_loadu_ps as load, _mm256_set1_ps as splat, _mm256_setzero_ps as zero,
            _mm256_storeu_ps as store, _mm256_sub_ps as difference,
        };
        pub const LANES: usize = 8;
    }

    /// R rows from `first` on, and sixteen in V vectors. A macro and no generic function: features hold for what stands in a function itself.
    macro_rules! distances {
        ($name:ident, $vectors:ident, $features:literal) => {
            /// # Safety
            /// The machine must have the features.
            #[target_feature(enable = $features)]
            pub unsafe fn $name<const R: usize, const V: usize>(
                from: &[[f32; 8]],
                first: usize,
                to: &[[f32; 16]],
                sums: &mut [[f32; 16]; 8],
            ) {
                use $vectors::*;
                assert!(LANES * V == 16 && first + R <= 8);
                let mut acc = [[zero(); V]; R];
                for (from, to) in from.iter().zip(to) {
                    // SAFETY: sixteen elements are V vectors, and R rows from `first` on are among eight.
                    unsafe {
                        let columns: [Vector; V] = std::array::from_fn(|j| load(to.as_ptr().add(LANES * j)));
                        for i in 0..R {
                            let a = splat(*from.get_unchecked(first + i));
                            for j in 0..V {
                                let d = difference(columns[j], a);
                                acc[i][j] = add_product(d, d, acc[i][j]);
                            }
                        }
                    }
                }
                for (sums, acc) in sums[first..first + R].iter_mut().zip(&acc) {
                    for j in 0..V {
                        // SAFETY: as above.
                        unsafe { store(sums.as_mut_ptr().add(LANES * j), acc[j]) };
                    }
                }
            }
        };
    }

    distances!(wide, avx512, "avx512f");
    distances!(middle, avx2, "avx2,fma");
}
