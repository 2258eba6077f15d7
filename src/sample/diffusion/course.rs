//! Where a job begins and what it goes through: from all noise to items, from items that are noised part of the way, around values that are
//! kept, or back from items to the noise that they come of.

use super::solver::{Move, Solver, Way};
use crate::error::{Error, Result};
use crate::model::Denoises;
use crate::model::noise::{Level, Process, TIMES};

/// The courses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// From all noise to items.
    Whole,
    /// From given items, noised to this share of the time, 0 to 1, or the level before it (Meng et al., 2022, "SDEdit").
    Part(f64),
    /// From all noise to items around values that are kept, each step gone so many times with its noise put back in between, so that what is
    /// drawn comes to agree with what is kept (Lugmayr et al., 2022, "RePaint", algorithm 1). Gone once, what is kept is only put in place.
    Around(usize),
    /// From items to the noise that they come of, along the flow (Song, Meng and Ermon, 2021, section 4.3).
    Back,
}

impl Course {
    /// Refuses what cannot be gone so.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(self, way: &Way) -> Result<()> {
        let name = way.solver.name();
        let single = [Solver::Ddpm, Solver::Ddim, Solver::Euler].contains(&way.solver);
        match self {
            Self::Part(strength) if !(0.0..=1.0).contains(&strength) => {
                Err(Error::usage(format!("--strength must be 0 (the image itself) to 1 (all noise), not {strength}")))
            }
            Self::Around(0) => Err(Error::usage("--resample must be at least 1: each step is gone that many times")),
            Self::Around(times) if times > 1 && !single => Err(Error::usage(format!(
                "--resample {times} puts noise back after each step, and --sampler {name} builds on the step before; take ddim or ddpm, or --resample 1"
            ))),
            Self::Back if way.eta > 0.0 || ![Solver::Ddim, Solver::Euler, Solver::Heun].contains(&way.solver) => {
                Err(Error::usage(format!(
                    "images are taken back to noise by ddim, euler or heun without fresh noise, not by {name}{}",
                    if way.eta > 0.0 { " with --eta" } else { "" }
                )))
            }
            _ => Ok(()),
        }
    }

    /// The level that it begins at, and its moves.
    pub fn route(self, network: &dyn Denoises, way: &Way) -> (Level, Vec<Move>) {
        let (process, variance) = (network.process(), network.variance());
        let levels = way.levels(process);
        match self {
            Self::Whole => (levels[0], way.between(process, variance, &levels)),
            Self::Part(strength) => {
                let far = levels.iter().position(|l| strength > 0.0 && l.time <= strength * TIMES).unwrap_or(way.steps);
                let left = &levels[far.min(way.steps)..];
                (left[0], way.between(process, variance, left))
            }
            Self::Around(times) => {
                let moves = way.between(process, variance, &levels).into_iter();
                // Of all noise nothing is left to agree with.
                let again = |m: &Move| if m.level.alpha > 0.0 { times - 1 } else { 0 };
                (levels[0], moves.flat_map(|m| std::iter::repeat_n(put_back(process, &m), again(&m)).chain([m])).collect())
            }
            Self::Back => {
                let rising: Vec<Level> = levels.into_iter().rev().skip(1).collect();
                let first = out_of_the_clean(process, rising[0]);
                (Level::CLEAN, std::iter::once(first).chain(way.between(process, variance, &rising)).collect())
            }
        }
    }
}

/// A step whose noise is put back at once: the sum of a move and of noising its end to the level that it came from, which is a move too.
fn put_back(process: &Process, m: &Move) -> Move {
    let falls = m.level.alpha / m.to.alpha;
    let own = m.learnt.map_or(m.noise.powi(2), |[small, _]| small.exp());
    let fresh = falls.powi(2) * own + process.back(m.level, m.to).large.max(0.0);
    Move {
        to: m.level,
        base: falls * m.base,
        at: falls * m.at,
        item: falls * m.item,
        before: falls * m.before,
        noise: fresh.sqrt(),
        learnt: None,
        ..*m
    }
}

