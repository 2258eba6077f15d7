//! Single cells of a scan, whose states somebody else keeps.

use super::Panels;
use super::cell::{activate, advance};
use crate::native::simd::{self, MAX_ROWS};
use crate::tensor::Gating;

/// The weights of a scan, ready for its cells one step at a time.
pub struct Cells {
    gating: Gating,
    hidden: usize,
    /// What the hidden states found at each tap add to the gates.
    taps: Vec<Panels>,
    /// 0, 1, 2, …: the units of a neighbour.
    units: Vec<i32>,
}

impl Cells {
    /// From weights `[taps, h, 4h]`, of a GRU `[taps, h, 3h]`.
    pub fn new(weights: &[f32], hidden: usize, gating: Gating) -> Self {
        let entered = gating.entered() * hidden;
        let size = (entered * hidden).max(1);
        let taps = weights.chunks_exact(size).map(|w| Panels::new(hidden, entered, |k, j| w[k * entered + j])).collect();
        Self { gating, hidden, taps, units: (0..hidden as i32).collect() }
    }

    /// Advances cells by one step, side by side. `neighbours`: for each tap and each cell the hidden state found there, none beyond the
    /// image. `gates`: what the input adds to the gates, `[cells, 4h]`, afterwards their values. `cells`: the states they go on
    /// from, afterwards theirs. `hidden`: where hidden states go. Sums run in the order of [`super::forward`].
    pub fn step(&self, neighbours: &[Option<&[f32]>], gates: &mut [f32], cells: &mut [f32], hidden: &mut [f32]) {
        simd::dispatch(Step { weights: self, neighbours, gates, cells, hidden });
    }
}

struct Step<'a> {
    weights: &'a Cells,
    neighbours: &'a [Option<&'a [f32]>],
    gates: &'a mut [f32],
    cells: &'a mut [f32],
    hidden: &'a mut [f32],
}

impl simd::Job for Step<'_> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let Self { weights, neighbours, gates, cells, hidden } = self;
        let n = weights.hidden;
        let count = cells.len() / n;
        assert!(gates.len() == 4 * n * count && hidden.len() == n * count && neighbours.len() == weights.taps.len() * count);
        let (mut rows, mut sums) = ([std::ptr::null(); MAX_ROWS], [std::ptr::null_mut(); MAX_ROWS]);
        let to = gates.as_mut_ptr();
        for (panels, neighbours) in weights.taps.iter().zip(neighbours.chunks_exact(count)) {
            let mut found = neighbours.iter().enumerate().filter_map(|(at, state)| Some((at, (*state)?)));
            loop {
                let mut held = 0;
                for (at, state) in found.by_ref().take(MAX_ROWS) {
                    assert!(state.len() == n);
                    (rows[held], sums[held]) = (state.as_ptr(), to.wrapping_add(at * 4 * n));
                    held += 1;
                }
                if held == 0 {
                    break;
                }
                // SAFETY: a state has as many units as there are offsets; sums are a cell's own gates, and no state lies among them.
                unsafe { panels.multiply(&rows[..held], &sums[..held], &weights.units) };
            }
        }
        for ((gates, cell), hidden) in gates.chunks_exact_mut(4 * n).zip(cells.chunks_exact_mut(n)).zip(hidden.chunks_exact_mut(n)) {
            activate(gates, n, weights.gating);
            advance(weights.gating, gates, cell, hidden);
        }
    }
}
