//! Group normalisation on the CPU, an image at a time: what is read more than once is then still in cache.

#![allow(clippy::needless_range_loop)] // indices name lanes here

use crate::parallel::prelude::*;

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

/// Numbers of adjacent channels.
type Lane<T> = [T; LANES];

/// Some channels of a row; zeros beyond the last.
#[inline(always)]
fn lane<T: Real, const WHOLE: bool>(row: &[T], lanes: usize) -> Lane<T> {
    match row.first_chunk() {
        Some(lane) if WHOLE => *lane,
        _ => std::array::from_fn(|i| if i < lanes { row[i] } else { T::default() }),
    }
}

/// What a normalisation takes of each channel.
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    mean: &'a [T],
    /// 1/√(var + ε)
    unit: &'a [T],
    scale: &'a [T],
    shift: &'a [T],
}

/// The same of some channels.
struct Block<T> {
    mean: Lane<T>,
    unit: Lane<T>,
    scale: Lane<T>,
    shift: Lane<T>,
}

impl<T: Real> Columns<'_, T> {
    #[inline(always)]
    fn block<const WHOLE: bool>(&self, c: usize, lanes: usize) -> Block<T> {
        let of = |values: &[T]| lane::<T, WHOLE>(&values[c..], lanes);
        Block { mean: of(self.mean), unit: of(self.unit), scale: of(self.scale), shift: of(self.shift) }
    }
}

impl<T: Real> Block<T> {
    #[inline(always)]
    fn normalised(&self, x: &Lane<T>) -> Lane<T> {
        let mut out = *x;
        for i in 0..LANES {
            out[i] = x[i].minus(self.mean[i]).times(self.unit[i]);
        }
        out
    }

    /// The gradient before the activation, given that behind it.
    #[inline(always)]
    fn before(&self, silu: bool, normalised: &Lane<T>, u: &Lane<T>) -> Lane<T> {
        let mut out = *u;
        if silu {
            let one = T::of(1.0);
            for i in 0..LANES {
                let z = normalised[i].times(self.scale[i]).plus(self.shift[i]);
                let s = z.logistic();
                out[i] = u[i].times(s.times(one.plus(z.times(one.minus(s)))));
            }
        }
        out
    }
}

/// What two sums over the rows are made of. A trait and no closure, and so below: what is not inlined is compiled without vectors.
trait Terms<T> {
    /// Of some channels of a row of x and of what lies beside it.
    fn terms(&self, block: &Block<T>, x: &Lane<T>, beside: &Lane<T>) -> [Lane<T>; 2];
}

/// x itself.
struct Plain;

impl<T: Real> Terms<T> for Plain {
    #[inline(always)]
    fn terms(&self, _block: &Block<T>, x: &Lane<T>, _beside: &Lane<T>) -> [Lane<T>; 2] {
        [*x, *x]
    }
}

/// What x is beyond the mean, and its square.
struct Squares;

impl<T: Real> Terms<T> for Squares {
    #[inline(always)]
    fn terms(&self, block: &Block<T>, x: &Lane<T>, _beside: &Lane<T>) -> [Lane<T>; 2] {
        let (mut d, mut squares) = (*x, *x);
        for i in 0..LANES {
            d[i] = x[i].minus(block.mean[i]);
            squares[i] = d[i].times(d[i]);
        }
        [d, squares]
    }
}

/// The gradient before the activation, and it times the normalised x.
struct Slopes {
    silu: bool,
}

impl<T: Real> Terms<T> for Slopes {
    #[inline(always)]
    fn terms(&self, block: &Block<T>, x: &Lane<T>, u: &Lane<T>) -> [Lane<T>; 2] {
        let normalised = block.normalised(x);
        let v = block.before(self.silu, &normalised, u);
        let mut along = v;
        for i in 0..LANES {
            along[i] = v[i].times(normalised[i]);
        }
        [v, along]
    }
}

/// What is put in the place of x.
trait Values<T> {
    /// In the place of some channels of a row, given what lies beside it and two values of each channel.
    fn values(&self, block: &Block<T>, own: &[Lane<T>; 2], x: &Lane<T>, beside: &Lane<T>) -> Lane<T>;
}

/// The normalised x.
struct Forward {
    silu: bool,
}

impl<T: Real> Values<T> for Forward {
    #[inline(always)]
    fn values(&self, block: &Block<T>, _own: &[Lane<T>; 2], x: &Lane<T>, _beside: &Lane<T>) -> Lane<T> {
        let mut out = block.normalised(x);
        for i in 0..LANES {
            let z = out[i].times(block.scale[i]).plus(block.shift[i]);
            out[i] = if self.silu { z.times(z.logistic()) } else { z };
        }
        out
    }
}

/// The gradient at x; each channel's own values are the means of [`Slopes`].
struct Input {
    silu: bool,
}

impl<T: Real> Values<T> for Input {
    #[inline(always)]
    fn values(&self, block: &Block<T>, [mean, along]: &[Lane<T>; 2], x: &Lane<T>, u: &Lane<T>) -> Lane<T> {
        let normalised = block.normalised(x);
        let mut v = block.before(self.silu, &normalised, u);
        for i in 0..LANES {
            v[i] = v[i].times(block.scale[i]).minus(mean[i]).minus(normalised[i].times(along[i])).times(block.unit[i]);
        }
        v
    }
}

