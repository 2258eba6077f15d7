//! What is done to blocks of scores between the products.

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
fn shares(values: &mut [f32], scale: f32, top: f32) -> f32 {
    let (whole, rest) = values.as_chunks_mut::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in whole {
        for (lane, v) in lanes.iter_mut().zip(block) {
            *v = math::exp(*v * scale - top);
            *lane += *v;
        }
    }
    let mut sum = lanes.iter().sum();
    for v in rest {
        *v = math::exp(*v * scale - top);
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
    fn run(self) {
        let Self { scores, met, count, scale, top, total, sums, wide } = self;
        let rows = scores.chunks_exact_mut(super::KEYS).zip(sums.chunks_exact_mut(wide)).zip(top.iter_mut().zip(total)).take(count);
        for ((scores, sums), (top, total)) in rows {
            let scores = &mut scores[..met];
            let higher = largest(scores, scale);
            let now = if higher > *top || higher.is_nan() { higher } else { *top };
            // 0 at the first block, where the top is −∞.
            let shrink = math::exp(*top - now);
            *total = *total * shrink + shares(scores, scale, now);
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
    fn run(self) {
        for ((out, sums), total) in self.out.chunks_exact_mut(self.width).zip(self.sums.chunks_exact(self.wide)).zip(self.total) {
            let share = 1.0 / total;
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * share);
        }
    }
}

/// The logarithm of each row's total, met block by block.
pub struct Totals<'a> {
    pub scores: &'a mut [f32],
    pub met: usize,
    pub count: usize,
    pub scale: f32,
    pub top: &'a mut [f32],
    pub total: &'a mut [f32],
}

impl simd::Job for Totals<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { scores, met, count, scale, top, total } = self;
        for (scores, (top, total)) in scores.chunks_exact_mut(super::KEYS).zip(top.iter_mut().zip(total)).take(count) {
            let scores = &mut scores[..met];
            let higher = largest(scores, scale);
            let now = if higher > *top || higher.is_nan() { higher } else { *top };
            *total = *total * math::exp(*top - now) + shares(scores, scale, now);
            *top = now;
        }
    }
}

/// Scores become shares, and the shares' gradients become those of the scores: `share·(d − mean)·scale`.
pub struct Scores<'a> {
    /// `[QUERIES, KEYS]`, scores in and shares out.
    pub scores: &'a mut [f32],
    /// `[QUERIES, KEYS]`, the shares' gradients in and the scores' out.
    pub gradients: &'a mut [f32],
    pub met: usize,
    pub scale: f32,
    /// The logarithm of the total of each row, and the mean of its shares' gradients.
    pub total: &'a [f32],
    pub mean: &'a [f32],
}

impl simd::Job for Scores<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { scores, gradients, met, scale, total, mean } = self;
        let rows = scores.chunks_exact_mut(super::KEYS).zip(gradients.chunks_exact_mut(super::KEYS)).zip(total.iter().zip(mean));
        for ((scores, gradients), (total, mean)) in rows {
            for (score, gradient) in scores[..met].iter_mut().zip(&mut gradients[..met]) {
                let share = math::exp(*score * scale - total);
                *score = share;
                *gradient = share * (*gradient - mean) * scale;
            }
        }
    }
}
