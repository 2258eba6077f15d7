//! The Fréchet distance between two Gaussians fitted to features (Dowson and Landau, 1982; as Heusel et al., 2017, use it).

use super::Rows;

/// ‖μ₁ − μ₂‖² + tr(C₁ + C₂ − 2·(C₁C₂)^½), squared distance of the two fitted Gaussians.
pub fn frechet_distance(a: Rows<'_>, b: Rows<'_>) -> f64 {
    let d = a.width;
    let ((mean_a, cov_a), (mean_b, cov_b)) = (moments(a), moments(b));
    let apart: f64 = mean_a.iter().zip(&mean_b).map(|(x, y)| (x - y).powi(2)).sum();
    let trace = |m: &[f64]| (0..d).map(|i| m[i * d + i]).sum::<f64>();
    // tr (C₁C₂)^½ = tr (R C₂ R)^½ with R = C₁^½, which is symmetric.
    let (values, vectors) = eigen(cov_a.clone(), d);
    let mut root = vec![0.0; d * d];
    for (k, value) in values.iter().enumerate() {
        let s = value.max(0.0).sqrt();
        for i in 0..d {
            let left = s * vectors[i * d + k];
            for j in 0..d {
                root[i * d + j] += left * vectors[j * d + k];
            }
        }
    }
    let inner = product(&product(&root, &cov_b, d), &root, d);
    let shared: f64 = eigen(inner, d).0.iter().map(|v| v.max(0.0).sqrt()).sum();
    apart + trace(&cov_a) + trace(&cov_b) - 2.0 * shared
}

/// Mean and unbiased covariance of the rows.
fn moments(rows: Rows<'_>) -> (Vec<f64>, Vec<f64>) {
    let (n, d) = (rows.len() as f64, rows.width);
    let mut mean = vec![0.0; d];
    for i in 0..rows.len() {
        mean.iter_mut().zip(rows.row(i)).for_each(|(m, v)| *m += f64::from(*v) / n);
    }
    let mut covariance = vec![0.0; d * d];
    let mut centred = vec![0.0; d];
    for i in 0..rows.len() {
        centred.iter_mut().zip(rows.row(i)).zip(&mean).for_each(|((c, v), m)| *c = f64::from(*v) - m);
        for (p, row) in covariance.chunks_mut(d).enumerate() {
            let left = centred[p] / (n - 1.0).max(1.0);
            row.iter_mut().zip(&centred).for_each(|(sum, c)| *sum += left * c);
        }
    }
    (mean, covariance)
}

fn product(a: &[f64], b: &[f64], d: usize) -> Vec<f64> {
    let mut out = vec![0.0; d * d];
    for (row, out) in a.chunks(d).zip(out.chunks_mut(d)) {
        for (left, b_row) in row.iter().zip(b.chunks(d)) {
            out.iter_mut().zip(b_row).for_each(|(sum, v)| *sum += left * v);
        }
    }
    out
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix, by Jacobi rotations.
fn eigen(mut m: Vec<f64>, d: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; d * d];
    (0..d).for_each(|i| vectors[i * d + i] = 1.0);
    let total: f64 = m.iter().map(|v| v * v).sum();
    for _ in 0..40 {
        let off: f64 = (0..d).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| m[i * d + j].powi(2)).sum();
        if off <= 1e-20 * total {
            break;
        }
        for p in 0..d {
            for q in p + 1..d {
                rotate(&mut m, &mut vectors, d, p, q);
            }
        }
    }
    ((0..d).map(|i| m[i * d + i]).collect(), vectors)
}

/// Zeroes entry (p, q).
fn rotate(m: &mut [f64], vectors: &mut [f64], d: usize, p: usize, q: usize) {
    let entry = m[p * d + q];
    if entry == 0.0 {
        return;
    }
    let theta = (m[q * d + q] - m[p * d + p]) / (2.0 * entry);
    let sign = if theta < 0.0 { -1.0 } else { 1.0 };
    let t = sign / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    let turn = |a: f64, b: f64| (c * a - s * b, s * a + c * b);
    for k in 0..d {
        (m[k * d + p], m[k * d + q]) = turn(m[k * d + p], m[k * d + q]);
    }
    for k in 0..d {
        (m[p * d + k], m[q * d + k]) = turn(m[p * d + k], m[q * d + k]);
        (vectors[k * d + p], vectors[k * d + q]) = turn(vectors[k * d + p], vectors[k * d + q]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Draws;

    fn normals(n: usize, seed: u64, scale: [f32; 3], shift: f32) -> Vec<f32> {
        let mut draws = Draws::new(seed, 0, 0);
        (0..3 * n).map(|i| shift + scale[i % 3] * draws.normal()).collect()
    }

    #[test]
    fn the_distance_of_gaussians_is_that_of_their_moments() {
        let a = normals(20_000, 1, [1.0, 1.0, 1.0], 0.0);
        let b = normals(20_000, 2, [2.0, 1.0, 0.5], 1.0);
        // 3 for the means, and (2 − 1)² + 0 + (½ − 1)² for the deviations.
        let found = frechet_distance(Rows::new(&a, 3), Rows::new(&b, 3));
        assert!((found - 4.25).abs() < 0.1, "{found}");
        assert!(frechet_distance(Rows::new(&a, 3), Rows::new(&a, 3)).abs() < 1e-9);
    }

    #[test]
    fn correlated_features_are_compared_whole() {
        // The same marginals, correlated oppositely: the means and traces agree, the Gaussians do not.
        let base = normals(20_000, 3, [1.0, 1.0, 1.0], 0.0);
        let turned = |sign: f32| -> Vec<f32> { base.chunks(3).flat_map(|v| [v[0], sign * v[0] * 0.8 + 0.6 * v[1]]).collect() };
        let found = frechet_distance(Rows::new(&turned(1.0), 2), Rows::new(&turned(-1.0), 2));
        // Eigenvalues 1.8 and .2 change places: 2·(√1.8 − √.2)².
        let want = 2.0 * (1.8f64.sqrt() - 0.2f64.sqrt()).powi(2);
        assert!((found - want).abs() < 0.05, "{found} {want}");
    }
}
