//! How noise is added to an item, level by level, and how a network is asked to take it away.
//!
//! A noised item is x = α·x₀ + σ·ε with ε standard normal. Every process here is a way from (1, 0) to all but noise, and every network
//! is asked for a mixture of x₀ and ε, so that x̂₀ = skip·x + out·F(input·x, time): what differs between ε, v, x₀, EDM and flow matching
//! are four numbers a level ([`Process::head`]).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much noise there is at which time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Variances of single steps rise in a line from 10⁻⁴ to .02 over 1,000 steps (Ho, Jain and Abbeel, 2020).
    Linear,
    /// The mean falls by half a cosine (Nichol and Dhariwal, 2021, s = .008, variances of single steps at most .999).
    #[default]
    Cosine,
    /// x₀ + σ·ε with ln σ normal while training, and σ from 80 to .002 while drawing (Karras et al., 2022).
    Edm,
    /// (1 − t)·x₀ + t·ε (Liu, Gong and Liu, 2022; Lipman et al., 2022): rectified flow.
    Flow,
}

/// What the network is asked for, of linear and cosine schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The noise ε.
    Eps,
    /// α·ε − σ·x₀ (Salimans and Ho, 2022).
    #[default]
    V,
    /// The item x₀.
    X0,
}

/// The variance of a step back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variance {
    /// That of the posterior given x₀, β̃: right where the data is a point.
    #[default]
    FixedSmall,
    /// That of the step itself, β: right where the data is normal.
    FixedLarge,
    /// Between the two, element by element, as the network says (Nichol and Dhariwal, 2021, equation 15).
    Learnt,
}

/// How much of an item and how much noise there is, and the time the network is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Factor of the item.
    pub alpha: f64,
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// What the network is told, in 0..1000.
    pub time: f64,
}

/// What x̂₀ is made of at a level: skip·x + out·F(input·x, time).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// Factor of what the network reads.
    pub input: f64,
    /// The time it is told.
    pub time: f64,
    /// Factor of the noised item.
    pub skip: f64,
    /// Factor of what the network says.
    pub out: f64,
}

/// A step back from a level t to one with less noise, s: p(x_s | x_t, x₀) is normal around of_item·x₀ + of_noised·x_t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Back {
    /// Factor of the item.
    pub of_item: f64,
    /// Factor of the noised item.
    pub of_noised: f64,
    /// Its variance, β̃; 0 where s is clean.
    pub small: f64,
    /// The variance of the step from s to t, β, in units of x_s where α falls.
    pub large: f64,
}

/// A noising process and what its network is asked for.
#[derive(Clone, Debug)]
pub struct Process {
    schedule: Schedule,
    target: Target,
    /// ᾱ of each step, from the least noise up; empty where time is continuous.
    kept: Vec<f64>,
}

/// Standard deviation that data is taken to have (Karras et al., 2022, table 1).
pub const SIGMA_DATA: f64 = 0.5;
/// Mean and standard deviation of ln σ while an EDM network is trained.
pub const LOG_SIGMA: [f64; 2] = [-1.2, 1.2];
/// The least and the most noise an EDM run draws with.
pub const SIGMAS: [f64; 2] = [0.002, 80.0];
/// How much denser small σ lie (Karras et al., 2022, ρ).
const RHO: f64 = 7.0;
/// The last of the times a network is told.
pub const TIMES: f64 = 1000.0;

impl Level {
    /// No noise.
    pub const CLEAN: Self = Self { alpha: 1.0, sigma: 0.0, time: 0.0 };

    /// ln α/σ, half the logarithm of the ratio of signal to noise.
    pub fn lambda(&self) -> f64 {
        (self.alpha / self.sigma).ln()
    }
}

impl Head {
    /// The row that a graph reads.
    pub fn row(&self) -> [f32; 4] {
        [self.input, self.time, self.skip, self.out].map(|v| v as f32)
    }
}

impl Process {
    /// A process of `steps` steps, where it goes in steps.
    pub fn new(schedule: Schedule, target: Target, steps: usize) -> Self {
        let kept = match schedule {
            Schedule::Linear => {
                let scale = 1000.0 / steps as f64;
                let beta = |i: usize| (1e-4 + (0.02 - 1e-4) * i as f64 / (steps.max(2) - 1) as f64) * scale;
                products((0..steps).map(|i| beta(i).min(MOST_BETA)))
            }
            Schedule::Cosine => {
                let mean = |i: usize| (((i as f64 / steps as f64 + 0.008) / 1.008) * std::f64::consts::FRAC_PI_2).cos().powi(2);
                products((0..steps).map(|i| (1.0 - mean(i + 1) / mean(i)).min(MOST_BETA)))
            }
            Schedule::Edm | Schedule::Flow => Vec::new(),
        };
        Self { schedule, target, kept }
    }

