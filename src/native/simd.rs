//! The register tile every matrix product runs through, for each vector width.
//!
//! `acc[i][j] += Σ_k a_i[offset_k] · b[k][j]`: rows are gathered through a table of offsets, so convolutions need no copy of their
//! patches. Each element's sum runs over k in order, whatever the tile, so results do not depend on how work is cut. Sums are loaded from
//! and stored to where they belong, with masks where a row has fewer columns than the tile.

use std::sync::OnceLock;

use crate::error::{Error, Result};

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

impl Level {
    /// As `KILN_SIMD` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }
}

/// The levels of this machine, the best one last.
pub fn levels() -> Vec<Level> {
    let mut levels = vec![Level::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.push(Level::Avx2);
            let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
            if wide && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                levels.push(Level::Avx512);
            }
        }
    }
    levels
}

/// The level that `KILN_SIMD` names, or the best one of this machine where it names none.
///
/// # Errors
/// [`Error::Usage`] where this machine has no such level.
pub fn choose() -> Result<Level> {
    let levels = levels();
    let Some(name) = std::env::var("KILN_SIMD").ok().filter(|name| !name.is_empty()) else { return Ok(levels[levels.len() - 1]) };
    levels.iter().copied().find(|level| level.name() == name).ok_or_else(|| {
        let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
        Error::usage(format!("KILN_SIMD={name} names no vectors this machine has; it has {}", names.join(", ")))
    })
}

/// The level everything runs at: what [`choose`] says, once for the process.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| choose().unwrap_or(Level::Portable))
}

/// A job compiled once for each level.
pub trait Job {
    /// Does the work; must be `#[inline(always)]`.
    fn run(self);
}

/// Runs a job compiled for the level in use.
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
            // SAFETY: `levels` saw the features on this machine.
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
    /// Address of each row's origin, [`MAX_ROWS`] at most.
    pub rows: &'a [*const f32],
    /// Offset from each row's origin, one for each k.
    pub offsets: &'a [i32],
    /// First of the k rows of columns.
    pub b: *const f32,
    /// Elements from one row of `b` to the next.
    pub stride: usize,
    /// Where each row's sums lie, read and written.
    pub sums: &'a [*mut f32],
    /// Columns of the sums; those of the tile beyond them are left out.
    pub used: usize,
    /// Whether sums start from zero instead of what is there.
    pub fresh: bool,
}

