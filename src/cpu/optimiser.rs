//! Optimiser steps over flat arenas.

use rayon::prelude::*;

use super::Real;
use crate::graph::{Rule, Step, Update};

/// The arenas an update touches.
pub struct Arenas<'a, T> {
    /// Weights.
    pub value: &'a mut [T],
    /// Their gradients.
    pub gradient: &'a [T],
    /// First moment or velocity.
    pub first: &'a mut [T],
    /// Second moment.
    pub second: &'a mut [T],
    /// Exponential moving average of the weights.
    pub average: &'a mut [T],
}

const TASK: usize = 16 * 1024;

/// Applies an update to a group.
pub fn update<T: Real>(update: &Update, arenas: Arenas<'_, T>, step: &Step) {
    let squares = |g: &[T]| g.iter().map(|g| g.wide() * g.wide()).sum::<f64>();
    let scale = match update.clip_norm {
        Some(limit) => {
            let parts: Vec<f64> = arenas.gradient.par_chunks(TASK).map(squares).collect();
            let norm = parts.iter().sum::<f64>().sqrt();
            if norm > f64::from(limit) { f64::from(limit) / norm } else { 1.0 }
        }
        None => 1.0,
    };
    let rate = f64::from(step.learning_rate[update.group]);
    let count = step.updates[update.group] as i32;
    let decay = T::of(f64::from(step.ema_decay));
    let fresh = T::of(1.0 - f64::from(step.ema_decay));
    let scale = T::of(scale);
    let rule = Constants::new(update.rule, rate, count);
    let chunks = arenas
        .value
        .par_chunks_mut(TASK)
        .zip(arenas.gradient.par_chunks(TASK))
        .zip(arenas.first.par_chunks_mut(TASK))
        .zip(arenas.second.par_chunks_mut(TASK))
        .zip(arenas.average.par_chunks_mut(TASK));
    chunks.for_each(|((((value, gradient), first), second), average)| {
        for i in 0..value.len() {
            let change = rule.change(gradient[i].times(scale), &mut first[i], &mut second[i]);
            let mut w = value[i].minus(change);
            if let Some(limit) = update.clamp {
                let (low, high) = (T::of(-f64::from(limit)), T::of(f64::from(limit)));
                w = if w < low {
                    low
                } else if w > high {
                    high
                } else {
                    w
                };
            }
            value[i] = w;
            if update.average {
                average[i] = average[i].times(decay).plus(w.times(fresh));
            }
        }
    });
}

/// A rule's constants at one step.
struct Constants<T> {
    rule: Rule,
    rate: T,
    decay: [T; 2],
    rest: [T; 2],
    /// √(1 − β₂ᵗ), so that ε stands outside the corrected root.
    root: T,
    epsilon: T,
}

impl<T: Real> Constants<T> {
    fn new(rule: Rule, rate: f64, count: i32) -> Self {
        let (a, b, epsilon) = match rule {
            Rule::Adam { beta1, beta2, epsilon } => (f64::from(beta1), f64::from(beta2), f64::from(epsilon)),
            Rule::RmsProp { decay, epsilon } => (0.0, f64::from(decay), f64::from(epsilon)),
            Rule::Sgd { momentum } => (f64::from(momentum), 0.0, 0.0),
        };
        let (rate, root) = match rule {
            Rule::Adam { .. } => (rate / (1.0 - a.powi(count)), (1.0 - b.powi(count)).sqrt()),
            _ => (rate, 1.0),
        };
        Self {
            rule,
            rate: T::of(rate),
            decay: [T::of(a), T::of(b)],
            rest: [T::of(1.0 - a), T::of(1.0 - b)],
            root: T::of(root),
            epsilon: T::of(epsilon),
        }
    }

    #[inline(always)]
    fn change(&self, g: T, first: &mut T, second: &mut T) -> T {
        match self.rule {
            Rule::Adam { .. } => {
                *first = first.times(self.decay[0]).plus(g.times(self.rest[0]));
                *second = second.times(self.decay[1]).plus(g.times(g).times(self.rest[1]));
                self.rate.times(*first).over(second.root().over(self.root).plus(self.epsilon))
            }
            Rule::RmsProp { .. } => {
                *second = second.times(self.decay[1]).plus(g.times(g).times(self.rest[1]));
                self.rate.times(g).over(second.root().plus(self.epsilon))
            }
            Rule::Sgd { .. } => {
                *first = first.times(self.decay[0]).plus(g);
                self.rate.times(*first)
            }
        }
    }
}
