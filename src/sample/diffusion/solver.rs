//! Ways from noise to items. Each is a list of moves: at a level the network is asked what the item is, and the next point is a sum of the
//! point it was asked at, the one the step began at, this answer, the one before, and fresh noise. What differs are the factors, so one
//! graph serves all of them.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::model::noise::{Head, Level, Process, Schedule, Variance};

/// The ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solver {
    /// Steps back as they were learnt, with fresh noise in each (Ho, Jain and Abbeel, 2020, algorithm 2).
    Ddpm,
    /// Song, Meng and Ermon, 2021: as much fresh noise as `eta` says, none by default.
    Ddim,
    /// DPM-Solver++(2M) (Lu et al., 2022): of second order, by the answer before.
    Dpm,
    /// Heun's method (Karras et al., 2022, algorithm 1 without churn): of second order, asking twice a step.
    Heun,
    /// Straight steps along the flow; DDIM without noise is the same.
    Euler,
}

impl Solver {
    /// Every solver.
    pub const ALL: [Self; 5] = [Self::Ddpm, Self::Ddim, Self::Dpm, Self::Heun, Self::Euler];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddpm => "ddpm",
            Self::Ddim => "ddim",
            Self::Dpm => "dpm",
            Self::Heun => "heun",
            Self::Euler => "euler",
        }
    }
}

impl FromStr for Solver {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|s| s.name() == word)
            .ok_or_else(|| Error::usage(format!("there is no sampler {word}; there are {names}")))
    }
}

/// One question to the network and where it leads: next = base·b + at·x + item·x̂₀ + before·x̂₀′ + noise·z, with b where the step began, x where
/// the network was asked, x̂₀′ its answer before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    /// The level the network is asked at.
    pub level: Level,
    /// The level of what it leads to.
    pub to: Level,
    /// How its answer becomes x̂₀.
    pub head: Head,
    /// Factor of the point where the step began.
    pub base: f64,
    /// Factor of the point the network was asked at.
    pub at: f64,
    /// Factor of x̂₀.
    pub item: f64,
    /// Factor of x̂₀ before.
    pub before: f64,
    /// Standard deviation of fresh noise, where the variance is not learnt.
    pub noise: f64,
    /// Logarithms of the small and the large variance between which it was learnt.
    pub learnt: Option<[f64; 2]>,
    /// Whether a step ends here, so that the next begins.
    pub ends: bool,
}

/// The next point where the flow is followed straight to `to`: DDIM with noise of variance `fresh`.
fn straight(process: &Process, from: Level, to: Level, fresh: f64) -> Move {
    let kept = (to.sigma.powi(2) - fresh).max(0.0).sqrt() / from.sigma;
    Move {
        level: from,
        to,
        head: process.head(from),
        base: 0.0,
        at: kept,
        item: to.alpha - kept * from.alpha,
        before: 0.0,
        noise: fresh.sqrt(),
        learnt: None,
        ends: true,
    }
}

/// A step back with the variance it was learnt with; none on the last.
fn ancestral(process: &Process, variance: Variance, [from, to]: [Level; 2]) -> Move {
    let back = process.back(from, to);
    let plain = Move { at: back.of_noised, item: back.of_item, noise: 0.0, ..straight(process, from, to, 0.0) };
    let last = to.sigma == 0.0;
    match variance {
        _ if last => plain,
        Variance::FixedSmall => Move { noise: back.small.sqrt(), ..plain },
        Variance::FixedLarge => Move { noise: back.large.sqrt(), ..plain },
        Variance::Learnt => Move { learnt: Some([back.small.ln(), back.large.ln()]), ..plain },
    }
}

/// DPM-Solver++(2M), with first order where there is no answer before, or no finite step.
fn multistep(process: &Process, [from, to]: [Level; 2], before: Option<Level>) -> Move {
    let plain = straight(process, from, to, 0.0);
    let Some(before) = before.filter(|b| b.alpha > 0.0 && to.sigma > 0.0) else { return plain };
    let (step, past) = (to.lambda() - from.lambda(), from.lambda() - before.lambda());
    let share = step / (2.0 * past);
    let whole = -to.alpha * (-step).exp_m1();
    Move { at: to.sigma / from.sigma, item: whole * (1.0 + share), before: -whole * share, ..plain }
}

