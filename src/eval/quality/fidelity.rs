//! How near an image is to another of which it should be a copy, and how colourful it is. Values lie in 0..1.

/// Peak signal to noise ratio in dB; infinite of equal images.
pub fn psnr(a: &[f32], b: &[f32]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    -10.0 * (squares / a.len().max(1) as f64).log10()
}

/// The width of the window of [`ssim`], at most, and its deviation.
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;

/// Structural similarity (Wang et al., 2004): the mean over channels and all places of a Gaussian window of 11 × 11 pixels that lie within the images
/// `[H, W, C]` (less in smaller images), with K₁ = .01 and K₂ = .03. 1 of equal images.
pub fn ssim(a: &[f32], b: &[f32], [h, w, c]: [usize; 3]) -> f64 {
    let size = WINDOW.min(h).min(w);
    let middle = (size as f64 - 1.0) / 2.0;
    let weights: Vec<f64> = (0..size).map(|i| (-(i as f64 - middle).powi(2) / (2.0 * DEVIATION * DEVIATION)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let weight = |i: usize, j: usize| weights[i] * weights[j] / (total * total);
    let [c1, c2] = [0.01f64.powi(2), 0.03f64.powi(2)];
    let at = |image: &[f32], y: usize, x: usize, k: usize| f64::from(image[(y * w + x) * c + k]);
    let of_window = |y: usize, x: usize, k: usize| {
        let mut sums = [0.0; 5];
        for (i, j) in (0..size).flat_map(|i| (0..size).map(move |j| (i, j))) {
            let (p, q, share) = (at(a, y + i, x + j, k), at(b, y + i, x + j, k), weight(i, j));
            sums.iter_mut().zip([p, q, p * p, q * q, p * q]).for_each(|(sum, v)| *sum += share * v);
        }
        let [ma, mb, aa, bb, ab] = sums;
        let [va, vb, cov] = [aa - ma * ma, bb - mb * mb, ab - ma * mb];
        (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    };
    let places: Vec<(usize, usize, usize)> =
        (0..=h - size).flat_map(|y| (0..=w - size).flat_map(move |x| (0..c).map(move |k| (y, x, k)))).collect();
    places.iter().map(|(y, x, k)| of_window(*y, *x, *k)).sum::<f64>() / places.len() as f64
}

/// Colourfulness of an image `[H, W, 3]` (Hasler and Süsstrunk, 2003), in units of 255: 0 of a grey one, about 15 of one slightly coloured, 33 of a moderately and 59 of a
/// quite colourful one.
pub fn colourfulness(image: &[f32]) -> f64 {
    let opponents = image.chunks_exact(3).map(|p| {
        let [r, g, b] = [p[0], p[1], p[2]].map(|v| 255.0 * f64::from(v));
        [r - g, (r + g) / 2.0 - b]
    });
    let mut sums = [[0.0; 2]; 2];
    let mut count = 0.0;
    for opponent in opponents {
        count += 1.0;
        for (sum, v) in sums.iter_mut().zip(opponent) {
            sum[0] += v;
            sum[1] += v * v;
        }
    }
    let [[ma, va], [mb, vb]] = sums.map(|[sum, squares]: [f64; 2]| [sum / count, (squares / count - (sum / count).powi(2)).max(0.0)]);
    (va + vb).sqrt() + 0.3 * ma.hypot(mb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_of_copies_are_those_of_their_definitions() {
        let image: Vec<f32> = (0..16 * 16 * 3).map(|i| 0.5 + 0.4 * (i as f32 * 0.7).sin()).collect();
        let darker: Vec<f32> = image.iter().map(|v| v - 0.1).collect();
        assert!((psnr(&image, &darker) - 20.0).abs() < 1e-4 && psnr(&image, &image).is_infinite());
        let dims = [16, 16, 3];
        assert!((ssim(&image, &image, dims) - 1.0).abs() < 1e-9);
        assert!(ssim(&image, &darker, dims) > 0.9 && ssim(&image, &darker, dims) < 0.999);
        let turned: Vec<f32> = image.iter().map(|v| 1.0 - v).collect();
        assert!(ssim(&image, &turned, dims) < 0.0);
        // Of plain images it is the factor of the means alone.
        let [a, b] = [0.2f32, 0.6].map(|v| vec![v; 64]);
        let expected = (2.0 * 0.12 + 1e-4) / (0.4 + 1e-4);
        assert!((ssim(&a, &b, [8, 8, 1]) - expected).abs() < 1e-6);
    }

    #[test]
    fn grey_is_not_colourful_and_red_is() {
        let grey: Vec<f32> = (0..64).flat_map(|i| [i as f32 / 64.0; 3]).collect();
        assert!(colourfulness(&grey) < 1e-6);
        let red = [1.0, 0.0, 0.0].repeat(16);
        assert!((colourfulness(&red) - 0.3 * 255f64.hypot(127.5)).abs() < 1e-6);
    }
}
