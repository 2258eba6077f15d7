//! The kernel distance: the squared maximum mean discrepancy under a cubic kernel (Bińkowski et al., 2018).

use crate::parallel::prelude::*;

use super::Rows;

/// (x·y / d + 1)³
fn kernel(x: &[f32], y: &[f32]) -> f64 {
    let dot: f64 = x.iter().zip(y).map(|(a, b)| f64::from(a * b)).sum();
    (dot / x.len() as f64 + 1.0).powi(3)
}

/// The unbiased estimate; it may be below 0 where the two sets are alike.
pub fn kernel_distance(a: Rows<'_>, b: Rows<'_>) -> f64 {
    let within = |r: Rows<'_>| {
        let n = r.len();
        let sum: Vec<f64> = (0..n).into_par_iter().map(|i| (0..i).map(|j| kernel(r.row(i), r.row(j))).sum::<f64>()).collect();
        2.0 * sum.iter().sum::<f64>() / (n as f64 * (n as f64 - 1.0)).max(1.0)
    };
    let rows: Vec<f64> = (0..a.len()).into_par_iter().map(|i| (0..b.len()).map(|j| kernel(a.row(i), b.row(j))).sum::<f64>()).collect();
    let between = rows.iter().sum::<f64>() / (a.len() as f64 * b.len() as f64).max(1.0);
    within(a) + within(b) - 2.0 * between
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Draws;

    #[test]
    fn like_sets_are_near_zero_and_others_are_not() {
        let normals = |seed: u64, shift: f32| -> Vec<f32> {
            let mut draws = Draws::new(seed, 0, 0);
            (0..4 * 500).map(|_| shift + draws.normal()).collect()
        };
        let (a, b, c) = (normals(1, 0.0), normals(2, 0.0), normals(3, 1.0));
        assert!(kernel_distance(Rows::new(&a, 4), Rows::new(&b, 4)).abs() < 0.05);
        assert!(kernel_distance(Rows::new(&a, 4), Rows::new(&c, 4)) > 1.0);
    }
}
