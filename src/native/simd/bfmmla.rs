//! Products of bf16 by Arm's FEAT_BF16, whose `BFMMLA` multiplies two rows by two columns, four numbers deep.
//!
//! It takes two pairs of each row and of each column. Rows of the first factor are read where they lie; of a panel each two rows of pairs
//! are [zipped](zip), so that a column's two pairs lie side by side. A register holds sums of two rows and two columns. Without FEAT_EBF16
//! sums round to odd and numbers below the normal ones count as zero (Arm Architecture Reference Manual, `BFDotAdd`).

use std::arch::aarch64::*;
use std::arch::asm;

use super::passes::{Pass, each, unrolled};
use super::{MAX_COLUMNS, Tile};

/// Rows of a panel that lie as one.
pub const DEEP: usize = 2;
/// Columns of the narrow form.
const NARROW: usize = 8;
const LANES: usize = 4;

/// Lays rows of a panel as [`multiply`] reads them: words of each two rows in turn, zeros beside a last row of an odd number.
pub fn zip(panel: &mut [f32], rows: usize, columns: usize) {
    let whole = rows.next_multiple_of(DEEP) * columns;
    panel[rows * columns..whole].fill(0.0);
    for both in panel[..whole].chunks_exact_mut(DEEP * columns) {
        let mut held = [0.0; DEEP * MAX_COLUMNS];
        let held = &mut held[..both.len()];
        held.copy_from_slice(both);
        let (even, odd) = held.split_at(columns);
        both.as_chunks_mut().0.iter_mut().zip(even.iter().zip(odd)).for_each(|(to, (even, odd))| *to = [*even, *odd]);
    }
}

