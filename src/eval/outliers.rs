//! How well a score tells the data a model knows from data it does not.

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
}
