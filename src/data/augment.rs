//! Random flips, shifts and crops of training images, and pixels replaced by noise.
//!
//! What is done to an item is a pure function of (seed, epoch, item), so a resumed run sees what an unbroken one does.

use super::frame::{pack, unpack};
use super::{Kind, Source, streams};
use crate::random::{unit, word};
use crate::{Error, Result};
use image::imageops::FilterType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Mirror images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Mirror images.
    pub flip: Flip,
    /// Most pixels that an image is moved by, either way along both sides; its border is repeated into what falls free.
    pub shift: usize,
    /// Least share of both sides that is kept of an image, in 0..=1; a window of that share or more is scaled back to the whole size.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub crop: f32,
    /// Probability that a value is replaced by one drawn evenly from all that there are: of a model that is to know how images are made in
    /// general, not these (Ren et al., 2019, "Likelihood ratios for out-of-distribution detection").
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1))]
    pub mutate: f32,
}

fn is_zero(share: &f32) -> bool {
    *share == 0.0
}

impl Default for Augment {
    /// Nothing.
    fn default() -> Self {
        Self { flip: Flip::None, shift: 0, crop: 1.0, mutate: 0.0 }
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
    pub const KEYS: [&str; 4] = ["flip", "shift", "crop", "mutate"];

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
        if let Some(value) = settings.remove("mutate") {
            let share = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
            augment.mutate = share.ok_or_else(|| Error::usage(format!("mutate is a probability in 0..1, not {value}")))? as f32;
        }
        Ok(augment)
    }

    /// Refuses what images of a source cannot have done to them.
    ///
    /// # Errors
    /// [`Error::Usage`] for points, a shift of a whole side, a window that is none, or one of bits or of other than 1 or 3 channels, or a
    /// probability that is none.
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
        if !(0.0..=1.0).contains(&self.mutate) {
            return Err(Error::usage(format!("mutate={} is not a probability, from 0 to 1", self.mutate)));
        }
        if self.crop < 1.0 && kind == Kind::Binary {
            return Err(Error::usage(format!("{name} holds bits, and crop={} would scale them to greys; take shift=N", self.crop)));
        }
        if self.crop < 1.0 && !matches!(dims[2], 1 | 3) {
            return Err(Error::usage(format!("{name} has {} channels, and crop={} scales grey or colour alone", dims[2], self.crop)));
        }
        Ok(())
    }

    /// Changes an item of `source` in place: a window is cut first, then it is moved, then mirrored, then its values are replaced.
    ///
    /// # Errors
    /// Values that are no image.
    pub fn apply(&self, source: &dyn Source, values: &mut [f32], draw: Draw) -> Result<()> {
        if self.is_none() {
            return Ok(());
        }
        self.place(source.dims(), values, draw)?;
        if self.mutate > 0.0 {
            mutate(values, self.mutate, source.kind(), draw);
        }
        Ok(())
    }

    /// Cuts, moves and mirrors.
    fn place(&self, dims: [usize; 3], values: &mut [f32], draw: Draw) -> Result<()> {
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

/// Replaces each value with a probability by one of 0..=255, or of bits by 0 or 255.
fn mutate(values: &mut [f32], probability: f32, kind: Kind, draw: Draw) {
    let first = draw.item * values.len() as u64;
    for (value, element) in values.iter_mut().zip(first..) {
        let word = |which: u64| word(draw.seed, streams::MUTATE, draw.epoch, 2 * element + which);
        if unit(word(0)) < probability {
            let byte = word(1) >> 24;
            *value = if kind == Kind::Binary { (byte >> 7) as f32 * 255.0 } else { byte as f32 };
        }
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
        let mutate = (self.mutate > 0.0).then(|| format!("mutate={}", self.mutate));
        f.write_str(&[flip, shift, crop, mutate].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OpenOptions, Split, open};
    use super::*;

    #[test]
    fn values_are_replaced_as_often_as_asked_and_by_any_value() -> Result<()> {
        let digits = open("builtin:digits", Split::Train, &OpenOptions { limit: Some(50), ..OpenOptions::default() })?;
        let augment = Augment { mutate: 0.3, ..Augment::default() };
        let (mut replaced, mut sum, mut count) = (0.0, 0.0, 0.0);
        for item in 0..50 {
            let (mut before, mut after) = (vec![0.0; 784], vec![0.0; 784]);
            digits.read(item, &mut before)?;
            after.copy_from_slice(&before);
            augment.apply(&*digits, &mut after, Draw { seed: 1, epoch: 2, item: item as u64 })?;
            let mut again = before.clone();
            augment.apply(&*digits, &mut again, Draw { seed: 1, epoch: 2, item: item as u64 })?;
            assert_eq!(after, again);
            assert!(after.iter().all(|v| v.fract() == 0.0 && (0.0..=255.0).contains(v)));
            // Of what is white, as most of a digit is not.
            for (_, b) in before.iter().zip(&after).filter(|(a, _)| **a == 0.0) {
                count += 1.0;
                if *b != 0.0 {
                    replaced += 1.0;
                    sum += f64::from(*b);
                }
            }
        }
        // One value of 256 is replaced by itself; four standard deviations of some 30,000 draws.
        assert!((replaced / count - 0.3f64 * 255.0 / 256.0).abs() < 0.011, "{}", replaced / count);
        assert!((sum / replaced - 128.0).abs() < 4.0, "{}", sum / replaced);
        Ok(())
    }
}
