//! Sums of sines with a known entropy rate.

use super::process::Process;
use crate::data::series::{Cut, Quantize, Scaling};
use crate::random::Draws;
use crate::{Error, Result};
use std::f64::consts::TAU;

/// Steps after which the sum of sines begins again, and so the phases that a series may have.
const PERIOD: usize = 64;
/// Fewest levels that leave the sines more than one level.
const LEAST: usize = 8;

/// Levels `x_t = round(m + (m − 1) s_{t+φ}) + e_t` with m = (L − 1)/2 half of the last level, `s_t = 0.6 sin(2π t/64) + 0.4 sin(2π 5t/64)`,
/// a phase φ of 0..64 drawn once a series, and noise e drawn each step: 0 with probability 1/2, −1 and 1 with 1/4 each.
///
/// Its entropy rate is that of the noise, H(e) = 3/2 ln 2 = 1.0397 nats or 1.5 bits a step, whatever L is: given φ, the levels x and the
/// noise e tell each other, so the entropy of T steps is T·H(e) + I(φ; x), and the information on a phase of 64 lies between 0 and ln 64.
pub struct Waves {
    levels: usize,
}

impl Waves {
    pub fn new(cut: &Cut) -> Self {
        Self { levels: cut.levels() }
    }

    /// The level of a step before the noise.
    fn clean(&self, step: usize) -> f64 {
        let (middle, t) = ((self.levels as f64 - 1.0) / 2.0, step as f64 / PERIOD as f64 * TAU);
        (middle + (middle - 1.0) * (0.6 * t.sin() + 0.4 * (5.0 * t).sin())).round()
    }
}

impl Process for Waves {
    const NAME: &'static str = "waves";
    const SET: u32 = 3;
    const STEPS: usize = 256;

    fn check(&self, name: &str, cut: &Cut) -> Result<()> {
        if cut.quantize == Quantize::Linear && cut.levels() >= LEAST {
            return Ok(());
        }
        Err(Error::usage(format!(
            "{name} is made of {LEAST} to 256 levels, so that its entropy is known; take quantize=linear and such levels"
        )))
    }

    fn channels(&self) -> Vec<(&'static str, Scaling)> {
        vec![("level", Scaling { low: 0.0, high: self.levels as f64 - 1.0 })]
    }

    fn draw(&self, mut draws: Draws, steps: usize) -> Vec<f64> {
        let phase = draws.below(PERIOD);
        (phase..phase + steps).map(|step| self.clean(step) + [-1.0, 0.0, 0.0, 1.0][draws.below(4)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;
    use crate::data::builtin::draws;

    /// −ln p of a series by its definition: the mean over the phases.
    fn nats(waves: &Waves, series: &[f64]) -> f64 {
        let of_phase = |phase: usize| {
            let each = |(t, x): (usize, &f64)| match (x - waves.clean(phase + t)).abs() as u32 {
                0 => 0.5f64.ln(),
                1 => 0.25f64.ln(),
                _ => f64::NEG_INFINITY,
            };
            series.iter().enumerate().map(each).sum::<f64>()
        };
        let logs: Vec<f64> = (0..PERIOD).map(of_phase).collect();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (PERIOD as f64).ln() - top - logs.iter().map(|l| (l - top).exp()).sum::<f64>().ln()
    }

    #[test]
    fn its_entropy_is_that_of_the_noise_and_at_most_that_of_the_phase() {
        let rate = 1.5 * 2f64.ln();
        for levels in [LEAST, 32, 256] {
            let waves = Waves { levels };
            let (steps, count) = (128, 400);
            let all: Vec<f64> = (0..count).map(|i| nats(&waves, &waves.draw(draws(3, Waves::SET, Split::Train, i), steps))).collect();
            let mean = all.iter().sum::<f64>() / count as f64;
            let error = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count * count) as f64).sqrt();
            let (low, high) = (rate * steps as f64 - 4.0 * error, rate * steps as f64 + (PERIOD as f64).ln() + 4.0 * error);
            assert!((low..=high).contains(&mean), "{levels} levels: {mean} is not in {low}..{high}");
        }
    }

    #[test]
    fn no_level_is_beyond_the_last() {
        for levels in [LEAST, 9, 100, 256] {
            let waves = Waves { levels };
            let made = waves.draw(draws(1, Waves::SET, Split::Test, 5), 4096);
            assert!(made.iter().all(|x| (0.0..levels as f64).contains(x) && x.fract() == 0.0), "{levels} levels");
        }
    }
}
