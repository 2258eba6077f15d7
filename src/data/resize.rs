//! Scaling to a square: the shorter side to N, then the centre N×N.

use super::layer::Layer;
use super::{Kind, Source, item_len};
use crate::{Error, Result};
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, RgbImage};
use std::sync::Arc;

/// The largest side `resize` takes, pixels.
const MAX_SIDE: usize = 4096;

/// Refuses a side that is not in 1..=4096.
pub fn check_side(side: usize) -> Result<()> {
    if (1..=MAX_SIDE).contains(&side) {
        return Ok(());
    }
    Err(Error::usage(format!("resize={side} is not a side of 1 to {MAX_SIDE} pixels")))
}

/// `image` with its shorter side scaled to `side` (triangle filter, widened when shrinking) and its centre `side`×`side` kept.
pub fn square(image: &DynamicImage, side: usize) -> DynamicImage {
    let side = side as u32;
    if image.width() == side && image.height() == side {
        return image.clone();
    }
    // Fills the square with what is at the centre, whichever side is the shorter.
    image.resize_to_fill(side, side, FilterType::Triangle)
}

/// Writes an image's bytes to `out` as H×W×C values, C = 1 or 3; an alpha channel is dropped.
pub fn unpack(image: &DynamicImage, channels: usize, out: &mut [f32]) {
    let bytes = if channels == 1 { image.to_luma8().into_raw() } else { image.to_rgb8().into_raw() };
    for (value, byte) in out.iter_mut().zip(bytes) {
        *value = f32::from(byte);
    }
}

/// Another source with every image scaled to a square.
pub struct Resized {
    inner: Arc<dyn Source>,
    side: usize,
}

impl Resized {
    /// Scales the images of `inner` to `side`×`side`.
    ///
    /// # Errors
    /// Points, images of other than 1 or 3 channels, or a side out of range.
    pub fn new(inner: Arc<dyn Source>, side: usize) -> Result<Self> {
        check_side(side)?;
        if inner.kind() == Kind::Points || !matches!(inner.dims()[2], 1 | 3) {
            return Err(Error::usage(format!("{} holds no images, so resize={side} cannot scale them; leave it out", inner.name())));
        }
        Ok(Self { inner, side })
    }
}

impl Layer for Resized {
    fn inner(&self) -> &Arc<dyn Source> {
        &self.inner
    }
    fn shape(&self) -> [usize; 3] {
        [self.side, self.side, self.inner.dims()[2]]
    }
    fn values(&self) -> Kind {
        // Interpolation makes greys of a binary image.
        Kind::Pixels
    }
    fn fill(&self, below: usize, out: &mut [f32]) -> Result<()> {
        let dims @ [h, w, c] = self.inner.dims();
        let mut values = vec![0.0; item_len(dims)];
        self.inner.read(below, &mut values)?;
        let bytes: Vec<u8> = values.iter().map(|v| *v as u8).collect();
        let (h, w) = (h as u32, w as u32);
        let image = if c == 1 {
            GrayImage::from_raw(w, h, bytes).map(DynamicImage::ImageLuma8)
        } else {
            RgbImage::from_raw(w, h, bytes).map(DynamicImage::ImageRgb8)
        };
        let image = image.ok_or_else(|| Error::Shape(format!("{}: {h}×{w}×{c} values make no image", self.title())))?;
        unpack(&square(&image, self.side), c, out);
        Ok(())
    }
    fn slow(&self) -> bool {
        true
    }
}
