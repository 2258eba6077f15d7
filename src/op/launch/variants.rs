//! Which variants a product's kernel has, the default one first.

use super::defaults::Defaults;
use crate::op::Gather;
use crate::shader::{Choice, Matrices, Target, Tile, Variant};

/// Tiles of `conv.wgsl` from the largest to the smallest: positions by channels. Each fits 16 KiB of workgroup memory and 256
/// invocations. 8 by 8 in registers was not worth its registers (docs/decisions.md).
const TILES: [Tile; 8] = [
    tile([128, 64], [8, 4]),
    tile([64, 64], [8, 4]),
    tile([64, 64], [4, 4]),
    tile([128, 32], [4, 4]),
    tile([64, 32], [4, 4]),
    tile([32, 32], [4, 4]),
    tile([128, 16], [4, 4]),
    tile([64, 16], [4, 4]),
];

/// Tiles of `conv_weight.wgsl`: rows (tap, channel) by channels.
const WEIGHT_TILES: [Tile; 12] = [
    tile([128, 64], [8, 4]),
    tile([128, 32], [8, 4]),
    tile([128, 16], [8, 4]),
    tile([64, 64], [4, 4]),
    tile([64, 32], [4, 4]),
    tile([64, 16], [4, 4]),
    tile([32, 64], [4, 4]),
    tile([32, 32], [4, 4]),
    tile([32, 16], [4, 4]),
    tile([16, 64], [4, 4]),
    tile([16, 32], [4, 4]),
    tile([16, 16], [4, 4]),
];

/// Depth of every tile.
const DEPTH: usize = 16;
/// Parts that a sum can be cut into.
const PARTS: [usize; 2] = [4, 8];
/// Invocations that join in one sum of a dot, and the depth from which they have enough to do.
const DOT: usize = 64;
const DOT_DEPTH: usize = 256;
/// Four-vectors of sums from which one invocation each fills an adapter.
const FEW_SUMS: usize = 16_384;
/// Elements that all parts may take together.
const MOST_PARTIAL: usize = 8 << 20;

const fn tile([bm, bn]: [usize; 2], [tm, tn]: [usize; 2]) -> Tile {
    Tile { bm, bn, bk: DEPTH, tm, tn }
}

/// Rows and columns of an invocation where there are no tiles.
const REGISTERS: [[usize; 2]; 4] = [[8, 8], [8, 4], [4, 4], [1, 4]];
/// The same of a weight gradient, whose direct kernel reads four rows at once.
const WEIGHT_REGISTERS: [[usize; 2]; 2] = [[4, 8], [4, 4]];
/// Tiles of cooperative matrices from the largest to the smallest: rows, columns, depth, subgroups along rows and columns.
const MATRICES: [[usize; 5]; 6] =
    [[128, 128, 32, 2, 4], [128, 64, 32, 4, 2], [64, 64, 32, 2, 2], [64, 32, 32, 2, 1], [32, 32, 32, 1, 1], [64, 16, 32, 2, 1]];
/// Rows, columns and depth from which a product fills cooperative matrices.
const ENOUGH_SIDE: usize = 16;

/// Times that each element of the source must be read for packing to pay.
const ENOUGH_READS: usize = 64;
/// Positions from which an invocation of a CPU takes eight.
const MANY: usize = 64;

/// A product as its variants see it.
pub(super) struct Problem<'a> {
    /// The operation.
    pub(super) operation: &'static str,
    pub(super) gather: &'a Gather,
    pub(super) images: usize,
    /// Channels of source and destination.
    pub(super) channels: [usize; 2],
    /// Texels of the textures that the texture variant would need.
    pub(super) texels: [usize; 2],
}

