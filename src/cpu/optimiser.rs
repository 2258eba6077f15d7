//! Optimiser steps over flat arenas.

use std::cell::LazyCell;

use crate::parallel::prelude::*;

use crate::graph::{Rule, Update, adjusted};
use crate::native::Real;
use crate::native::simd::{self, Job};
use crate::tensor::Step;

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

/// Elements one task updates.
const TASK: usize = 16 * 1024;
/// Elements that are updated at a time, in the first cache.
const BLOCK: usize = 256;
/// Squares that are summed side by side.
const LANES: usize = 32;

/// Applies an update to a group. `loss_scale` is its loss scale's tensor, where it has one.
pub fn update<T: Real>(update: &Update, arenas: Arenas<'_, T>, loss_scale: Option<&mut [T]>, step: &Step) {
    let norm = LazyCell::new(|| norm(arenas.gradient));
    let mut scale = 1.0;
    if let Some(loss_scale) = loss_scale {
        let before = [loss_scale[0].wide() as f32, loss_scale[1].wide() as f32];
        let finite = norm.is_finite();
        loss_scale.iter_mut().zip(adjusted(before, finite)).for_each(|(kept, new)| *kept = T::of(f64::from(new)));
        if !finite {
            return;
        }
        scale = 1.0 / f64::from(before[0]);
    }
    if let Some(limit) = update.clip_norm {
        let norm = *norm * scale;
        scale *= if norm > f64::from(limit) { f64::from(limit) / norm } else { 1.0 };
    }
    let rate = f64::from(step.learning_rate[update.group]);
    let count = step.updates[update.group] as i32;
    let decay = T::of(f64::from(step.ema_decay));
    let fresh = T::of(1.0 - f64::from(step.ema_decay));
    let scale = T::of(scale);
    let rule = Constants::new(update, rate, count, step);
    let chunks = arenas
        .value
        .par_chunks_mut(TASK)
        .zip(arenas.gradient.par_chunks(TASK))
        .zip(arenas.first.par_chunks_mut(TASK))
        .zip(arenas.second.par_chunks_mut(TASK))
        .zip(arenas.average.par_chunks_mut(TASK));
    chunks.for_each(|((((value, gradient), first), second), average)| {
        let arenas = Arenas { value, gradient, first, second, average };
        simd::dispatch(Apply { update, rule: &rule, scale, decay, fresh, arenas });
    });
}

/// The Euclidean norm of a gradient, in double precision.
fn norm<T: Real>(gradient: &[T]) -> f64 {
    let squares = |values: &[T]| {
        let mut sums = [0.0; LANES];
        simd::dispatch(Squares { values, sums: &mut sums });
        sums.iter().sum::<f64>()
    };
    let parts: Vec<f64> = gradient.par_chunks(TASK).map(squares).collect();
    parts.iter().sum::<f64>().sqrt()
}

/// Sums of squares side by side.
struct Squares<'a, T> {
    values: &'a [T],
    sums: &'a mut [f64; LANES],
}

impl<T: Real> Job for Squares<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let mut sums = *self.sums;
        let (lanes, rest) = self.values.as_chunks::<LANES>();
        for lane in lanes {
            for (sum, v) in sums.iter_mut().zip(lane) {
                *sum += v.wide() * v.wide();
            }
        }
        for (sum, v) in sums.iter_mut().zip(rest) {
            *sum += v.wide() * v.wide();
        }
        *self.sums = sums;
    }
}

/// An update of a stretch of the arenas.
struct Apply<'a, T> {
    update: &'a Update,
    rule: &'a Constants<T>,
    scale: T,
    decay: T,
    fresh: T,
    arenas: Arenas<'a, T>,
}

impl<T: Real> Job for Apply<'_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let Self { update, rule, scale, decay, fresh, arenas } = self;
        let limit = update.clamp.map(|limit| (T::of(-f64::from(limit)), T::of(f64::from(limit))));
        let blocks = (arenas.value.chunks_mut(BLOCK).zip(arenas.gradient.chunks(BLOCK)))
            .zip(arenas.first.chunks_mut(BLOCK).zip(arenas.second.chunks_mut(BLOCK)))
            .zip(arenas.average.chunks_mut(BLOCK));
        for (((value, gradient), (first, second)), average) in blocks {
            rule.step(gradient, scale, value, first, second);
            if let Some((low, high)) = limit {
                for w in value.iter_mut() {
                    let above = if *w < low { low } else { *w };
                    *w = if above > high { high } else { above };
                }
            }
            if update.average {
                for (a, w) in average.iter_mut().zip(value) {
                    *a = a.times(decay).plus(w.times(fresh));
                }
            }
        }
    }
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
    /// Bounds of each element of the gradient.
    bounds: [T; 2],
    /// What decay leaves of a weight.
    kept: T,
}

