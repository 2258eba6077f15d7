//! Another number of samples a second.

use std::f64::consts::PI;

/// Zeros of the sinc on either side that a sample is made of.
const ZEROS: f64 = 32.0;

/// `values`, taken `from` times a second, as they would be taken `to` times: a sinc under Hann's window, cut off at half the lower of the
/// two rates, its weights made to sum to one so that a constant stays one (Smith, 2002, "Digital audio resampling").
pub fn resample(values: &[f64], from: u32, to: u32) -> Vec<f64> {
    let ratio = f64::from(to) / f64::from(from);
    let cutoff = ratio.min(1.0);
    let half = ZEROS / cutoff;
    let count = (values.len() as u64 * u64::from(to) / u64::from(from)) as usize;
    let made = |n: usize| {
        let centre = n as f64 / ratio;
        let first = (centre - half).ceil().max(0.0) as usize;
        let last = ((centre + half).floor() as usize).min(values.len() - 1);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (k, value) in values.iter().enumerate().take(last + 1).skip(first) {
            let t = centre - k as f64;
            let x = PI * cutoff * t;
            let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
            let weight = sinc * 0.5 * (1.0 + (PI * t / half).cos());
            sum += weight * value;
            weights += weight;
        }
        sum / weights
    };
    (0..count).map(made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f64, rate: u32, count: usize) -> Vec<f64> {
        (0..count).map(|n| (2.0 * PI * hertz * n as f64 / f64::from(rate)).sin()).collect()
    }

    #[test]
    fn a_tone_stays_the_same_tone() {
        for (from, to) in [(8000, 16_000), (44_100, 16_000), (360, 250)] {
            let hertz = f64::from(from.min(to)) / 20.0;
            let made = resample(&sine(hertz, from, 4000), from, to);
            assert_eq!(made.len(), (4000 * u64::from(to) / u64::from(from)) as usize);
            let want = sine(hertz, to, made.len());
            let inner = made.len() / 8..made.len() * 7 / 8;
            let worst = inner.map(|n| (made[n] - want[n]).abs()).fold(0.0, f64::max);
            assert!(worst < 2e-3, "{from} to {to}: {worst}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        let made = resample(&sine(7000.0, 16_000, 4000), 16_000, 8000);
        let worst = made[250..1750].iter().fold(0.0f64, |worst, v| worst.max(v.abs()));
        assert!(worst < 1e-2, "{worst}");
        assert!(resample(&[0.5; 100], 10, 7).iter().all(|v| (v - 0.5).abs() < 1e-12));
    }
}