/// Heun's correction of a straight step, asked at its end.
fn corrected(process: &Process, from: Level, to: Level) -> Move {
    // In y = x/α over s = σ/α the way is dy/ds = (y − x̂₀)/s.
    let [s, t] = [from, to].map(|l| l.sigma / l.alpha);
    let half = (t - s) / 2.0;
    Move {
        level: to,
        head: process.head(to),
        base: to.alpha / from.alpha * (1.0 + half / s),
        before: -to.alpha * half / s,
        at: half / t,
        item: -to.alpha * half / t,
        ..straight(process, from, to, 0.0)
    }
}

/// How a job is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    /// The solver.
    pub solver: Solver,
    /// Steps from noise to the item.
    pub steps: usize,
    /// Fresh noise of DDIM, as a share of DDPM's: 0 to 1.
    pub eta: f64,
}

impl Way {
    /// Refuses what a process cannot go.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self, process: &Process) -> Result<()> {
        let refuse = |reason: String| Err(Error::usage(reason));
        if self.steps == 0 {
            return refuse("there must be at least 1 step from noise to image, not 0".into());
        }
        if process.steps() > 0 && self.steps > process.steps() {
            return refuse(format!(
                "{} steps from noise to image are more than the {} this run was trained with; take fewer",
                self.steps,
                process.steps()
            ));
        }
        if process.steps() == 0 && self.steps > 1_000_000 {
            return refuse(format!("{} steps from noise to image are more than a million; take fewer", self.steps));
        }
        if !(0.0..=1.0).contains(&self.eta) {
            return refuse(format!("--eta must be 0 to 1, not {}", self.eta));
        }
        if self.eta > 0.0 && self.solver != Solver::Ddim {
            return refuse("--eta is the noise of --sampler ddim; leave it out".into());
        }
        if self.solver == Solver::Ddpm && process.steps() == 0 {
            return refuse(
                "--sampler ddpm steps back as a process in steps was learnt, and this run's time is continuous; take heun or euler".into(),
            );
        }
        Ok(())
    }

    /// The levels from all noise to the item: those of solvers of second order in equal steps of ln α/σ, save σ of the EDM process.
    pub fn levels(&self, process: &Process) -> Vec<Level> {
        let even = process.schedule() != Schedule::Edm && matches!(self.solver, Solver::Dpm | Solver::Heun);
        if even { process.ladder(self.steps) } else { process.levels(self.steps) }
    }

    /// The moves from all noise to the item.
    pub fn moves(&self, process: &Process, variance: Variance) -> Vec<Move> {
        self.between(process, variance, &self.levels(process))
    }

    /// The moves along given levels: towards the item, or without fresh noise away from it.
    pub fn between(&self, process: &Process, variance: Variance, levels: &[Level]) -> Vec<Move> {
        let mut moves = Vec::new();
        for (i, pair) in levels.windows(2).enumerate() {
            let [from, to] = [pair[0], pair[1]];
            match self.solver {
                Solver::Ddpm => moves.push(ancestral(process, variance, [from, to])),
                Solver::Ddim => {
                    // Where nothing is left of the item there is no step back to ask.
                    let fresh = if self.eta > 0.0 { self.eta.powi(2) * process.back(from, to).small } else { 0.0 };
                    moves.push(straight(process, from, to, fresh));
                }
                Solver::Euler => moves.push(straight(process, from, to, 0.0)),
                Solver::Dpm => moves.push(multistep(process, [from, to], i.checked_sub(1).map(|k| levels[k]))),
                Solver::Heun if to.sigma > 0.0 && from.alpha > 0.0 && to.alpha > 0.0 => {
                    moves.push(Move { ends: false, ..straight(process, from, to, 0.0) });
                    moves.push(corrected(process, from, to));
                }
                Solver::Heun => moves.push(straight(process, from, to, 0.0)),
            }
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::noise::Target;

    /// The standard deviation that a solver ends with where data is normal with deviation `sd`: every move is linear then.
    fn deviation(process: &Process, way: Way, sd: f64) -> f64 {
        let levels = way.levels(process);
        let (mut at, mut base, mut before, mut fresh) = (levels[0].sigma, levels[0].sigma, 0.0, 0.0f64);
        for m in way.moves(process, Variance::FixedSmall) {
            let Level { alpha, sigma, .. } = m.level;
            let x0 = at * alpha * sd * sd / (alpha * alpha * sd * sd + sigma * sigma);
            let share = m.at + m.item * alpha * sd * sd / (alpha * alpha * sd * sd + sigma * sigma);
            fresh = (share * fresh).hypot(m.noise);
            (at, before) = (m.base * base + m.at * at + m.item * x0 + m.before * before, x0);
            if m.ends {
                base = at;
            }
        }
        at.hypot(fresh)
    }

    fn way(solver: Solver, steps: usize) -> Way {
        Way { solver, steps, eta: 0.0 }
    }

    #[test]
    fn few_steps_lose_and_gain_the_variance_they_are_known_to() {
        // Worked out apart, in double precision.
        let known = [
            (Schedule::Cosine, Solver::Ddim, 10, [0.7425, 0.8421]),
            (Schedule::Cosine, Solver::Ddim, 50, [0.9476, 0.9691]),
            (Schedule::Linear, Solver::Ddim, 20, [0.7595, 0.8609]),
            (Schedule::Linear, Solver::Dpm, 20, [1.0143, 1.0146]),
            (Schedule::Linear, Solver::Dpm, 50, [1.0016, 1.0022]),
            (Schedule::Edm, Solver::Euler, 18, [0.8315, 0.8461]),
            (Schedule::Edm, Solver::Heun, 18, [1.0682, 1.0553]),
        ];
        for (schedule, solver, steps, found) in known {
            let process = Process::new(schedule, Target::V, 1000);
            for (sd, known) in [0.25, 0.5].into_iter().zip(found) {
                let found = deviation(&process, way(solver, steps), sd) / sd;
                assert!((found - known).abs() < 1e-3, "{schedule:?} {solver:?} {steps} {sd}: {found}, not {known}");
            }
        }
    }

    #[test]
    fn every_solver_comes_to_the_data_with_many_steps() {
        for sd in [0.25, 0.5, 1.0] {
            for (schedule, solvers) in [
                (Schedule::Linear, &[Solver::Ddpm, Solver::Ddim, Solver::Dpm, Solver::Heun, Solver::Euler][..]),
                (Schedule::Cosine, &[Solver::Ddpm, Solver::Ddim, Solver::Dpm, Solver::Heun]),
                (Schedule::Edm, &[Solver::Euler, Solver::Dpm, Solver::Heun]),
                (Schedule::Flow, &[Solver::Euler, Solver::Dpm, Solver::Heun]),
            ] {
                let process = Process::new(schedule, Target::V, 1000);
                for &solver in solvers {
                    let found = deviation(&process, way(solver, 1000), sd) / sd;
                    assert!((found - 1.0).abs() < 0.02, "{schedule:?} {solver:?} {sd}: {found}");
                }
            }
        }
    }

    #[test]
    fn twenty_steps_of_second_order_are_nearer_than_twenty_of_first() {
        for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Flow] {
            let process = Process::new(schedule, Target::V, 1000);
            let away = |solver| (deviation(&process, way(solver, 20), 0.5) / 0.5 - 1.0).abs();
            assert!(away(Solver::Dpm) < away(Solver::Ddim), "{schedule:?}");
            // Cosine schedules begin in so much noise that twenty steps of Heun's are not enough.
            assert!(schedule == Schedule::Cosine || away(Solver::Heun) < away(Solver::Ddim), "{schedule:?}");
        }
    }

    #[test]
    fn euler_is_ddim_without_noise() {
        let process = Process::new(Schedule::Linear, Target::Eps, 1000);
        assert_eq!(
            way(Solver::Ddim, 13).moves(&process, Variance::FixedSmall),
            way(Solver::Euler, 13).moves(&process, Variance::FixedSmall)
        );
    }

    #[test]
    fn what_a_process_cannot_go_is_refused() {
        let stepped = Process::new(Schedule::Cosine, Target::V, 100);
        let flow = Process::new(Schedule::Flow, Target::V, 100);
        for (process, way) in [
            (&stepped, way(Solver::Ddim, 0)),
            (&stepped, way(Solver::Ddim, 101)),
            (&flow, way(Solver::Ddpm, 10)),
            (&stepped, Way { eta: 0.5, ..way(Solver::Dpm, 10) }),
            (&stepped, Way { eta: 1.5, ..way(Solver::Ddim, 10) }),
        ] {
            assert_eq!(way.check(process).expect_err("refused").exit_code(), 2);
        }
        assert!(Way { eta: 1.0, ..way(Solver::Ddim, 100) }.check(&stepped).is_ok());
    }
}
