//! Grey pixels to black and white.

use super::Kind;
use crate::random::{philox4x32, unit};
use crate::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How pixels become 0 or 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binarization {
    /// They do not.
    #[default]
    None,
    /// The file is binary already, as the binarized MNIST of Larochelle and Murray (2011) is.
    Static,
    /// 1 with probability value/255, drawn anew each epoch (Burda et al., 2016, "Importance weighted autoencoders", section 5).
    Dynamic,
    /// 1 where value/255 is above 0.5.
    Threshold,
}

impl Binarization {
    const ALL: [(Self, &'static str); 4] =
        [(Self::None, "none"), (Self::Static, "static"), (Self::Dynamic, "dynamic"), (Self::Threshold, "threshold")];

    /// Refuses a binarization that a source of `kind` named `name` cannot have.
    pub fn check(self, kind: Kind, name: &str) -> Result<()> {
        match (self, kind) {
            (Self::None, _) | (_, Kind::Binary) | (Self::Dynamic | Self::Threshold, Kind::Pixels) => Ok(()),
            (Self::Static, _) => {
                Err(Error::usage(format!("{name} is not binary; set binarization to dynamic or threshold, or take a binary data set")))
            }
            (_, Kind::Points) => Err(Error::usage(format!("{name} holds points, not pixels; set binarization to none"))),
        }
    }
}

impl fmt::Display for Binarization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::ALL.iter().find(|(value, _)| value == self).map_or("none", |(_, word)| word))
    }
}

impl FromStr for Binarization {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(value, _)| *value)
            .ok_or_else(|| Error::usage(format!("there is no binarization `{word}`; it is none, static, dynamic or threshold")))
    }
}

/// Where the draws of a dynamic binarization come from; see [`crate::random::word`].
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Seed of the run.
    pub seed: u64,
    /// Training or evaluation.
    pub stream: u32,
    /// The epoch.
    pub step: u32,
}

/// Makes the values (0..=255) of item `index` 0 or 255, or leaves them. A draw depends on (key, index, pixel) alone.
pub fn binarize(values: &mut [f32], index: usize, how: Binarization, key: Key) {
    match how {
        Binarization::None | Binarization::Static => {}
        Binarization::Threshold => values.iter_mut().for_each(|v| *v = if *v > 127.5 { 255.0 } else { 0.0 }),
        Binarization::Dynamic => {
            let first = index as u64 * values.len() as u64;
            // One Philox block has the words of four pixels; certain pixels need none.
            let (mut held, mut words) = (None, [0; 4]);
            for (value, element) in values.iter_mut().zip(first..) {
                if *value <= 0.0 || *value >= 255.0 {
                    continue;
                }
                let block = element >> 2;
                if held != Some(block) {
                    let counter = [block as u32, (block >> 32) as u32, key.step, key.stream];
                    words = philox4x32(counter, [key.seed as u32, (key.seed >> 32) as u32]);
                    held = Some(block);
                }
                *value = if unit(words[(element & 3) as usize]) < *value / 255.0 { 255.0 } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::word;

    #[test]
    fn dynamic_binarization_draws_the_words_of_its_key() {
        let key = Key { seed: 9, stream: 5, step: 3 };
        let grey: Vec<f32> = (0..35).map(|i| (i * 7) as f32).collect();
        let mut values = grey.clone();
        binarize(&mut values, 11, Binarization::Dynamic, key);
        for (pixel, (value, grey)) in values.iter().zip(grey).enumerate() {
            let on = unit(word(9, 5, 3, 11 * 35 + pixel as u64)) < grey / 255.0;
            assert_eq!(*value, if on { 255.0 } else { 0.0 });
        }
    }

    #[test]
    fn words_and_values_go_both_ways() {
        for (value, word) in Binarization::ALL {
            assert_eq!(value.to_string(), word);
            assert_eq!(word.parse::<Binarization>().unwrap(), value);
            assert_eq!(serde_json::to_string(&value).unwrap(), format!("\"{word}\""));
        }
        assert!("dinamic".parse::<Binarization>().unwrap_err().to_string().contains("none, static, dynamic or threshold"));
    }

    #[test]
    fn grey_pixels_are_not_static() {
        assert!(Binarization::Static.check(Kind::Pixels, "digits").is_err());
        assert!(Binarization::Static.check(Kind::Binary, "digits").is_ok());
        assert!(Binarization::Dynamic.check(Kind::Points, "ring").is_err());
    }
}