/// Sums over the rows of x and of what lies beside it, channel by channel.
#[inline(always)]
fn sum_rows<T: Real>(rows: [&[T]; 2], columns: &Columns<'_, T>, terms: &impl Terms<T>, [first, second]: [&mut [T]; 2]) {
    let channels = columns.scale.len();
    for c in (0..channels).step_by(LANES) {
        let out = [&mut first[c..], &mut second[c..]];
        // Blocks that are whole are loops of known length.
        if channels - c >= LANES {
            sum_block::<T, true>([c, LANES], rows, columns, terms, out);
        } else {
            sum_block::<T, false>([c, channels - c], rows, columns, terms, out);
        }
    }
}

#[inline(always)]
fn sum_block<T: Real, const WHOLE: bool>(
    [c, lanes]: [usize; 2],
    [x, beside]: [&[T]; 2],
    columns: &Columns<'_, T>,
    terms: &impl Terms<T>,
    out: [&mut [T]; 2],
) {
    let (block, channels) = (columns.block::<WHOLE>(c, lanes), columns.scale.len());
    let mut sums = [[T::default(); LANES]; 2];
    for (x, beside) in x.chunks_exact(channels).zip(beside.chunks_exact(channels)) {
        let terms = terms.terms(&block, &lane::<T, WHOLE>(&x[c..], lanes), &lane::<T, WHOLE>(&beside[c..], lanes));
        for (sums, terms) in sums.iter_mut().zip(&terms) {
            for i in 0..LANES {
                sums[i] = sums[i].plus(terms[i]);
            }
        }
    }
    for (out, sums) in out.into_iter().zip(&sums) {
        out[..lanes].copy_from_slice(&sums[..lanes]);
    }
}

/// Puts values in the places of x; `own` are two values of each channel.
#[inline(always)]
fn map_rows<T: Real>(rows: [&[T]; 2], columns: &Columns<'_, T>, own: [&[T]; 2], values: &impl Values<T>, out: &mut [T]) {
    let channels = columns.scale.len();
    for c in (0..channels).step_by(LANES) {
        if channels - c >= LANES {
            map_block::<T, true>([c, LANES], rows, columns, own, values, out);
        } else {
            map_block::<T, false>([c, channels - c], rows, columns, own, values, out);
        }
    }
}

#[inline(always)]
fn map_block<T: Real, const WHOLE: bool>(
    [c, lanes]: [usize; 2],
    [x, beside]: [&[T]; 2],
    columns: &Columns<'_, T>,
    [first, second]: [&[T]; 2],
    values: &impl Values<T>,
    out: &mut [T],
) {
    let (block, channels) = (columns.block::<WHOLE>(c, lanes), columns.scale.len());
    let own = [lane::<T, WHOLE>(&first[c..], lanes), lane::<T, WHOLE>(&second[c..], lanes)];
    let rows = x.chunks_exact(channels).zip(beside.chunks_exact(channels));
    for (out, (x, beside)) in out.chunks_exact_mut(channels).zip(rows) {
        let values = values.values(&block, &own, &lane::<T, WHOLE>(&x[c..], lanes), &lane::<T, WHOLE>(&beside[c..], lanes));
        match out[c..].first_chunk_mut() {
            Some(lane) if WHOLE => *lane = values,
            _ => out[c..c + lanes].copy_from_slice(&values[..lanes]),
        }
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
    fn run(self, _: impl simd::Arithmetic) {
        let Self { given, job, n, x, scratch, out } = self;
        let &Given { grouping: Grouping { groups, epsilon, silu }, rows, channels, .. } = given;
        let count = (rows * channels / groups) as f64;
        let (mean, rest) = scratch.split_at_mut(channels);
        let (unit, rest) = rest.split_at_mut(channels);
        let (means, alongs) = rest.split_at_mut(channels);
        let (scale, shift) = (of_image(given.scale, n, channels), of_image(given.shift, n, channels));

        // The mean, then the spread around it: a large mean costs the variance no digits. What rounding left of the mean is taken away.
        let columns = Columns { mean: scale, unit: scale, scale, shift };
        sum_rows([x, x], &columns, &Plain, [&mut *mean, &mut *unit]);
        spread(mean, groups, |sum| sum / count);
        sum_rows([x, x], &Columns { mean, ..columns }, &Squares, [&mut *means, &mut *unit]);
        spread(means, groups, |sum| sum / count);
        for (unit, rest) in unit.chunks_exact_mut(channels / groups).zip(means.chunks_exact(channels / groups)) {
            let squares: f64 = unit.iter().map(|v| v.wide()).sum();
            unit.fill(T::of(1.0 / (squares / count - rest[0].wide().powi(2) + epsilon).sqrt()));
        }
        mean.iter_mut().zip(&*means).for_each(|(mean, rest)| *mean = mean.plus(*rest));

        let columns = Columns { mean, unit, scale, shift };
        let item = rows * channels;
        match job {
            Job::Forward => map_rows([x, x], &columns, [scale, scale], &Forward { silu }, out),
            Job::Sums { upstream } => {
                let (first, second) = out.split_at_mut(channels);
                sum_rows([x, &upstream[n * item..][..item]], &columns, &Slopes { silu }, [first, second]);
            }
            Job::Input { upstream, sums } => {
                let sums = &sums[n * 2 * channels..][..2 * channels];
                for (to, sums) in [&mut *means, &mut *alongs].into_iter().zip(sums.chunks_exact(channels)) {
                    to.iter_mut().zip(sums).zip(scale).for_each(|((to, sum), scale)| *to = sum.times(*scale));
                    spread(to, groups, |sum| sum / count);
                }
                map_rows([x, &upstream[n * item..][..item]], &columns, [&*means, &*alongs], &Input { silu }, out);
            }
        }
    }
}