/// The first step from an item to noise. The network knows no level without any, so it is asked at the least as if the item stood there.
fn out_of_the_clean(process: &Process, to: Level) -> Move {
    Move {
        level: to,
        to,
        head: process.head(to),
        base: to.alpha,
        at: 1.0,
        item: -to.alpha,
        before: 0.0,
        noise: 0.0,
        learnt: None,
        ends: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, NodeId};
    use crate::model::noise::{Schedule, Target, Variance};
    use crate::model::{Denoised, Told};

    /// What knows the answers for normal data.
    struct Known(Process);

    impl Denoises for Known {
        fn process(&self) -> &Process {
            &self.0
        }
        fn variance(&self) -> Variance {
            Variance::FixedSmall
        }
        fn dims(&self) -> [usize; 3] {
            [1, 1, 1]
        }
        fn value_levels(&self) -> Option<usize> {
            None
        }
        fn classes(&self) -> usize {
            0
        }
        fn denoise(&self, _: &mut Graph, x: NodeId, _: NodeId, _: Told) -> Result<Denoised> {
            Ok(Denoised { x0: x, share: None })
        }
    }

    fn known(schedule: Schedule) -> Known {
        Known(Process::new(schedule, Target::V, 1000))
    }

    const SD: f64 = 0.5;

    /// Where moves lead from a point, by the answer for data of deviation [`SD`]; and the deviation of the fresh noise in it.
    fn gone(moves: &[Move], start: f64) -> (f64, f64) {
        let (mut at, mut base, mut before, mut fresh) = (start, start, 0.0, 0.0f64);
        for m in moves {
            let Level { alpha, sigma, .. } = m.level;
            let factor = alpha * SD * SD / (alpha * alpha * SD * SD + sigma * sigma);
            let x0 = factor * at;
            fresh = ((m.at + m.item * factor) * fresh).hypot(m.noise);
            (at, before) = (m.base * base + m.at * at + m.item * x0 + m.before * before, x0);
            if m.ends {
                base = at;
            }
        }
        (at, fresh)
    }

    fn way(solver: Solver, steps: usize, eta: f64) -> Way {
        Way { solver, steps, eta }
    }

    #[test]
    fn what_is_taken_back_to_noise_comes_forth_again_the_nearer_the_more_steps_there_are() {
        for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Edm, Schedule::Flow] {
            for solver in [Solver::Ddim, Solver::Heun] {
                let away = |steps: usize| {
                    let way = way(solver, steps, 0.0);
                    let network = known(schedule);
                    let (_, back) = Course::Back.route(&network, &way);
                    let z = gone(&back, 0.7).0;
                    let (start, forth) = Course::Whole.route(&network, &way);
                    assert_eq!(back.last().map(|m| m.to), Some(start));
                    (gone(&forth, z).0 / 0.7 - 1.0).abs()
                };
                let found = [20, 100, 500].map(away);
                assert!(
                    found.iter().all(|e| e.is_finite()) && found[2] < 0.02 && found[2] < found[0],
                    "{schedule:?} {solver:?}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn the_noise_of_an_item_is_what_its_place_among_the_data_says() {
        // The flow keeps quantiles: an item d deviations from the mean comes of a point of noise as many deviations away.
        for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Flow] {
            let (_, back) = Course::Back.route(&known(schedule), &way(Solver::Ddim, 1000, 0.0));
            let z = gone(&back, 1.3 * SD).0;
            assert!((z - 1.3).abs() < 0.03, "{schedule:?}: {z}");
        }
    }

    #[test]
    fn noise_that_is_put_back_leaves_the_distribution_as_it_is() {
        // Where the data is normal each level has a known deviation, which a step and its noise put back must keep.
        for (schedule, solver) in [(Schedule::Cosine, Solver::Ddpm), (Schedule::Linear, Solver::Ddim), (Schedule::Edm, Solver::Ddim)] {
            let network = known(schedule);
            let levels = network.0.levels(1000);
            let way = way(solver, 1000, f64::from(u8::from(solver == Solver::Ddim)));
            for pair in levels.windows(2).skip(300).step_by(100) {
                let m = way.between(&network.0, Variance::FixedSmall, pair)[0];
                let deviation = |l: Level| (l.alpha * SD).hypot(l.sigma);
                for (m, to) in [(m, pair[1]), (put_back(&network.0, &m), pair[0])] {
                    let (at, fresh) = gone(&[m], deviation(pair[0]));
                    let found = at.hypot(fresh) / deviation(to);
                    assert!((found - 1.0).abs() < 5e-3, "{schedule:?} {pair:?}: {found}");
                }
            }
        }
    }

    #[test]
    fn steps_are_gone_as_often_as_they_are_asked_for() {
        let network = known(Schedule::Flow);
        let way = way(Solver::Ddim, 10, 1.0);
        let (_, once) = Course::Around(1).route(&network, &way);
        assert_eq!(once, Course::Whole.route(&network, &way).1);
        let (_, often) = Course::Around(4).route(&network, &way);
        // A flow begins in nothing but noise, which need not be put back.
        assert_eq!(often.len(), 1 + 9 * 4);
        assert_eq!(often.last().map(|m| m.to), Some(Level::CLEAN));
        assert!(often.windows(2).all(|pair| pair[0].to == pair[1].level), "each move begins where the one before ended");
    }

    #[test]
    fn part_of_the_way_begins_at_the_level_that_far() {
        let network = known(Schedule::Cosine);
        let way = way(Solver::Ddim, 10, 0.0);
        let whole = Course::Whole.route(&network, &way);
        assert_eq!(Course::Part(1.0).route(&network, &way), whole);
        assert_eq!(Course::Part(0.0).route(&network, &way), (Level::CLEAN, Vec::new()));
        let (start, moves) = Course::Part(0.3).route(&network, &way);
        assert_eq!((moves.len(), start), (3, whole.1[7].level));
    }

    #[test]
    fn what_cannot_be_gone_is_refused() {
        for (course, way) in [
            (Course::Part(1.01), way(Solver::Ddim, 10, 0.0)),
            (Course::Part(-0.1), way(Solver::Ddim, 10, 0.0)),
            (Course::Part(f64::NAN), way(Solver::Ddim, 10, 0.0)),
            (Course::Around(0), way(Solver::Ddim, 10, 0.0)),
            (Course::Around(2), way(Solver::Dpm, 10, 0.0)),
            (Course::Around(2), way(Solver::Heun, 10, 0.0)),
            (Course::Back, way(Solver::Ddpm, 10, 0.0)),
            (Course::Back, way(Solver::Dpm, 10, 0.0)),
            (Course::Back, way(Solver::Ddim, 10, 0.5)),
        ] {
            assert_eq!(course.check(&way).expect_err("refused").exit_code(), 2, "{course:?} {way:?}");
        }
        assert!(Course::Around(1).check(&way(Solver::Dpm, 10, 0.0)).is_ok());
    }
}
