//! Pictures brought to a size.

use super::layer::Layer;
use super::reading::{Colour, Fit, Reading};
use super::{Kind, Source, item_len};
use crate::{Error, Result};
use image::imageops::{FilterType, overlay};
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use std::sync::Arc;

/// `image` (8 bits, grey or RGB) at `[height, width]`, by the triangle filter, which is widened when shrinking.
pub fn framed(image: DynamicImage, size: [usize; 2], fit: Fit, background: Colour) -> DynamicImage {
    let [height, width] = size.map(|side| side as u32);
    let (w, h) = (image.width(), image.height());
    if (w, h) == (width, height) {
        return image;
    }
    match fit {
        Fit::Stretch => image.resize_exact(width, height, FilterType::Triangle),
        Fit::Crop => {
            // Cut to the proportions first: a long strip scaled whole would be vast.
            let (w64, h64, width64, height64) = (u64::from(w), u64::from(h), u64::from(width), u64::from(height));
            let (kept_w, kept_h) = if w64 * height64 > h64 * width64 {
                (rounded(h64 * width64, height64).clamp(1, w), h)
            } else {
                (w, rounded(w64 * height64, width64).clamp(1, h))
            };
            image.crop_imm((w - kept_w) / 2, (h - kept_h) / 2, kept_w, kept_h).resize_exact(width, height, FilterType::Triangle)
        }
        Fit::Pad => {
            let (w64, h64, width64, height64) = (u64::from(w), u64::from(h), u64::from(width), u64::from(height));
            let (kept_w, kept_h) = if w64 * height64 > h64 * width64 {
                (width, rounded(h64 * width64, w64).clamp(1, height))
            } else {
                (rounded(w64 * height64, h64).clamp(1, width), height)
            };
            let inner = image.resize_exact(kept_w, kept_h, FilterType::Triangle);
            let (x, y) = (i64::from((width - kept_w) / 2), i64::from((height - kept_h) / 2));
            let mut canvas = if inner.color().has_color() || !background.is_grey() {
                DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb(background.0)))
            } else {
                DynamicImage::ImageLuma8(GrayImage::from_pixel(width, height, Luma([background.0[0]])))
            };
            overlay(&mut canvas, &inner, x, y);
            canvas
        }
    }
}

fn rounded(dividend: u64, divisor: u64) -> u32 {
    ((dividend + divisor / 2) / divisor).min(u64::from(u32::MAX)) as u32
}

/// Writes an image's bytes to `out` as H×W×C values, C = 1 or 3.
pub fn unpack(image: DynamicImage, channels: usize, out: &mut [f32]) {
    let bytes = if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
    for (value, byte) in out.iter_mut().zip(bytes) {
        *value = f32::from(byte);
    }
}

/// An image of H×W×C values 0..=255, C = 1 or 3; `None` where they are not as many.
pub fn pack(values: &[f32], [height, width, channels]: [usize; 3]) -> Option<DynamicImage> {
    let bytes: Vec<u8> = values.iter().map(|v| *v as u8).collect();
    let (height, width) = (height as u32, width as u32);
    if channels == 1 {
        GrayImage::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8)
    }
}

/// Another source, its images brought to a size and to a number of channels.
pub struct Framed {
    inner: Arc<dyn Source>,
    dims: [usize; 3],
    reading: Reading,
}

impl Framed {
    /// Brings the items of `inner` to what `reading` asks for; `inner` itself where that is what they are.
    ///
    /// # Errors
    /// Points, or images of other than 1 or 3 channels.
    pub fn over(inner: Arc<dyn Source>, reading: &Reading) -> Result<Arc<dyn Source>> {
        let [h, w, c] = inner.dims();
        let [height, width] = reading.size.unwrap_or([h, w]);
        let channels = reading.channels.unwrap_or(c);
        if [height, width, channels] == inner.dims() {
            return Ok(inner);
        }
        if inner.kind() == Kind::Points || !matches!(c, 1 | 3) {
            let name = inner.name();
            return Err(Error::usage(format!("{name} holds no images, so they cannot be scaled; leave size, resize and channels out")));
        }
        let pads = reading.fit == Fit::Pad && !reading.background.is_grey() && reading.channels.is_none();
        let dims = [height, width, if pads { 3 } else { channels }];
        Ok(Arc::new(Self { inner, dims, reading: reading.clone() }))
    }
}

impl Layer for Framed {
    fn inner(&self) -> &Arc<dyn Source> {
        &self.inner
    }
    fn shape(&self) -> [usize; 3] {
        self.dims
    }
    fn values(&self) -> Kind {
        // Interpolation makes greys of a binary image.
        if self.inner.dims()[..2] == self.dims[..2] { self.inner.kind() } else { Kind::Pixels }
    }
    fn fill(&self, below: usize, out: &mut [f32]) -> Result<()> {
        let dims @ [h, w, c] = self.inner.dims();
        let mut values = vec![0.0; item_len(dims)];
        self.inner.read(below, &mut values)?;
        let image = pack(&values, dims).ok_or_else(|| Error::Shape(format!("{}: {h}×{w}×{c} values make no image", self.title())))?;
        let size = [self.dims[0], self.dims[1]];
        unpack(framed(image, size, self.reading.fit, self.reading.background), self.dims[2], out);
        Ok(())
    }
    fn slow(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twice as wide as high: the left half dark, the right half light.
    fn halves() -> DynamicImage {
        DynamicImage::ImageLuma8(GrayImage::from_fn(40, 20, |x, _| Luma([if x < 20 { 10 } else { 200 }])))
    }

    fn row(image: &DynamicImage, y: u32) -> Vec<u8> {
        let grey = image.to_luma8();
        (0..grey.width()).map(|x| grey.get_pixel(x, y).0[0]).collect()
    }

    #[test]
    fn proportions_are_cut_padded_or_given_up() {
        let cut = framed(halves(), [4, 4], Fit::Crop, Colour::default());
        assert_eq!((cut.width(), cut.height(), row(&cut, 0)[0], row(&cut, 0)[3]), (4, 4, 10, 200));
        let padded = framed(halves(), [4, 4], Fit::Pad, Colour([7; 3]));
        assert_eq!((row(&padded, 0), row(&padded, 3)), (vec![7; 4], vec![7; 4]));
        assert_eq!((row(&padded, 1)[0], row(&padded, 2)[3]), (10, 200));
        let stretched = framed(halves(), [4, 8], Fit::Stretch, Colour::default());
        assert_eq!((stretched.width(), stretched.height()), (8, 4));
        let tall = framed(halves(), [10, 4], Fit::Crop, Colour::default());
        assert_eq!((tall.width(), tall.height()), (4, 10));
    }

    #[test]
    fn a_strip_of_one_pixel_is_brought_to_any_size() {
        let strip = || DynamicImage::ImageLuma8(GrayImage::from_pixel(60_000, 1, Luma([9])));
        for fit in [Fit::Crop, Fit::Pad, Fit::Stretch] {
            let image = framed(strip(), [64, 32], fit, Colour([9; 3]));
            assert_eq!((image.width(), image.height()), (32, 64));
            assert_eq!(row(&image, 32), vec![9; 32], "{fit:?}");
        }
    }

    #[test]
    fn a_coloured_ground_makes_a_grey_picture_coloured() {
        let padded = framed(halves(), [4, 4], Fit::Pad, Colour([1, 2, 3])).to_rgb8();
        assert_eq!((padded.get_pixel(0, 0).0, padded.get_pixel(0, 1).0), ([1, 2, 3], [10; 3]));
    }
}
