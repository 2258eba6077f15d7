//! Which variants a product's kernel has, the default one first.

use crate::op::Gather;
use crate::shader::{Choice, Matrices, Target, Variant};

/// Tiles of `conv.wgsl` from the largest to the smallest: positions, channels, depth, positions and channels of one invocation. Each fits
/// 16 KiB of workgroup memory and 256 invocations.
const TILES: [[usize; 5]; 8] = [
    [128, 64, 16, 8, 4],
    [64, 64, 16, 8, 4],
    [64, 64, 16, 4, 4],
    [128, 32, 16, 4, 4],
    [64, 32, 16, 4, 4],
    [32, 32, 16, 4, 4],
    [128, 16, 16, 4, 4],
    [64, 16, 16, 4, 4],
];

/// Rows and columns of an invocation where there are no tiles.
const REGISTERS: [[usize; 2]; 4] = [[8, 8], [8, 4], [4, 4], [1, 4]];
/// The same of a weight gradient, whose direct kernel reads four rows at once.
const WEIGHT_REGISTERS: [[usize; 2]; 2] = [[4, 8], [4, 4]];
/// Sides of the tiles of a weight gradient.
const SIDES: [usize; 3] = [64, 32, 16];
/// Depth of the tiles of a weight gradient.
const WEIGHT_DEPTH: usize = 16;

/// Tiles of cooperative matrices from the largest to the smallest: rows, columns, depth, subgroups along rows and columns.
const MATRICES: [[usize; 5]; 6] =
    [[128, 128, 32, 2, 4], [128, 64, 32, 4, 2], [64, 64, 32, 2, 2], [64, 32, 32, 2, 1], [32, 32, 32, 1, 1], [64, 16, 32, 2, 1]];
/// Rows, columns and depth from which a product fills cooperative matrices.
const ENOUGH_SIDE: usize = 16;

/// Workgroups that keep any adapter busy.
const ENOUGH: usize = 256;
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

    /// The variant of a convolution of `positions` positions a phase.
    pub(super) fn conv(&self, positions: usize, target: &Target) -> Choice {
        let d = self.channels[1];
        let registers = || REGISTERS.iter().filter(|r| r[1] == 4 || d > 4);
        let mut all: Vec<Variant> = Vec::new();
        if self.fits_textures(target) {
            all.extend(registers().filter(|r| r[0] > 1).map(|&[tm, tn]| Variant::Texture { tm, tn }));
        }
        all.extend(registers().map(|&[tm, tn]| Variant::Direct { tm, tn }));
        let tile = |&[bm, bn, bk, tm, tn]: &[usize; 5]| Variant::Tile { bm, bn, bk, tm, tn };
        all.extend(TILES.iter().filter(|t| fits_workgroup(t[0] / t[3] * (t[1] / t[4]), target)).map(tile));
        let (tm, tn) = match (positions >= MANY, d > 4) {
            (true, true) => (8, 8),
            (true, false) => (8, 4),
            (false, _) => (4, 4),
        };
        let default = match (target.is_cpu, d < 8) {
            (true, _) if self.packs_well(target) => Variant::Texture { tm, tn },
            (true, _) => Variant::Direct { tm, tn },
            (false, true) => Variant::Direct { tm: 1, tn: 4 },
            (false, false) => tile(&largest_busy(&TILES, positions, self.gather.phases.len(), d)),
        };
        let taps = self.gather.phases.iter().map(|p| p.taps.len()).max().unwrap_or(0);
        let matrices = self.matrices(positions, taps * self.channels[0], target);
        let default = match matrices.is_empty() {
            true => default,
            false => matrix(&largest_busy(&matrices, positions, self.gather.phases.len(), d)),
        };
        all.extend(matrices.iter().map(matrix));
        self.pick(default, all, target)
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
        let tile = |bm: usize, bn: usize| Variant::Tile { bm, bn, bk: WEIGHT_DEPTH, tm: if bm > 64 { 8 } else { 4 }, tn: 4 };
        let sides = [128, 64, 32, 16];
        let pairs = sides.iter().flat_map(|&bm| SIDES.iter().map(move |&bn| (bm, bn)));
        let threads = |bm: usize, bn: usize| if bm > 64 { bm * bn / 32 } else { bm * bn / 16 };
        all.extend(pairs.filter(|(bm, bn)| fits_workgroup(threads(*bm, *bn), target)).map(|(bm, bn)| tile(bm, bn)));
        let side = |n: usize| match n {
            0..=16 => 16,
            17..=48 => 32,
            _ => 64,
        };
        let default = match target.is_cpu {
            true if self.packs_well(target) => Variant::Texture { tm: 8, tn: columns },
            true => Variant::Direct { tm: 4, tn: columns },
            false if m > 64 && d > 48 => tile(128, 64),
            false => tile(side(m), side(d)),
        };
        // The long sum is split among as many workgroups as it takes, so the least padding counts.
        let matrices = self.matrices(m, WEIGHT_DEPTH, target);
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

fn fits_workgroup(threads: usize, target: &Target) -> bool {
    threads <= target.max_invocations as usize
}

/// The tile with the least padding among those that make enough workgroups; else the one that makes most. Tiles start with their rows and
/// columns, the larger ones first.
fn largest_busy(tiles: &[[usize; 5]], positions: usize, phases: usize, channels: usize) -> [usize; 5] {
    let groups = |t: &[usize; 5]| positions.div_ceil(t[0]) * channels.div_ceil(t[1]) * phases;
    let padded = |t: &[usize; 5]| channels.next_multiple_of(t[1]);
    let least = tiles.iter().map(padded).min().unwrap_or(0);
    // A wider tile rereads the source less, which pays for a quarter of padding.
    let fits = |t: &&[usize; 5]| padded(t) * 4 <= least * 5;
    let busy = tiles.iter().filter(fits).find(|t| groups(t) >= ENOUGH);
    busy.or_else(|| tiles.iter().filter(fits).max_by_key(|t| groups(t))).copied().unwrap_or([32, 32, 16, 4, 4])
}

fn matrix(&[bm, bn, bk, rows, columns]: &[usize; 5]) -> Variant {
    Variant::Matrix { bm, bn, bk, rows, columns }
}
