//! The tile in arrays of four, which compilers make vectors of where there are such.

use super::Tile;
use super::passes::{Pass, each, passes, unrolled};

/// What the tile is made of.
mod arrays {
    pub const LANES: usize = 4;

    pub type Vector = [f32; LANES];

    #[inline(always)]
    pub fn zero() -> Vector {
        [0.0; LANES]
    }

    /// # Safety
    /// A vector must be readable there.
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> Vector {
        // SAFETY: the caller's promise; an array lies as loosely as its numbers.
        unsafe { *from.cast() }
    }

    /// # Safety
    /// A number must be readable there.
    #[inline(always)]
    pub unsafe fn splat(from: *const f32) -> Vector {
        // SAFETY: the caller's promise.
        unsafe { [*from; LANES] }
    }

    /// # Safety
    /// A vector must be writable there.
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, vector: Vector) {
        // SAFETY: the caller's promise.
        unsafe { *to.cast() = vector }
    }

    #[inline(always)]
    pub fn add_product(a: Vector, b: Vector, sum: Vector) -> Vector {
        [sum[0] + a[0] * b[0], sum[1] + a[1] * b[1], sum[2] + a[2] * b[2], sum[3] + a[3] * b[3]]
    }
}

// Eight sums leave room in sixteen registers for operands and products.
passes!(tile, arrays, [0, 1, 2, 3] [0, 1]);
