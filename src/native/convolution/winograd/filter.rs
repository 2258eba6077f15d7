//! The filters: what patches, taps and gradients are multiplied as, and what products sum up to.

#![allow(clippy::needless_range_loop)] // indices name rows and columns here

use std::mem::MaybeUninit;

use super::lanes::{LANES, Lane, NOTHING, Put};

/// A filter of T taps whose tiles of O sums take P products, that many as a patch of the source has numbers.
///
/// With the linear maps below, `sums(patch(d) ∘ taps(g))` are the sums over a patch d, and the gradient at g that the gradient u
/// of the sums brings is `taps_of(patch(d) ∘ gradient(u))`.
pub(crate) trait Filter<const P: usize, const T: usize, const O: usize>: Send + Sync {
    /// Rows and columns of a patch.
    const PATCH: usize;
    /// What a patch is multiplied as: P numbers for each of its channels.
    fn patch(d: [&Lane; P], to: &mut impl Put);
    /// What taps are multiplied as.
    fn taps(g: [&Lane; T], to: &mut impl Put);
    /// The O sums of a tile, of its products.
    fn sums(m: [&Lane; P], to: &mut impl Put);
    /// What the gradients of a tile's sums are multiplied as.
    fn gradient(u: [&Lane; O], to: &mut impl Put);
    /// The gradients of T taps, of their products.
    fn taps_of(m: [&Lane; P], to: &mut impl Put);
}

/// A function of so many numbers, channel by channel.
macro_rules! across {
    ($from:literal, $to:literal, $along:path, $line:ident) => {{
        let mut out = [NOTHING; $to];
        for c in 0..LANES {
            let mut numbers = [0.0; $from];
            for k in 0..$from {
                numbers[k] = $line[k][c];
            }
            let results = $along(numbers);
            for k in 0..$to {
                out[k][c] = results[k];
            }
        }
        out
    }};
}

/// A function along the columns, then the same along the rows; or the other way around. Of each line all channels are done at once: of
/// functions of a whole patch the compiler makes no vectors.
macro_rules! both_ways {
    ($name:ident, $from:literal, $to:literal, $rows_first:literal, $along:path) => {
        #[inline(always)]
        fn $name(d: [&Lane; $from * $from], to: &mut impl Put) {
            let mut half = [const { MaybeUninit::<[Lane; $to]>::uninit() }; $from];
            for j in 0..$from {
                let mut line = [&NOTHING; $from];
                for i in 0..$from {
                    line[i] = if $rows_first { d[j * $from + i] } else { d[i * $from + j] };
                }
                half[j].write(across!($from, $to, $along, line));
            }
            for i in 0..$to {
                let mut line = [&NOTHING; $from];
                for j in 0..$from {
                    // SAFETY: all were written above.
                    line[j] = unsafe { &half[j].assume_init_ref()[i] };
                }
                let line = across!($from, $to, $along, line);
                for j in 0..$to {
                    to.put(if $rows_first { j * $to + i } else { i * $to + j }, &line[j]);
                }
            }
        }
    };
}

/// Kernels of 2×2: nine products for sixteen.
pub(crate) struct Two;

/// Along an axis.
mod two {
    #[inline(always)]
    pub fn patch(d: [f32; 3]) -> [f32; 3] {
        [d[0] - d[1], d[1], d[2] - d[1]]
    }

    #[inline(always)]
    pub fn spread(g: [f32; 2]) -> [f32; 3] {
        [g[0], g[0] + g[1], g[1]]
    }

    #[inline(always)]
    pub fn sums(m: [f32; 3]) -> [f32; 2] {
        [m[0] + m[1], m[1] + m[2]]
    }
}

impl Filter<9, 4, 4> for Two {
    const PATCH: usize = 3;
    both_ways!(patch, 3, 3, false, two::patch);
    both_ways!(taps, 2, 3, false, two::spread);
    both_ways!(sums, 3, 2, true, two::sums);
    both_ways!(gradient, 2, 3, false, two::spread);
    both_ways!(taps_of, 3, 2, true, two::sums);
}

/// Kernels of 3×3: sixteen products for thirty-six.
pub(crate) struct Three;

/// Along an axis: `y₀ = d₀g₀ + d₁g₁ + d₂g₂` and `y₁ = d₁g₀ + d₂g₁ + d₃g₂` of four products.
mod three {
    #[inline(always)]
    pub fn patch(d: [f32; 4]) -> [f32; 4] {
        [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]
    }

    #[inline(always)]
    pub fn taps(g: [f32; 3]) -> [f32; 4] {
        let (ends, middle) = (0.5 * (g[0] + g[2]), 0.5 * g[1]);
        [g[0], ends + middle, ends - middle, g[2]]
    }

