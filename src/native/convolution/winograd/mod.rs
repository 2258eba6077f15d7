//! Convolutions that fall apart into 2×2 ones, and 3×3 ones, by minimal filtering (Winograd, 1980; Lavin and Gray, 2016).
//!
//! Two neighbouring sums of two taps, `y₀ = d₀g₀ + d₁g₁` and `y₁ = d₁g₀ + d₂g₁`, take three products instead of four:
//! `a = (d₀ − d₁)g₀`, `b = d₁(g₀ + g₁)`, `c = (d₂ − d₁)g₁`, `y₀ = a + b`, `y₁ = b + c`. In two dimensions a 2×2 tile takes nine instead of
//! sixteen. A 4×4 kernel of stride 2 is four such convolutions, one for each parity of the source, and its adjoint is one for each phase;
//! in the weight gradient tile and taps change places. No factor but ±1 appears, so that rounding stays as small as it was. Sums of three
//! taps take four products instead of six, and a tile sixteen instead of thirty-six; factors are ±1 and ½ there.

mod filter;
mod forward;
mod lanes;
mod product;
mod transform;
mod weight;

use super::{Convolution, WeightGradient, geometry};
use crate::native::simd::{self, MAX_COLUMNS};
use crate::tensor::{Gather, Phase, Precision};
use filter::{Three, ThreeWide, Two, TwoWide};
use lanes::LANES;

/// Carries a job out by the filter that its kernel and its tiles have; false where it has none.
macro_rules! filtered {
    ($module:ident::$carry:ident, $job:ident, $output:ident) => {{
        let (gather, channels, precision) = ($job.gather, $job.channels, $job.precision);
        if let Some(split) = Split::<4>::of(gather, channels, precision) {
            match split.tile {
                WIDE => $module::$carry::<TwoWide, 25, 4, 16>($job, &split, $output),
                _ => $module::$carry::<Two, 9, 4, 4>($job, &split, $output),
            }
            return true;
        }
        let Some(split) = Split::<9>::of(gather, channels, precision) else { return false };
        match split.tile {
            WIDE => $module::$carry::<ThreeWide, 36, 9, 16>($job, &split, $output),
            _ => $module::$carry::<Three, 16, 9, 4>($job, &split, $output),
        }
        true
    }};
}

/// Carries out a convolution, or its adjoint, that takes fewer products so; says whether it did.
pub(super) fn convolve(job: &Convolution<'_, f32>, output: &mut [f32]) -> bool {
    filtered!(forward::convolve, job, output)
}

/// The same of a weight gradient, where it has so many channels that it takes less time too.
pub(super) fn weight_gradient(job: &WeightGradient<'_, f32>, output: &mut [f32]) -> bool {
    let [cs, cd] = job.channels;
    let is_square = matches!(&job.gather.phases[..], [phase] if phase.taps.len() == 9);
    if is_square && cs * cd < PAYING {
        return false;
    }
    filtered!(weight::weight_gradient, job, output)
}

/// Rows and columns of the sums of a tile: of small ones, whose factors are ±1 and ½, and of those that take the fewest products.
const NARROW: usize = 2;
const WIDE: usize = 4;

/// Channels of the source times those of the gradient from which the weight gradient of a 3×3 kernel is filtered. Of 32×32 that never took less
/// time on a Zen 5, of 64×64 it did; between them nothing was timed.
const PAYING: usize = 32 * 64;

/// Wide tiles of an image that are worth transforming weights for.
const TILES: usize = 4;

/// The tile that takes the fewest products for an image's positions, if fewer than there are without. Operands that are rounded are kept
/// to small tiles: the factors of larger ones take digits that bf16 has not; and where the processor multiplies whole tiles of them, products
/// are the cheap part.
fn tile(extent: [usize; 2], taps: usize, precision: Precision) -> Option<usize> {
    if precision == Precision::Mixed && simd::has_tiles() {
        return None;
    }
    let products = |tile: usize| extent.iter().map(|e| e.div_ceil(tile) * (tile + taps.isqrt() - 1)).product::<usize>();
    let direct = extent[0] * extent[1] * taps;
    // Of few tiles it takes longer to transform the weights.
    let many = extent.iter().map(|e| e.div_ceil(WIDE)).product::<usize>() >= TILES;
    let wide = many && precision == Precision::F32 && products(WIDE) * 10 <= products(NARROW) * 9;
    let tile = if wide { WIDE } else { NARROW };
    (products(tile) < direct).then_some(tile)
}

