//! Control of a system by planning: at each step, actions are looked for whose futures bring most, and the first of them is taken.

use crate::parallel::prelude::*;

use super::cem::{Cem, Normals};
use super::raster::{CachedSampler, Future, Past};
use crate::data::series::Cut;
use crate::data::{Source, System, item_len};
use crate::error::Result;
use crate::random::{Draws, word};

/// The random streams of an attempt: how it begins, its random actions, what is looked for by, and the seeds of the futures that are drawn; the
/// step is the number of the attempt.
const BEGIN: u32 = 0x706c_0001;
const ACTIONS: u32 = 0x706c_0002;
const SEARCH: u32 = 0x706c_0003;
const FUTURES: u32 = 0x706c_0004;

/// How it is planned.
#[derive(Clone, Copy, Debug)]
pub struct Planning {
    /// Steps of an attempt.
    pub steps: usize,
    /// Steps ahead that a plan is made for.
    pub horizon: usize,
    /// How plans are looked for.
    pub cem: Cem,
    /// Futures that a plan's return is the mean of, where they are drawn.
    pub futures: usize,
    /// The temperature at which they are drawn: below 1, likelier and less varied ones.
    pub temperature: f32,
    /// Seed of everything.
    pub seed: u64,
}

/// What tells the return of a plan.
pub enum Foresight<'a> {
    /// Nothing: actions are drawn.
    None,
    /// The system itself.
    Equations,
    /// Futures drawn of a model of its series.
    Model(&'a Known<'a>),
}

/// A model, and what it has seen.
pub struct Known<'a> {
    /// Draws its series.
    pub sampler: &'a CachedSampler,
    /// How they were cut.
    pub cut: &'a Cut,
    /// The least and the greatest value of each channel that it was trained on, in units.
    pub ranges: Vec<[f64; 2]>,
    /// What leaving them costs: a step's return falls by d/(1 + d) of the range of rewards times this, d the sum of the distances beyond,
    /// each in halves of its range: the farther the more, and never as much as the whole. What nothing was learnt of, a model only seems to foresee (Kidambi et al., 2020, "MOReL: model-based
    /// offline reinforcement learning").
    pub beyond: f64,
}

impl Known<'_> {
    /// The ranges of the channels of some series.
    ///
    /// # Errors
    /// Those of the source.
    pub fn ranges(source: &dyn Source, cut: &Cut) -> Result<Vec<[f64; 2]>> {
        let mut ranges = vec![[f64::INFINITY, f64::NEG_INFINITY]; cut.names.len()];
        let mut item = vec![0.0; item_len(source.dims())];
        for index in 0..source.len() {
            source.read(index, &mut item)?;
            for (at, value) in cut.units_of_item(&item).into_iter().enumerate() {
                let range = &mut ranges[at % cut.names.len()];
                *range = [range[0].min(value), range[1].max(value)];
            }
        }
        Ok(ranges)
    }

    /// What a drawn step brings, of which all channels but the last two are its state: its reward, brought within those that were seen, less what
    /// leaving the ranges costs.
    fn worth(&self, row: &[f64], states: usize) -> f64 {
        let beyond = |(value, [least, most]): (&f64, &[f64; 2])| {
            let half = ((most - least) / 2.0).max(f64::MIN_POSITIVE);
            (least - value).max(value - most).max(0.0) / half
        };
        let far: f64 = row[..states].iter().zip(&self.ranges).map(beyond).sum();
        let [least, most] = self.ranges[states + 1];
        row[states + 1].clamp(least, most) - self.beyond * (most - least) * far / (1.0 + far)
    }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// The sum of its rewards.
    pub total: f64,
    /// Steps that were made.
    pub steps: usize,
    /// Whether it came to an end of its own.
    pub over: bool,
}

/// The state in which attempt `number` at a system begins, if there is such a system.
pub fn begin(name: &str, seed: u64, number: usize) -> Option<System> {
    System::begin(name, &mut Draws::new(seed, BEGIN, number as u32))
}