    #[inline(always)]
    pub fn sums(m: [f32; 4]) -> [f32; 2] {
        [m[0] + (m[1] + m[2]), (m[1] - m[2]) - m[3]]
    }

    #[inline(always)]
    pub fn gradient(u: [f32; 2]) -> [f32; 4] {
        [u[0], u[0] + u[1], u[0] - u[1], -u[1]]
    }

    #[inline(always)]
    pub fn taps_of(m: [f32; 4]) -> [f32; 3] {
        let (ends, middle) = (0.5 * (m[1] + m[2]), 0.5 * (m[1] - m[2]));
        [m[0] + ends, middle, ends + m[3]]
    }
}

impl Filter<16, 9, 4> for Three {
    const PATCH: usize = 4;
    both_ways!(patch, 4, 4, false, three::patch);
    both_ways!(taps, 3, 4, false, three::taps);
    both_ways!(sums, 4, 2, true, three::sums);
    both_ways!(gradient, 2, 4, false, three::gradient);
    both_ways!(taps_of, 4, 3, true, three::taps_of);
}

/// Kernels of 2×2 and tiles of 4×4: twenty-five products for sixty-four.
pub(crate) struct TwoWide;

/// Along an axis: four sums of two taps of five products, which are values of polynomials at 0, 1, −1, ½ and ∞.
mod two_wide {
    #[inline(always)]
    pub fn patch(d: [f32; 5]) -> [f32; 5] {
        let odd = d[3] - d[1];
        let [first, third] = [0.5 * (d[2] - d[1]) + d[3], (0.5 * d[1] - 1.5 * d[2]) + d[3]];
        [(d[0] - d[2]) + 2.0 * odd, first, third, odd, (d[4] - d[2]) - 0.5 * odd]
    }

    #[inline(always)]
    pub fn taps(g: [f32; 2]) -> [f32; 5] {
        [g[0], g[0] + g[1], (g[1] - g[0]) * (1.0 / 3.0), (g[0] * 2.0 + g[1]) * (-4.0 / 3.0), g[1]]
    }

    #[inline(always)]
    pub fn sums(m: [f32; 5]) -> [f32; 4] {
        let (even, odd) = (m[1] + m[2], m[1] - m[2]);
        [m[0] + (even + m[3]), odd + 0.5 * m[3], even + 0.25 * m[3], (odd + 0.125 * m[3]) + m[4]]
    }

    #[inline(always)]
    pub fn gradient(u: [f32; 4]) -> [f32; 5] {
        let (even, odd) = (u[0] + u[2], u[1] + u[3]);
        [u[0], even + odd, even - odd, (u[0] + 0.25 * u[2]) + (0.5 * u[1] + 0.125 * u[3]), u[3]]
    }

    #[inline(always)]
    pub fn taps_of(m: [f32; 5]) -> [f32; 2] {
        let (third, half) = (m[2] * (1.0 / 3.0), m[3] * (4.0 / 3.0));
        [(m[0] + m[1]) - (third + 2.0 * half), (m[1] + third) + (m[4] - half)]
    }
}

impl Filter<25, 4, 16> for TwoWide {
    const PATCH: usize = 5;
    both_ways!(patch, 5, 5, false, two_wide::patch);
    both_ways!(taps, 2, 5, false, two_wide::taps);
    both_ways!(sums, 5, 4, true, two_wide::sums);
    both_ways!(gradient, 4, 5, false, two_wide::gradient);
    both_ways!(taps_of, 5, 2, true, two_wide::taps_of);
}

/// Kernels of 3×3 and tiles of 4×4: thirty-six products for a hundred and forty-four.
pub(crate) struct ThreeWide;

/// Along an axis: four sums of three taps of six products, which are values of polynomials at 0, 1, −1, ½, −2 and ∞ (of
/// the points compared in docs/decisions.md those with the smallest errors).
mod three_wide {
    #[inline(always)]
    pub fn patch(d: [f32; 6]) -> [f32; 6] {
        let (even, odd) = (d[4] - d[2], d[3] - d[1]);
        let outer = |a: f32, b: f32, c: f32, d: f32, e: f32| (a + e) + (1.5 * (d - b) - 2.0 * c);
        [
            outer(d[0], d[1], d[2], d[3], d[4]),
            (d[4] - d[1]) + (0.5 * d[2] + 2.5 * d[3]),
            (d[4] + d[1]) + (0.5 * d[3] - 2.5 * d[2]),
            even + 2.0 * odd,
            even - 0.5 * odd,
            outer(d[1], d[2], d[3], d[4], d[5]),
        ]
    }

