//! How pictures and arrays are read: the settings of every source.

use super::series::Cut;
use crate::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The largest side a picture is brought to, pixels.
const MAX_SIDE: usize = 4096;

/// What becomes of a picture whose proportions are not those of `size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It fills the size, and what is too much is cut off on both sides.
    #[default]
    Crop,
    /// It lies within the size, in the middle of the background.
    Pad,
    /// Its proportions are given up.
    Stretch,
}

/// How the values of an array lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// N×H×W×C.
    #[default]
    Nhwc,
    /// N×C×H×W.
    Nchw,
}

/// Red, green and blue; `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour(pub [u8; 3]);

/// Values that stand for black and white; `LOW..HIGH`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    /// What is black.
    pub low: f64,
    /// What is white.
    pub high: f64,
}

/// How a source is read. Everything has a default, and what is not the default is written in the recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reading {
    /// Height and width that pictures are brought to, pixels: `size=HxW`, or one number for both (`resize=N`); unsaid, their own.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// How they are brought to it.
    pub fit: Fit,
    /// What lies behind an alpha channel and around a padded picture: `#rrggbb`, black or white.
    #[schemars(with = "String")]
    pub background: Colour,
    /// 1 for grey (luma of BT.709), 3 for colour; unsaid, what the files hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// What is black and white in an array: `LOW..HIGH`; unsaid, by its type and values.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// How an array lies in memory.
    pub layout: Layout,
    /// How series are read and cut.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Cut::is_default")]
    pub series: Cut,
}

impl Reading {
    /// The `--set` keys beside those of [`Cut`].
    pub const KEYS: [&str; 7] = ["size", "resize", "fit", "background", "channels", "range", "layout"];

    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Takes its keys out of `settings`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a value that is none, or keys that contradict each other.
    pub fn take(settings: &mut toml::Table) -> Result<Self> {
        let mut word = |key: &str| settings.remove(key).map(|value| shown(&value));
        let (size, resize) = (word("size"), word("resize"));
        let size = match (size, resize) {
            (Some(_), Some(_)) => return Err(Error::usage("size and resize are both given; resize=N is size=NxN, so leave one out")),
            (Some(size), None) => Some(sides(&size)?),
            (None, Some(side)) if side.parse().is_ok_and(|side| (1..=MAX_SIDE).contains(&side)) => Some(sides(&side)?),
            (None, Some(other)) => {
                return Err(Error::usage(format!("resize is a side of 1 to {MAX_SIDE} pixels, not {other}; size=HxW takes both")));
            }
            (None, None) => None,
        };
        let fit = word("fit");
        if let (Some(fit), None) = (&fit, size) {
            return Err(Error::usage(format!("fit={fit} says how pictures are brought to a size; name it with size=HxW or resize=N")));
        }
        let channels = match word("channels").as_deref() {
            None => None,
            Some("1") => Some(1),
            Some("3") => Some(3),
            Some(other) => return Err(Error::usage(format!("channels is 1 (grey) or 3 (colour), not {other}"))),
        };
        let layout = word("layout").map_or(Ok(Layout::Nhwc), |word| match word.as_str() {
            "nhwc" => Ok(Layout::Nhwc),
            "nchw" => Ok(Layout::Nchw),
            other => Err(Error::usage(format!("layout is nhwc or nchw, not {other}"))),
        })?;
        Ok(Self {
            size,
            fit: fit.map_or(Ok(Fit::default()), |word| word.parse())?,
            background: word("background").map_or(Ok(Colour::default()), |word| word.parse())?,
            channels,
            range: word("range").map(|word| word.parse()).transpose()?,
            layout,
            series: Cut::take(settings)?,
        })
    }

    /// Refuses what cannot be read with.
    ///
    /// # Errors
    /// [`Error::Usage`] for a side of 0 or above 4096, or other than 1 or 3 channels.
    pub fn check(&self) -> Result<()> {
        if let Some([height, width]) = self.size {
            sides(&format!("{height}x{width}"))?;
        }
        if self.channels.is_some_and(|channels| !matches!(channels, 1 | 3)) {
            return Err(Error::usage("channels is 1 (grey) or 3 (colour)"));
        }
        self.series.check()
    }
}

/// A setting's value as it was written.
fn shown(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// Height and width of `HxW`, or of `N` for both.
fn sides(text: &str) -> Result<[usize; 2]> {
    let (height, width) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
    let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err(Error::usage(format!("{text} is no size: HxW or N, of 1 to {MAX_SIDE} pixels a side"))),
    }
}

impl FromStr for Fit {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "crop" => Ok(Self::Crop),
            "pad" => Ok(Self::Pad),
            "stretch" => Ok(Self::Stretch),
            other => Err(Error::usage(format!("fit is crop, pad or stretch, not {other}"))),
        }
    }
}

impl Default for Colour {
    fn default() -> Self {
        Self([255; 3])
    }
}