    /// The schedule.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Steps it goes in; 0 where its time is continuous.
    pub fn steps(&self) -> usize {
        self.kept.len()
    }

    /// The level of step `t` (from 0), of a process that goes in steps.
    pub fn step(&self, t: usize) -> Level {
        let kept = self.kept[t];
        Level { alpha: kept.sqrt(), sigma: (1.0 - kept).sqrt(), time: t as f64 * TIMES / self.kept.len() as f64 }
    }

    /// The level with noise σ of α = 1, of the continuous EDM process.
    fn edm(sigma: f64) -> Level {
        Level { alpha: 1.0, sigma, time: edm_time(sigma.ln()) }
    }

    /// `count` levels from all noise down, and the clean one behind them: what a job of `count` steps goes through. Of a process in steps they
    /// are its own, evenly spread from the last to the first (all of them where `count` is their number); σ of the EDM process follows
    /// the power of Karras et al., 2022, equation 5; flows go in equal steps.
    pub fn levels(&self, count: usize) -> Vec<Level> {
        let last = (count.max(2) - 1) as f64;
        let level = |i: usize| match self.schedule {
            Schedule::Linear | Schedule::Cosine => {
                let top = (self.kept.len() - 1) as f64;
                self.step((top - top * i as f64 / last).round() as usize)
            }
            Schedule::Edm => {
                let [least, most] = SIGMAS.map(|s| s.powf(1.0 / RHO));
                Self::edm((most + (least - most) * i as f64 / last).powf(RHO))
            }
            Schedule::Flow => {
                let t = 1.0 - i as f64 / count as f64;
                Level { alpha: 1.0 - t, sigma: t, time: t * TIMES }
            }
        };
        (0..count).map(level).chain([Level::CLEAN]).collect()
    }

    /// `count` levels from all noise down, and the clean one behind them, in equal steps of ln α/σ, as nearly as there are such levels: what a
    /// step costs a bound depends on the ratio of signal to noise alone, and so does the error of solvers of second order (Lu et al.,
    /// 2022). Of a process in steps they are its own, all of them where `count` is their number.
    pub fn ladder(&self, count: usize) -> Vec<Level> {
        let last = (count.max(2) - 1) as f64;
        let [least, most] = SIGMAS;
        let levels: Vec<Level> = match self.schedule {
            Schedule::Linear | Schedule::Cosine => self.rungs(count).into_iter().map(|t| self.step(t)).collect(),
            Schedule::Edm => (0..count).map(|i| Self::edm((most.ln() + (least / most).ln() * i as f64 / last).exp())).collect(),
            Schedule::Flow => {
                // From 1 − least to least, as many nats of α/σ on either side of the middle.
                let ends = ((1.0 - least) / least).ln();
                let time = |i: usize| 1.0 / (1.0 + (-ends + 2.0 * ends * i as f64 / last).exp());
                (0..count).map(time).map(|t| Level { alpha: 1.0 - t, sigma: t, time: t * TIMES }).collect()
            }
        };
        levels.into_iter().chain([Level::CLEAN]).collect()
    }

    /// `count` different steps from the last to the first, each the nearest to its rung that leaves one for every rung below.
    fn rungs(&self, count: usize) -> Vec<usize> {
        let lambda: Vec<f64> = (0..self.kept.len()).map(|t| self.step(t).lambda()).collect();
        let (top, bottom) = (lambda[lambda.len() - 1], lambda[0]);
        let mut above = self.kept.len();
        let rung = |i: usize| {
            let wanted = top + (bottom - top) * i as f64 / (count.max(2) - 1) as f64;
            let at = lambda.partition_point(|l| *l > wanted);
            let nearest = if at > 0 && (at == lambda.len() || lambda[at - 1] - wanted < wanted - lambda[at]) { at - 1 } else { at };
            above = nearest.clamp(count - 1 - i, above - 1);
            above
        };
        (0..count).map(rung).collect()
    }

    /// The step back from a level to one with less noise.
    pub fn back(&self, from: Level, to: Level) -> Back {
        // x_t = falls·x_s + √β·ε (Kingma et al., 2021, appendix A).
        let falls = from.alpha / to.alpha;
        let beta = from.sigma.powi(2) - (falls * to.sigma).powi(2);
        let noise = from.sigma.powi(2);
        let [of_item, of_noised] = [to.alpha * beta / noise, falls * to.sigma.powi(2) / noise];
        Back { of_item, of_noised, small: beta * to.sigma.powi(2) / noise, large: beta }
    }

