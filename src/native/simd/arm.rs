//! The tile in NEON.

use super::Tile;
use super::passes::{Pass, each, passes, unrolled};

/// What the tile is made of.
mod neon {
    use std::arch::aarch64::{float32x4_t as Vector, vdupq_n_f32, vfmaq_f32};
    pub use std::arch::aarch64::{vld1q_f32 as load, vst1q_f32 as store};

    pub const LANES: usize = 4;

    #[inline(always)]
    pub fn zero() -> Vector {
        // SAFETY: the target has NEON.
        unsafe { vdupq_n_f32(0.0) }
    }

    /// One number in all lanes: the compiler makes products by an element of it.
    ///
    /// # Safety
    /// A number must be readable there.
    #[inline(always)]
    pub unsafe fn splat(from: *const f32) -> Vector {
        // SAFETY: the caller's promise, and the target has NEON.
        unsafe { vdupq_n_f32(*from) }
    }

    #[inline(always)]
    pub fn add_product(a: Vector, b: Vector, sum: Vector) -> Vector {
        // SAFETY: the target has NEON.
        unsafe { vfmaq_f32(sum, a, b) }
    }
}

/// Columns of the narrow form.
pub const NARROW: usize = 8;

// Of 32 registers 24 hold sums, four a row of columns, one a row's number.
passes!(whole, neon, [0, 1, 2, 3, 4, 5] [0, 1, 2, 3]);
passes!(low, neon, [0, 1] [0, 1, 2, 3]);
passes!(narrow, neon, [0, 1, 2, 3, 4, 5] [0, 1]);
