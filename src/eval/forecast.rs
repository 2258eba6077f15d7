//! Forecasts that are samples: their bands, and how good they are once the truth is known.

/// Quantiles of a fan: the ends of the middle 90%, of the middle 50%, and the median between them.
pub const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// The quantile of sorted samples that lies a share `q` between the least and the greatest, on the line between its neighbours.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() as f64 - 1.0);
    let (below, share) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + share * (sorted[above] - sorted[below])
}

/// The continuous ranked probability score of sorted samples, in their unit: E|x − truth| − E|x − x′|/2 over their empirical distribution
/// (Gneiting and Raftery, 2007, "Strictly proper scoring rules, prediction, and estimation", equation 21). Of one sample it is the distance.
pub fn crps(sorted: &[f64], truth: f64) -> f64 {
    let n = sorted.len() as f64;
    let distance = sorted.iter().map(|x| (x - truth).abs()).sum::<f64>() / n;
    let spread = sorted.iter().enumerate().map(|(i, x)| x * (2.0 * i as f64 - n + 1.0)).sum::<f64>() / (n * n);
    distance - spread
}

/// How good forecasts of many steps were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skill {
    /// Values that were forecast.
    pub count: usize,
    crps: f64,
    inside: [usize; 2],
}

impl Skill {
    /// Counts a forecast of one value by sorted samples.
    pub fn add(&mut self, sorted: &[f64], truth: f64) {
        self.count += 1;
        self.crps += crps(sorted, truth);
        for (inside, [low, high]) in self.inside.iter_mut().zip([[0.25, 0.75], [0.05, 0.95]]) {
            *inside += usize::from((quantile(sorted, low)..=quantile(sorted, high)).contains(&truth));
        }
    }

    /// The mean score.
    pub fn crps(&self) -> f64 {
        self.crps / self.count as f64
    }

    /// Shares of the values that lay in the middle 50% and 90% of their forecasts.
    pub fn coverage(&self) -> [f64; 2] {
        self.inside.map(|inside| inside as f64 / self.count as f64)
    }
}

/// The forecast of step `ahead` (from 1) behind a beginning that nothing has learnt: the value the least number of whole seasons before it,
/// which with a season of 1 is the last, plus each error that this made within the beginning. Sorted; with no room for an error, the
/// value alone.
pub fn naive(beginning: &[f64], ahead: usize, season: usize) -> Vec<f64> {
    let back = season * ahead.div_ceil(season);
    let len = beginning.len();
    // Where the beginning is shorter than a season its first value is the nearest.
    let value = beginning[(len + ahead).saturating_sub(back + 1).min(len - 1)];
    let mut made: Vec<f64> = (back..len).map(|at| value + beginning[at] - beginning[at - back]).collect();
    if made.is_empty() {
        made.push(value);
    }
    made.sort_by(f64::total_cmp);
    made
}

/// The season of series that begin alike: the lag of the first peak of their autocorrelation behind the first lag where it is negative that
/// is within a twentieth of the highest, if there is one within half of a beginning.
pub fn season(beginnings: &[Vec<f64>]) -> Option<usize> {
    let half = beginnings.iter().map(Vec::len).min()? / 2;
    let at = |lag: usize| -> f64 {
        let of = |series: &Vec<f64>| {
            let mean = series.iter().sum::<f64>() / series.len() as f64;
            series.iter().zip(&series[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / (series.len() - lag) as f64
        };
        beginnings.iter().map(of).sum()
    };
    let first = (1..=half).find(|lag| at(*lag) < 0.0)?;
    let found: Vec<f64> = (first..=half).map(at).collect();
    let top = found.iter().copied().fold(0.0, f64::max);
    // Two seasons are as alike as one: the first peak that is nearly as high as the highest.
    let peak = |k: &usize| found[*k] >= 0.95 * top && found.get(k + 1).is_none_or(|next| found[*k] >= *next);
    (0..found.len()).filter(|_| top > 0.0).find(peak).map(|k| first + k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_scores_are_those_worked_out_by_hand() {
        let samples = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(QUANTILES.map(|q| quantile(&samples, q)), [0.2, 1.0, 2.0, 3.0, 3.8]);
        assert_eq!(crps(&[1.5], 4.0), 2.5);
        // E|x − 2| = 6/5; E|x − x′| = 2·20/25.
        assert!((crps(&samples, 2.0) - (1.2 - 0.8)).abs() < 1e-12);
    }

    #[test]
    fn the_score_of_the_true_distribution_is_the_least_and_its_bands_cover_what_they_say() {
        let mut draws = crate::random::Draws::new(5, 1, 0);
        let mut normals = |count: usize, scale: f64| -> Vec<f64> {
            let mut made: Vec<f64> = (0..count).map(|_| scale * f64::from(draws.normal())).collect();
            made.sort_by(f64::total_cmp);
            made
        };
        let truths = normals(2000, 1.0);
        let of = |samples: &[f64]| {
            let mut skill = Skill::default();
            truths.iter().for_each(|truth| skill.add(samples, *truth));
            skill
        };
        let [narrow, right, wide] = [0.5, 1.0, 2.0].map(|scale| of(&normals(4000, scale)));
        assert!(right.crps() < narrow.crps() && right.crps() < wide.crps());
        // 1/√π of a standard normal (Gneiting and Raftery, 2007).
        assert!((right.crps() - 1.0 / std::f64::consts::PI.sqrt()).abs() < 0.02, "{}", right.crps());
        let [half, most] = right.coverage();
        assert!((half - 0.5).abs() < 0.04 && (most - 0.9).abs() < 0.03, "{half} {most}");
    }

    #[test]
    fn a_season_is_found_and_carried_on() {
        let wave: Vec<f64> = (0..80).map(|t| [0.0, 3.0, 1.0, -4.0, -2.0, 1.0, 1.0, 0.0][t % 8]).collect();
        assert_eq!(season(std::slice::from_ref(&wave)), Some(8));
        assert_eq!(season(&[vec![1.0; 40]]), None);
        for ahead in 1..30 {
            assert!(naive(&wave, ahead, 8).iter().all(|v| *v == wave[(ahead - 1) % 8]), "{ahead}");
        }
        // The last value, and what changed over two steps.
        assert_eq!(naive(&[1.0, 2.0, 4.0, 4.0], 2, 1), [6.0, 7.0]);
        assert_eq!(naive(&[5.0], 3, 1), [5.0]);
    }
}