    /// How the network's answer becomes x̂₀ at a level.
    pub fn head(&self, level: Level) -> Head {
        let Level { alpha, sigma, time } = level;
        let (input, skip, out) = match (self.schedule, self.target) {
            (Schedule::Edm, _) => {
                let both = sigma * sigma + SIGMA_DATA * SIGMA_DATA;
                (both.sqrt().recip(), SIGMA_DATA * SIGMA_DATA / both, sigma * SIGMA_DATA / both.sqrt())
            }
            (Schedule::Flow, _) => (1.0, 1.0, -sigma),
            (_, Target::Eps) => (1.0, 1.0 / alpha, -sigma / alpha),
            (_, Target::V) => (1.0, alpha, -sigma),
            (_, Target::X0) => (1.0, 0.0, 1.0),
        };
        Head { input, time, skip, out }
    }

    /// Factors of x₀ and of ε in what the network is asked for at a level: (x₀ − skip·x) / out.
    pub fn asked(&self, level: Level) -> [f64; 2] {
        let Level { alpha, sigma, .. } = level;
        match (self.schedule, self.target) {
            (Schedule::Edm, _) => {
                let Head { skip, out, .. } = self.head(level);
                [(1.0 - skip) / out, -skip * sigma / out]
            }
            (Schedule::Flow, _) => [-1.0, 1.0],
            (_, Target::Eps) => [0.0, 1.0],
            (_, Target::V) => [-sigma, alpha],
            (_, Target::X0) => [1.0, 0.0],
        }
    }
}

/// The time an EDM network is told of ln σ: 0 to 1000 over the σ that are drawn with.
fn edm_time(log_sigma: f64) -> f64 {
    let [least, most] = SIGMAS.map(f64::ln);
    TIMES * (log_sigma - least) / (most - least)
}

/// The largest variance of a single step.
const MOST_BETA: f64 = 0.999;

/// ᾱ of each step from the variances of the steps.
fn products(betas: impl Iterator<Item = f64>) -> Vec<f64> {
    betas
        .scan(1.0, |kept, beta| {
            *kept *= 1.0 - beta;
            Some(*kept)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_those_of_the_papers() {
        let linear = Process::new(Schedule::Linear, Target::Eps, 1000);
        let last = linear.step(999);
        assert!((last.alpha.powi(2) - 4.035_829_765e-5).abs() < 1e-12, "{last:?}");
        let cosine = Process::new(Schedule::Cosine, Target::V, 1000);
        assert!((cosine.step(0).alpha.powi(2) - 0.999_958_71).abs() < 1e-7);
        // Half way, half of the variance is noise, about.
        assert!((cosine.step(499).alpha.powi(2) - 0.4938).abs() < 1e-3);
        for process in [linear, cosine] {
            let levels = process.levels(1000);
            assert_eq!(levels.len(), 1001);
            assert!((0..1000).all(|i| levels[i] == process.step(999 - i)), "a job of all steps goes through each");
            assert_eq!(levels, process.ladder(1000));
            for count in [2, 10, 37, 999] {
                let ladder = process.ladder(count);
                assert_eq!((ladder.len(), ladder[0]), (count + 1, process.step(999)));
                assert!(ladder.windows(2).all(|pair| pair[0].sigma > pair[1].sigma), "{count} different levels");
            }
            assert!(levels.iter().all(|l| (l.alpha.powi(2) + l.sigma.powi(2) - 1.0).abs() < 1e-12));
        }
    }

    #[test]
    fn a_perfect_answer_gives_the_item_back() {
        let (x0, noise) = (0.7, -1.3);
        for (schedule, target) in [
            (Schedule::Linear, Target::Eps),
            (Schedule::Cosine, Target::V),
            (Schedule::Cosine, Target::X0),
            (Schedule::Edm, Target::V),
            (Schedule::Flow, Target::V),
        ] {
            let process = Process::new(schedule, target, 1000);
            for level in process.levels(20).into_iter().filter(|l| l.sigma > 0.0 && (l.alpha > 0.0 || schedule == Schedule::Flow)) {
                let x = level.alpha * x0 + level.sigma * noise;
                let [of_item, of_noise] = process.asked(level);
                let head = process.head(level);
                let found = head.skip * x + head.out * (of_item * x0 + of_noise * noise);
                assert!((found - x0).abs() < 1e-9, "{schedule:?} {target:?} {level:?}: {found}");
            }
        }
    }

    #[test]
    fn levels_of_the_continuous_processes_begin_in_noise() {
        let edm = Process::new(Schedule::Edm, Target::V, 1000).levels(18);
        assert!((edm[0].sigma - 80.0).abs() < 1e-9 && (edm[17].sigma - 0.002).abs() < 1e-9 && edm[18] == Level::CLEAN);
        assert!((edm[0].time - 1000.0).abs() < 1e-6 && edm[17].time.abs() < 1e-6);
        let flow = Process::new(Schedule::Flow, Target::V, 1000).levels(4);
        assert_eq!(flow.iter().map(|l| l.sigma).collect::<Vec<_>>(), [1.0, 0.75, 0.5, 0.25, 0.0]);
    }
}
