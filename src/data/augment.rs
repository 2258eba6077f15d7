//! Random flips, shifts and crops of training images.
//!
//! What is done to an item is a pure function of (seed, epoch, item), so a resumed run sees what an unbroken one does.

use super::frame::{pack, unpack};
use super::{Kind, Source, streams};
use crate::random::{unit, word};
use crate::{Error, Result};
use image::imageops::FilterType;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Mirror images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// None.
    #[default]
    None,
    /// Left and right are exchanged in half of the images.
    Horizontal,
    /// Top and bottom are.
    Vertical,
    /// Each by itself.
    Both,
}

/// What is done at random to training images, and to no others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Mirror images.
    pub flip: Flip,
    /// Most pixels that an image is moved by, either way along both sides; its border is repeated into what falls free.
    pub shift: usize,
    /// Least share of both sides that is kept of an image, in 0..=1; a window of that share or more is scaled back to the whole size.
    pub crop: f32,
}

impl Default for Augment {
    /// Nothing.
    fn default() -> Self {
        Self { flip: Flip::None, shift: 0, crop: 1.0 }
    }
}

/// The draws of one item.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Seed of the run.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
    /// The item's index in its source.
    pub item: u64,
}

/// Words of an item, in the order of [`Draw::word`].
const WORDS: u64 = 8;

impl Draw {
    /// 0: mirrored left to right, 1: upside down, 2 and 3: shift down and right, 4: side of the window, 5 and 6: its place.
    fn word(self, which: u64) -> u32 {
        word(self.seed, streams::AUGMENT, self.epoch, self.item * WORDS + which)
    }

    /// Uniform in 0..n.
    fn below(self, which: u64, n: usize) -> usize {
        ((u64::from(self.word(which)) * n as u64) >> 32) as usize
    }
}

impl Augment {
    /// The `--set` keys.
    pub const KEYS: [&str; 3] = ["flip", "shift", "crop"];

    /// Whether it does nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Takes its keys out of `settings`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a value that is none.
    pub fn take(settings: &mut toml::Table) -> Result<Self> {
        let mut augment = Self::default();
        if let Some(value) = settings.remove("flip") {
            augment.flip = match value.as_str() {
                Some("none") => Flip::None,
                Some("horizontal") => Flip::Horizontal,
                Some("vertical") => Flip::Vertical,
                Some("both") => Flip::Both,
                _ => return Err(Error::usage(format!("flip is none, horizontal, vertical or both, not {value}"))),
            };
        }
        if let Some(value) = settings.remove("shift") {
            let shift = value.as_integer().and_then(|pixels| usize::try_from(pixels).ok());
            augment.shift = shift.ok_or_else(|| Error::usage(format!("shift is a number of pixels, not {value}")))?;
        }
        if let Some(value) = settings.remove("crop") {
            let share = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
            augment.crop = share.ok_or_else(|| Error::usage(format!("crop is a share of a side in 0..1, not {value}")))? as f32;
        }
        Ok(augment)
    }

    /// Refuses what images of a source cannot have done to them.
    ///
    /// # Errors
    /// [`Error::Usage`] for points, a shift of a whole side, a window that is none, or one of bits or of other than 1 or 3 channels.
    pub fn check(&self, kind: Kind, dims: [usize; 3], name: &str) -> Result<()> {
        if self.is_none() {
            return Ok(());
        }
        let said = self.to_string();
        if kind == Kind::Points {
            return Err(Error::usage(format!("{name} holds points, which have no {said}; leave it out")));
        }
        let side = dims[0].min(dims[1]);
        if self.shift >= side {
            return Err(Error::usage(format!("shift={} would move images of {}×{} out of sight; take less", self.shift, dims[0], dims[1])));
        }
        if !(self.crop > 0.0 && self.crop <= 1.0) {
            return Err(Error::usage(format!("crop={} is not a share of a side, above 0 and up to 1", self.crop)));
        }
        if self.crop < 1.0 && kind == Kind::Binary {
            return Err(Error::usage(format!("{name} holds bits, and crop={} would scale them to greys; take shift=N", self.crop)));
        }
        if self.crop < 1.0 && !matches!(dims[2], 1 | 3) {
            return Err(Error::usage(format!("{name} has {} channels, and crop={} scales grey or colour alone", dims[2], self.crop)));
        }
        Ok(())
    }

    /// Changes an item of `source` in place: a window is cut first, then it is moved, then mirrored.
    ///
    /// # Errors
    /// Values that are no image.
    pub fn apply(&self, source: &dyn Source, values: &mut [f32], draw: Draw) -> Result<()> {
        if self.is_none() {
            return Ok(());
        }
        let dims = source.dims();
        if self.crop < 1.0 {
            window(values, dims, self.crop, draw)?;
        }
        let [h, w, c] = dims;
        let offset = |which| draw.below(which, 2 * self.shift + 1);
        let (down, right) = if self.shift > 0 { (offset(2), offset(3)) } else { (0, 0) };
        let left = matches!(self.flip, Flip::Horizontal | Flip::Both) && draw.word(0) >> 31 == 1;
        let top = matches!(self.flip, Flip::Vertical | Flip::Both) && draw.word(1) >> 31 == 1;
        if !left && !top && (down, right) == (self.shift, self.shift) {
            return Ok(());
        }
        let from = |at: usize, moved: usize, side: usize, mirrored: bool| {
            let at = if mirrored { side - 1 - at } else { at };
            (at + self.shift).saturating_sub(moved).min(side - 1)
        };
        let before = values.to_vec();
        for (y, row) in values.chunks_exact_mut(w * c).enumerate() {
            let line = from(y, down, h, top) * w;
            for (x, pixel) in row.chunks_exact_mut(c).enumerate() {
                let start = (line + from(x, right, w, left)) * c;
                pixel.copy_from_slice(&before[start..start + c]);
            }
        }
        Ok(())
    }
}

/// Cuts a window of a random share of at least `least` of both sides out at a random place, and scales it back.
fn window(values: &mut [f32], dims: [usize; 3], least: f32, draw: Draw) -> Result<()> {
    let [h, w, c] = dims;
    let share = least + (1.0 - least) * unit(draw.word(4));
    let side = |whole: usize| ((whole as f32 * share).round() as usize).clamp(1, whole);
    let (height, width) = (side(h), side(w));
    let (y, x) = (draw.below(5, h - height + 1), draw.below(6, w - width + 1));
    let image = pack(values, dims).ok_or_else(|| Error::Shape(format!("{h}×{w}×{c} values make no image")))?;
    let cut = image.crop_imm(x as u32, y as u32, width as u32, height as u32);
    unpack(cut.resize_exact(w as u32, h as u32, FilterType::Triangle), c, values);
    Ok(())
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flip = match self.flip {
            Flip::None => None,
            Flip::Horizontal => Some("flip=horizontal".to_string()),
            Flip::Vertical => Some("flip=vertical".to_string()),
            Flip::Both => Some("flip=both".to_string()),
        };
        let shift = (self.shift > 0).then(|| format!("shift={}", self.shift));
        let crop = (self.crop < 1.0).then(|| format!("crop={}", self.crop));
        f.write_str(&[flip, shift, crop].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}
