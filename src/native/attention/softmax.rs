//! What is done to blocks of scores between the products.

use crate::native::simd::Arithmetic;
use crate::native::{math, simd};

/// Numbers that a loop works on at a time.
const LANES: usize = 16;

/// The largest of some numbers, times `scale`.
#[inline(always)]
fn largest(values: &[f32], scale: f32) -> f32 {
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in whole {
        lanes.iter_mut().zip(block).for_each(|(lane, v)| *lane = if *v > *lane { *v } else { *lane });
    }
    scale * lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, v| if *v > m || v.is_nan() { *v } else { m })
}

/// Puts `exp(scale·v − top)` in the place of each number, and sums them up.
#[inline(always)]
fn shares(values: &mut [f32], scale: f32, top: f32, by: impl Arithmetic) -> f32 {
    let (whole, rest) = values.as_chunks_mut::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in whole {
        for (lane, v) in lanes.iter_mut().zip(block) {
            *v = math::share(by.multiply_add(*v, scale, -top), by);
            *lane += *v;
        }
    }
    let mut sum = lanes.iter().sum();
    for v in rest {
        *v = math::share(by.multiply_add(*v, scale, -top), by);
        sum += *v;
    }
    sum
}

/// Turns scores into shares of a total that is not known yet; where a score is larger than all before it, what was summed shrinks.
pub struct Online<'a> {
    /// `[QUERIES, KEYS]`
    pub scores: &'a mut [f32],
    /// Keys of each row.
    pub met: usize,
    /// Rows.
    pub count: usize,
    pub scale: f32,
    /// The largest score of each row so far, and the total of what was made of them.
    pub top: &'a mut [f32],
    pub total: &'a mut [f32],
    /// `[QUERIES, wide]`: what values were summed so far.
    pub sums: &'a mut [f32],
    pub wide: usize,
}

impl simd::Job for Online<'_> {
    #[inline(always)]
    fn run(self, by: impl Arithmetic) {
        let Self { scores, met, count, scale, top, total, sums, wide } = self;
        let rows = scores.chunks_exact_mut(super::KEYS).zip(sums.chunks_exact_mut(wide)).zip(top.iter_mut().zip(total)).take(count);
        for ((scores, sums), (top, total)) in rows {
            let scores = &mut scores[..met];
            let higher = largest(scores, scale);
            let now = if higher > *top || higher.is_nan() { higher } else { *top };
            // 0 at the first block, where the top is −∞.
            let shrink = math::share(*top - now, by);
            *total = *total * shrink + shares(scores, scale, now, by);
            *top = now;
            sums.iter_mut().for_each(|v| *v *= shrink);
        }
    }
}

/// Divides what was summed by the totals.
pub struct Finish<'a> {
    pub sums: &'a [f32],
    pub wide: usize,
    pub total: &'a [f32],
    pub out: &'a mut [f32],
    pub width: usize,
}

impl simd::Job for Finish<'_> {
    #[inline(always)]
    fn run(self, _: impl Arithmetic) {
        for ((out, sums), total) in self.out.chunks_exact_mut(self.width).zip(self.sums.chunks_exact(self.wide)).zip(self.total) {
            let share = 1.0 / total;
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * share);
        }
    }
}

/// Turns scores into shares of a total that is not known yet, and keeps by which top.
pub struct Shares<'a> {
    /// `[QUERIES, KEYS]`
    pub scores: &'a mut [f32],
    pub met: usize,
    pub count: usize,
    pub scale: f32,
    /// The largest score of each row so far, and the total of what was made of them.
    pub top: &'a mut [f32],
    pub total: &'a mut [f32],
    /// The top that each row's shares of this block were made by.
    pub seen: &'a mut [f32],
}

impl simd::Job for Shares<'_> {
    #[inline(always)]
    fn run(self, by: impl Arithmetic) {
        let Self { scores, met, count, scale, top, total, seen } = self;
        let rows = scores.chunks_exact_mut(super::KEYS).zip(top.iter_mut().zip(total).zip(seen)).take(count);
        for (scores, ((top, total), seen)) in rows {
            let scores = &mut scores[..met];
            let higher = largest(scores, scale);
            let now = if higher > *top || higher.is_nan() { higher } else { *top };
            *total = *total * math::share(*top - now, by) + shares(scores, scale, now, by);
            *top = now;
            *seen = now;
        }
    }
}

/// Makes shares those of the whole total, and their gradients those of the scores: `share·(d − mean)·scale`.
pub struct Scores<'a> {
    /// `[QUERIES, KEYS]`, as [`Shares`] left them.
    pub shares: &'a mut [f32],
    /// `[QUERIES, KEYS]`, the shares' gradients in and the scores' out.
    pub gradients: &'a mut [f32],
    pub met: usize,
    pub scale: f32,
    /// Of each row: the top of all and of this block, the total of all, and the mean of its shares' gradients.
    pub top: &'a [f32],
    pub seen: &'a [f32],
    pub total: &'a [f32],
    pub mean: &'a [f32],
}

impl simd::Job for Scores<'_> {
    #[inline(always)]
    fn run(self, by: impl Arithmetic) {
        let Self { shares, gradients, met, scale, top, seen, total, mean } = self;
        let rows = shares.chunks_exact_mut(super::KEYS).zip(gradients.chunks_exact_mut(super::KEYS));
        for (i, (shares, gradients)) in rows.enumerate().take(mean.len()) {
            let factor = math::share(seen[i] - top[i], by) / total[i];
            let mean = mean[i];
            for (share, gradient) in shares[..met].iter_mut().zip(&mut gradients[..met]) {
                *share *= factor;
                *gradient = *share * (*gradient - mean) * scale;
            }
        }
    }
}