/// `BFMMLA`: `sum[i][j] += Σ_k a[i][k] · b[j][k]`, two rows of two pairs each.
#[inline]
#[target_feature(enable = "bf16")]
fn add_product(a: uint32x4_t, b: uint32x4_t, mut sum: float32x4_t) -> float32x4_t {
    // SAFETY: the instruction reads and writes these registers alone. Rust 1.95 has no other name for it.
    unsafe {
        asm!(
            "bfmmla {sum:v}.4s, {a:v}.8h, {b:v}.8h",
            sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Of two rows, or two columns' pairs of sums, what stands in the first halves and in the second ones.
#[inline]
#[target_feature(enable = "neon")]
fn halves([a, b]: [float32x4_t; 2]) -> [float32x4_t; 2] {
    let [a, b] = [a, b].map(|sums| vreinterpretq_f64_f32(sums));
    [vzip1q_f64(a, b), vzip2q_f64(a, b)].map(|sums| vreinterpretq_f32_f64(sums))
}

/// Two rows' pairs at one offset or two, of EACH numbers that are counted a pair; zeros for a second one that there is not.
///
/// # Safety
/// The pairs must be readable.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn pairs<const EACH: usize>(rows: [*const f32; 2], offsets: &[i32]) -> uint32x4_t {
    let place = |row: *const f32, offset: i32| row.wrapping_byte_offset(offset as isize * (size_of::<f32>() / EACH) as isize);
    // SAFETY: the caller's promise.
    let one = |row, offset| unsafe { place(row, offset).cast::<u32>().read_unaligned() };
    let first = offsets[0];
    match offsets.get(EACH) {
        Some(second) if *second == first + EACH as i32 => {
            // SAFETY: the caller's promise of two pairs, which lie side by side here.
            let [a, b] = rows.map(|row| unsafe { place(row, first).cast::<u64>().read_unaligned() });
            vreinterpretq_u32_u64(vcombine_u64(vcreate_u64(a), vcreate_u64(b)))
        }
        second => {
            let next = |row| second.map_or(0, |second| one(row, *second));
            let [a, b] = rows;
            let lanes = vsetq_lane_u32::<0>(one(a, first), vdupq_n_u32(0));
            let lanes = vsetq_lane_u32::<1>(next(a), lanes);
            vsetq_lane_u32::<3>(next(b), vsetq_lane_u32::<2>(one(b, first), lanes))
        }
    }
}

/// A tile in passes of some twos of rows and vectors of columns, each named by its number.
macro_rules! form {
    ($name:ident, $twos:tt $vectors:tt) => {
        /// # Safety
        /// As of [`multiply`].
        #[target_feature(enable = "neon,bf16")]
        unsafe fn $name<const EACH: usize>(tile: &Tile<'_>) {
            const R: usize = 2 * $twos.len();
            const V: usize = $vectors.len();
            assert!(tile.used <= LANES * V);
            let pass = |pass: &Pass<'_, R>| {
                let &Pass { rows, sums, stride, .. } = pass;
                // SAFETY: the tile's sums and operands are the caller's promise.
                unsafe {
                    let mut acc = [[[vdupq_n_f32(0.0); 2]; V]; $twos.len()];
                    if !pass.fresh {
                        unrolled!(I in $twos unrolled!(J in $vectors {
                            acc[I][J] = halves([0, 1].map(|row| vld1q_f32(sums[2 * I + row].add(LANES * J))));
                        }));
                    }
                    let mut b = pass.b.cast::<u32>();
                    for offsets in pass.offsets.chunks(DEEP * EACH) {
                        let mut a = [vdupq_n_u32(0); $twos.len()];
                        unrolled!(I in $twos a[I] = pairs::<EACH>([rows[2 * I], rows[2 * I + 1]], offsets));
                        unrolled!(J in $vectors unrolled!(HALF in [0, 1] {
                            let columns = vld1q_u32(b.add(LANES * (2 * J + HALF)));
                            unrolled!(I in $twos acc[I][J][HALF] = add_product(a[I], columns, acc[I][J][HALF]));
                        }));
                        b = b.wrapping_add(DEEP * stride);
                    }
                    unrolled!(I in $twos unrolled!(J in $vectors {
                        let [even, odd] = halves(acc[I][J]);
                        vst1q_f32(sums[2 * I].add(LANES * J), even);
                        vst1q_f32(sums[2 * I + 1].add(LANES * J), odd);
                    }));
                }
            };
            // SAFETY: the caller's promise.
            unsafe { each::<R, { LANES * V }>(tile, pass) }
        }
    };
}

// Of 32 registers 24 hold sums, three the rows' pairs.
form!(whole, [0, 1, 2] [0, 1, 2, 3]);
form!(low, [0] [0, 1, 2, 3]);
form!(narrow, [0, 1, 2] [0, 1]);

/// Multiplies a tile by a panel that was [zipped](zip). Offsets count EACH a pair: two where they count numbers, one where pairs.
///
/// # Safety
/// As of [`super::multiply`], rows of `b` reaching to a multiple of [`DEEP`], and the machine must have FEAT_BF16.
pub unsafe fn multiply<const EACH: usize>(tile: &Tile<'_>) {
    // SAFETY: passed on to the caller.
    unsafe {
        match tile.rows.len() {
            _ if tile.used <= NARROW => narrow::<EACH>(tile),
            1..=2 => low::<EACH>(tile),
            _ => whole::<EACH>(tile),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::check::{Kernel, sums_of_pairs};
    use super::*;

    #[test]
    fn tiles_are_sums_of_pairs_and_stay_within_their_columns() {
        if !std::arch::is_aarch64_feature_detected!("bf16") {
            eprintln!("this machine has no such products");
            return;
        }
        let sizes: Vec<_> = (1..=6).flat_map(|rows| [1, 3, 8, 9, 12, 16].map(|used| (rows, used))).collect();
        let [adjacent, stacked]: [unsafe fn(&Tile<'_>, usize, usize); 2] =
            [|tile, _, _| unsafe { multiply::<2>(tile) }, |tile, _, _| unsafe { multiply::<1>(tile) }];
        sums_of_pairs(&Kernel { stacked: false, deep: DEEP, columns: 16, lay: zip, multiply: adjacent }, &sizes);
        sums_of_pairs(&Kernel { stacked: true, deep: DEEP, columns: 16, lay: zip, multiply: stacked }, &sizes);
    }

    #[test]
    fn zipped_rows_stand_in_turn() {
        for (columns, rows) in [(16, 1usize), (16, 6), (32, 5)] {
            let whole = rows.next_multiple_of(DEEP) * columns;
            let mut panel: Vec<f32> = (0..whole + 3).map(|at| at as f32 + 1.0).collect();
            zip(&mut panel, rows, columns);
            for (at, found) in panel[..whole].iter().enumerate() {
                let (column, row) = (at % (DEEP * columns) / DEEP, at / (DEEP * columns) * DEEP + at % DEEP);
                let wanted = if row < rows { (row * columns + column) as f32 + 1.0 } else { 0.0 };
                assert_eq!(*found, wanted, "{rows} rows of {columns}, at {at}");
            }
            assert_eq!(panel[whole], whole as f32 + 1.0);
        }
    }
}
