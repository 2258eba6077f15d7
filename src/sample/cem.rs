//! The cross-entropy method: a maximum is looked for by drawing points, keeping the best, and drawing around those (Rubinstein, 1999, "The
//! cross-entropy method for combinatorial and continuous optimization"; de Boer et al., 2005).

use crate::error::{Error, Result};
use crate::random::Draws;

/// How it is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cem {
    /// Points of an iteration.
    pub candidates: usize,
    /// The best of them, which the next are drawn around.
    pub elites: usize,
    /// Iterations.
    pub iterations: usize,
}

/// Independent normals, one a coordinate.
#[derive(Clone, Debug, PartialEq)]
pub struct Normals {
    /// Means.
    pub means: Vec<f64>,
    /// Standard deviations.
    pub deviations: Vec<f64>,
}

impl Cem {
    /// Refuses what nothing can be found by.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        let Self { candidates, elites, iterations } = *self;
        if !(2..=1 << 16).contains(&candidates) || !(1..=candidates).contains(&elites) || !(1..=1000).contains(&iterations) {
            return Err(Error::usage(format!(
                "{candidates} candidates, of which {elites} are kept, in {iterations} iterations find nothing; take 2 to 65536, 1 to as many, and 1 to 1000"
            )));
        }
        Ok(())
    }

    /// Looks for the greatest `value` from normals on. `value` is told the number of the iteration and all its points, one after another, which
    /// it may bring to where they can be, and returns one number each; of equal ones the earlier point is better. The first point of an
    /// iteration is the mean. Returns the best point that was met, and its value.
    ///
    /// # Errors
    /// [`Error::Usage`] as of [`Cem::check`]; those of `value`.
    pub fn maximise(
        &self,
        mut normals: Normals,
        draws: &mut Draws,
        mut value: impl FnMut(usize, &mut [f64]) -> Result<Vec<f64>>,
    ) -> Result<(Vec<f64>, f64)> {
        self.check()?;
        let len = normals.means.len();
        let mut best = (normals.means.clone(), f64::NEG_INFINITY);
        for iteration in 0..self.iterations {
            let mut points = normals.means.clone();
            for _ in 1..self.candidates {
                let pairs = normals.means.iter().zip(&normals.deviations);
                points.extend(pairs.map(|(mean, deviation)| mean + deviation * f64::from(draws.normal())));
            }
            let values = value(iteration, &mut points)?;
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
            order.truncate(self.elites);
            if let Some(&first) = order.first().filter(|first| values[**first] > best.1) {
                best = (points[first * len..][..len].to_vec(), values[first]);
            }
            let kept = order.len() as f64;
            for at in 0..len {
                let of: Vec<f64> = order.iter().map(|point| points[point * len + at]).collect();
                let mean = of.iter().sum::<f64>() / kept;
                normals.means[at] = mean;
                normals.deviations[at] = (of.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / kept).sqrt();
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normals(len: usize, deviation: f64) -> Normals {
        Normals { means: vec![0.0; len], deviations: vec![deviation; len] }
    }

    #[test]
    fn the_minimum_of_a_quadratic_is_found() -> Result<()> {
        // −(x − c)ᵀ A (x − c) with A of eigenvalues from 1 to 3 and coordinates that lean on each other.
        let centre = [1.5, -2.0, 0.5, 3.0, -0.25];
        let fall = |point: &[f64]| {
            let apart: Vec<f64> = point.iter().zip(centre).map(|(x, c)| x - c).collect();
            let pairs: f64 = apart.windows(2).map(|w| w[0] * w[1]).sum();
            -(2.0 * apart.iter().map(|a| a * a).sum::<f64>() + pairs)
        };
        let cem = Cem { candidates: 200, elites: 20, iterations: 40 };
        let mut draws = Draws::new(3, 1, 0);
        let (found, value) = cem.maximise(normals(5, 3.0), &mut draws, |_, points| Ok(points.chunks(5).map(fall).collect()))?;
        assert!(found.iter().zip(centre).all(|(x, c)| (x - c).abs() < 0.01), "{found:?}");
        assert!(value > -1e-4 && (fall(&found) - value).abs() < 1e-12, "{value}");
        // Within bounds that points are brought to, the nearest corner.
        let near = |_: usize, points: &mut [f64]| {
            points.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
            Ok(points.chunks(5).map(|p| -p.iter().zip(centre).map(|(x, c)| (x - c) * (x - c)).sum::<f64>()).collect())
        };
        let (found, _) = cem.maximise(normals(5, 1.0), &mut draws, near)?;
        assert!(found.iter().zip([1.0, -1.0, 0.5, 1.0, -0.25]).all(|(x, c)| (x - c).abs() < 0.02), "{found:?}");
        Ok(())
    }

    #[test]
    fn of_points_that_are_alike_the_mean_stays_the_best() -> Result<()> {
        let cem = Cem { candidates: 10, elites: 2, iterations: 3 };
        let (found, value) = cem.maximise(normals(2, 1.0), &mut Draws::new(1, 1, 0), |_, points| Ok(vec![7.0; points.len() / 2]))?;
        assert_eq!((found, value), (vec![0.0; 2], 7.0));
        for wrong in [Cem { candidates: 1, ..cem }, Cem { elites: 0, ..cem }, Cem { elites: 11, ..cem }, Cem { iterations: 0, ..cem }] {
            assert!(matches!(wrong.check(), Err(Error::Usage(_))), "{wrong:?}");
        }
        Ok(())
    }
}
