//! The geometry of a convolution as a list of taps, and of its adjoint as phases of shorter lists.

use super::Layout;
use crate::error::{Error, Result};

/// `out[n, y, x, :] = Σ_t in[n, s·y + dy_t, s·x + dx_t, :] · W_t`, zero outside the input. `W` is `[taps, in channels, out channels]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taps {
    /// Row and column offset of each tap.
    pub offsets: Vec<[i32; 2]>,
    /// Step of the input position per output position.
    pub stride: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
}

/// The taps of one destination phase: `dst[n, p + step_dst·j] += Σ src[n, step_src·j + offset] · W[weight]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Phase {
    /// First row and column of this phase in the destination.
    pub origin: [usize; 2],
    /// Rows and columns of this phase.
    pub extent: [usize; 2],
    /// Row and column offset in the source, and index of the weight tap.
    pub taps: Vec<([i32; 2], usize)>,
}

/// A convolution (or its adjoint) seen from the destination: what each destination position gathers from the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// Height and width of the source.
    pub source: [usize; 2],
    /// Height and width of the destination.
    pub dest: [usize; 2],
    /// Step of the source position per phase position.
    pub step_source: usize,
    /// Step of the destination position per phase position.
    pub step_dest: usize,
    /// Phases; together they cover the destination once.
    pub phases: Vec<Phase>,
}

impl Taps {
    /// One tap at the position itself: 1×1 convolutions and matrix products.
    pub fn pointwise(size: [usize; 2]) -> Self {
        Self { offsets: vec![[0, 0]], stride: 1, input: size, output: size }
    }

    /// All taps of a `kernel` with `padding` zeros around the input.
    ///
    /// # Errors
    /// [`Error::Shape`] where the kernel is larger than the padded input.
    pub fn dense(kernel: [usize; 2], stride: usize, padding: usize, input: [usize; 2]) -> Result<Self> {
        let out = |k: usize, n: usize| (n + 2 * padding).checked_sub(k).map(|room| room / stride + 1);
        let (Some(h), Some(w)) = (out(kernel[0], input[0]), out(kernel[1], input[1])) else {
            let [h, w] = input;
            return Err(Error::Shape(format!("a {}×{} kernel does not fit a {h}×{w} image with padding {padding}", kernel[0], kernel[1])));
        };
        let pad = padding as i32;
        let offsets = grid(kernel).map(|[r, c]| [r as i32 - pad, c as i32 - pad]).collect();
        Ok(Self { offsets, stride, input, output: [h, w] })
    }

    /// The causal taps of a `size`×`size` kernel in raster order, "same" size: rows above, and the own row up to (`centre`: and with)
    /// the centre. Mask A is without the centre, mask B with it (van den Oord et al., 2016, section 3.4).
    pub fn causal(size: usize, centre: bool, image: [usize; 2]) -> Self {
        let half = (size / 2) as i32;
        let before = |[dy, dx]: &[i32; 2]| *dy < 0 || (*dy == 0 && (*dx < 0 || (*dx == 0 && centre)));
        let offsets = grid([size, size]).map(|[r, c]| [r as i32 - half, c as i32 - half]).filter(before).collect();
        Self { offsets, stride: 1, input: image, output: image }
    }

    /// The checkpoint layout of this convolution's weights in a `kernel` whose first tap lies at `-origin`.
    pub fn layout(&self, kernel: [usize; 2], origin: i32) -> Layout {
        let taps = self.offsets.iter().map(|[dy, dx]| [(dy + origin) as usize, (dx + origin) as usize]).collect();
        Layout::Conv { kernel, taps }
    }

    /// Whether every output position reads just its own input position.
    pub fn is_pointwise(&self) -> bool {
        self.stride == 1 && self.offsets == [[0, 0]] && self.input == self.output
    }

    /// What each output position gathers from the input.
    pub fn forward(&self) -> Gather {
        let taps = self.offsets.iter().copied().enumerate().map(|(t, o)| (o, t)).collect();
        Gather {
            source: self.input,
            dest: self.output,
            step_source: self.stride,
            step_dest: 1,
            phases: vec![Phase { origin: [0, 0], extent: self.output, taps }],
        }
    }

    /// What each input position gathers from the output: the transposed ("fractional-strided") convolution, one phase for each
    /// residue of the input position modulo the stride.
    pub fn adjoint(&self) -> Gather {
        let s = self.stride as i32;
        let phases = grid([self.stride, self.stride])
            .map(|[py, px]| {
                let origin = [py, px];
                let extent = [0, 1].map(|a| (self.input[a] + self.stride - 1 - origin[a]) / self.stride);
                let hits = |[dy, dx]: &[i32; 2]| (py as i32 - dy).rem_euclid(s) == 0 && (px as i32 - dx).rem_euclid(s) == 0;
                let place = |(t, [dy, dx]): (usize, &[i32; 2])| ([(py as i32 - dy).div_euclid(s), (px as i32 - dx).div_euclid(s)], t);
                let taps = self.offsets.iter().enumerate().filter(|(_, o)| hits(o)).map(place).collect();
                Phase { origin, extent, taps }
            })
            .filter(|p| p.extent[0] * p.extent[1] > 0)
            .collect();
        Gather { source: self.output, dest: self.input, step_source: 1, step_dest: self.stride, phases }
    }
}

fn grid(size: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..size[0]).flat_map(move |r| (0..size[1]).map(move |c| [r, c]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_a_of_seven_has_24_taps_and_mask_b_of_three_has_5() {
        assert_eq!(Taps::causal(7, false, [28, 28]).offsets.len(), 24);
        assert_eq!(Taps::causal(3, true, [28, 28]).offsets.len(), 5);
    }

    #[test]
    fn the_adjoint_covers_every_tap_and_position_once() -> Result<()> {
        for (kernel, stride, padding, size) in [(4, 2, 1, 8), (3, 1, 1, 5), (5, 3, 2, 7), (4, 1, 0, 4)] {
            let taps = Taps::dense([kernel, kernel], stride, padding, [size, size])?;
            let adjoint = taps.adjoint();
            let positions: usize = adjoint.phases.iter().map(|p| p.extent[0] * p.extent[1]).sum();
            assert_eq!(positions, size * size);
            let used: usize = adjoint.phases.iter().map(|p| p.taps.len()).sum();
            assert_eq!(used, kernel * kernel);
        }
        Ok(())
    }
}
