//! Products of bf16 in AMX, whose registers are tiles: one instruction multiplies sixteen rows by sixteen columns, thirty-two numbers deep.
//!
//! A processor's tile takes its first factor as rows of sixteen pairs and its second as sixteen rows of pairs, one a column. Of
//! [`Packing::Adjacent`](super::Packing::Adjacent) both lie so, but that rows are gathered. Of
//! [`Packing::Stacked`](super::Packing::Stacked) pairs of the first factor lie as those of a second one do: factors change places, and with
//! them rows and columns of the sums. What a call adds to an element is summed apart, thirty-two numbers at a time.

mod operands;
mod turned;

use std::arch::asm;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use super::Tile;
use operands::{rows, window};
use turned::turned;

pub use turned::turn;

/// Rows of a processor's tile, and the words of a row.
pub const SIDE: usize = 16;
/// Tiles that are multiplied before their sums leave the registers.
const DEEP: usize = 16;

/// A tile in memory: of pairs, or of sums.
type Block = [[u32; SIDE]; SIDE];

/// Room for tiles, where cache lines begin.
#[repr(C, align(64))]
struct Blocks<const N: usize>([MaybeUninit<Block>; N]);

impl<const N: usize> Blocks<N> {
    fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; N])
    }

    fn row(&mut self, block: usize, row: usize) -> *mut u32 {
        self.0[block].as_mut_ptr().cast::<u32>().wrapping_add(row * SIDE)
    }
}

/// Whether this machine has tiles and lets the process use them; asks for it once.
pub fn permitted() -> bool {
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    *PERMITTED.get_or_init(|| {
        const BF16: u32 = 1 << 22;
        const TILES: u32 = 1 << 24;
        let vectors = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
        let features = if vectors && __cpuid(0).eax >= 7 { __cpuid_count(7, 0).edx } else { 0 };
        features & (BF16 | TILES) == BF16 | TILES && allowed()
    })
}

/// Asks Linux for the tiles' registers, which it gives a process that asks.
#[cfg(target_os = "linux")]
fn allowed() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: changes nothing but what the process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> bool {
    false
}

/// Sets a thread's eight tiles to sixteen rows of sixteen words, once: nothing else in the process has tiles.
fn configure() {
    #[repr(C, align(64))]
    struct Configuration([u8; 64]);
    const ALIKE: Configuration = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut tile = 0;
        while tile < 8 {
            bytes[16 + 2 * tile] = (4 * SIDE) as u8;
            bytes[48 + tile] = SIDE as u8;
            tile += 1;
        }
        Configuration(bytes)
    };
    thread_local!(static CONFIGURED: Cell<bool> = const { Cell::new(false) });
    if !CONFIGURED.replace(true) {
        // SAFETY: `permitted` saw that the processor has tiles, and a valid configuration is read.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &ALIKE, options(nostack, readonly)) };
    }
}

/// Tiles of a factor, one after the other along the sums.
#[derive(Clone, Copy)]
struct Along {
    /// Two beside each other; the second repeats the first where there is one.
    first: [*const u32; 2],
    /// Bytes from a row to the next, and from a tile to the next.
    row: usize,
    next: usize,
}

/// Sums so many products of two tiles and two, or of one where only one counts.
///
/// # Safety
/// All rows of all tiles must be readable, and the thread's tiles be configured.
unsafe fn multiply(a: Along, b: Along, count: usize, [both_a, both_b]: [bool; 2], sums: &mut Blocks<4>) {
    /// The loop of one form: what it loads, what it multiplies.
    macro_rules! form {
        ($($line:literal),*) => {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "2:",
                $($line,)*
                "add {a0}, {a_next}", "add {a1}, {a_next}", "add {b0}, {b_next}", "add {b1}, {b_next}",
                "dec {count}",
                "jnz 2b",
                "mov {count:e}, 64",
                "tilestored [{sums} + {count}], tmm0",
                "tilestored [{sums} + {count} + 1024], tmm1",
                "tilestored [{sums} + {count} + 2048], tmm2",
                "tilestored [{sums} + {count} + 3072], tmm3",
                a0 = inout(reg) a.first[0] => _, a1 = inout(reg) a.first[1] => _, a_row = in(reg) a.row, a_next = in(reg) a.next,
                b0 = inout(reg) b.first[0] => _, b1 = inout(reg) b.first[1] => _, b_row = in(reg) b.row, b_next = in(reg) b.next,
                count = inout(reg) count => _, sums = in(reg) sums,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            )
        };
    }
    debug_assert!(count > 0);
    // SAFETY: the caller's promise; four tiles are written to `sums`.
    unsafe {
        match (both_a, both_b) {
            (false, false) => form!("tileloadd tmm4, [{a0} + {a_row}]", "tileloadd tmm6, [{b0} + {b_row}]", "tdpbf16ps tmm0, tmm4, tmm6"),
            (false, true) => form!(
                "tileloadd tmm4, [{a0} + {a_row}]",
                "tileloadd tmm6, [{b0} + {b_row}]",
                "tileloadd tmm7, [{b1} + {b_row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7"
            ),
            (true, false) => form!(
                "tileloadd tmm4, [{a0} + {a_row}]",
                "tileloadd tmm5, [{a1} + {a_row}]",
                "tileloadd tmm6, [{b0} + {b_row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm2, tmm5, tmm6"
            ),
            (true, true) => form!(
                "tileloadd tmm4, [{a0} + {a_row}]",
                "tileloadd tmm6, [{b0} + {b_row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {b_row}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {a_row}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7"
            ),
        }
    }
}

