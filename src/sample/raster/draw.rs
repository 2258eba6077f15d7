//! Drawing one pixel value from its logits.

use crate::model::Law;
use crate::native::mixture::PixelLaw;
use crate::random::{normal, philox4x32, unit};
use crate::tensor::LEAST_DEVIATION;

/// The random stream of raster sampling; the step is the place of the value in its image, the element the number of the image.
pub const STREAM: u32 = 0x7261_7374;

/// The chance by which one value of one image is drawn: a function of these three alone.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// The seed of the job.
    pub seed: u64,
    /// Number of the image.
    pub image: u32,
    /// Place of the value in it.
    pub place: u32,
}

impl Chance {
    /// One of its random words.
    fn word(self, number: u32) -> u32 {
        let counter = [self.image >> 2, number, self.place, STREAM];
        philox4x32(counter, [self.seed as u32, (self.seed >> 32) as u32])[(self.image & 3) as usize]
    }

    /// ln u/(1 − u) for a uniform u between 0 and 1, from its second word; u is the middle of one of 2²³ cells.
    fn log_odds(self) -> f64 {
        let odd = f64::from((self.word(1) >> 9) * 2 + 1);
        (odd / (16_777_216.0 - odd)).ln()
    }

    /// Its first word as a uniform draw in [0, 1).
    fn uniform(self) -> f32 {
        unit(self.word(0))
    }
}

/// What a value is drawn from.
pub struct Pixel<'a> {
    /// The network's outputs at its pixel.
    pub outputs: &'a [f32],
    /// Colours of a pixel.
    pub colours: usize,
    /// Levels of the pixel's colours before it.
    pub earlier: &'a [f32],
}

impl<'a> Pixel<'a> {
    /// The logits of the value alone, where each colour has its own.
    fn own(&self) -> &'a [f32] {
        let each = self.outputs.len() / self.colours;
        &self.outputs[self.earlier.len() * each..][..each]
    }
}

impl Law {
    /// Draws the next value of a pixel, in levels from 0 or as it is; returns it and its ln p.
    ///
    /// A temperature T below 1 sharpens the distribution; ln p is that of the distribution drawn from. Logits are divided by T,
    /// those of a mixture's components too, and the scales of its logistics multiplied, the deviations of its Gaussians by √T: as T nears 0,
    /// the mean of the likeliest is left.
    pub fn draw(&self, pixel: &Pixel<'_>, temperature: f32, chance: Chance) -> (f32, f64) {
        match self {
            Self::Bernoulli => {
                let logits = pixel.own();
                let one = chance.uniform() < 1.0 / (1.0 + (-logits[0] / temperature).exp());
                (f32::from(u8::from(one)), log_probability(logits, temperature, usize::from(one)))
            }
            Self::Categorical { .. } => {
                let logits = pixel.own();
                let value = categorical(logits, temperature, chance.uniform());
                (value as f32, log_probability(logits, temperature, value))
            }
            Self::Mixture(mixture) => {
                let law = PixelLaw::new(*mixture, pixel.outputs, temperature);
                let mut components = law.components(pixel.earlier);
                let chosen = component(&components, f64::from(chance.uniform()));
                let value = law.level_at(chosen, pixel.earlier, chance.log_odds());
                (value, law.ln_p(&mut components, pixel.earlier, value))
            }
            Self::Gaussian(_) => gaussian(pixel.own(), temperature, chance),
        }
    }
}

/// A value of a mixture of Gaussians whose logits, means and spreads are `own`.
fn gaussian(own: &[f32], temperature: f32, chance: Chance) -> (f32, f64) {
    let k = own.len() / 3;
    let (logits, rest) = own.split_at(k);
    let (means, spreads) = rest.split_at(k);
    let wider = f64::from(temperature).sqrt();
    // Beyond any value, and yet a number.
    let deviation = |k: usize| wider * (LEAST_DEVIATION + f64::from(spreads[k].min(60.0)).exp());
    let mut ln_p: Vec<f64> = logits.iter().map(|l| f64::from(*l) / f64::from(temperature)).collect();
    normalise(&mut ln_p);
    let chosen = component(&ln_p, f64::from(chance.uniform()));
    let value = (f64::from(means[chosen]) + deviation(chosen) * f64::from(normal(chance.word(1)))) as f32;
    for (k, ln_p) in ln_p.iter_mut().enumerate() {
        let z = (f64::from(value) - f64::from(means[k])) / deviation(k);
        *ln_p -= 0.5 * z * z + deviation(k).ln() + 0.5 * std::f64::consts::TAU.ln();
    }
    (value, normalise(&mut ln_p))
}

/// Takes from logarithms that of the sum of what they are of, and returns it.
fn normalise(ln: &mut [f64]) -> f64 {
    let top = ln.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = top + ln.iter().map(|l| (l - top).exp()).sum::<f64>().ln();
    ln.iter_mut().for_each(|l| *l -= total);
    total
}

/// A level by the inverse of its distribution function.
fn categorical(logits: &[f32], temperature: f32, uniform: f32) -> usize {
    let top = logits.iter().fold(f32::NEG_INFINITY, |m, &l| m.max(l));
    let weight = |l: f32| ((l - top) / temperature).exp();
    let total: f32 = logits.iter().map(|&l| weight(l)).sum();
    let mut left = uniform * total;
    let chosen = logits.iter().position(|&l| {
        left -= weight(l);
        left < 0.0
    });
    // The last value that can be takes what rounding leaves.
    chosen.or_else(|| logits.iter().rposition(|&l| weight(l) > 0.0)).unwrap_or(0)
}

/// A component of a mixture by the inverse of its distribution function.
fn component(ln_p: &[f64], uniform: f64) -> usize {
    let mut left = uniform;
    let chosen = ln_p.iter().position(|ln| {
        left -= ln.exp();
        left < 0.0
    });
    // What rounding leaves goes to the likeliest: the last may be next to impossible.
    chosen.unwrap_or_else(|| (0..ln_p.len()).max_by(|a, b| ln_p[*a].total_cmp(&ln_p[*b])).unwrap_or(0))
}

/// ln p of a value given its logits.
fn log_probability(logits: &[f32], temperature: f32, value: usize) -> f64 {
    let scaled = |l: f32| f64::from(l / temperature);
    match *logits {
        [logit] => {
            let against = if value == 1 { -scaled(logit) } else { scaled(logit) };
            -(against.max(0.0) + (-against.abs()).exp().ln_1p())
        }
        _ => {
            let top = logits.iter().map(|&l| scaled(l)).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logits.iter().map(|&l| (scaled(l) - top).exp()).sum();
            scaled(logits[value]) - top - total.ln()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_their_probabilities() {
        let logits = [0.3f32, -1.0, 1.2];
        let mut counts = [0usize; 3];
        let n = 60_000;
        for image in 0..n {
            let pixel = Pixel { outputs: &logits, colours: 1, earlier: &[] };
            counts[Law::Categorical { levels: 3 }.draw(&pixel, 1.0, Chance { seed: 9, image, place: 4 }).0 as usize] += 1;
        }
        for (value, count) in counts.iter().enumerate() {
            let want = log_probability(&logits, 1.0, value).exp();
            assert!((*count as f64 / f64::from(n) - want).abs() < 0.01, "{value}");
        }
        let total: f64 = (0..3).map(|v| log_probability(&logits, 1.0, v).exp()).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }
}
