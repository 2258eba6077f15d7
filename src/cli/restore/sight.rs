//! What is given of an image that is drawn.

use crate::model::{Shown, chroma};

/// What is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// What a diffusion model is shown.
    Shown(Shown),
    /// Every second pixel of every second row, around which the others are drawn.
    EverySecond,
    /// The luma of the reversible transform YCoCg-R, for which colours are drawn.
    ReversibleLuma,
}

impl Sight {
    /// Which pixels it is of.
    pub fn shown(self) -> Shown {
        match self {
            Self::Shown(shown) => shown,
            Self::EverySecond => Shown::Small { factor: 2 },
            Self::ReversibleLuma => Shown::Luma,
        }
    }

    /// What is given of one image `[H, W, C]` in 0..1.
    pub fn of_image(self, image: &[f32], dims: [usize; 3]) -> Vec<f32> {
        match self {
            Self::Shown(shown) => shown.of_image(image, dims),
            Self::EverySecond => every_second(image, dims),
            Self::ReversibleLuma => image.chunks(3).map(|pixel| reversible_luma(pixel) as f32 / 255.0).collect(),
        }
    }
}

/// Y of a pixel in 0..1, from 0 to 255.
fn reversible_luma(pixel: &[f32]) -> i32 {
    chroma::of_pixel(std::array::from_fn(|k| (pixel[k] * 255.0).round() as i32)).0
}

/// A pixel in 0..1 of Y in 0..1 and levels of Cg and Co.
pub fn coloured(luma: f32, levels: &[f32]) -> [f32; 3] {
    let zero = (chroma::LEVELS / 2) as i32;
    let pixel = chroma::to_pixel((luma * 255.0).round() as i32, [0, 1].map(|k| levels[k] as i32 - zero));
    pixel.map(|v| v as f32 / 255.0)
}

/// Every second pixel of every second row of an image.
fn every_second(image: &[f32], [h, w, c]: [usize; 3]) -> Vec<f32> {
    let rows = (0..h).step_by(2).flat_map(|y| (0..w).step_by(2).map(move |x| (y * w + x) * c));
    rows.flat_map(|at| image[at..at + c].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_of_the_pixels_it_says() {
        let image: Vec<f32> = (0..48).map(|v| v as f32 / 255.0).collect();
        for sight in [Sight::Shown(Shown::Luma), Sight::Shown(Shown::Small { factor: 4 }), Sight::EverySecond, Sight::ReversibleLuma] {
            let dims = [4, 4, 3];
            assert_eq!(sight.of_image(&image, dims).len(), sight.shown().dims(dims).iter().product::<usize>(), "{sight:?}");
        }
        assert_eq!(Sight::EverySecond.of_image(&(0..16).map(|v| v as f32).collect::<Vec<_>>(), [4, 4, 1]), [0.0, 2.0, 8.0, 10.0]);
        for pixel in [[0, 0, 0], [255, 0, 255], [12, 200, 31], [255, 255, 255]] {
            let (_, levels) = chroma::of_pixel(pixel);
            let levels = levels.map(|v| (v + 255) as f32);
            let pixel = pixel.map(|v| v as f32 / 255.0);
            assert_eq!(coloured(Sight::ReversibleLuma.of_image(&pixel, [1, 1, 3])[0], &levels), pixel);
        }
    }
}
