//! Vector extensions of this machine, and jobs compiled for each.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::amx;
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
    /// AVX-512, and AMX for products of bf16.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// NEON, which every 64-bit Arm has.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// NEON, and FEAT_BF16 for products of bf16.
    #[cfg(target_arch = "aarch64")]
    Bf16,
    /// WebAssembly's vectors of 128 bits.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
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
            #[cfg(target_arch = "x86_64")]
            Self::Amx => "amx",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            #[cfg(target_arch = "aarch64")]
            Self::Bf16 => "bf16",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => "simd128",
        }
    }
}

/// The levels of this machine, the best one last.
pub fn levels() -> Vec<Level> {
    let mut levels = vec![Level::Portable];
    #[cfg(target_arch = "aarch64")]
    {
        levels.push(Level::Neon);
        if std::arch::is_aarch64_feature_detected!("bf16") {
            levels.push(Level::Bf16);
        }
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    levels.push(Level::Simd128);
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.push(Level::Avx2);
            let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
            if wide && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                levels.push(Level::Avx512);
                if amx::permitted() {
                    levels.push(Level::Amx);
                }
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

/// How a level multiplies and adds.
pub trait Arithmetic: Copy {
    /// `a·b + c`
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32;
}

/// Rounded once, by an instruction.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[derive(Clone, Copy)]
struct Fused;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Arithmetic for Fused {
    #[inline(always)]
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Rounded twice, where there is no such instruction.
#[derive(Clone, Copy)]
struct Apart;

impl Arithmetic for Apart {
    #[inline(always)]
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// A job compiled once for each level.
pub trait Job {
    /// Does the work by the level's arithmetic; must be `#[inline(always)]`.
    fn run(self, by: impl Arithmetic);
}

/// Runs a job compiled for the level in use; where every machine of the target has the level, it is compiled so anyway.
#[inline]
pub fn dispatch(job: impl Job) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
        fn wide(job: impl Job) {
            job.run(Fused);
        }
        #[target_feature(enable = "avx2,fma")]
        fn middle(job: impl Job) {
            job.run(Fused);
        }
        match level() {
            // SAFETY: `levels` saw the features on this machine.
            Level::Avx512 | Level::Amx => return unsafe { wide(job) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { middle(job) },
            Level::Portable => {}
        }
    }
    #[cfg(target_arch = "aarch64")]
    if matches!(level(), Level::Neon | Level::Bf16) {
        return job.run(Fused);
    }
    job.run(Apart);
}
