//! The densest latent near a beginning: Adam (Kingma and Ba, 2015) up the slope, from several beginnings.

use super::target::Target;
use crate::error::Result;

/// Length of a first step, by coordinate; it falls evenly to nothing.
const RATE: f64 = 0.1;
/// Decays of the moments.
const DECAYS: [f64; 2] = [0.9, 0.999];

/// The densest latents that were met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// One of each beginning, `[N, latent]`.
    pub z: Vec<f32>,
    /// ln of the density there, up to a constant, `[N]`.
    pub value: Vec<f64>,
}

impl Found {
    /// The best of every `each`.
    pub fn best_of(&self, each: usize) -> Self {
        let (mut best, latent) = (Self::default(), self.z.len() / self.value.len().max(1));
        for (part, values) in self.value.chunks(each).enumerate() {
            let at = (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best });
            best.value.push(values[at]);
            best.z.extend_from_slice(&self.z[(part * each + at) * latent..][..latent]);
        }
        best
    }
}

/// Goes so many steps from each of some latents `[N, latent]`; `progress` hears of every step of a part of them.
///
/// # Errors
/// Errors of the device.
pub async fn climb(target: &mut impl Target, starts: &[f32], steps: usize, mut progress: impl FnMut()) -> Result<Found> {
    let (latent, chunk) = (target.latent(), target.chunk());
    let mut found = Found::default();
    for (part, starts) in starts.chunks(chunk * latent).enumerate() {
        let first = part * chunk;
        let mut z = starts.to_vec();
        let mut moments = vec![[0.0f64; 2]; z.len()];
        let mut best = Found { z: z.clone(), value: vec![f64::NEG_INFINITY; z.len() / latent] };
        for step in 0..=steps {
            let (value, slope) = target.of(first, &z).await?;
            for (i, value) in value.into_iter().enumerate().filter(|(i, value)| *value > best.value[*i]).collect::<Vec<_>>() {
                best.value[i] = value;
                best.z[i * latent..(i + 1) * latent].copy_from_slice(&z[i * latent..(i + 1) * latent]);
            }
            if step == steps {
                break;
            }
            let rate = RATE * (1.0 - step as f64 / steps as f64);
            let share = DECAYS.map(|decay| 1.0 - decay.powi(step as i32 + 1));
            for ((z, slope), moments) in z.iter_mut().zip(slope).zip(&mut moments) {
                let slope = if slope.is_finite() { f64::from(slope) } else { 0.0 };
                moments[0] = DECAYS[0] * moments[0] + (1.0 - DECAYS[0]) * slope;
                moments[1] = DECAYS[1] * moments[1] + (1.0 - DECAYS[1]) * slope * slope;
                *z += (rate * moments[0] / share[0] / ((moments[1] / share[1]).sqrt() + 1e-8)) as f32;
            }
            progress();
        }
        found.z.extend(best.z);
        found.value.extend(best.value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Wait;

    /// Two hills: ln(e^−(z−2)² + ½e^−(z+2)²), by the first coordinate; the second has one at 1.
    struct Hills;

    impl Target for Hills {
        fn latent(&self) -> usize {
            2
        }

        fn chunk(&self) -> usize {
            3
        }

        async fn of(&mut self, _first: usize, z: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
            let at = |z: &[f32]| {
                let [a, b] = [f64::from(z[0]), f64::from(z[1])];
                let parts = [(-(a - 2.0).powi(2)).exp(), 0.5 * (-(a + 2.0).powi(2)).exp()];
                let total = parts[0] + parts[1];
                let slope = (-2.0 * (a - 2.0) * parts[0] - 2.0 * (a + 2.0) * parts[1]) / total;
                (total.ln() - (b - 1.0).powi(2), [slope as f32, (2.0 - 2.0 * b) as f32])
            };
            Ok((z.chunks(2).map(|z| at(z).0).collect(), z.chunks(2).flat_map(|z| at(z).1).collect()))
        }
    }

    #[test]
    fn each_beginning_comes_to_its_hill_and_the_best_of_them_is_the_highest() -> Result<()> {
        let mut steps = 0;
        let found = climb(&mut Hills, &[-1.0, 0.0, 1.5, 3.0, -3.0, 1.0, 0.5, -1.0], 300, || steps += 1).wait()?;
        assert_eq!(steps, 600, "four of three at a time");
        for (z, hill) in found.z.chunks(2).zip([-2.0f32, 2.0, -2.0, 2.0]) {
            assert!((z[0] - hill).abs() < 0.01 && (z[1] - 1.0).abs() < 0.01, "{:?}", found.z);
        }
        let best = found.best_of(2);
        assert_eq!(best.value.len(), 2);
        assert!(best.z.chunks(2).all(|z| (z[0] - 2.0).abs() < 0.01) && best.value.iter().all(|v| v.abs() < 0.01), "{best:?}");
        Ok(())
    }

    #[test]
    fn what_was_best_on_the_way_is_kept() -> Result<()> {
        let at_the_top = climb(&mut Hills, &[2.0, 1.0], 1, || {}).wait()?;
        assert!(at_the_top.value[0] >= Hills.of(0, &[2.0, 1.0]).wait()?.0[0]);
        Ok(())
    }
}
