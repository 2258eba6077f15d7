//! The tile in WebAssembly's vectors. Products and sums round apart: what a fused form does, browsers may choose.

use super::Tile;
use super::passes::{Pass, each, passes, unrolled};

/// What the tile is made of.
mod simd128 {
    use std::arch::wasm32::{f32x4_add, f32x4_mul, f32x4_splat, v128, v128_load, v128_load32_splat, v128_store};

    pub const LANES: usize = 4;

    #[inline(always)]
    pub fn zero() -> v128 {
        f32x4_splat(0.0)
    }

    /// # Safety
    /// A vector must be readable there.
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> v128 {
        // SAFETY: the caller's promise.
        unsafe { v128_load(from.cast()) }
    }

    /// # Safety
    /// A number must be readable there.
    #[inline(always)]
    pub unsafe fn splat(from: *const f32) -> v128 {
        // SAFETY: the caller's promise.
        unsafe { v128_load32_splat(from.cast()) }
    }

    /// # Safety
    /// A vector must be writable there.
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, vector: v128) {
        // SAFETY: the caller's promise.
        unsafe { v128_store(to.cast(), vector) }
    }

    #[inline(always)]
    pub fn add_product(a: v128, b: v128, sum: v128) -> v128 {
        f32x4_add(sum, f32x4_mul(a, b))
    }
}

// Browsers on x86 have sixteen registers: more sums than eight are kept in memory.
passes!(tile, simd128, [0, 1, 2, 3] [0, 1]);
