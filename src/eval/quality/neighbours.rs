//! What nearest neighbours say: precision and recall (Kynkäänniemi et al., 2019), the two-sample test (Lopez-Paz and Oquab, 2017), and
//! copies of training items.

use crate::native::distance::{FROM, Panels, TO};
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

/// Numbers of the rows that are packed at once: what stays near while all others are measured against it.
const PACKED: usize = 1 << 17;
/// Neighbours that reach as far as an item does.
const REACH: usize = 3;

/// Measures each row of `from` against all of `to`, in order: `visit` is told a row's own state and number, the first of some rows of `to`, and
/// the squared distances to them. Rows whose state is not `open` are left out from then on.
fn scan<S: Send>(
    from: Rows<'_>,
    to: Rows<'_>,
    states: &mut [S],
    open: impl Fn(&S) -> bool,
    visit: impl Fn(&mut S, usize, usize, &[f32]) + Sync,
) {
    let count = (PACKED / to.width).next_multiple_of(TO).max(TO);
    for (block, rows) in to.values.chunks(count * to.width).enumerate() {
        let (panels, first) = (Panels::new(rows, to.width), block * count);
        let mut wanted: Vec<(usize, &mut S)> = states.iter_mut().enumerate().filter(|(_, state)| open(state)).collect();
        wanted.par_chunks_mut(FROM).for_each(|few| {
            let own: Vec<&[f32]> = few.iter().map(|(i, _)| from.row(*i)).collect();
            panels.distances(&own, |at, panel, distances| {
                let (i, state) = &mut few[at];
                visit(state, *i, first + panel, distances);
            });
        });
    }
}

/// The nearest row of `to` for each row of `from`: its number and its Euclidean distance.
pub fn nearest(from: Rows<'_>, to: Rows<'_>) -> Vec<(usize, f32)> {
    let mut best = vec![(0, f32::INFINITY); from.len()];
    scan(
        from,
        to,
        &mut best,
        |_| true,
        |best, _, first, distances| {
            for (j, d) in distances.iter().enumerate() {
                if *d < best.1 {
                    *best = (first + j, *d);
                }
            }
        },
    );
    best.into_iter().map(|(at, d)| (at, d.sqrt())).collect()
}

/// The squared distance of each row to its [`REACH`]-th nearest other row, or to the furthest where there are fewer; 0 of a single row.
fn reaches(rows: Rows<'_>) -> Vec<f32> {
    // The nearest, in order.
    let mut near = vec![[f32::INFINITY; REACH]; rows.len()];
    scan(
        rows,
        rows,
        &mut near,
        |_| true,
        |near, i, first, distances| {
            for (j, d) in distances.iter().enumerate() {
                if *d < near[REACH - 1] && first + j != i {
                    near[REACH - 1] = *d;
                    near.sort_unstable_by(f32::total_cmp);
                }
            }
        },
    );
    near.into_iter().map(|near| near.into_iter().rfind(|d| d.is_finite()).unwrap_or(0.0)).collect()
}

/// An item's reach is the distance to its third nearest neighbour in its own set.
pub fn precision_recall(data: Rows<'_>, generated: Rows<'_>) -> PrecisionRecall {
    let share = |of: Rows<'_>, within: Rows<'_>| {
        let reach = reaches(within);
        let mut inside = vec![false; of.len()];
        scan(
            of,
            within,
            &mut inside,
            |inside| !inside,
            |inside, _, first, distances| {
                *inside |= distances.iter().zip(&reach[first..]).any(|(d, reach)| d <= reach);
            },
        );
        inside.iter().filter(|inside| **inside).count() as f64 / of.len().max(1) as f64
    };
    PrecisionRecall { precision: share(generated, data), recall: share(data, generated) }
}

/// How often the nearest other item is of an item's own kind, over both sets: ½ where they cannot be told apart, 1 where they are
/// different, below ½ where generated items copy single data items. Sets should be of one size.
pub fn two_sample_accuracy(data: Rows<'_>, generated: Rows<'_>) -> f64 {
    let least = |of: Rows<'_>, to: Rows<'_>, but_itself: bool| {
        let mut least = vec![f32::INFINITY; of.len()];
        scan(
            of,
            to,
            &mut least,
            |_| true,
            |least, i, first, distances| {
                let other = |(j, _): &(usize, &f32)| !but_itself || first + j != i;
                *least = distances.iter().enumerate().filter(other).fold(*least, |least, (_, d)| least.min(*d));
            },
        );
        least
    };
    let hits = |of: Rows<'_>, other: Rows<'_>| {
        least(of, of, true).iter().zip(least(of, other, false)).filter(|(own, across)| *own < across).count()
    };
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
