//! The ring of eight Gaussians: which of its modes a generator found.

use super::Rows;

/// Of `builtin:gaussians8`: modes at this radius with this deviation.
const COUNT: usize = 8;
const RADIUS: f32 = 2.0;
const SIGMA: f32 = 0.02;

/// What was found of the ring.
#[derive(Clone, Debug, PartialEq)]
pub struct Modes {
    /// Points within three deviations of each mode.
    pub counts: [usize; COUNT],
    /// Modes with at least a tenth of their fair share of all points.
    pub found: usize,
    /// Share of the points within three deviations of any mode. Of the true points it is 1 − e^−4.5 = .989.
    pub close: f64,
}

/// Counts points `[N, 2]`.
pub fn modes_of_ring(points: Rows<'_>) -> Modes {
    let mut counts = [0; COUNT];
    for i in 0..points.len() {
        let p = points.row(i);
        for (k, count) in counts.iter_mut().enumerate() {
            let angle = k as f32 * std::f32::consts::TAU / COUNT as f32;
            let off = (p[0] - RADIUS * angle.cos()).hypot(p[1] - RADIUS * angle.sin());
            *count += usize::from(off <= 3.0 * SIGMA);
        }
    }
    let fair = points.len() as f64 / COUNT as f64;
    let found = counts.iter().filter(|c| **c as f64 >= (0.1 * fair).max(1.0)).count();
    Modes { found, close: counts.iter().sum::<usize>() as f64 / points.len().max(1) as f64, counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{OpenOptions, Split, open};

    #[test]
    fn the_data_itself_has_all_modes() -> crate::Result<()> {
        let ring = open("builtin:gaussians8", Split::Test, &OpenOptions::default())?;
        let mut points = vec![0.0; 2 * ring.len()];
        points.chunks_mut(2).enumerate().try_for_each(|(i, p)| ring.read(i, p))?;
        let found = modes_of_ring(Rows::new(&points, 2));
        assert_eq!(found.found, 8);
        assert!((found.close - 0.989).abs() < 0.01, "{}", found.close);
        let one = modes_of_ring(Rows::new(&[2.0, 0.0, 0.0, 0.0], 2));
        assert_eq!((one.found, one.close), (1, 0.5));
        Ok(())
    }
}