    #[inline(always)]
    pub fn taps(g: [f32; 3]) -> [f32; 6] {
        let ends = g[0] + g[2];
        let half = (g[0] * 4.0 + g[1] * 2.0) + g[2];
        let two = (g[2] * 4.0 - g[1] * 2.0) + g[0];
        [g[0], (ends + g[1]) * (1.0 / 3.0), (g[1] - ends) * (1.0 / 3.0), half * (-4.0 / 15.0), two * (1.0 / 15.0), g[2]]
    }

    #[inline(always)]
    pub fn sums(m: [f32; 6]) -> [f32; 4] {
        let (even, odd) = (m[1] + m[2], m[1] - m[2]);
        [
            (m[0] + even) + (m[3] + m[4]),
            odd + (0.5 * m[3] - 2.0 * m[4]),
            even + (0.25 * m[3] + 4.0 * m[4]),
            (odd + m[5]) + (0.125 * m[3] - 8.0 * m[4]),
        ]
    }

    #[inline(always)]
    pub fn gradient(u: [f32; 4]) -> [f32; 6] {
        let (even, odd) = (u[0] + u[2], u[1] + u[3]);
        let half = (u[0] + 0.25 * u[2]) + (0.5 * u[1] + 0.125 * u[3]);
        let two = (u[0] + 4.0 * u[2]) - (2.0 * u[1] + 8.0 * u[3]);
        [u[0], even + odd, even - odd, half, two, u[3]]
    }

    #[inline(always)]
    pub fn taps_of(m: [f32; 6]) -> [f32; 3] {
        let (even, odd) = ((m[1] + m[2]) * (1.0 / 3.0), (m[1] - m[2]) * (1.0 / 3.0));
        let (half, two) = (m[3] * (-4.0 / 15.0), m[4] * (1.0 / 15.0));
        [(m[0] + odd) + (4.0 * half + two), even + (2.0 * half - 2.0 * two), (odd + m[5]) + (half + 4.0 * two)]
    }
}

impl Filter<36, 9, 16> for ThreeWide {
    const PATCH: usize = 6;
    both_ways!(patch, 6, 6, false, three_wide::patch);
    both_ways!(taps, 3, 6, false, three_wide::taps);
    both_ways!(sums, 6, 4, true, three_wide::sums);
    both_ways!(gradient, 4, 6, false, three_wide::gradient);
    both_ways!(taps_of, 6, 3, true, three_wide::taps_of);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<const N: usize>(seed: usize) -> [Lane; N] {
        std::array::from_fn(|i| std::array::from_fn(|c| ((i * 37 + c * 11 + seed * 101) % 64) as f32 / 32.0 - 1.0))
    }

    fn times<const P: usize>(a: [Lane; P], b: [Lane; P]) -> [Lane; P] {
        std::array::from_fn(|k| std::array::from_fn(|c| a[k][c] * b[k][c]))
    }

    /// A filter's sums, and what its gradients say, beside what they stand for.
    fn holds<F: Filter<P, T, O>, const P: usize, const T: usize, const O: usize>(_: F) {
        let (kernel, tile) = (T.isqrt(), O.isqrt());
        assert_eq!((F::PATCH, F::PATCH * F::PATCH), (kernel + tile - 1, P));
        let place = |o: usize, t: usize| (o / tile + t / kernel) * F::PATCH + o % tile + t % kernel;
        for seed in 0..20 {
            let (d, g, u) = (numbers::<P>(seed), numbers::<T>(seed + 1), numbers::<O>(seed + 2));
            let (mut patch, mut taps, mut gradient) = ([NOTHING; P], [NOTHING; P], [NOTHING; P]);
            F::patch(d.each_ref(), &mut patch);
            F::taps(g.each_ref(), &mut taps);
            F::gradient(u.each_ref(), &mut gradient);
            let (mut sums, mut found) = ([NOTHING; O], [NOTHING; T]);
            F::sums(times(patch, taps).each_ref(), &mut sums);
            F::taps_of(times(patch, gradient).each_ref(), &mut found);
            for c in 0..LANES {
                for (o, sum) in sums.iter().enumerate() {
                    let right: f32 = (0..T).map(|t| d[place(o, t)][c] * g[t][c]).sum();
                    assert!((sum[c] - right).abs() < 2e-5, "sum {o}: {}, not {right}", sum[c]);
                }
                for (t, tap) in found.iter().enumerate() {
                    let right: f32 = (0..O).map(|o| d[place(o, t)][c] * u[o][c]).sum();
                    assert!((tap[c] - right).abs() < 2e-5, "tap {t}: {}, not {right}", tap[c]);
                }
            }
        }
    }

    #[test]
    fn filters_are_the_convolutions_they_stand_for() {
        holds(Two);
        holds(Three);
        holds(TwoWide);
        holds(ThreeWide);
    }
}
