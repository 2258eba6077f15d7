//! Products of pairs held against sums in `f64`, between fences, for whatever multiplies them.

use half::bf16;

use super::Tile;
use super::fence::Fenced;
use super::pairing::pair;

/// What stands where nothing may be written.
const CANARY: f32 = -7777.0;
/// Columns of the first tiles, and those of a panel at most.
const SIDE: usize = 16;

/// What multiplies pairs.
pub struct Kernel {
    /// Whether offsets count pairs; else numbers, of which every second is read.
    pub stacked: bool,
    /// Rows that a panel has a multiple of, and columns of a panel at most.
    pub deep: usize,
    pub columns: usize,
    /// Lays a panel, of which so many rows and columns are filled.
    pub lay: fn(&mut [f32], usize, usize),
    /// Multiplies a tile by panels of so many columns, so far apart.
    pub multiply: unsafe fn(&Tile<'_>, usize, usize),
}

/// A bf16 number of −1..1 that is another one for each place.
fn number(at: usize) -> f32 {
    bf16::from_f32((at.wrapping_mul(2_654_435_761) % 2003) as f32 / 1001.5 - 1.0).to_f32()
}

/// Where pairs of a row lie: from each offset on, in pairs, and how far rows are apart.
struct Layout<'a> {
    offsets: &'a [i32],
    apart: usize,
}

/// Multiplies `count` rows, the last of which end at fences as panels and sums do. Columns are those of two panels where there are more
/// than one has. What a panel has beyond its rows is no number until it is laid.
fn check(kernel: &Kernel, Layout { offsets, apart }: &Layout<'_>, count: usize, used: usize, fresh: bool) {
    let (columns, depth) = (if used > SIDE { kernel.columns } else { SIDE }, offsets.len());
    let last = offsets.iter().max().map_or(0, |last| *last as usize);
    let a = Fenced::new((count - 1) * apart + last + 1, |at| f32::from_bits(pair(number(2 * at), number(2 * at + 1))));
    let panel = depth.next_multiple_of(kernel.deep) * columns;
    let second = |k: usize, j: usize| [number(7 * k + 3 * j + 1), number(5 * k + j + 2)];
    let b = Fenced::new(panel * used.div_ceil(columns), |at| {
        let (k, j) = (at % panel / columns, at / panel * columns + at % columns);
        f32::from_bits(if k < depth { pair(second(k, j)[0], second(k, j)[1]) } else { pair(f32::NAN, f32::NAN) })
    });
    let beyond = used + 3;
    let before = |at: usize| if at % beyond < used { number(at + 5) } else { CANARY };
    let sums = Fenced::new(count * beyond - 3, before);
    let rows: Vec<*const f32> = (0..count).map(|i| a.start().cast_const().wrapping_add(i * apart)).collect();
    let targets: Vec<*mut f32> = (0..count).map(|i| sums.start().wrapping_add(i * beyond)).collect();
    let numbers: Vec<i32> = offsets.iter().flat_map(|at| [2 * at, 2 * at + 1]).collect();
    let offsets_of = if kernel.stacked { offsets } else { &numbers[..] };
    let tile = Tile { rows: &rows, offsets: offsets_of, b: b.start(), stride: columns, sums: &targets, used, fresh };
    // SAFETY: rows have a pair for each offset, panels whole tiles of columns, and each row's sums are `used` long.
    unsafe {
        let panels = std::slice::from_raw_parts_mut(b.start(), panel * used.div_ceil(columns));
        panels.chunks_mut(panel.max(1)).for_each(|panel| (kernel.lay)(panel, depth, columns));
        (kernel.multiply)(&tile, columns, panel);
    }
    for (at, found) in sums.numbers().iter().enumerate() {
        let (i, j) = (at / beyond, at % beyond);
        let what = format!("stacked {}, {count} rows {apart} apart, {used} columns, {depth} deep, at {i}, {j}", kernel.stacked);
        if j >= used {
            assert_eq!(*found, CANARY, "{what}");
            continue;
        }
        let first = |k: usize, half: usize| f64::from(number(2 * (i * apart + offsets[k] as usize) + half));
        let sum = |k: usize| first(k, 0) * f64::from(second(k, j)[0]) + first(k, 1) * f64::from(second(k, j)[1]);
        let meant = (0..depth).map(sum).sum::<f64>() + if fresh { 0.0 } else { f64::from(before(at)) };
        assert!((f64::from(*found) - meant).abs() < 1e-4, "{what}: {found} for {meant}");
    }
}

/// Checks tiles of so many rows and columns; of more than a panel has, where the kernel takes several at once.
pub fn sums_of_pairs(kernel: &Kernel, sizes: &[(usize, usize)]) {
    let straight = |depth: i32| (0..depth).collect::<Vec<i32>>();
    // In one run, in runs of eight and of eleven pairs, and each alone.
    let runs = |depth: i32, run: i32| (0..depth).map(|k| k + k / run * 5).collect::<Vec<i32>>();
    let alone: Vec<i32> = (0..21).map(|k| 3 * k % 64).collect();
    let depths = [straight(0), straight(1), straight(16), straight(300), runs(64, 8), runs(40, 11), alone];
    for offsets in &depths {
        for apart in [1, 16, 40] {
            for &(count, used) in sizes {
                for fresh in [true, false] {
                    check(kernel, &Layout { offsets, apart }, count, used, fresh);
                }
            }
        }
    }
}
