//! Mixtures of discretised logistics (Salimans et al., 2017): −ln p of every value of a pixel given the colours before it, and its
//! gradient. Sixteen pixels side by side.
//!
//! With wₖ = ln p(k | the colours before), −ln p of a value is −lse(wₖ + ln pₖ(value)), and the weights of the next colour are
//! wₖ + ln pₖ(value) with that taken off: the values of a pixel sum to its −ln p, and no sum cancels however far in the tails they lie.

use super::{Real, simd};
use crate::tensor::{LEAST_LOG_SCALE, Mixture};

/// Pixels of a vector.
const LANES: usize = 16;

/// The levels, and what stands for a width of zero.
#[derive(Clone, Copy)]
struct Grid<T> {
    top: T,
    step: T,
    tiny: T,
}

impl<T: Real> Grid<T> {
    fn new(mixture: &Mixture) -> Self {
        let top = mixture.levels as f64 - 1.0;
        Self { top: T::of(top), step: T::of(1.0 / top), tiny: T::of(1e-30) }
    }

    /// Where a level stands.
    #[inline(always)]
    fn place(&self, level: T) -> T {
        level.plus(level).minus(self.top).times(self.step)
    }

    /// A level's edges in scales from a mean. Two levels share an edge to the last bit, so that their masses leave nothing out.
    #[inline(always)]
    fn edges(&self, level: T, mean: T, inverse: T) -> [T; 2] {
        let (twice, one) = (level.plus(level).minus(self.top), T::of(1.0));
        [one, T::of(-1.0)].map(|side| twice.plus(side).times(self.step).minus(mean).times(inverse))
    }

    /// The width of a level in scales.
    #[inline(always)]
    fn width(&self, inverse: T) -> T {
        let width = self.step.plus(self.step).times(inverse);
        if width < self.tiny { self.tiny } else { width }
    }

    /// ln p of a level under a logistic: ln(σ(a) − σ(b)) = ln σ(a) + ln σ(−b) + ln(1 − e^(b−a)) for its upper edge a and its lower b; at
    /// the ends of the levels one of the first two alone.
    #[inline(always)]
    fn ln_p(&self, level: T, mean: T, inverse: T) -> T {
        let [a, b] = self.edges(level, mean, inverse);
        let zero = T::default();
        let (below, above) = (zero.minus(zero.minus(a).softened()), zero.minus(b.softened()));
        let between = below.plus(above).plus(rise(self.width(inverse)).logarithm());
        if level <= zero {
            below
        } else if level >= self.top {
            above
        } else {
            between
        }
    }

    /// The derivatives of ln p by the mean and by the log scale.
    #[inline(always)]
    fn slopes(&self, level: T, mean: T, inverse: T) -> [T; 2] {
        let [a, b] = self.edges(level, mean, inverse);
        let zero = T::default();
        let (above_a, below_b) = (zero.minus(a).logistic(), b.logistic());
        let (by_a, by_b) = (a.times(above_a), b.times(below_b));
        let width = self.width(inverse);
        let shrinks = width.times(zero.minus(width).exponential()).over(rise(width));
        let [by_mean, by_scale] = [below_b.minus(above_a), by_b.minus(by_a).minus(shrinks)];
        let (low, high) = (level <= zero, level >= self.top);
        let by_mean = if low { zero.minus(above_a) } else { by_mean };
        let by_scale = if low { zero.minus(by_a) } else { by_scale };
        let by_mean = if high { below_b } else { by_mean };
        let by_scale = if high { by_b } else { by_scale };
        [by_mean.times(inverse), by_scale]
    }
}

/// 1 − e^−x for x > 0, to the last places however small x is.
#[inline(always)]
fn rise<T: Real>(x: T) -> T {
    let t = x.times(T::of(0.5)).hyperbolic_tangent();
    t.plus(t).over(T::of(1.0).plus(t))
}