impl Problem<'_> {
    /// As tables name it.
    fn key(&self, target: &Target) -> String {
        let precision = if target.matrices.is_some() { "mixed " } else { "" };
        let Gather { source: [sh, sw], dest: [dh, dw], phases, .. } = self.gather;
        let taps: usize = phases.iter().map(|p| p.taps.len()).sum();
        let [c, d] = self.channels;
        format!("{}{} {}x{sh}x{sw}x{c} {dh}x{dw}x{d} {taps} taps {} phases", precision, self.operation, self.images, phases.len())
    }

    /// Whether operands are read often enough to be worth packing (measured on lavapipe with kiln tune), and not mostly padding.
    fn packs_well(&self, target: &Target) -> bool {
        let [c, d] = self.channels;
        let taps = self.gather.phases.iter().map(|p| p.taps.len()).max().unwrap_or(0);
        target.prefers_textures && self.fits_textures(target) && c >= 4 && d >= 8 && taps * d >= ENOUGH_READS
    }

    fn fits_textures(&self, target: &Target) -> bool {
        self.texels.iter().all(|&texels| texels <= target.texels)
    }

    /// The tiles of cooperative matrices that this product of `m` rows, `k` deep, can use: none in f32 or where it would not fill them.
    fn matrices(&self, m: usize, k: usize, target: &Target) -> Vec<[usize; 5]> {
        let fills = [m, k, self.channels[1]].iter().all(|&n| n >= ENOUGH_SIDE);
        let Some(Matrices { side, subgroup }) = target.matrices.filter(|_| fills) else { return Vec::new() };
        let fits = |&&[bm, bn, bk, rows, columns]: &&[usize; 5]| {
            let whole = bm % (rows * side) == 0 && bn % (columns * side) == 0 && bk % side == 0;
            // Rows of the longer layouts of either operand.
            let operands = 2 * ((bm * (bk + 8)).max(bk * (bm + 8)) + (bn * (bk + 8)).max(bk * (bn + 8)));
            let bytes = operands + 4 * rows * columns * side * side;
            whole && fits_workgroup(rows * columns * subgroup, target) && bytes <= target.workgroup_bytes as usize
        };
        MATRICES.iter().filter(fits).copied().collect()
    }

    /// The variant of a convolution of `positions` positions a phase, whose output has `len` elements.
    pub(super) fn conv(&self, positions: usize, len: usize, target: &Target) -> Choice {
        let [c, d] = self.channels;
        let phases = self.gather.phases.len();
        let depth = c * self.gather.phases.iter().map(|p| p.taps.len()).max().unwrap_or(0);
        let registers = || REGISTERS.iter().filter(|r| r[1] == 4 || d > 4);
        let mut all: Vec<Variant> = Vec::new();
        if self.fits_textures(target) {
            all.extend(registers().filter(|r| r[0] > 1).map(|&[tm, tn]| Variant::Texture { tm, tn }));
        }
        all.extend(registers().map(|&[tm, tn]| Variant::Direct { tm, tn }));
        let tiles: Vec<Tile> = TILES.iter().filter(|t| fits_workgroup(t.threads(), target)).copied().collect();
        all.extend(tiles.iter().copied().map(Variant::Tile));
        let defaults = Defaults::of(target.class);
        let tiled = largest_busy(&tiles, |t| [t.bm, t.bn], [positions, d, phases], defaults.busy);
        if dots(d, depth) && fits_workgroup(DOT, target) {
            all.push(Variant::Dot(DOT));
        }
        let parts: Vec<usize> = PARTS.into_iter().filter(|parts| depth > parts * DEPTH && parts * len <= MOST_PARTIAL).collect();
        all.extend(tiled.iter().flat_map(|&tile| parts.iter().map(move |&parts| Variant::Split(tile, parts))));
        let default = self.conv_default(tiled, &parts, [positions, depth], target);
        let matrices = self.matrices(positions, depth, target);
        let default = largest_busy(&matrices, |t| [t[0], t[1]], [positions, d, phases], defaults.busy).map_or(default, |t| matrix(&t));
        all.extend(matrices.iter().map(matrix));
        let long = |variant: &Variant| target.is_cpu() && rounds(variant, [depth, c]) > Target::MOST_ROUNDS;
        all.retain(|variant| !long(variant));
        let default = if long(&default) { all.first().copied().unwrap_or(default) } else { default };
        self.pick(default, all, target)
    }

    /// What computes a convolution in f32 unasked: on a CPU registers alone; else tiles, split where they are few and the sum is long, or
    /// registers where tiles would be mostly padding.
    fn conv_default(&self, tiled: Option<Tile>, parts: &[usize], [positions, depth]: [usize; 2], target: &Target) -> Variant {
        let d = self.channels[1];
        let Some(tile) = tiled.filter(|_| d >= 8 && !target.is_cpu()) else {
            let few = positions * d.div_ceil(4) * self.gather.phases.len() <= FEW_SUMS;
            if few && dots(d, depth) && !target.is_cpu() && fits_workgroup(DOT, target) {
                return Variant::Dot(DOT);
            }
            let (tm, tn) = match (positions >= MANY, d > 4) {
                _ if !target.is_cpu() => (1, 4),
                (true, true) => (8, 8),
                (true, false) => (8, 4),
                (false, _) => (4, 4),
            };
            return if target.is_cpu() && self.packs_well(target) { Variant::Texture { tm, tn } } else { Variant::Direct { tm, tn } };
        };
        let defaults = Defaults::of(target.class);
        let groups = positions.div_ceil(tile.bm) * d.div_ceil(tile.bn) * self.gather.phases.len();
        let fills = |parts: &&usize| groups * **parts >= defaults.busy;
        match parts.iter().find(fills).or(parts.last()) {
            Some(&parts) if depth >= defaults.split_from && groups * 2 <= defaults.busy => Variant::Split(tile, parts),
            _ => Variant::Tile(tile),
        }
    }

    /// The variant of a weight gradient of `m` rows.
    pub(super) fn weight(&self, m: usize, target: &Target) -> Choice {
        let d = self.channels[1];
        let columns = if d > 4 { 8 } else { 4 };
        let mut all: Vec<Variant> = Vec::new();
        if self.fits_textures(target) {
            all.extend([columns, 4].map(|tn| Variant::Texture { tm: 8, tn }));
        }
        all.extend(WEIGHT_REGISTERS.iter().filter(|r| r[1] == 4 || d > 4).map(|&[tm, tn]| Variant::Direct { tm, tn }));
        all.extend(WEIGHT_TILES.iter().filter(|t| fits_workgroup(t.threads(), target)).copied().map(Variant::Tile));
        let default = match target.is_cpu() {
            true if self.packs_well(target) => Variant::Texture { tm: 8, tn: columns },
            true => Variant::Direct { tm: 4, tn: columns },
            false => Variant::Tile(weight_tile(m, d)),
        };
        // The long sum is split among as many workgroups as it takes, so the least padding counts.
        let matrices = self.matrices(m, DEPTH, target);
        let padded = |t: &&[usize; 5]| m.next_multiple_of(t[0]) * d.next_multiple_of(t[1]);
        let default = matrices.iter().min_by_key(padded).map_or(default, matrix);
        all.extend(matrices.iter().map(matrix));
        self.pick(default, all, target)
    }

    fn pick(&self, default: Variant, all: Vec<Variant>, target: &Target) -> Choice {
        let mut candidates = vec![default];
        candidates.extend(all.into_iter().filter(|v| *v != default));
        candidates.dedup();
        target.choices.pick(self.key(target), candidates)
    }
}