/// The lanes below so many.
fn below(count: usize) -> __mmask16 {
    ((1u32 << count.min(SIDE)) - 1) as __mmask16
}

/// Multiplies a tile of [`super::Packing::Adjacent`] by panels of so many columns, one as far from the other as is said.
///
/// # Safety
/// As of [`super::multiply`], rows of `b` reaching to a multiple of [`SIDE`], and [`permitted`].
#[target_feature(enable = "avx512f,avx512bw")]
pub unsafe fn multiply_adjacent(tile: &Tile<'_>, columns: usize, apart: usize) {
    // SAFETY: the caller's promise.
    unsafe { begin(tile) };
    let mut fresh = tile.fresh;
    for (at, offsets) in tile.offsets.chunks(2 * SIDE * DEEP).enumerate() {
        let mut gathered = Blocks::<{ 2 * DEEP }>::new();
        let mut sums = Blocks::<4>::new();
        let count = offsets.len().div_ceil(2 * SIDE);
        // SAFETY: the caller's promise: rows have a pair at each second offset, and `b` rows of `columns` for each pair.
        unsafe {
            let a = rows(tile.rows, offsets, &mut gathered);
            for (block, first) in (0..tile.used).step_by(columns).enumerate() {
                let used = columns.min(tile.used - first);
                let from = tile.b.wrapping_add(block * apart + at * SIDE * DEEP * tile.stride).cast::<u32>();
                let b = Along { first: [from, from.wrapping_add(SIDE)], row: 4 * tile.stride, next: 4 * SIDE * tile.stride };
                multiply(a, b, count, [tile.rows.len() > SIDE, used > SIDE], &mut sums);
                for (i, row) in tile.sums[..tile.rows.len()].iter().enumerate() {
                    for j in (0..used).step_by(SIDE) {
                        let sum = _mm512_load_ps(sums.row(i / SIDE * 2 + j / SIDE, i % SIDE).cast());
                        add(sum, row.wrapping_add(first + j), used - j, fresh);
                    }
                }
            }
        }
        fresh = false;
    }
}

/// Readies the thread, and leaves what sums of nothing leave behind where there is nothing to multiply.
///
/// # Safety
/// As of [`super::multiply`].
unsafe fn begin(tile: &Tile<'_>) {
    configure();
    if tile.fresh && tile.offsets.is_empty() {
        // SAFETY: each row's sums are as long; bits of zero are the number.
        tile.sums[..tile.rows.len()].iter().for_each(|row| unsafe { row.write_bytes(0, tile.used) });
    }
}

/// Adds up to sixteen sums to what is there, or puts them there.
///
/// # Safety
/// So many must be readable and writable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn add(sum: __m512, to: *mut f32, used: usize, fresh: bool) {
    let mask = below(used);
    // SAFETY: the caller's promise.
    unsafe {
        let sum = if fresh { sum } else { _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum) };
        _mm512_mask_storeu_ps(to, mask, sum);
    }
}

/// Multiplies a tile of [`super::Packing::Stacked`] by panels that were [turned](turn), one as far from the other as is said.
///
/// # Safety
/// As of [`super::multiply`], and [`permitted`].
#[target_feature(enable = "avx512f,avx512bw")]
pub unsafe fn multiply_stacked(tile: &Tile<'_>, columns: usize, apart: usize) {
    // SAFETY: the caller's promise.
    unsafe { begin(tile) };
    let mut fresh = tile.fresh;
    for (at, offsets) in tile.offsets.chunks(SIDE * DEEP).enumerate() {
        let mut held = Blocks::<{ 2 * DEEP }>::new();
        let mut sums = Blocks::<4>::new();
        let count = offsets.len().div_ceil(SIDE);
        // SAFETY: the caller's promise: rows have a pair at each offset, and panels whole tiles of so many columns.
        unsafe {
            let b = window(tile.rows, offsets, &mut held);
            for (block, first) in (0..tile.used).step_by(columns).enumerate() {
                let used = columns.min(tile.used - first);
                let from = tile.b.wrapping_add(block * apart + at * SIDE * DEEP * columns).cast::<u32>();
                let a = Along { first: [from, from.wrapping_add(SIDE * SIDE)], row: 4 * SIDE, next: 4 * SIDE * columns };
                multiply(a, b, count, [used > SIDE, tile.rows.len() > SIDE], &mut sums);
                for (i, rows) in tile.sums[..tile.rows.len()].chunks(SIDE).enumerate() {
                    for j in (0..used).step_by(SIDE) {
                        let sum = turned(std::array::from_fn(|c| _mm512_load_ps(sums.row(j / SIDE * 2 + i, c).cast())));
                        for (row, sum) in rows.iter().zip(sum) {
                            add(sum, row.wrapping_add(first + j), used - j, fresh);
                        }
                    }
                }
            }
        }
        fresh = false;
    }
}

#[cfg(all(test, unix))]
mod tests;
