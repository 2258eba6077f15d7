//! Convolutions that fall apart into 2×2 ones, by minimal filtering (Winograd, 1980; Lavin and Gray, 2016).
//!
//! Two neighbouring sums of two taps, `y₀ = d₀g₀ + d₁g₁` and `y₁ = d₁g₀ + d₂g₁`, take three products instead of four:
//! `a = (d₀ − d₁)g₀`, `b = d₁(g₀ + g₁)`, `c = (d₂ − d₁)g₁`, `y₀ = a + b`, `y₁ = b + c`. In two dimensions a 2×2 tile takes nine instead of
//! sixteen. A 4×4 kernel of stride 2 is four such convolutions, one for each parity of the source, and its adjoint is one for each phase;
//! in the weight gradient tile and taps change places. No factor but ±1 appears, so that rounding stays as small as it was.

mod forward;
mod lanes;
mod product;
mod transform;
mod weight;

pub(super) use forward::convolve;
pub(super) use weight::weight_gradient;

use super::geometry;
use crate::native::simd::MAX_COLUMNS;
use crate::tensor::{Gather, Phase};
use lanes::LANES;

/// A convolution as sums of 2×2 ones.
pub struct Split {
    /// Of each phase.
    phases: Vec<Vec<Unit>>,
    /// Rows and columns of tiles of an image's phase.
    tiles: [usize; 2],
}

/// A 2×2 convolution: its taps by their place in the phase's list.
struct Unit([usize; 4]);

impl Split {
    /// A gather's parts, where it has such parts and the channels fill registers.
    pub fn of(gather: &Gather, [cs, cd]: [usize; 2]) -> Option<Self> {
        let extent = gather.phases.first()?.extent;
        let even = extent.iter().all(|e| *e > 0 && e % 2 == 0) && gather.phases.iter().all(|p| p.extent == extent);
        if !even || cs == 0 || cs % LANES != 0 || cd == 0 || cd % MAX_COLUMNS != 0 {
            return None;
        }
        let phases: Vec<_> = gather.phases.iter().map(|p| units(p, gather.step_source as i32)).collect::<Option<_>>()?;
        let alike = !phases[0].is_empty() && phases.iter().all(|units| units.len() == phases[0].len());
        alike.then(|| Self { phases, tiles: extent.map(|e| e / 2) })
    }

    fn tiles(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The positions of the phase that tile `t` covers.
    fn positions(&self, t: usize) -> [usize; 4] {
        let width = 2 * self.tiles[1];
        let first = 2 * (t / self.tiles[1]) * width + 2 * (t % self.tiles[1]);
        [first, first + 1, first + width, first + width + 1]
    }
}

fn units(phase: &Phase, step: i32) -> Option<Vec<Unit>> {
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
            let offset = [first[0] + step * (k / 2), first[1] + step * (k % 2)];
            members.iter().copied().find(|m| phase.taps[*m].0 == offset)
        };
        (members.len() == 4).then_some(())?;
        Some(Unit([tap(0)?, tap(1)?, tap(2)?, tap(3)?]))
    };
    classes.into_iter().map(unit).collect()
}
