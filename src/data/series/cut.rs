//! How series are read and cut: the settings that a recipe keeps.

use super::{Quantize, Scaling};
use crate::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a value that a `.csv` lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gaps {
    /// It is refused.
    #[default]
    Refuse,
    /// It lies on the line between the values around it; before the first and behind the last it is that value.
    Linear,
    /// It is the value before it; before the first it is the first.
    Last,
    /// Its row is left out.
    Drop,
}

/// Steps of a window where nothing is said.
const WINDOW: usize = 256;
/// Most steps of a window: sides of images end there.
const LONGEST: usize = 1 << 16;
/// Share of the steps that validation and test take where nothing is said.
const SHARE: f64 = 0.1;

/// How series are read and cut. Everything has a default, and a recipe keeps what was settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cut {
    /// Steps of a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Steps that a window of the training part has in common with the next; those of validation and test have none.
    pub overlap: usize,
    /// How values become levels.
    pub quantize: Quantize,
    /// Levels of a value, 2 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<usize>,
    /// Columns of a `.csv` by name, or by number from 1; none for all of numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Channel of a `.wav`, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<usize>,
    /// Samples a second that a `.wav` is brought to; once settled, those that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// What becomes of what a `.csv` lacks.
    pub gaps: Gaps,
    /// Share of the steps that validation takes, before those of the test.
    pub valid_share: f64,
    /// Share of the steps that the test takes, the last.
    pub test_share: f64,
    /// The scale of each channel, once it is settled.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scaling: Vec<Scaling>,
    /// Channels that are actions, by name: known of a step before the next step is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// The channel that tells what the actions of its step bring, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<String>,
    /// The names of the channels, once they are known.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            window: None,
            overlap: 0,
            quantize: Quantize::default(),
            levels: None,
            columns: Vec::new(),
            channel: None,
            rate: None,
            gaps: Gaps::default(),
            valid_share: SHARE,
            test_share: SHARE,
            scaling: Vec::new(),
            actions: Vec::new(),
            reward: None,
            names: Vec::new(),
        }
    }
}

impl Cut {
    /// The `--set` keys; `levels` beside them is the model's too, which reads as many as the data have.
    pub const KEYS: [&str; 11] =
        ["window", "overlap", "quantize", "columns", "channel", "rate", "gaps", "valid_share", "test_share", "actions", "reward"];

    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something was asked for that series alone have.
    pub fn is_asked(&self) -> bool {
        Self { levels: None, ..self.clone() } != Self::default()
    }

    /// Levels of a value.
    pub fn levels(&self) -> usize {
        self.levels.unwrap_or(256)
    }

    /// Whether its scale is known: then its items have units.
    pub fn is_settled(&self) -> bool {
        !self.scaling.is_empty()
    }

    /// Items `[N, T, C]`, in shares 0..1 of the last level (continuous values as they are), in the units of the series.
    pub fn in_units(&self, shown: &[f32]) -> Vec<f64> {
        let each = shown.iter().zip(self.scaling.iter().cycle());
        each.map(|(value, scale)| scale.value(f64::from(*value), self.quantize, self.levels())).collect()
    }

    /// Rows of values in the units of the series as models of series read them: levels from 0, or continuous.
    pub fn values(&self, units: &[f64]) -> Vec<f32> {
        let each = units.iter().zip(self.scaling.iter().cycle());
        let read = |(value, scale): (&f64, &Scaling)| match self.quantize {
            Quantize::None => scale.scaled(*value) as f32,
            how => scale.level(*value, how, self.levels()) as f32,
        };
        each.map(read).collect()
    }

    /// Items as sources have them, bytes or continuous, in the units of the series.
    pub fn units_of_item(&self, item: &[f32]) -> Vec<f64> {
        let levels = self.levels() as f32;
        let value = |byte: &f32| match self.quantize {
            Quantize::None => *byte,
            _ if levels == 2.0 => (byte / 255.0).round(),
            _ => (byte * levels / 256.0).floor(),
        };
        self.units(&item.iter().map(value).collect::<Vec<f32>>())
    }

