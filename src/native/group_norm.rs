//! Group normalisation on the CPU, an image at a time: what is read more than once is then still in cache.

use rayon::prelude::*;

use super::{Real, simd};
use crate::tensor::Grouping;

/// Channels that a loop works on at a time; sums of theirs stay in registers.
const LANES: usize = 16;

/// What a normalisation reads, of some images.
#[derive(Clone, Copy)]
pub struct Given<'a, T> {
    /// The groups, and what follows.
    pub grouping: Grouping,
    /// Positions of an image.
    pub rows: usize,
    /// Channels of an image.
    pub channels: usize,
    /// `[N, rows, channels]`.
    pub x: &'a [T],
    /// Values a channel, and how far apart those of two images lie: 0 where they are the same for all.
    pub scale: (&'a [T], usize),
    /// As `scale`.
    pub shift: (&'a [T], usize),
}

/// What is to be computed.
#[derive(Clone, Copy)]
pub enum Job<'a, T> {
    /// The normalised images.
    Forward,
    /// `[N, 2, channels]`: over an image's positions, the sums of the gradient before the activation, and of it times the normalised x.
    Sums {
        /// The output's gradient.
        upstream: &'a [T],
    },
    /// The gradient at x.
    Input {
        /// The output's gradient.
        upstream: &'a [T],
        /// What [`Job::Sums`] made.
        sums: &'a [T],
    },
}

/// Carries a job out for every image.
pub fn run<T: Real>(given: &Given<'_, T>, job: Job<'_, T>, out: &mut [T]) {
    let (channels, item) = (given.channels, given.rows * given.channels);
    if item == 0 {
        out.fill(T::default());
        return;
    }
    let each = if matches!(job, Job::Sums { .. }) { 2 * channels } else { item };
    out.par_chunks_mut(each).zip(given.x.par_chunks(item)).enumerate().for_each(|(n, (out, x))| {
        T::with_scratch(4 * channels, |scratch| simd::dispatch(Image { given, job, n, x, scratch, out }));
    });
}

/// One image's part of a job.
struct Image<'a, T> {
    given: &'a Given<'a, T>,
    job: Job<'a, T>,
    n: usize,
    x: &'a [T],
    /// Four values a channel.
    scratch: &'a mut [T],
    out: &'a mut [T],
}

/// The columns of one channel each that a block of lanes needs.
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    mean: &'a [T],
    /// 1/√(var + ε)
    unit: &'a [T],
    scale: &'a [T],
    shift: &'a [T],
}

impl<T: Real> Columns<'_, T> {
    #[inline(always)]
    fn normalised(&self, x: T, c: usize) -> T {
        x.minus(self.mean[c]).times(self.unit[c])
    }

    /// The gradient before the activation, given that behind it.
    #[inline(always)]
    fn before(&self, silu: bool, normalised: T, u: T, c: usize) -> T {
        if !silu {
            return u;
        }
        let one = T::of(1.0);
        let z = normalised.times(self.scale[c]).plus(self.shift[c]);
        let s = z.logistic();
        u.times(s.times(one.plus(z.times(one.minus(s)))))
    }
}

/// Sums two functions of the elements of each channel over the rows; `f` is given an element of x, one of `other` and the channel.
#[inline(always)]
fn sum_rows<T: Real>(x: &[T], other: &[T], channels: usize, mut f: impl FnMut(T, T, usize) -> [T; 2], out: [&mut [T]; 2]) {
    let [first, second] = out;
    let mut c = 0;
    while c < channels {
        let lanes = LANES.min(channels - c);
        let mut sums = [[T::default(); LANES]; 2];
        for (x, other) in x.chunks_exact(channels).zip(other.chunks_exact(channels)) {
            if let (Some(x), Some(other)) = (x[c..].first_chunk::<LANES>(), other[c..].first_chunk::<LANES>()) {
                for i in 0..LANES {
                    let [a, b] = f(x[i], other[i], c + i);
                    sums[0][i] = sums[0][i].plus(a);
                    sums[1][i] = sums[1][i].plus(b);
                }
            } else {
                for i in 0..lanes {
                    let [a, b] = f(x[c + i], other[c + i], c + i);
                    sums[0][i] = sums[0][i].plus(a);
                    sums[1][i] = sums[1][i].plus(b);
                }
            }
        }
        first[c..c + lanes].copy_from_slice(&sums[0][..lanes]);
        second[c..c + lanes].copy_from_slice(&sums[1][..lanes]);
        c += lanes;
    }
}

