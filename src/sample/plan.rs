//! Control of a system by planning: at each step, actions are looked for whose futures bring most, and the first of them is taken.

use rayon::prelude::*;

use super::cem::{Cem, Normals};
use super::raster::{CachedSampler, Future, Past};
use crate::data::System;
use crate::data::series::Cut;
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
    /// Seed of everything.
    pub seed: u64,
}

/// What tells the return of a plan.
pub enum Foresight<'a> {
    /// Nothing: actions are drawn.
    None,
    /// The system itself.
    Equations,
    /// Futures drawn of a model of its series, cut so.
    Model(&'a CachedSampler, &'a Cut),
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

/// Makes attempt `number` from a state. A plan is looked for around the one before it, one step on.
///
/// # Errors
/// [`crate::Error::Usage`] for a search that finds nothing, or a model whose series are shorter than an attempt and what is foreseen of it.
pub fn attempt(begins: System, foresight: &Foresight<'_>, planning: &Planning, number: usize) -> Result<Attempt> {
    let Planning { horizon, seed, .. } = *planning;
    let (mut actions, mut search) = (Draws::new(seed, ACTIONS, number as u32), Draws::new(seed, SEARCH, number as u32));
    let [least, most] = begins.range();
    let (middle, wide) = ((least + most) / 2.0, (most - least) / 2.0);
    let mut plan = vec![middle; horizon];
    let mut past = if let Foresight::Model(sampler, _) = foresight { Some(Past::new(sampler)?) } else { None };
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
                        (Foresight::Model(_, cut), Some(past)) => {
                            let element = (at * planning.cem.iterations + iteration) as u64;
                            let half = |k| u64::from(word(seed, FUTURES, number as u32, 2 * element + k));
                            returns_drawn(&system, past, cut, points, (horizon, planning.futures, half(0) | half(1) << 32))
                        }
                        _ => Ok(points.par_chunks(horizon).map(|plan| return_of(system, plan)).collect()),
                    }
                })?
                .0;
            plan[0]
        };
        let step = system.act(action);
        if let (Foresight::Model(_, cut), Some(past)) = (foresight, &mut past) {
            let row: Vec<f64> = system.observed().into_iter().chain([system.allowed(action), step.reward]).collect();
            past.push(&cut.values(&row))?;
        }
        attempt.total += step.reward;
        attempt.steps += 1;
        if step.ends {
            attempt.over = true;
            break;
        }
        system = step.next;
        plan.rotate_left(1);
        plan[horizon - 1] = middle;
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
    cut: &Cut,
    plans: &[f64],
    (horizon, futures, seed): (usize, usize, u64),
) -> Result<Vec<f64>> {
    // What is not known stands for anything: it is drawn over.
    let observed = system.observed();
    let (known, channels) = (observed.len(), observed.len() + 2);
    let series = |plan: &[f64]| {
        let row = |(ahead, action): (usize, &f64)| {
            let state = if ahead == 0 { observed.clone() } else { vec![0.0; known] };
            state.into_iter().chain([*action, 0.0])
        };
        cut.values(&plan.iter().enumerate().flat_map(row).collect::<Vec<f64>>()).repeat(futures)
    };
    let given: Vec<f32> = plans.chunks(horizon).flat_map(series).collect();
    let kept: Vec<bool> = (0..horizon * channels).map(|at| at % channels == known || at < known).collect();
    let count = plans.len() / horizon * futures;
    let drawn = past.draw(&Future { count, steps: horizon, seed, keep: (&given, &kept) })?;
    let return_of = |future: &[f32]| {
        let mut total = 0.0;
        for row in future.chunks(channels) {
            let reward = cut.units(row)[channels - 1];
            total += reward;
            if system.ends_with(reward) {
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
        let planning = Planning { steps: 120, horizon: 25, cem, futures: 1, seed: 5 };
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