/// Makes attempt `number` from a state. A plan is looked for around the one before it, one step on, whose last action is drawn.
///
/// # Errors
/// [`crate::Error::Usage`] for a search that finds nothing, or a model whose series are shorter than an attempt and what is foreseen of it.
pub fn attempt(begins: System, foresight: &Foresight<'_>, planning: &Planning, number: usize) -> Result<Attempt> {
    let Planning { horizon, seed, .. } = *planning;
    let (mut actions, mut search) = (Draws::new(seed, ACTIONS, number as u32), Draws::new(seed, SEARCH, number as u32));
    let [least, most] = begins.range();
    let wide = (most - least) / 2.0;
    let mut plan: Vec<f64> = (0..horizon).map(|_| begins.random(&mut search)).collect();
    let mut past = if let Foresight::Model(known) = foresight { Some(Past::new(known.sampler)?) } else { None };
    let (mut system, mut attempt) = (begins, Attempt { total: 0.0, steps: 0, over: false });
    while attempt.steps < planning.steps {
        let action = if let Foresight::None = foresight {
            system.random(&mut actions)
        } else {
            let normals = Normals { means: plan.clone(), deviations: vec![wide; horizon] };
            let at = attempt.steps;
            plan = planning
                .cem
                .maximise(normals, &mut search, |iteration, points| {
                    points.iter_mut().for_each(|action| *action = system.allowed(*action));
                    match (foresight, &past) {
                        (Foresight::Model(known), Some(past)) => {
                            let element = (at * planning.cem.iterations + iteration) as u64;
                            let half = |k| u64::from(word(seed, FUTURES, number as u32, 2 * element + k));
                            returns_drawn(&system, past, known, points, (planning, half(0) | half(1) << 32))
                        }
                        _ => Ok(points.par_chunks(horizon).map(|plan| return_of(system, plan)).collect()),
                    }
                })?
                .0;
            plan[0]
        };
        let step = system.act(action);
        if let (Foresight::Model(known), Some(past)) = (foresight, &mut past) {
            let row: Vec<f64> = system.observed().into_iter().chain([system.allowed(action), step.reward]).collect();
            past.push(&known.cut.values(&row))?;
        }
        attempt.total += step.reward;
        attempt.steps += 1;
        if step.ends {
            attempt.over = true;
            break;
        }
        system = step.next;
        plan.rotate_left(1);
        // Plans that bring the same must not all lean to one side.
        plan[horizon - 1] = system.random(&mut search);
    }
    Ok(attempt)
}

/// The return of a plan by the equations.
fn return_of(mut system: System, plan: &[f64]) -> f64 {
    let mut total = 0.0;
    for action in plan {
        let step = system.act(*action);
        total += step.reward;
        if step.ends {
            break;
        }
        system = step.next;
    }
    total
}

/// The mean return of each plan's futures.
fn returns_drawn(
    system: &System,
    past: &Past<'_>,
    model: &Known<'_>,
    plans: &[f64],
    (planning, seed): (&Planning, u64),
) -> Result<Vec<f64>> {
    let Planning { horizon, futures, temperature, .. } = *planning;
    // What is not known stands for anything: it is drawn over.
    let observed = system.observed();
    let (known, channels) = (observed.len(), observed.len() + 2);
    let series = |plan: &[f64]| {
        let row = |(ahead, action): (usize, &f64)| {
            let state = if ahead == 0 { observed.clone() } else { vec![0.0; known] };
            state.into_iter().chain([*action, 0.0])
        };
        model.cut.values(&plan.iter().enumerate().flat_map(row).collect::<Vec<f64>>()).repeat(futures)
    };
    let given: Vec<f32> = plans.chunks(horizon).flat_map(series).collect();
    let kept: Vec<bool> = (0..horizon * channels).map(|at| at % channels == known || at < known).collect();
    let count = plans.len() / horizon * futures;
    let drawn = past.draw(&Future { count, steps: horizon, temperature, seed, keep: (&given, &kept) })?;
    let return_of = |future: &[f32]| {
        let mut total = 0.0;
        for row in future.chunks(channels) {
            let row = model.cut.units(row);
            total += model.worth(&row, known);
            if system.ends_with(row[channels - 1]) {
                break;
            }
        }
        total
    };
    let returns: Vec<f64> = drawn.chunks(horizon * channels).map(return_of).collect();
    Ok(returns.chunks(futures).map(|of| of.iter().sum::<f64>() / of.len() as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_true_equations_hold_the_pole_that_random_actions_drop() -> Result<()> {
        let cem = Cem { candidates: 64, elites: 8, iterations: 3 };
        let planning = Planning { steps: 120, horizon: 25, cem, futures: 1, temperature: 1.0, seed: 5 };
        for number in 0..3 {
            let system = begin("builtin:cartpole", 5, number).expect("a system");
            let random = attempt(system, &Foresight::None, &planning, number)?;
            let planned = attempt(system, &Foresight::Equations, &planning, number)?;
            assert!(random.over && random.steps < 100 && random.total == random.steps as f64 - 1.0, "{random:?}");
            assert_eq!(planned, Attempt { total: 120.0, steps: 120, over: false });
            assert_eq!(planned, attempt(system, &Foresight::Equations, &planning, number)?);
        }
        assert!(begin("builtin:waves", 5, 0).is_none());
        Ok(())
    }
}
