//! Products of bf16 numbers with sums in `f32`: two numbers of a sum lie side by side in 32 bits, and one instruction multiplies and adds
//! both (AVX512-BF16's `VDPBF16PS`), or multiplies two rows by two columns of them (Arm's `BFMMLA`) or whole tiles (AMX).

use std::ops::Range;
use std::sync::OnceLock;

use half::bf16;

#[cfg(target_arch = "x86_64")]
use super::amx;
#[cfg(target_arch = "aarch64")]
use super::bfmmla;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{Level, level, pairing::pair, tile::MAX_COLUMNS, tile::columns};
use super::{Tile, multiply, rows};
use crate::error::{Error, Result};

/// Largest number of rows of a tile, whatever its packing.
pub const MOST_ROWS: usize = 32;

/// How a tile's factors lie, all of them at addresses that are given as those of `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As `f32`.
    Single,
    /// The first factor as bf16, one after the other: offsets count them, and the two numbers of a pair are neighbours, so that every
    /// second offset is read. The second factor's rows in pairs, as [`stack`] makes them.
    Adjacent,
    /// Both factors' rows in pairs, as [`stack`] makes them: offsets count pairs.
    Stacked,
}

impl Packing {
    /// Numbers of a sum that one row of the second factor holds.
    pub fn depth(self) -> usize {
        if self == Self::Single { 1 } else { 2 }
    }

    /// The offsets of some numbers of a sum.
    pub fn offsets(self, offsets: &[i32], numbers: Range<usize>) -> &[i32] {
        if self == Self::Stacked { &offsets[numbers.start / 2..numbers.end / 2] } else { &offsets[numbers] }
    }

    /// Rows of the second factor that go with so many offsets.
    pub fn rows(self, offsets: usize) -> usize {
        if self == Self::Adjacent { offsets / 2 } else { offsets }
    }

    /// Whether processors' tiles multiply it.
    fn in_tiles(self) -> bool {
        self != Self::Single && has_tiles()
    }

    /// Rows of a tile, [`MOST_ROWS`] at most.
    pub fn height(self) -> usize {
        if self.in_tiles() { MOST_ROWS } else { rows() }
    }

    /// Rows that a panel takes which holds so many of the second factor.
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(clippy::unused_self))]
    pub fn panel_rows(self, rows: usize) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.in_tiles() {
            return rows.next_multiple_of(amx::SIDE);
        }
        #[cfg(target_arch = "aarch64")]
        if self != Self::Single {
            return rows.next_multiple_of(bfmmla::DEEP);
        }
        rows
    }

    /// Lays a panel, of whose [rows](Self::panel_rows) so many are filled, as tiles read it.
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(unused_variables))]
    pub fn lay(self, panel: &mut [f32], rows: usize, columns: usize) {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Adjacent if has_tiles() => panel[rows * columns..self.panel_rows(rows) * columns].fill(0.0),
            #[cfg(target_arch = "x86_64")]
            Self::Stacked if has_tiles() => amx::turn(panel, rows, columns),
            #[cfg(target_arch = "aarch64")]
            Self::Adjacent | Self::Stacked => bfmmla::zip(panel, rows, columns),
            _ => (),
        }
    }

    /// The address of an element, or pair, of the first factor.
    pub fn place(self, base: *const f32, element: usize) -> *const f32 {
        base.wrapping_byte_add(element * if self == Self::Adjacent { size_of::<bf16>() } else { size_of::<f32>() })
    }

    /// Columns of a tile, of so many of its panels' columns.
    pub fn span(self, columns: usize, all: usize) -> usize {
        if self.in_tiles() { all } else { columns }
    }

    /// Multiplies one tile of up to [`Self::height`] rows by a panel of `columns`, or by panels so far apart from each other: as many as its
    /// [span](Self::span) has.
    ///
    /// # Safety
    /// As of [`multiply`]; `b` must be a panel that was [laid](Self::lay); and where numbers lie in pairs [`prove_pairs`] must have returned
    /// without an error.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    pub unsafe fn multiply(self, tile: &Tile<'_>, columns: usize, apart: usize) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self {
                Self::Single => multiply(tile, columns),
                #[cfg(target_arch = "x86_64")]
                Self::Adjacent if has_tiles() => amx::multiply_adjacent(tile, columns, apart),
                #[cfg(target_arch = "x86_64")]
                Self::Stacked if has_tiles() => amx::multiply_stacked(tile, columns, apart),
                #[cfg(target_arch = "x86_64")]
                Self::Adjacent => super::x86::multiply_adjacent(tile, columns),
                #[cfg(target_arch = "x86_64")]
                Self::Stacked => super::x86::multiply_stacked(tile, columns),
                #[cfg(target_arch = "aarch64")]
                Self::Adjacent => bfmmla::multiply::<2>(tile),
                #[cfg(target_arch = "aarch64")]
                Self::Stacked => bfmmla::multiply::<1>(tile),
                #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
                _ => unreachable!("prove_pairs refuses this processor"),
            }
        }
    }
}