/// A convolution as sums of ones of T taps.
pub struct Split<const T: usize> {
    /// Of each phase.
    phases: Vec<Vec<Unit<T>>>,
    /// Rows and columns of an image's phase, of a tile, and of tiles in an image.
    extent: [usize; 2],
    tile: usize,
    tiles: [usize; 2],
}

/// A convolution of T taps, by their place in the phase's list.
struct Unit<const T: usize>([usize; T]);

impl Split<4> {
    /// A gather's 2×2 parts, where it has such parts and the channels fill registers.
    fn of(gather: &Gather, channels: [usize; 2], precision: Precision) -> Option<Self> {
        let extent = gather.phases.first()?.extent;
        if !fills(channels) || gather.phases.iter().any(|p| p.extent != extent) {
            return None;
        }
        let phases: Vec<_> = gather.phases.iter().map(|p| units(p, gather.step_source as i32)).collect::<Option<_>>()?;
        let alike = !phases[0].is_empty() && phases.iter().all(|units| units.len() == phases[0].len());
        if !alike { None } else { Self::new(phases, extent, precision) }
    }
}

impl Split<9> {
    /// A 3×3 kernel around each position, where the channels fill registers. One that looks to a side is left to sums in order: a sampler
    /// that goes from pixel to pixel comes to the same bits.
    fn of(gather: &Gather, channels: [usize; 2], precision: Precision) -> Option<Self> {
        let [phase] = &gather.phases[..] else { return None };
        let around = phase.taps.len() == 9 && phase.taps.iter().all(|(offset, _)| offset.iter().all(|o| o.abs() <= 1));
        let plain = gather.step_source == 1 && gather.step_dest == 1 && gather.source == gather.dest;
        if !around || !plain || !fills(channels) {
            return None;
        }
        Self::new(vec![units(phase, 1)?], phase.extent, precision)
    }
}

/// Whether channels come in whole registers.
fn fills([cs, cd]: [usize; 2]) -> bool {
    cs > 0 && cs.is_multiple_of(LANES) && cd > 0 && cd.is_multiple_of(MAX_COLUMNS)
}

impl<const T: usize> Split<T> {
    fn new(phases: Vec<Vec<Unit<T>>>, extent: [usize; 2], precision: Precision) -> Option<Self> {
        let tile = tile(extent, T, precision)?;
        Some(Self { phases, extent, tile, tiles: extent.map(|e| e.div_ceil(tile)) })
    }

    fn tiles(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The positions of the phase that tile `t` covers, where there are such.
    fn positions<const O: usize>(&self, t: usize) -> [Option<usize>; O] {
        let side = const { O.isqrt() };
        debug_assert_eq!(self.tile, side);
        let [height, width] = self.extent;
        let [row, column] = self.first(t);
        std::array::from_fn(|o| {
            let (y, x) = (row + o / side, column + o % side);
            (y < height && x < width).then_some(y * width + x)
        })
    }

    /// The first of them, which every tile has.
    fn corner(&self, t: usize) -> usize {
        let [row, column] = self.first(t);
        row * self.extent[1] + column
    }

    /// Its row and column.
    fn first(&self, t: usize) -> [usize; 2] {
        [t / self.tiles[1], t % self.tiles[1]].map(|at| self.tile * at)
    }

    /// Elements of an image's window: tiles that reach beyond the last row or column read beyond it.
    fn window(&self, geometry: &geometry::Geometry, step: usize, channels: usize) -> usize {
        let [below, beside] = [0, 1].map(|a| (self.tiles[a] * self.tile - self.extent[a]) * step);
        geometry.len(channels) + (below * geometry.window[1] + beside) * channels
    }
}

fn units<const T: usize>(phase: &Phase, step: i32) -> Option<Vec<Unit<T>>> {
    let side = T.isqrt() as i32;
    let class = |at: usize| phase.taps[at].0.map(|o| o.rem_euclid(step));
    let mut classes: Vec<Vec<usize>> = Vec::new();
    for at in 0..phase.taps.len() {
        match classes.iter_mut().find(|members| class(members[0]) == class(at)) {
            Some(members) => members.push(at),
            None => classes.push(vec![at]),
        }
    }
    let unit = |members: Vec<usize>| {
        let first = [0, 1].map(|a| members.iter().map(|m| phase.taps[*m].0[a]).min().unwrap_or(0));
        let tap = |k: i32| {
            let offset = [first[0] + step * (k / side), first[1] + step * (k % side)];
            members.iter().copied().find(|m| phase.taps[*m].0 == offset)
        };
        let all: Vec<usize> = (0..T as i32).map(tap).collect::<Option<_>>()?;
        (members.len() == T).then_some(Unit(all.try_into().ok()?))
    };
    classes.into_iter().map(unit).collect()
}