impl Colour {
    /// Whether it is a grey, so that it adds no colour to a grey picture.
    pub fn is_grey(self) -> bool {
        self.0[0] == self.0[1] && self.0[0] == self.0[2]
    }
}

impl FromStr for Colour {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let wrong = || Error::usage(format!("background is white, black or #rrggbb, not {word}"));
        match word {
            "white" => return Ok(Self([255; 3])),
            "black" => return Ok(Self([0; 3])),
            _ => {}
        }
        let digits = word.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(wrong)?;
        let value = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
        Ok(Self([(value >> 16) as u8, (value >> 8) as u8, value as u8]))
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [255, 255, 255] => f.write_str("white"),
            [0, 0, 0] => f.write_str("black"),
            [r, g, b] => write!(f, "#{r:02x}{g:02x}{b:02x}"),
        }
    }
}

impl Range {
    /// 0..1.
    pub const UNIT: Self = Self { low: 0.0, high: 1.0 };
    /// −1..1.
    pub const SYMMETRIC: Self = Self { low: -1.0, high: 1.0 };
    /// 0..255.
    pub const BYTES: Self = Self { low: 0.0, high: 255.0 };

    /// The byte that a value stands for, rounded; `None` where it lies outside.
    pub fn byte(self, value: f64) -> Option<f32> {
        let share = (value - self.low) / (self.high - self.low);
        (0.0..=1.0).contains(&share).then(|| (share * 255.0).round() as f32)
    }
}

impl FromStr for Range {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|v| v.is_finite());
        match word.split_once("..").map(|(low, high)| (number(low), number(high))) {
            Some((Some(low), Some(high))) if low != high && (high - low).is_finite() => Ok(Self { low, high }),
            _ => Err(Error::usage(format!("range is LOW..HIGH, the values of black and white such as 0..1 or -1..1, not {word}"))),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.low, self.high)
    }
}

macro_rules! as_text {
    ($($of:ty),*) => {$(
        impl TryFrom<String> for $of {
            type Error = Error;
            fn try_from(word: String) -> Result<Self> {
                word.parse()
            }
        }
        impl From<$of> for String {
            fn from(value: $of) -> Self {
                value.to_string()
            }
        }
    )*};
}
as_text!(Colour, Range);

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(words: &str) -> Result<Reading> {
        let value = |text: &str| text.parse().map_or_else(|_| toml::Value::String(text.into()), toml::Value::Integer);
        let pairs = words.split_whitespace().filter_map(|pair| pair.split_once('='));
        let mut settings: toml::Table = pairs.map(|(key, text)| (key.into(), value(text))).collect();
        let reading = Reading::take(&mut settings)?;
        assert!(settings.is_empty(), "{settings}");
        reading.check()?;
        Ok(reading)
    }

    #[test]
    fn settings_go_to_the_recipe_and_back() {
        let all = "size=28x20 fit=pad background=#102030 channels=1 range=-1..1 layout=nchw";
        let read = reading(all).unwrap();
        assert_eq!((read.size, read.fit, read.background), (Some([28, 20]), Fit::Pad, Colour([16, 32, 48])));
        assert_eq!((read.channels, read.range, read.layout), (Some(1), Some(Range::SYMMETRIC), Layout::Nchw));
        let text = toml::to_string(&read).unwrap();
        assert_eq!(toml::from_str::<Reading>(&text).unwrap(), read);
        assert_eq!(reading("resize=9").unwrap().size, reading("size=9").unwrap().size);
        assert!(reading("").unwrap().is_default());
    }

    #[test]
    fn wrong_values_are_named_with_what_is_right() {
        for (words, reason) in [
            ("resize=0", "1 to 4096"),
            ("resize=-1", "1 to 4096"),
            ("size=4x", "HxW"),
            ("size=5000x4", "1 to 4096"),
            ("size=4 resize=4", "leave one out"),
            ("fit=pad", "size=HxW"),
            ("size=4 fit=squash", "crop, pad or stretch"),
            ("background=#12345", "#rrggbb"),
            ("background=#é123", "#rrggbb"),
            ("channels=4", "1 (grey) or 3 (colour)"),
            ("range=1", "LOW..HIGH"),
            ("range=1..1", "LOW..HIGH"),
            ("range=0..nan", "LOW..HIGH"),
            ("layout=chw", "nhwc or nchw"),
        ] {
            let said = reading(words).unwrap_err().to_string();
            assert!(said.contains(reason), "{words}: {said}");
        }
    }

    #[test]
    fn a_range_gives_bytes_or_nothing() {
        assert_eq!([0.0, 1.0, 2.0 / 255.0].map(|v| Range::UNIT.byte(v)), [Some(0.0), Some(255.0), Some(2.0)]);
        assert_eq!([-1.0, 0.0, 1.5, f64::NAN].map(|v| Range::SYMMETRIC.byte(v)), [Some(0.0), Some(128.0), None, None]);
        // White first.
        assert_eq!(Range { low: 1.0, high: 0.0 }.byte(0.0), Some(255.0));
    }
}