/// One over the scale, given its logarithm.
#[inline(always)]
fn inverse<T: Real>(log_scale: T) -> T {
    let least = T::of(LEAST_LOG_SCALE);
    let clamped = if log_scale < least { least } else { log_scale };
    T::default().minus(clamped).exponential()
}

/// The law of one pixel's values at a temperature: logits are divided by it, and scales multiplied.
pub struct PixelLaw<'a> {
    mixture: Mixture,
    grid: Grid<f64>,
    parameters: &'a [f32],
    sharpness: f64,
}

impl<'a> PixelLaw<'a> {
    /// The law that a pixel's parameters tell.
    pub fn new(mixture: Mixture, parameters: &'a [f32], temperature: f32) -> Self {
        Self { mixture, grid: Grid::new(&mixture), parameters, sharpness: 1.0 / f64::from(temperature) }
    }

    /// ln p of each component given the pixel's first colours.
    pub fn components(&self, earlier: &[f32]) -> Vec<f64> {
        let mut weights: Vec<f64> = self.parameters[..self.mixture.components].iter().map(|l| f64::from(*l) * self.sharpness).collect();
        normalise(&mut weights);
        for (colour, level) in earlier.iter().enumerate() {
            self.ln_p(&mut weights, &earlier[..colour], *level);
        }
        weights
    }

    /// ln p of the next colour's level, given [`PixelLaw::components`]; they become those given this one too.
    pub fn ln_p(&self, components: &mut [f64], earlier: &[f32], level: f32) -> f64 {
        for (k, weight) in components.iter_mut().enumerate() {
            let [mean, inverse] = self.logistic(k, earlier);
            *weight += self.grid.ln_p(f64::from(level), mean, inverse);
        }
        normalise(components)
    }

    /// Mean and inverse scale of the next colour in a component.
    fn logistic(&self, component: usize, earlier: &[f32]) -> [f64; 2] {
        let (of, colour) = (|first: usize| f64::from(self.parameters[first + component]), earlier.len());
        let moves = earlier.iter().enumerate().map(|(e, level)| {
            let place = self.grid.place(f64::from(*level));
            of(self.mixture.coefficients(colour, e)).tanh() * place
        });
        let mean = of(self.mixture.means(colour)) + moves.sum::<f64>();
        [mean, inverse(of(self.mixture.scales(colour))) * self.sharpness]
    }

    /// The level of the next colour at which a component's distribution function reaches a probability, given ln p/(1 − p) of it.
    pub fn level_at(&self, component: usize, earlier: &[f32], log_odds: f64) -> f32 {
        let [mean, inverse] = self.logistic(component, earlier);
        let place = mean + log_odds / inverse;
        let level = ((place + 1.0) * 0.5 * self.grid.top + 0.5).floor();
        level.clamp(0.0, self.grid.top) as f32
    }
}

/// Takes off the logarithm of the sum of exponentials, and returns it.
fn normalise(weights: &mut [f64]) -> f64 {
    let top = weights.iter().fold(f64::NEG_INFINITY, |m, w| m.max(*w));
    let whole = top + weights.iter().map(|w| (w - top).exp()).sum::<f64>().ln();
    weights.iter_mut().for_each(|w| *w -= whole);
    whole
}

type Lane<T> = [T; LANES];

/// Pixels of a mixture.
pub struct MixtureJob<'a, T> {
    /// Which.
    pub mixture: Mixture,
    /// `[pixels, parameters]`.
    pub parameters: &'a [T],
    /// `[pixels, colours]`.
    pub levels: &'a [T],
    /// The gradient of −ln p, `[pixels, colours]`: then `out` takes that of the parameters, else −ln p.
    pub upstream: Option<&'a [T]>,
    /// `[pixels, colours]`, or `[pixels, parameters]`.
    pub out: &'a mut [T],
}

impl<T: Real> MixtureJob<'_, T> {
    /// Writes `out` whole.
    pub fn run(self) {
        let mixture = self.mixture;
        let [p, k, c] = [mixture.parameters(), mixture.components, mixture.colours];
        let numbers = if self.upstream.is_some() { 2 * p + (2 + c) * k + 2 * c } else { p + k + 2 * c };
        T::with_scratch(numbers * LANES, |scratch| simd::dispatch(Vectors { job: self, scratch }));
    }
}