    /// The inverse of [`Cut::values`].
    pub fn units(&self, values: &[f32]) -> Vec<f64> {
        let top = if self.quantize == Quantize::None { 1.0 } else { (self.levels() - 1) as f32 };
        self.in_units(&values.iter().map(|v| v / top).collect::<Vec<f32>>())
    }

    /// What −ln of a step's density at the scale lacks of that in the units of the series, in nats: Σ ln((high − low)/2) over the channels.
    pub fn nats_of_units(&self) -> f64 {
        self.scaling.iter().map(|scale| ((scale.high - scale.low) / 2.0).ln()).sum()
    }

    /// Items as a source of this cut reads them, in the units of the series.
    pub fn read_in_units(&self, read: &[f32]) -> Vec<f64> {
        if self.quantize == Quantize::None {
            return self.in_units(read);
        }
        let levels = self.levels() as f32;
        self.units(&read.iter().map(|byte| (byte * levels / 256.0).floor()).collect::<Vec<f32>>())
    }

    /// Steps of a window of series of so many steps: all where there are several.
    pub fn window(&self, series: usize, steps: usize) -> usize {
        self.window.unwrap_or(if series > 1 { steps } else { WINDOW })
    }

    /// Takes its keys out of `settings`, and sees what the model is told of levels.
    ///
    /// # Errors
    /// [`Error::Usage`] for a value that is none.
    pub fn take(settings: &mut toml::Table) -> Result<Self> {
        let levels = settings.get("levels").and_then(toml::Value::as_integer).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let mut cut = Self { levels, ..Self::default() };
        let mut whole = |key: &str, least: usize, most: usize| match settings.remove(key) {
            None => Ok(None),
            Some(value) => match value.as_integer().and_then(|n| usize::try_from(n).ok()).filter(|n| (least..=most).contains(n)) {
                Some(n) => Ok(Some(n)),
                None => Err(Error::usage(format!("{key} is a whole number from {least} to {most}, not {value}"))),
            },
        };
        cut.window = whole("window", 1, LONGEST)?;
        cut.overlap = whole("overlap", 0, LONGEST)?.unwrap_or(0);
        cut.channel = whole("channel", 1, usize::from(u16::MAX))?;
        cut.rate = whole("rate", 1, 1 << 24)?.map(|rate| rate as u32);
        let mut word = |key: &str, words: &str| match settings.remove(key) {
            None => Ok(None),
            Some(toml::Value::String(word)) => Ok(Some(word)),
            Some(other) => Err(Error::usage(format!("{key} is {words}, not {other}"))),
        };
        if let Some(word) = word("quantize", "linear, mulaw or none")? {
            cut.quantize = word.parse()?;
        }
        if let Some(word) = word("gaps", "refuse, linear, last or drop")? {
            cut.gaps = match word.as_str() {
                "refuse" => Gaps::Refuse,
                "linear" => Gaps::Linear,
                "last" => Gaps::Last,
                "drop" => Gaps::Drop,
                _ => return Err(Error::usage(format!("gaps is refuse, linear, last or drop, not {word}"))),
            };
        }
        let mut names = |key: &str| match settings.remove(key) {
            None => Ok(Vec::new()),
            Some(toml::Value::String(words)) => Ok(words.split(',').map(|word| word.trim().to_string()).collect()),
            Some(toml::Value::Integer(number)) => Ok(vec![number.to_string()]),
            Some(toml::Value::Array(words)) => Ok(words.iter().map(|w| w.as_str().map_or_else(|| w.to_string(), String::from)).collect()),
            Some(other) => Err(Error::usage(format!("{key} are names or numbers such as a,b or 1,2, not {other}"))),
        };
        cut.columns = names("columns")?;
        cut.actions = names("actions")?;
        cut.reward = match names("reward")? {
            several if several.len() > 1 => return Err(Error::usage(format!("reward is one column, not {}", several.join(",")))),
            one => one.into_iter().next(),
        };
        for (key, share) in [("valid_share", &mut cut.valid_share), ("test_share", &mut cut.test_share)] {
            if let Some(value) = settings.remove(key) {
                let read = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
                *share = read.ok_or_else(|| Error::usage(format!("{key} is a share of the steps in 0..1, not {value}")))?;
            }
        }
        cut.check()?;
        Ok(cut)
    }

