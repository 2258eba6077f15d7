//! Vectors: which this machine has, jobs compiled for each, and the register tile of every product.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "aarch64")]
mod bfmmla;
#[cfg(all(test, unix, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod check;
mod distance;
#[cfg(all(test, unix))]
mod fence;
mod level;
mod pairing;
mod pairs;
mod passes;
mod portable;
mod tile;
mod turn;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use distance::distances;
pub use level::{Arithmetic, Job, Level, choose, dispatch, level, levels};
pub use pairing::{Rows, pair_ahead, round, stack};
pub use pairs::{MOST_ROWS, Packing, has_pairs, has_tiles, prove_pairs};
pub use tile::{MAX_COLUMNS, MAX_ROWS, columns, multiply, rows};
pub use turn::turn;

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