struct Vectors<'a, 'b, T> {
    job: MixtureJob<'a, T>,
    scratch: &'b mut [T],
}

impl<T: Real> simd::Job for Vectors<'_, '_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let MixtureJob { mixture, parameters, levels, upstream, out } = self.job;
        let (p, c) = (mixture.parameters(), mixture.colours);
        let (scratch, _) = self.scratch.as_chunks_mut::<LANES>();
        let (held, scratch) = scratch.split_at_mut(p);
        let (seen, scratch) = scratch.split_at_mut(c);
        let (told, scratch) = scratch.split_at_mut(c);
        let pixels = levels.len() / c;
        for first in (0..pixels).step_by(LANES) {
            let count = LANES.min(pixels - first);
            turn(&parameters[first * p..(first + count) * p], held);
            turn(&levels[first * c..(first + count) * c], seen);
            match upstream {
                None => {
                    surprise(&mixture, held, seen, scratch, told);
                    turn_back(told, &mut out[first * c..(first + count) * c]);
                }
                Some(upstream) => {
                    turn(&upstream[first * c..(first + count) * c], told);
                    let (gradient, scratch) = scratch.split_at_mut(p);
                    slopes(&mixture, held, seen, told, scratch, gradient);
                    turn_back(gradient, &mut out[first * p..(first + count) * p]);
                }
            }
        }
    }
}

/// `[pixel, channel]` to `[channel, lane]`; lanes without a pixel repeat the last.
#[inline(always)]
fn turn<T: Real>(from: &[T], to: &mut [Lane<T>]) {
    let (channels, last) = (to.len(), from.len() / to.len() - 1);
    for (c, lanes) in to.iter_mut().enumerate() {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = from[i.min(last) * channels + c];
        }
    }
}

#[inline(always)]
fn turn_back<T: Real>(from: &[Lane<T>], to: &mut [T]) {
    for (i, pixel) in to.chunks_exact_mut(from.len()).enumerate() {
        for (value, lanes) in pixel.iter_mut().zip(from) {
            *value = lanes[i];
        }
    }
}

/// Takes off ln Σ exp, and returns it.
#[inline(always)]
fn normalise_lanes<T: Real>(weights: &mut [Lane<T>]) -> Lane<T> {
    let mut top = weights[0];
    for w in weights.iter() {
        for i in 0..LANES {
            top[i] = if w[i] > top[i] { w[i] } else { top[i] };
        }
    }
    let mut whole = [T::default(); LANES];
    for w in weights.iter() {
        for i in 0..LANES {
            whole[i] = whole[i].plus(w[i].minus(top[i]).exponential());
        }
    }
    for i in 0..LANES {
        whole[i] = top[i].plus(whole[i].logarithm());
    }
    for w in weights.iter_mut() {
        for i in 0..LANES {
            w[i] = w[i].minus(whole[i]);
        }
    }
    whole
}

/// The means of a colour in a component.
#[inline(always)]
fn means<T: Real>(mixture: &Mixture, grid: Grid<T>, held: &[Lane<T>], seen: &[Lane<T>], [colour, k]: [usize; 2]) -> Lane<T> {
    let mut mean = held[mixture.means(colour) + k];
    for (earlier, levels) in seen[..colour].iter().enumerate() {
        let coefficient = &held[mixture.coefficients(colour, earlier) + k];
        for i in 0..LANES {
            mean[i] = mean[i].plus(coefficient[i].hyperbolic_tangent().times(grid.place(levels[i])));
        }
    }
    mean
}