    /// The places of the channels that are actions, and of the reward, among channels of these names.
    ///
    /// # Errors
    /// [`Error::Usage`] where one of them is no channel, or the reward does not stand behind the actions that bring it.
    pub fn roles(&self, names: &[String]) -> Result<(Vec<usize>, Option<usize>)> {
        let place = |key: &str, name: &String| {
            let known = names.join(", ");
            let refusal = || Error::usage(format!("{key}={name} is none of the columns {known}; name one of them"));
            names.iter().position(|known| known == name).ok_or_else(refusal)
        };
        let actions: Vec<usize> = self.actions.iter().map(|name| place("actions", name)).collect::<Result<_>>()?;
        let reward = self.reward.as_ref().map(|name| place("reward", name)).transpose()?;
        if let (Some(at), Some(last)) = (reward, actions.iter().max())
            && at <= *last
        {
            let (reward, action) = (&names[at], &names[*last]);
            return Err(Error::usage(format!(
                "the reward {reward} must stand behind the actions that bring it, and {action} does not stand before it; write the columns in another order"
            )));
        }
        Ok((actions, reward))
    }

    /// Refuses what cannot be cut by.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        let Self { overlap, valid_share, test_share, .. } = *self;
        if let Some(window) = self.window.filter(|window| overlap >= *window) {
            let words = "windows that begin at later and later steps have less in common than they hold";
            return Err(Error::usage(format!("overlap={overlap} is not below window={window}; {words}")));
        }
        let shares = [valid_share, test_share];
        if shares.iter().any(|share| !(0.0..1.0).contains(share)) || valid_share + test_share >= 1.0 {
            return Err(Error::usage(format!(
                "valid_share={valid_share} and test_share={test_share} leave nothing to train on; take shares of 0 or more, together below 1"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(words: &str) -> Result<Cut> {
        let value = |text: &str| toml::from_str::<toml::Table>(&format!("v = {text}")).ok().and_then(|mut t| t.remove("v"));
        let pairs = words.split_whitespace().filter_map(|pair| pair.split_once('='));
        let mut settings: toml::Table =
            pairs.map(|(key, text)| (key.into(), value(text).unwrap_or_else(|| toml::Value::String(text.into())))).collect();
        let cut = Cut::take(&mut settings)?;
        assert!(settings.keys().all(|key| key == "levels"), "{settings}");
        Ok(cut)
    }

    #[test]
    fn settings_go_to_the_recipe_and_back() {
        let all = "window=64 overlap=32 quantize=mulaw levels=16 columns=a,b channel=2 rate=8000 gaps=last valid_share=0.2 test_share=0";
        let cut = taken(all).unwrap();
        assert_eq!((cut.window, cut.overlap, cut.quantize, cut.levels()), (Some(64), 32, Quantize::Mulaw, 16));
        assert_eq!((cut.columns.clone(), cut.channel, cut.rate, cut.gaps), (vec!["a".into(), "b".into()], Some(2), Some(8000), Gaps::Last));
        assert_eq!((cut.valid_share, cut.test_share), (0.2, 0.0));
        assert_eq!(toml::from_str::<Cut>(&toml::to_string(&cut).unwrap()).unwrap(), cut);
        assert!(taken("").unwrap().is_default() && !taken("levels=4").unwrap().is_asked() && taken("window=9").unwrap().is_asked());
        assert_eq!(taken("columns=2").unwrap().columns, ["2"]);
    }

    #[test]
    fn wrong_values_are_named_with_what_is_right() {
        for (words, reason) in [
            ("window=0", "from 1 to 65536"),
            ("window=many", "whole number"),
            ("window=8 overlap=8", "not below window=8"),
            ("quantize=alaw", "linear, mulaw or none"),
            ("gaps=guess", "refuse, linear, last or drop"),
            ("channel=0", "from 1"),
            ("rate=fast", "whole number"),
            ("valid_share=1", "leave nothing to train on"),
            ("valid_share=0.5 test_share=0.5", "leave nothing to train on"),
            ("test_share=half", "share of the steps"),
            ("reward=a,b", "one column"),
            ("actions=0.5", "names or numbers"),
        ] {
            let said = taken(words).unwrap_err().to_string();
            assert!(said.contains(reason), "{words}: {said}");
        }
    }
}