/// Proves once for the process that this machine multiplies bf16 at the level in use, by products of known result.
///
/// # Errors
/// [`Error::Usage`] where it does not, with the reason.
pub fn prove_pairs() -> Result<()> {
    proof().map_err(|why| {
        let needed = "precision mixed needs a GPU with cooperative matrices, or a CPU with AVX512-BF16 or Arm's FEAT_BF16";
        Error::usage(format!("{needed}; {why}: take precision f32"))
    })
}

/// Whether [`prove_pairs`] finds nothing wrong.
pub fn has_pairs() -> bool {
    proof().is_ok()
}

/// Whether pairs are multiplied by tiles of the processor.
pub fn has_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    return level() == Level::Amx;
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn proof() -> std::result::Result<(), &'static str> {
    static PROOF: OnceLock<std::result::Result<(), &'static str>> = OnceLock::new();
    *PROOF.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        let (has, used) = (is_x86_feature_detected!("avx512bf16"), matches!(level(), Level::Avx512 | Level::Amx));
        #[cfg(target_arch = "aarch64")]
        let (has, used) = (std::arch::is_aarch64_feature_detected!("bf16"), level() == Level::Bf16);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return Err("this processor's products are in f32 alone");
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if !has {
            Err("this one has none")
        } else if !used {
            Err("KILN_SIMD keeps this one from it")
        } else if ![Packing::Adjacent, Packing::Stacked].into_iter().all(multiplies) {
            Err("this one failed the proof of its products")
        } else {
            Ok(())
        }
    })
}

/// Whether a product of whole numbers comes out as it must. Small and uneven, so that a turned or shifted tile shows; sums beyond bf16.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn multiplies(packing: Packing) -> bool {
    const DEPTH: usize = 64;
    let (rows, width) = (packing.height(), columns(MAX_COLUMNS));
    let number = |i: usize| (i * 7 % 23) as f32 - 9.0;
    let a = |row: usize, k: usize| number(row * DEPTH + k);
    let b = |k: usize, column: usize| number(5 * k + 3 * column + 1);
    let pairs = |of: &dyn Fn(usize) -> f32| -> Vec<u32> { (0..DEPTH / 2).map(|k| pair(of(2 * k), of(2 * k + 1))).collect() };
    // In either packing a row's pairs lie one after the other; what differs is how they are addressed.
    let first: Vec<u32> = (0..rows).flat_map(|row| pairs(&|k| a(row, k))).collect();
    let mut second: Vec<f32> =
        (0..DEPTH / 2).flat_map(|k| (0..width).map(move |column| f32::from_bits(pair(b(2 * k, column), b(2 * k + 1, column))))).collect();
    packing.lay(&mut second, DEPTH / 2, width);
    let offsets: Vec<i32> = (0..(DEPTH * packing.depth() / 2) as i32).collect();
    let offsets = if packing == Packing::Stacked { &offsets[..DEPTH / 2] } else { &offsets[..] };
    let mut sums = vec![0.0f32; rows * width];
    let base = sums.as_mut_ptr();
    let origins: Vec<_> = (0..rows).map(|row| first.as_ptr().cast::<f32>().wrapping_add(row * DEPTH / 2)).collect();
    let targets: Vec<_> = (0..rows).map(|row| base.wrapping_add(row * width)).collect();
    let tile = Tile { rows: &origins, offsets, b: second.as_ptr(), stride: width, sums: &targets, used: width, fresh: true };
    debug_assert!(rows <= MOST_ROWS);
    // SAFETY: rows hold a pair for each offset, the second factor a row of `width` pairs, and sums are `rows` of `width`; the features were
    // seen above.
    unsafe { packing.multiply(&tile, width, 0) };
    (0..rows * width).all(|at| sums[at] == (0..DEPTH).map(|k| a(at / width, k) * b(k, at % width)).sum::<f32>())
}
