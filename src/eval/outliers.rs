//! How well a score tells the data a model knows from data it does not.

use std::sync::Arc;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::data::{self, Binarization, Kind, Scale, Source};
use crate::error::{Error, Result};

/// Area under the receiver operating characteristic: the chance that an outlier's score is above an inlier's, ties counted half. 1 is
/// perfect, 0.5 blind, below 0.5 the wrong way round.
pub fn auroc(inliers: &[f64], outliers: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = inliers.iter().map(|v| (*v, false)).chain(outliers.iter().map(|v| (*v, true))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins, mut at) = (0.0, 0.0, 0);
    while at < all.len() {
        let tied = all[at..].iter().take_while(|(v, _)| *v == all[at].0).count();
        let positives = all[at..at + tied].iter().filter(|(_, outlier)| *outlier).count() as f64;
        let negatives = tied as f64 - positives;
        wins += positives * (below + 0.5 * negatives);
        below += negatives;
        at += tied;
    }
    wins / (inliers.len() as f64 * outliers.len() as f64)
}

/// The value that a share of `scores` lies above: as many of them as the share comes to, rounded, and one at least.
pub fn upper_quantile(scores: &[f64], share: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let above = ((share * sorted.len() as f64).round() as usize).clamp(1, sorted.len());
    if above == sorted.len() { f64::NEG_INFINITY } else { sorted[sorted.len() - above - 1] }
}

/// Between which shares the true one of `found` in `count` lies with a confidence of 95% (Wilson, 1927).
pub fn share_between(found: usize, count: usize) -> [f64; 2] {
    const Z: f64 = 1.959_963_985;
    let (n, p) = (count as f64, found as f64 / count as f64);
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    [centre - spread, centre + spread].map(|edge| (edge / (1.0 + Z * Z / n)).clamp(0.0, 1.0))
}

/// Nats that each image of a source takes as a PNG, as it is binarized (Serrà et al., 2020, "Input complexity and out-of-distribution
/// detection with likelihood-based generative models").
///
/// # Errors
/// [`Error::Usage`] where it holds no images of grey or of three colours; errors of the source.
pub fn complexity(source: &Arc<dyn Source>, binarization: Binarization, seed: u64) -> Result<Vec<f64>> {
    let [h, w, c] = source.dims();
    let colour = match (source.kind(), c) {
        (Kind::Pixels | Kind::Binary, 1) => ExtendedColorType::L8,
        (Kind::Pixels | Kind::Binary, 3) => ExtendedColorType::Rgb8,
        _ => return Err(Error::usage(format!("{} holds no images of grey or of three colours, which a PNG could hold", source.name()))),
    };
    let failed = |e: image::ImageError| Error::format(source.name(), format!("an image cannot be written as PNG: {e}"));
    let mut nats = Vec::with_capacity(source.len());
    for batch in data::sequential(Arc::clone(source), 250, seed, binarization, Scale::Levels) {
        for image in batch?.values.chunks(h * w * c) {
            let bytes: Vec<u8> = image.iter().map(|v| v.round() as u8).collect();
            let mut written = Vec::new();
            let encoder = PngEncoder::new_with_quality(&mut written, CompressionType::Best, FilterType::Adaptive);
            encoder.write_image(&bytes, w as u32, h as u32, colour).map_err(failed)?;
            nats.push(written.len() as f64 * 8.0 * std::f64::consts::LN_2);
        }
    }
    Ok(nats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auroc_counts_pairs_and_halves_ties() {
        assert_eq!(auroc(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(auroc(&[3.0, 4.0], &[1.0, 2.0]), 0.0);
        assert_eq!(auroc(&[1.0, 1.0], &[1.0]), 0.5);
        assert_eq!(auroc(&[1.0, 3.0], &[2.0, 3.0]), 0.625);
    }

    #[test]
    fn a_quantile_leaves_its_share_above_and_an_interval_holds_the_share() {
        let scores: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        let above = |share: f64| scores.iter().filter(|s| **s > upper_quantile(&scores, share)).count();
        assert_eq!([above(0.01), above(0.1), above(0.0), above(1.0)], [10, 100, 1, 1000]);
        // Wilson's interval of 1 in 100, from his formula.
        let [low, high] = share_between(1, 100);
        assert!((low - 0.001_767).abs() < 1e-5 && (high - 0.054_486).abs() < 1e-5, "{low} {high}");
        assert!(share_between(0, 50)[0] == 0.0 && share_between(50, 50)[1] == 1.0);
    }

    #[test]
    fn what_is_noisy_takes_more_nats_than_what_is_plain() -> Result<()> {
        use crate::data::{OpenOptions, Split, open};
        let digits = open("builtin:digits", Split::Test, &OpenOptions { limit: Some(20), ..OpenOptions::default() })?;
        let mean = |how| complexity(&digits, how, 1).map(|nats| nats.iter().sum::<f64>() / nats.len() as f64);
        let (grey, plain) = (mean(Binarization::None)?, mean(Binarization::Threshold)?);
        assert!(plain > 300.0 && grey > plain, "{plain} {grey}");
        let points = open("builtin:gaussians8", Split::Test, &OpenOptions::default())?;
        assert!(complexity(&points, Binarization::None, 1).is_err());
        Ok(())
    }
}