impl<T: Real> Constants<T> {
    fn new(update: &Update, rate: f64, count: i32, step: &Step) -> Self {
        let rule = update.rule;
        let bound = update.clip_value.map_or(f64::INFINITY, f64::from);
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
            bounds: [T::of(-bound), T::of(bound)],
            kept: T::of(update.kept(step)),
        }
    }

    /// Moves a block of weights.
    #[inline(always)]
    fn step(&self, gradient: &[T], scale: T, value: &mut [T], first: &mut [T], second: &mut [T]) {
        // All of one length, so that no access is looked at.
        let len = value.len();
        let (gradient, first, second) = (&gradient[..len], &mut first[..len], &mut second[..len]);
        let [low, high] = self.bounds;
        let clipped = |g: T| {
            let g = g.times(scale);
            let above = if g < low { low } else { g };
            if above > high { high } else { above }
        };
        match self.rule {
            Rule::Adam { .. } => {
                for i in 0..len {
                    let g = clipped(gradient[i]);
                    first[i] = first[i].times(self.decay[0]).plus(g.times(self.rest[0]));
                    second[i] = second[i].times(self.decay[1]).plus(g.times(g).times(self.rest[1]));
                    let width = second[i].root().over(self.root).plus(self.epsilon);
                    value[i] = value[i].times(self.kept).minus(self.rate.times(first[i]).over(width));
                }
            }
            Rule::RmsProp { .. } => {
                for i in 0..len {
                    let g = clipped(gradient[i]);
                    second[i] = second[i].times(self.decay[1]).plus(g.times(g).times(self.rest[1]));
                    value[i] = value[i].times(self.kept).minus(self.rate.times(g).over(second[i].root().plus(self.epsilon)));
                }
            }
            Rule::Sgd { .. } => {
                for i in 0..len {
                    first[i] = first[i].times(self.decay[0]).plus(clipped(gradient[i]));
                    value[i] = value[i].times(self.kept).minus(self.rate.times(first[i]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One weight through three steps with gradients of its own, and the learning rate 0.1.
    fn walked(change: impl Fn(Update) -> Update, rule: Rule) -> Vec<f64> {
        let update_of = change(Update::new(0, rule));
        let (mut value, mut first, mut second, mut average) = ([2.0f64, -1.0], [0.0; 2], [0.0; 2], [0.0; 2]);
        for (at, gradient) in [[3.0f64, -0.1], [-1.0, 4.0], [0.5, 0.5]].iter().enumerate() {
            let arenas = Arenas { value: &mut value, gradient, first: &mut first, second: &mut second, average: &mut average };
            let step = Step { learning_rate: [0.1; 4], updates: [at as u32 + 1; 4], ..Step::default() };
            update(&update_of, arenas, None, &step);
        }
        value.to_vec()
    }

    fn near(got: &[f64], right: &[f64]) {
        assert!(got.iter().zip(right).all(|(g, r)| (g - r).abs() < 1e-6), "{got:?}, not {right:?}");
    }

    /// AdamW as algorithm 2 of Loshchilov and Hutter, 2019, has it: the decay apart from the moments.
    #[test]
    fn decay_is_apart_from_the_gradient() {
        let (b1, b2, rate, decay) = (0.9f64, 0.99f64, f64::from(0.1f32), f64::from(0.2f32));
        let by_hand = |mut w: f64, gradients: [f64; 3]| {
            let (mut m, mut v) = (0.0, 0.0);
            for (at, g) in gradients.into_iter().enumerate() {
                let t = at as i32 + 1;
                m = b1 * m + (1.0 - b1) * g;
                v = b2 * v + (1.0 - b2) * g * g;
                let step = rate * (m / (1.0 - b1.powi(t))) / ((v / (1.0 - b2.powi(t))).sqrt() + 1e-8);
                w = w - rate * decay * w - step;
            }
            w
        };
        let right = [by_hand(2.0, [3.0, -1.0, 0.5]), by_hand(-1.0, [-0.1, 4.0, 0.5])];
        near(&walked(|u| Update { weight_decay: 0.2, ..u }, Rule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }), &right);
    }

    #[test]
    fn each_element_of_a_gradient_is_cut_after_the_whole() {
        let plain = Rule::Sgd { momentum: 0.0 };
        near(&walked(|u| Update { clip_value: Some(1.0), ..u }, plain), &[2.0 - 0.1 * (1.0 - 1.0 + 0.5), -1.0 - 0.1 * (-0.1 + 1.0 + 0.5)]);
        // Gradients of norms 3.0, 4.1 and 0.7: the first two are scaled to 2 before their elements are cut to 1.
        let (a, b) = (2.0 / 9.01f64.sqrt(), 2.0 / 17.0f64.sqrt());
        let right = [2.0 - 0.1 * (1.0 - b + 0.5), -1.0 - 0.1 * (-0.1 * a + 1.0 + 0.5)];
        near(&walked(|u| Update { clip_value: Some(1.0), clip_norm: Some(2.0), ..u }, plain), &right);
    }
}
