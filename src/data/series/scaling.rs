//! From the units of a series to levels and back.

use crate::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How values become levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantize {
    /// Levels lie evenly between the least and the greatest value of the training part.
    #[default]
    Linear,
    /// They are finer around zero: μ-law companding (ITU-T G.711) with μ one less than there are levels, symmetric about zero.
    Mulaw,
    /// Values stay continuous, at mean 0 and standard deviation 1 over the training part.
    None,
}

impl FromStr for Quantize {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "linear" => Ok(Self::Linear),
            "mulaw" => Ok(Self::Mulaw),
            "none" => Ok(Self::None),
            other => Err(Error::usage(format!("quantize is linear, mulaw or none, not {other}"))),
        }
    }
}

/// Values of a channel, in its own units, that stand for −1 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// What becomes −1.
    pub low: f64,
    /// What becomes 1.
    pub high: f64,
}

impl Scaling {
    /// The scale of a channel whose training part holds `values`; `None` where they are all one value, so that none is given.
    pub fn of(values: impl Iterator<Item = f64> + Clone, how: Quantize) -> Option<Self> {
        let (low, high) = values.clone().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        // The greatest distance may be more than a number holds.
        if low >= high || !(high - low).is_finite() {
            return None;
        }
        Some(match how {
            Quantize::Linear => Self { low, high },
            Quantize::Mulaw => {
                let most = high.abs().max(low.abs());
                Self { low: -most, high: most }
            }
            Quantize::None => {
                let count = values.clone().count() as f64;
                let mean = values.clone().sum::<f64>() / count;
                let deviation = (values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / count).sqrt();
                Self { low: mean - deviation, high: mean + deviation }
            }
        })
    }

    /// A value in −1..1 where it lies within the scale.
    pub fn scaled(self, value: f64) -> f64 {
        2.0 * (value - self.low) / (self.high - self.low) - 1.0
    }

    /// The value in its own units.
    pub fn unscaled(self, scaled: f64) -> f64 {
        self.low + (scaled + 1.0) / 2.0 * (self.high - self.low)
    }

    /// The level of a value, the nearest of `levels` evenly spaced (companded) ones; beyond the scale the last.
    pub fn level(self, value: f64, how: Quantize, levels: usize) -> usize {
        let (top, y) = (levels as f64 - 1.0, self.scaled(value).clamp(-1.0, 1.0));
        let shown = if how == Quantize::Mulaw { y.signum() * (top * y.abs()).ln_1p() / top.ln_1p() } else { y };
        ((shown + 1.0) / 2.0 * top + 0.5).floor() as usize
    }

    /// The value of a level, a share 0..1 of the last; of continuous values as [`Scaling::unscaled`].
    pub fn value(self, shown: f64, how: Quantize, levels: usize) -> f64 {
        let top = levels as f64 - 1.0;
        match how {
            Quantize::None => self.unscaled(shown),
            Quantize::Linear => self.unscaled(2.0 * shown - 1.0),
            Quantize::Mulaw => {
                let y = 2.0 * shown - 1.0;
                self.unscaled(y.signum() * ((1.0 + top).powf(y.abs()) - 1.0) / top)
            }
        }
    }
}

/// The byte that a model of `levels` levels, which takes ⌊byte · levels / 256⌋, reads as `level`; bits are 0 and 255.
pub fn byte(level: usize, levels: usize) -> f32 {
    if levels == 2 { level as f32 * 255.0 } else { (level * 256).div_ceil(levels) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_to_values_and_back() {
        let scale = Scaling { low: -3.0, high: 5.0 };
        for how in [Quantize::Linear, Quantize::Mulaw] {
            for levels in 2..=256 {
                for level in 0..levels {
                    let value = scale.value(level as f64 / (levels - 1) as f64, how, levels);
                    assert_eq!(scale.level(value, how, levels), level, "{how:?}, {levels} levels");
                    if levels > 2 {
                        assert_eq!((byte(level, levels) * (levels as f32 / 256.0)).floor() as usize, level, "{levels} levels");
                    }
                }
            }
        }
        assert_eq!([scale.level(-1e9, Quantize::Linear, 256), scale.level(1e9, Quantize::Mulaw, 256)], [0, 255]);
    }

    #[test]
    fn companding_is_that_of_the_recommendation() {
        // ln(1 + 255 · 0.01) / ln 256, worked out by hand.
        let unit = Scaling { low: -1.0, high: 1.0 };
        let shown = (1.0f64 + 2.55).ln() / 256f64.ln();
        assert_eq!(unit.level(0.01, Quantize::Mulaw, 256), ((shown + 1.0) / 2.0 * 255.0).round() as usize);
        assert_eq!(unit.level(-0.01, Quantize::Mulaw, 256), ((1.0 - shown) / 2.0 * 255.0).round() as usize);
    }

    #[test]
    fn scales_are_those_of_the_values() {
        let of = |values: [f64; 4], how| Scaling::of(values.into_iter(), how);
        assert_eq!(of([1.0, 3.0, 2.0, -1.0], Quantize::Linear), Some(Scaling { low: -1.0, high: 3.0 }));
        assert_eq!(of([1.0, 3.0, 2.0, -4.0], Quantize::Mulaw), Some(Scaling { low: -4.0, high: 4.0 }));
        assert_eq!(of([1.0, 3.0, 1.0, 3.0], Quantize::None), Some(Scaling { low: 1.0, high: 3.0 }));
        assert_eq!(of([2.0; 4], Quantize::Linear), None);
        assert_eq!(of([-f64::MAX, f64::MAX, 0.0, 0.0], Quantize::Linear), None);
    }
}
