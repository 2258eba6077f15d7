//! How sharp pictures are.

/// Mean over images of the variance of the Laplacian (each pixel's four neighbours less four times itself, at pixels that have all four), of images
/// `[N, H, W, C]`: near nothing where pictures are blurred, and more the more edges and noise there are. 0 where no pixel has four neighbours.
pub fn sharpness(images: &[f32], [h, w, c]: [usize; 3]) -> f64 {
    if h < 3 || w < 3 || c == 0 || images.is_empty() {
        return 0.0;
    }
    let of_image = |image: &[f32]| {
        let at = |y: usize, x: usize, k: usize| f64::from(image[(y * w + x) * c + k]);
        let inner = (1..h - 1).flat_map(|y| (1..w - 1).flat_map(move |x| (0..c).map(move |k| (y, x, k))));
        let edges = inner.map(|(y, x, k)| at(y - 1, x, k) + at(y + 1, x, k) + at(y, x - 1, k) + at(y, x + 1, k) - 4.0 * at(y, x, k));
        let (count, sum, squares) = edges.fold((0.0, 0.0, 0.0), |(n, sum, squares), v| (n + 1.0, sum + v, squares + v * v));
        squares / count - (sum / count).powi(2)
    };
    let all: Vec<f64> = images.chunks_exact(h * w * c).map(of_image).collect();
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_sharper_than_a_slope_and_a_plain_is_not_sharp() {
        let image = |value: fn(usize) -> f32| (0..64).map(|at| value(at % 8)).collect::<Vec<f32>>();
        let (plain, slope, edge) = (image(|_| 0.3), image(|x| x as f32 / 7.0), image(|x| if x < 4 { 0.0 } else { 1.0 }));
        let of = |image: &[f32]| sharpness(image, [8, 8, 1]);
        assert!(of(&plain).abs() < 1e-12 && of(&slope).abs() < 1e-9);
        // Columns 3 and 4 of the six inner ones hold 1 and −1.
        assert!((of(&edge) - 2.0 / 6.0).abs() < 1e-9, "{}", of(&edge));
        assert!((sharpness(&[plain, edge].concat(), [8, 8, 1]) - 1.0 / 6.0).abs() < 1e-9);
        assert!(sharpness(&[1.0; 4], [2, 2, 1]).abs() < 1e-12);
    }
}
