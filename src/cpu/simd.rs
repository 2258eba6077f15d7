//! The register tile every matrix product runs through, for each vector width.
//!
//! `acc[i][j] += Σ_k a_i[offset_k] · b[k][j]`: rows are gathered through a table of offsets, so convolutions need no copy of their
//! patches. Each element's sum runs over k in order, whatever the tile, so results do not depend on how work is cut.

use std::sync::OnceLock;

/// Vector extensions that tiles are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Whatever the target always has.
    Portable,
    /// AVX2 with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The best level of this machine.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                return Level::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Level::Avx2;
            }
        }
        Level::Portable
    })
}

/// A job compiled once for each level.
pub trait Job {
    /// Does the work; must be `#[inline(always)]`.
    fn run(self);
}

/// Runs a job compiled for the best level of this machine.
#[inline]
pub fn dispatch(job: impl Job) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
        fn wide(job: impl Job) {
            job.run();
        }
        #[target_feature(enable = "avx2,fma")]
        fn middle(job: impl Job) {
            job.run();
        }
        match level() {
            // SAFETY: `level` saw the feature on this machine (AVX-512 machines with DQ have BW and VL).
            Level::Avx512 => return unsafe { wide(job) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { middle(job) },
            Level::Portable => {}
        }
    }
    job.run();
}

/// Largest number of rows of a tile.
pub const MAX_ROWS: usize = 8;
/// Largest number of columns of a tile.
pub const MAX_COLUMNS: usize = 32;

/// Columns of the tile for products with `n` columns.
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

/// One tile's operands.
pub struct Tile<'a> {
    /// Address of each row's origin; rows beyond `count` repeat an earlier one.
    pub rows: [*const f32; MAX_ROWS],
    /// Offset from each row's origin, one for each k.
    pub offsets: &'a [i32],
    /// First of the k rows of columns.
    pub b: *const f32,
    /// Elements from one row of `b` to the next.
    pub stride: usize,
    /// Sums, `columns` apart, read and written.
    pub acc: *mut f32,
    /// Whether sums start from zero instead of what `acc` holds.
    pub fresh: bool,
}

/// Multiplies one tile of [`rows`] × `columns`.
///
/// # Safety
/// Every `rows[i] + offsets[k]` and every `b[k·stride .. + columns]` must be readable, and `acc` must hold `rows() · columns` elements.
pub unsafe fn multiply(tile: &Tile<'_>, columns: usize) {
    // SAFETY: passed on to the caller; the level was seen on this machine.
    unsafe {
        match (level(), columns) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, 32) => x86::wide::<8, 2>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, _) => x86::wide::<8, 1>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, _) => x86::middle::<6, 2>(tile),
            _ => portable::<4, 16>(tile),
        }
    }
}

unsafe fn portable<const R: usize, const C: usize>(tile: &Tile<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[0.0f32; C]; R];
        if !tile.fresh {
            for (i, row) in acc.iter_mut().enumerate() {
                std::ptr::copy_nonoverlapping(tile.acc.add(i * C), row.as_mut_ptr(), C);
            }
        }
        for (k, &offset) in tile.offsets.iter().enumerate() {
            let b = &*(tile.b.add(k * tile.stride).cast::<[f32; C]>());
            for (i, row) in acc.iter_mut().enumerate() {
                let a = *tile.rows[i].offset(offset as isize);
                for (sum, b) in row.iter_mut().zip(b) {
                    *sum += a * b;
                }
            }
        }
        for (i, row) in acc.iter().enumerate() {
            std::ptr::copy_nonoverlapping(row.as_ptr(), tile.acc.add(i * C), C);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(clippy::needless_range_loop)] // indices name registers here

    use super::Tile;
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub unsafe fn wide<const R: usize, const V: usize>(tile: &Tile<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = [[_mm512_setzero_ps(); V]; R];
            if !tile.fresh {
                for i in 0..R {
                    for j in 0..V {
                        acc[i][j] = _mm512_loadu_ps(tile.acc.add((i * V + j) * 16));
                    }
                }
            }
            let rows: [*const f32; R] = std::array::from_fn(|i| tile.rows[i]);
            let mut b = tile.b;
            for &offset in tile.offsets {
                let columns: [__m512; V] = std::array::from_fn(|j| _mm512_loadu_ps(b.add(j * 16)));
                for i in 0..R {
                    let a = _mm512_set1_ps(*rows[i].offset(offset as isize));
                    for j in 0..V {
                        acc[i][j] = _mm512_fmadd_ps(a, columns[j], acc[i][j]);
                    }
                }
                b = b.add(tile.stride);
            }
            for i in 0..R {
                for j in 0..V {
                    _mm512_storeu_ps(tile.acc.add((i * V + j) * 16), acc[i][j]);
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn middle<const R: usize, const V: usize>(tile: &Tile<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = [[_mm256_setzero_ps(); V]; R];
            if !tile.fresh {
                for i in 0..R {
                    for j in 0..V {
                        acc[i][j] = _mm256_loadu_ps(tile.acc.add((i * V + j) * 8));
                    }
                }
            }
            let rows: [*const f32; R] = std::array::from_fn(|i| tile.rows[i]);
            let mut b = tile.b;
            for &offset in tile.offsets {
                let columns: [__m256; V] = std::array::from_fn(|j| _mm256_loadu_ps(b.add(j * 8)));
                for i in 0..R {
                    let a = _mm256_set1_ps(*rows[i].offset(offset as isize));
                    for j in 0..V {
                        acc[i][j] = _mm256_fmadd_ps(a, columns[j], acc[i][j]);
                    }
                }
                b = b.add(tile.stride);
            }
            for i in 0..R {
                for j in 0..V {
                    _mm256_storeu_ps(tile.acc.add((i * V + j) * 8), acc[i][j]);
                }
            }
        }
    }
}