/// The values of an image.
#[inline(always)]
fn of_image<T>((values, stride): (&[T], usize), n: usize, channels: usize) -> &[T] {
    &values[n * stride..][..channels]
}

/// Puts one value for each group in the place of each of its channels.
#[inline(always)]
fn spread<T: Real>(values: &mut [T], groups: usize, f: impl Fn(f64) -> f64) {
    for group in values.chunks_exact_mut(values.len() / groups) {
        let sum = group.iter().map(|v| v.wide()).sum();
        group.fill(T::of(f(sum)));
    }
}

impl<T: Real> simd::Job for Image<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { given, job, n, x, scratch, out } = self;
        let &Given { grouping: Grouping { groups, epsilon, silu }, rows, channels, .. } = given;
        let count = (rows * channels / groups) as f64;
        let (mean, rest) = scratch.split_at_mut(channels);
        let (unit, rest) = rest.split_at_mut(channels);
        let (means, alongs) = rest.split_at_mut(channels);

        // The mean, then the spread around it: a large mean costs the variance no digits. What rounding left of the mean is taken away.
        sum_rows(x, x, channels, |x, _, _| [x, x], [mean, unit]);
        spread(mean, groups, |sum| sum / count);
        let centre = &*mean;
        sum_rows(
            x,
            x,
            channels,
            |x, _, c| {
                let d = x.minus(centre[c]);
                [d, d.times(d)]
            },
            [means, unit],
        );
        spread(means, groups, |sum| sum / count);
        for (unit, rest) in unit.chunks_exact_mut(channels / groups).zip(means.chunks_exact(channels / groups)) {
            let squares: f64 = unit.iter().map(|v| v.wide()).sum();
            unit.fill(T::of(1.0 / (squares / count - rest[0].wide().powi(2) + epsilon).sqrt()));
        }
        mean.iter_mut().zip(&*means).for_each(|(mean, rest)| *mean = mean.plus(*rest));

        let columns = Columns { mean, unit, scale: of_image(given.scale, n, channels), shift: of_image(given.shift, n, channels) };
        let item = rows * channels;
        match job {
            Job::Forward => {
                for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for c in 0..channels {
                        let z = columns.normalised(x[c], c).times(columns.scale[c]).plus(columns.shift[c]);
                        out[c] = if silu { z.times(z.logistic()) } else { z };
                    }
                }
            }
            Job::Sums { upstream } => {
                let (first, second) = out.split_at_mut(channels);
                let f = |x, u, c| {
                    let normalised = columns.normalised(x, c);
                    let v = columns.before(silu, normalised, u, c);
                    [v, v.times(normalised)]
                };
                sum_rows(x, &upstream[n * item..][..item], channels, f, [first, second]);
            }
            Job::Input { upstream, sums } => {
                let sums = &sums[n * 2 * channels..][..2 * channels];
                for (to, sums) in [&mut *means, &mut *alongs].into_iter().zip(sums.chunks_exact(channels)) {
                    to.iter_mut().zip(sums).zip(columns.scale).for_each(|((to, sum), scale)| *to = sum.times(*scale));
                    spread(to, groups, |sum| sum / count);
                }
                let upstream = &upstream[n * item..][..item];
                for ((out, x), u) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(upstream.chunks_exact(channels)) {
                    for c in 0..channels {
                        let normalised = columns.normalised(x[c], c);
                        let v = columns.before(silu, normalised, u[c], c).times(columns.scale[c]);
                        out[c] = v.minus(means[c]).minus(normalised.times(alongs[c])).times(columns.unit[c]);
                    }
                }
            }
        }
    }
}
