//! Drawing one pixel value from its logits.

use crate::random::{philox4x32, unit};

/// The random stream of raster sampling; the step is the place of the value in its image, the element the number of the image.
pub const STREAM: u32 = 0x7261_7374;

/// The uniform draw for one value of one image: a function of (seed, image, place) alone.
pub fn uniform(seed: u64, image: u32, place: u32) -> f32 {
    let counter = [image >> 2, 0, place, STREAM];
    unit(philox4x32(counter, [seed as u32, (seed >> 32) as u32])[(image & 3) as usize])
}

/// Draws a value from logits (one: Bernoulli; several: categorical) and a uniform; returns the value and its ln p.
///
/// A temperature below 1 sharpens the distribution; ln p is that of the distribution drawn from.
pub fn draw(logits: &[f32], temperature: f32, u: f32) -> (f32, f64) {
    match *logits {
        [logit] => {
            let logit = logit / temperature;
            let one = u < 1.0 / (1.0 + (-logit).exp());
            (f32::from(u8::from(one)), log_probability(logits, temperature, usize::from(one)))
        }
        _ => {
            let top = logits.iter().fold(f32::NEG_INFINITY, |m, &l| m.max(l));
            let weight = |l: f32| ((l - top) / temperature).exp();
            let total: f32 = logits.iter().map(|&l| weight(l)).sum();
            let mut left = u * total;
            // The last value takes what rounding leaves.
            let mut chosen = logits.len() - 1;
            for (value, &l) in logits.iter().enumerate() {
                left -= weight(l);
                if left < 0.0 {
                    chosen = value;
                    break;
                }
            }
            (chosen as f32, log_probability(logits, temperature, chosen))
        }
    }
}

/// ln p of a value given its logits.
pub fn log_probability(logits: &[f32], temperature: f32, value: usize) -> f64 {
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
            counts[draw(&logits, 1.0, uniform(9, image, 4)).0 as usize] += 1;
        }
        for (value, count) in counts.iter().enumerate() {
            let want = log_probability(&logits, 1.0, value).exp();
            assert!((*count as f64 / f64::from(n) - want).abs() < 0.01, "{value}");
        }
        let total: f64 = (0..3).map(|v| log_probability(&logits, 1.0, v).exp()).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }
}