/// Multiplies one tile of up to [`rows`] × `columns`.
///
/// # Safety
/// Every `rows[i] + offsets[k]` and every `b[k·stride .. + columns]` must be readable, and every `sums[i][.. used]` writable.
pub unsafe fn multiply(tile: &Tile<'_>, columns: usize) {
    assert!(!tile.rows.is_empty() && tile.rows.len() <= tile.sums.len() && tile.used <= columns);
    // SAFETY: passed on to the caller; the level was seen on this machine. Each form has at least as many rows as are asked for.
    unsafe {
        match (level(), columns, tile.rows.len()) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, 32, 1) => x86::wide::<1, 2>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, 32, 2..=4) => x86::wide::<4, 2>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, 32, _) => x86::wide::<8, 2>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, _, 1) => x86::wide::<1, 1>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, _, 2..=4) => x86::wide::<4, 1>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, ..) => x86::wide::<8, 1>(tile),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, _, 1..=2) => x86::middle::<2, 2>(tile),
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

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(clippy::needless_range_loop)] // indices name registers here

    use super::Tile;
    use std::arch::x86_64::*;

    /// Rows beyond the tile's repeat its last: they hold the same sums, which are stored again.
    #[inline(always)]
    fn pad<const R: usize, P: Copy>(rows: &[P], count: usize) -> [P; R] {
        assert!(count <= R && count <= rows.len());
        std::array::from_fn(|i| rows[i.min(count - 1)])
    }

    #[target_feature(enable = "avx512f")]
    pub unsafe fn wide<const R: usize, const V: usize>(tile: &Tile<'_>) {
        let rows: [*const f32; R] = pad(tile.rows, tile.rows.len());
        let whole = tile.used == 16 * V;
        let masks: [__mmask16; V] = std::array::from_fn(|j| ((1u32 << tile.used.saturating_sub(16 * j).min(16)) - 1) as __mmask16);
        // SAFETY: the caller's promise; masks keep loads and stores of sums to the columns in use.
        unsafe {
            let mut acc = [[_mm512_setzero_ps(); V]; R];
            if !tile.fresh {
                let sums: [*mut f32; R] = pad(tile.sums, tile.rows.len());
                // Two loops: one with the choice inside would keep the sums in memory.
                if whole {
                    for i in 0..R {
                        for j in 0..V {
                            acc[i][j] = _mm512_loadu_ps(sums[i].add(16 * j));
                        }
                    }
                } else {
                    for i in 0..R {
                        for j in 0..V {
                            acc[i][j] = _mm512_maskz_loadu_ps(masks[j], sums[i].wrapping_add(16 * j));
                        }
                    }
                }
            }
            let mut b = tile.b;
            for &offset in tile.offsets {
                let columns: [__m512; V] = std::array::from_fn(|j| _mm512_loadu_ps(b.add(j * 16)));
                for i in 0..R {
                    let a = _mm512_set1_ps(*rows[i].offset(offset as isize));
                    for j in 0..V {
                        acc[i][j] = _mm512_fmadd_ps(a, columns[j], acc[i][j]);
                    }
                }
                b = b.wrapping_add(tile.stride);
            }
            let sums: [*mut f32; R] = pad(tile.sums, tile.rows.len());
            if whole {
                for i in 0..R {
                    for j in 0..V {
                        _mm512_storeu_ps(sums[i].add(16 * j), acc[i][j]);
                    }
                }
            } else {
                for i in 0..R {
                    for j in 0..V {
                        _mm512_mask_storeu_ps(sums[i].wrapping_add(16 * j), masks[j], acc[i][j]);
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn middle<const R: usize, const V: usize>(tile: &Tile<'_>) {
        let rows: [*const f32; R] = pad(tile.rows, tile.rows.len());
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let used = tile.used as i32;
        let masks: [__m256i; V] = std::array::from_fn(|j| _mm256_cmpgt_epi32(_mm256_set1_epi32(used - 8 * j as i32), lanes));
        let whole = tile.used == 8 * V;
        // SAFETY: the caller's promise; masks keep loads and stores of sums to the columns in use.
        unsafe {
            let mut acc = [[_mm256_setzero_ps(); V]; R];
            if !tile.fresh {
                let sums: [*mut f32; R] = pad(tile.sums, tile.rows.len());
                // Two loops: one with the choice inside would keep the sums in memory.
                if whole {
                    for i in 0..R {
                        for j in 0..V {
                            acc[i][j] = _mm256_loadu_ps(sums[i].add(8 * j));
                        }
                    }
                } else {
                    for i in 0..R {
                        for j in 0..V {
                            acc[i][j] = _mm256_maskload_ps(sums[i].wrapping_add(8 * j), masks[j]);
                        }
                    }
                }
            }
            let mut b = tile.b;
            for &offset in tile.offsets {
                let columns: [__m256; V] = std::array::from_fn(|j| _mm256_loadu_ps(b.add(j * 8)));
                for i in 0..R {
                    let a = _mm256_set1_ps(*rows[i].offset(offset as isize));
                    for j in 0..V {
                        acc[i][j] = _mm256_fmadd_ps(a, columns[j], acc[i][j]);
                    }
                }
                b = b.wrapping_add(tile.stride);
            }
            let sums: [*mut f32; R] = pad(tile.sums, tile.rows.len());
            if whole {
                for i in 0..R {
                    for j in 0..V {
                        _mm256_storeu_ps(sums[i].add(8 * j), acc[i][j]);
                    }
                }
            } else {
                for i in 0..R {
                    for j in 0..V {
                        _mm256_maskstore_ps(sums[i].wrapping_add(8 * j), masks[j], acc[i][j]);
                    }
                }
            }
        }
    }
}
