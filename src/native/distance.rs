//! Squared distances from a few rows to many, a register tile at a time.
//!
//! Differences are squared and added in order of the columns, so equal rows are at a distance of exactly zero, the distance of two rows is the
//! same both ways, and none depends on how the work was cut.

use super::simd;
use crate::parallel::prelude::*;

/// Rows that distances are taken from at once, at most.
pub(crate) const FROM: usize = 8;
/// Rows of a panel.
pub(crate) const TO: usize = 16;

/// Rows that distances are taken to, sixteen side by side.
pub(crate) struct Panels {
    /// For each panel and column the values of its rows; those beyond the last row are zeros.
    values: Vec<f32>,
    rows: usize,
    width: usize,
}

impl Panels {
    /// Packs rows of `width` numbers, at least 1.
    pub(crate) fn new(rows: &[f32], width: usize) -> Self {
        let count = rows.len() / width;
        let mut values = vec![0.0; count.div_ceil(TO) * TO * width];
        values.par_chunks_exact_mut(TO * width).zip(rows.par_chunks(TO * width)).for_each(|(panel, rows)| {
            for (j, row) in rows.chunks_exact(width).enumerate() {
                panel.iter_mut().skip(j).step_by(TO).zip(row).for_each(|(to, from)| *to = *from);
            }
        });
        Self { values, rows: count, width }
    }

    /// Tells `visit`, for each of up to [`FROM`] rows, its number among them, the first row of a panel, and the squared distances to the rows
    /// of that panel.
    pub(crate) fn distances(&self, from: &[&[f32]], mut visit: impl FnMut(usize, usize, &[f32])) {
        let mut beside = vec![[0.0; FROM]; self.width];
        for (i, row) in from.iter().enumerate() {
            beside.iter_mut().zip(*row).for_each(|(column, v)| column[i] = *v);
        }
        for (number, panel) in self.values.as_chunks::<TO>().0.chunks_exact(self.width).enumerate() {
            let mut sums = [[0.0; TO]; FROM];
            simd::distances(&beside, panel, &mut sums);
            let used = TO.min(self.rows - number * TO);
            for (i, sums) in sums.iter().take(from.len()).enumerate() {
                visit(i, number * TO, &sums[..used]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Draws;

    #[test]
    fn every_pair_is_visited_once_with_its_distance() {
        for (from, to, width) in [(1, 1, 1), (3, 16, 5), (8, 33, 17), (5, 40, 128)] {
            let mut draws = Draws::new(1, 0, 0);
            let mut rows = |count: usize| (0..count * width).map(|_| draws.normal()).collect::<Vec<f32>>();
            let (a, b) = (rows(from), rows(to));
            let mut found = vec![f32::NAN; from * to];
            let few: Vec<&[f32]> = a.chunks(width).collect();
            Panels::new(&b, width).distances(&few, |i, first, distances| {
                for (j, d) in distances.iter().enumerate() {
                    assert!(found[i * to + first + j].is_nan());
                    found[i * to + first + j] = *d;
                }
            });
            for (at, d) in found.iter().enumerate() {
                let pair = a[at / to * width..][..width].iter().zip(&b[at % to * width..][..width]);
                let due: f64 = pair.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                assert!((f64::from(*d) - due).abs() < 1e-5 * due.max(1.0), "{d} {due}");
            }
        }
    }

    #[test]
    fn equal_rows_are_at_no_distance() {
        let rows: Vec<f32> = (0..20 * 9).map(|i| (i as f32 * 0.37).sin()).collect();
        Panels::new(&rows, 9).distances(&[&rows[9 * 18..9 * 19]], |_, first, distances| {
            assert!(distances.iter().enumerate().all(|(j, d)| (*d == 0.0) == (first + j == 18)));
        });
    }
}