/// −ln p of each colour, to `told`.
#[inline(always)]
fn surprise<T: Real>(mixture: &Mixture, held: &[Lane<T>], seen: &[Lane<T>], weights: &mut [Lane<T>], told: &mut [Lane<T>]) {
    let grid = Grid::new(mixture);
    weights.copy_from_slice(&held[..mixture.components]);
    normalise_lanes(weights);
    for (colour, told) in told.iter_mut().enumerate() {
        for (k, weight) in weights.iter_mut().enumerate() {
            let mean = means(mixture, grid, held, seen, [colour, k]);
            let (scale, level) = (&held[mixture.scales(colour) + k], &seen[colour]);
            for i in 0..LANES {
                weight[i] = weight[i].plus(grid.ln_p(level[i], mean[i], inverse(scale[i])));
            }
        }
        let whole = normalise_lanes(weights);
        for i in 0..LANES {
            told[i] = T::default().minus(whole[i]);
        }
    }
}

/// The gradient of the parameters, given that of −ln p.
///
/// With qⱼ the components' probabilities after j colours and uⱼ what comes from colour j, the gradient of ln p of colour j in a component is
/// Gⱼ = Gⱼ₊₁ + (uⱼ₊₁ − uⱼ)·qⱼ, from G_C = −u_C·q_C on, and that of its logit is G₁ + u₁·q₀.
#[inline(always)]
fn slopes<T: Real>(
    mixture: &Mixture,
    held: &[Lane<T>],
    seen: &[Lane<T>],
    upstream: &[Lane<T>],
    scratch: &mut [Lane<T>],
    gradient: &mut [Lane<T>],
) {
    let grid = Grid::new(mixture);
    let (components, colours) = (mixture.components, mixture.colours);
    let (weights, posterior) = scratch.split_at_mut(components);
    weights.copy_from_slice(&held[..components]);
    for colour in 0..=colours {
        normalise_lanes(weights);
        for (q, w) in posterior[colour * components..].iter_mut().zip(weights.iter()) {
            for i in 0..LANES {
                q[i] = w[i].exponential();
            }
        }
        if colour == colours {
            break;
        }
        for (k, weight) in weights.iter_mut().enumerate() {
            let mean = means(mixture, grid, held, seen, [colour, k]);
            let (scale, level) = (&held[mixture.scales(colour) + k], &seen[colour]);
            let (mut by_mean, mut by_scale) = ([T::default(); LANES], [T::default(); LANES]);
            for i in 0..LANES {
                let inverse = inverse(scale[i]);
                weight[i] = weight[i].plus(grid.ln_p(level[i], mean[i], inverse));
                [by_mean[i], by_scale[i]] = grid.slopes(level[i], mean[i], inverse);
                by_scale[i] = if scale[i] < T::of(LEAST_LOG_SCALE) { T::default() } else { by_scale[i] };
            }
            gradient[mixture.means(colour) + k] = by_mean;
            gradient[mixture.scales(colour) + k] = by_scale;
        }
    }
    for k in 0..components {
        let mut own = [T::default(); LANES];
        for colour in (0..colours).rev() {
            let (q, u) = (&posterior[(colour + 1) * components + k], &upstream[colour]);
            let next = if colour + 1 < colours { upstream[colour + 1] } else { [T::default(); LANES] };
            let (by_mean, by_scale) = (mixture.means(colour) + k, mixture.scales(colour) + k);
            for i in 0..LANES {
                own[i] = own[i].plus(next[i].minus(u[i]).times(q[i]));
                gradient[by_mean][i] = gradient[by_mean][i].times(own[i]);
                gradient[by_scale][i] = gradient[by_scale][i].times(own[i]);
            }
            for (earlier, levels) in seen[..colour].iter().enumerate() {
                let at = mixture.coefficients(colour, earlier) + k;
                for i in 0..LANES {
                    let t = held[at][i].hyperbolic_tangent();
                    let open = T::of(1.0).minus(t.times(t));
                    gradient[at][i] = gradient[by_mean][i].times(grid.place(levels[i])).times(open);
                }
            }
        }
        for i in 0..LANES {
            gradient[k][i] = own[i].plus(upstream[0][i].times(posterior[k][i]));
        }
    }
}
