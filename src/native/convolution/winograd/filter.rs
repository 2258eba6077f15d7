//! The two filters: what patches, taps and gradients are multiplied as, and what products sum up to.

#![allow(clippy::needless_range_loop)] // indices name rows and columns here

/// A filter of T taps whose tiles of 2×2 sums take P products, that many as a patch of the source has numbers.
///
/// With the linear maps below, `sums(patch(d) ∘ taps(g))` are the four sums over a patch d, and the gradient at g that the gradient u
/// of the sums brings is `taps_of(patch(d) ∘ gradient(u))`.
pub(crate) trait Filter<const P: usize, const T: usize>: Sync {
    /// Rows and columns of the kernel.
    const SIDE: usize;
    /// What a patch is multiplied as.
    fn patch(d: [f32; P]) -> [f32; P];
    /// What taps are multiplied as.
    fn taps(g: [f32; T]) -> [f32; P];
    /// The sums of a tile, of its products.
    fn sums(m: [f32; P]) -> [f32; 4];
    /// What the gradients of a tile's sums are multiplied as.
    fn gradient(u: [f32; 4]) -> [f32; P];
    /// The gradients of taps, of their products.
    fn taps_of(m: [f32; P]) -> [f32; T];
}

/// A function along the columns, then the same along the rows; or the other way around.
macro_rules! both_ways {
    ($name:ident, $from:literal, $to:literal, $rows_first:literal, $along:path) => {
        #[inline(always)]
        fn $name(d: [f32; $from * $from]) -> [f32; $to * $to] {
            let mut half = [[0.0; $from]; $to];
            for j in 0..$from {
                let mut line = [0.0; $from];
                for i in 0..$from {
                    line[i] = if $rows_first { d[j * $from + i] } else { d[i * $from + j] };
                }
                let line = $along(line);
                for i in 0..$to {
                    half[i][j] = line[i];
                }
            }
            let mut out = [0.0; $to * $to];
            for i in 0..$to {
                let line = $along(half[i]);
                for j in 0..$to {
                    out[if $rows_first { j * $to + i } else { i * $to + j }] = line[j];
                }
            }
            out
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

impl Filter<9, 4> for Two {
    const SIDE: usize = 2;
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

impl Filter<16, 9> for Three {
    const SIDE: usize = 3;
    both_ways!(patch, 4, 4, false, three::patch);
    both_ways!(taps, 3, 4, false, three::taps);
    both_ways!(sums, 4, 2, true, three::sums);
    both_ways!(gradient, 2, 4, false, three::gradient);
    both_ways!(taps_of, 4, 3, true, three::taps_of);
}
