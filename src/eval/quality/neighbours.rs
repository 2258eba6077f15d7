//! What nearest neighbours say: precision and recall (Kynkäänniemi et al., 2019), the two-sample test (Lopez-Paz and Oquab, 2017), and
//! copies of training items.

use crate::parallel::prelude::*;

use super::Rows;

/// Share of generated items among the data, and of data among the generated items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Generated items within the reach of a data item.
    pub precision: f64,
    /// Data items within the reach of a generated one.
    pub recall: f64,
}

fn squared(x: &[f32], y: &[f32]) -> f32 {
    // Eight sums side by side, which the compiler turns into vectors.
    let mut sums = [0.0f32; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(a, b)| (a - b) * (a - b)).sum();
    for (a, b) in xs.zip(ys) {
        for i in 0..8 {
            let d = a[i] - b[i];
            sums[i] += d * d;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The nearest row of `to` for each row of `from`: its number and its Euclidean distance.
pub fn nearest(from: Rows<'_>, to: Rows<'_>) -> Vec<(usize, f32)> {
    let of = |i: usize| {
        let distances = (0..to.len()).map(|j| (j, squared(from.row(i), to.row(j))));
        let (at, d) = distances.fold((0, f32::INFINITY), |best, next| if next.1 < best.1 { next } else { best });
        (at, d.sqrt())
    };
    (0..from.len()).into_par_iter().map(of).collect()
}

/// The squared distance of each row to its `k`-th nearest other row.
fn reaches(rows: Rows<'_>, k: usize) -> Vec<f32> {
    let of = |i: usize| {
        let mut distances: Vec<f32> = (0..rows.len()).filter(|j| *j != i).map(|j| squared(rows.row(i), rows.row(j))).collect();
        let k = k.min(distances.len());
        if k == 0 {
            return 0.0;
        }
        *distances.select_nth_unstable_by(k - 1, f32::total_cmp).1
    };
    (0..rows.len()).into_par_iter().map(of).collect()
}

/// An item's reach is the distance to its third nearest neighbour in its own set.
pub fn precision_recall(data: Rows<'_>, generated: Rows<'_>) -> PrecisionRecall {
    let share = |of: Rows<'_>, within: Rows<'_>| {
        let reach = reaches(within, 3);
        let inside = |i: &usize| (0..within.len()).any(|j| squared(of.row(*i), within.row(j)) <= reach[j]);
        (0..of.len()).into_par_iter().filter(inside).count() as f64 / of.len().max(1) as f64
    };
    PrecisionRecall { precision: share(generated, data), recall: share(data, generated) }
}

/// How often the nearest other item is of an item's own kind, over both sets: ½ where they cannot be told apart, 1 where they are
/// different, below ½ where generated items copy single data items. Sets should be of one size.
pub fn two_sample_accuracy(data: Rows<'_>, generated: Rows<'_>) -> f64 {
    let own = |of: Rows<'_>, other: Rows<'_>, i: usize| {
        let within = (0..of.len()).filter(|j| *j != i).map(|j| squared(of.row(i), of.row(j))).fold(f32::INFINITY, f32::min);
        let across = (0..other.len()).map(|j| squared(of.row(i), other.row(j))).fold(f32::INFINITY, f32::min);
        within < across
    };
    let hits = |of: Rows<'_>, other: Rows<'_>| (0..of.len()).into_par_iter().filter(|i| own(of, other, *i)).count();
    (hits(data, generated) + hits(generated, data)) as f64 / (data.len() + generated.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Draws;

    fn normals(seed: u64, shift: f32) -> Vec<f32> {
        let mut draws = Draws::new(seed, 0, 0);
        (0..2 * 600).map(|_| shift + draws.normal()).collect()
    }

    #[test]
    fn like_sets_cannot_be_told_apart_and_others_can() {
        let (a, b, far) = (normals(1, 0.0), normals(2, 0.0), normals(3, 9.0));
        let (a, b, far) = (Rows::new(&a, 2), Rows::new(&b, 2), Rows::new(&far, 2));
        assert!((two_sample_accuracy(a, b) - 0.5).abs() < 0.05);
        assert_eq!(two_sample_accuracy(a, far), 1.0);
        let PrecisionRecall { precision, recall } = precision_recall(a, b);
        assert!(precision > 0.9 && recall > 0.9, "{precision} {recall}");
        assert_eq!(precision_recall(a, far), PrecisionRecall { precision: 0.0, recall: 0.0 });
    }

    #[test]
    fn a_collapsed_set_is_precise_and_recalls_little() {
        let data = normals(1, 0.0);
        let collapsed: Vec<f32> = data[..2 * 600].chunks(2).cycle().step_by(7).take(600).flat_map(|p| [p[0] * 0.1, p[1] * 0.1]).collect();
        let found = precision_recall(Rows::new(&data, 2), Rows::new(&collapsed, 2));
        assert!(found.precision > 0.9 && found.recall < 0.2, "{found:?}");
    }

    #[test]
    fn a_copy_is_at_distance_zero() {
        let data = normals(1, 0.0);
        let copies = &data[10..14];
        assert_eq!(nearest(Rows::new(copies, 2), Rows::new(&data, 2)), [(5, 0.0), (6, 0.0)]);
    }
}