/// Rounds of all loops of an invocation of a convolution's kernel whose sums are so long, over so many channels a tap: at most.
fn rounds(variant: &Variant, [depth, c]: [usize; 2]) -> usize {
    let taps = depth / c.max(1);
    match variant {
        Variant::Direct { .. } if c.is_multiple_of(4) => taps * (1 + c / 4),
        Variant::Direct { .. } | Variant::Texture { .. } => taps * (1 + c),
        // Those of a step of a tile's depth, with what it fetches.
        Variant::Tile(tile) => depth.div_ceil(tile.bk) * tile.bk / 2,
        Variant::Split(tile, parts) => depth.div_ceil(tile.bk * parts) * tile.bk / 2,
        Variant::Dot(threads) => depth / threads + threads,
        Variant::Matrix { .. } => depth,
    }
}

/// Whether a product of `d` channels is one of few long sums.
fn dots(d: usize, depth: usize) -> bool {
    d < 8 && depth >= DOT_DEPTH
}

fn fits_workgroup(threads: usize, target: &Target) -> bool {
    threads <= target.max_invocations as usize
}

/// The tile of a weight gradient of `m` rows and `d` channels: its sum is split among as many workgroups as it takes, so the largest
/// that is not mostly padding.
fn weight_tile(m: usize, d: usize) -> Tile {
    let side = |n: usize| match n {
        0..=16 => 16,
        17..=48 => 32,
        _ => 64,
    };
    if m > 64 && d > 48 { tile([128, 64], [8, 4]) } else { tile([side(m), side(d)], [4, 4]) }
}

/// The tile with the least padding among those that make enough workgroups; else the one that makes most. The larger ones come first;
/// `sides` tells their rows and columns.
fn largest_busy<T: Copy>(
    tiles: &[T],
    sides: impl Fn(&T) -> [usize; 2],
    [positions, channels, phases]: [usize; 3],
    busy: usize,
) -> Option<T> {
    let groups = |t: &T| positions.div_ceil(sides(t)[0]) * channels.div_ceil(sides(t)[1]) * phases;
    let padded = |t: &T| channels.next_multiple_of(sides(t)[1]);
    let least = tiles.iter().map(padded).min().unwrap_or(0);
    // A wider tile rereads the source less, which pays for a quarter of padding.
    let fits = |t: &&T| padded(t) * 4 <= least * 5;
    let enough = tiles.iter().filter(fits).find(|t| groups(t) >= busy);
    enough.or_else(|| tiles.iter().filter(fits).max_by_key(|t| groups(t))).copied()
}

fn matrix(&[bm, bn, bk, rows, columns]: &[usize; 5]) -> Variant {
    Variant::Matrix { bm, bn, bk, rows, columns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_too_long_for_a_drivers_loops_are_split() {
        let long = |variant: Variant, depth: usize, c: usize| rounds(&variant, [depth, c]) > Target::MOST_ROUNDS;
        let (direct, tile) = (Variant::Direct { tm: 8, tn: 8 }, TILES[0]);
        assert!(!long(direct, 200_000, 200_000) && long(direct, 66_049, 66_049) && long(direct, 300_000, 300_000));
        assert!(long(Variant::Tile(tile), 200_000, 200_000));
        for depth in [66_049, 200_000, 300_000] {
            assert!(PARTS.iter().any(|parts| !long(Variant::Split(tile, *parts), depth, depth)), "{depth}");
        }
        assert!(!long(direct, 9 * 512, 512) && !long(Variant::Tile(tile), 9 * 512, 512));
    }
}
