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

pub(super) use filter::{Three, Two};
pub(super) use forward::convolve;
pub(super) use weight::weight_gradient;

use super::geometry;
use crate::native::simd::MAX_COLUMNS;
use crate::tensor::{Gather, Phase};
use lanes::LANES;

/// A convolution as sums of ones of T taps.
pub struct Split<const T: usize> {
    /// Of each phase.
    phases: Vec<Vec<Unit<T>>>,
    /// Rows and columns of an image's phase, and of its tiles.
    extent: [usize; 2],
    tiles: [usize; 2],
}

/// A convolution of T taps, by their place in the phase's list.
struct Unit<const T: usize>([usize; T]);

impl Split<4> {
    /// A gather's 2×2 parts, where it has such parts and the channels fill registers.
    pub fn of(gather: &Gather, channels: [usize; 2]) -> Option<Self> {
        let extent = gather.phases.first()?.extent;
        let even = extent.iter().all(|e| *e > 0 && e % 2 == 0) && gather.phases.iter().all(|p| p.extent == extent);
        if !even || !fills(channels) {
            return None;
        }
        let phases: Vec<_> = gather.phases.iter().map(|p| units(p, gather.step_source as i32)).collect::<Option<_>>()?;
        let alike = !phases[0].is_empty() && phases.iter().all(|units| units.len() == phases[0].len());
        alike.then(|| Self { phases, extent, tiles: extent.map(|e| e / 2) })
    }
}

impl Split<9> {
    /// A 3×3 kernel around each position, where the channels fill registers. One that looks to a side is left to sums in order: a sampler
    /// that goes from pixel to pixel comes to the same bits.
    pub fn of(gather: &Gather, channels: [usize; 2]) -> Option<Self> {
        let [phase] = &gather.phases[..] else { return None };
        let around = phase.taps.len() == 9 && phase.taps.iter().all(|(offset, _)| offset.iter().all(|o| o.abs() <= 1));
        let plain = gather.step_source == 1 && gather.step_dest == 1 && gather.source == gather.dest;
        if !around || !plain || !fills(channels) || phase.extent.contains(&0) {
            return None;
        }
        let (phases, extent) = (vec![units(phase, 1)?], phase.extent);
        Some(Self { phases, extent, tiles: extent.map(|e| e.div_ceil(2)) })
    }
}

/// Whether channels come in whole registers.
fn fills([cs, cd]: [usize; 2]) -> bool {
    cs > 0 && cs.is_multiple_of(LANES) && cd > 0 && cd.is_multiple_of(MAX_COLUMNS)
}

impl<const T: usize> Split<T> {
    fn tiles(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The positions of the phase that tile `t` covers, where there are such.
    fn positions(&self, t: usize) -> [Option<usize>; 4] {
        let [height, width] = self.extent;
        let (row, column) = (2 * (t / self.tiles[1]), 2 * (t % self.tiles[1]));
        let at = |y: usize, x: usize| (y < height && x < width).then_some(y * width + x);
        [at(row, column), at(row, column + 1), at(row + 1, column), at(row + 1, column + 1)]
    }

    /// The first of them, which every tile has.
    fn corner(&self, t: usize) -> usize {
        2 * (t / self.tiles[1]) * self.extent[1] + 2 * (t % self.tiles[1])
    }

    /// Elements of an image's window: the last tiles of odd rows and columns read beyond it.
    fn window(&self, geometry: &geometry::Geometry, channels: usize) -> usize {
        geometry.len(channels) + (geometry.window[1] + 1) * channels
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
