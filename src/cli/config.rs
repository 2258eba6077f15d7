//! A training that begins from a file: a run's own recipe, or a few lines written by hand.

use std::path::Path;

use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::nearest::hint;

/// What a file says of a training.
#[derive(Debug, Default, PartialEq)]
pub struct Config {
    /// The model.
    pub model: Option<String>,
    /// The data's SOURCE.
    pub data: Option<String>,
    /// The seed.
    pub seed: Option<u64>,
    /// A run to start a classifier from.
    pub encoder: Option<String>,
    /// Only so many items.
    pub limit: Option<u64>,
    /// Only so many items of each class.
    pub labels_per_class: Option<u64>,
    /// What the data were known by.
    pub digest: Option<String>,
    /// What `--set` would take.
    pub settings: Table,
}

/// Keys that stand at the top of a file.
const TOP: [&str; 7] = ["model", "data", "seed", "encoder", "set", "train", "hyper"];
/// Keys of a recipe that are found anew when a run starts.
const FOUND: [&str; 8] = ["format", "kiln", "device", "vectors", "kernels", "history", "from", "imported"];
/// The same of its data.
const FOUND_OF_DATA: [&str; 8] = ["dims", "count", "classes", "class_names", "digest_of", "binary", "points", "mean"];
/// And of its series.
const FOUND_OF_SERIES: [&str; 2] = ["scaling", "names"];

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Format`] where it is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let wrong = |reason: String| Error::format(path, reason);
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            let place = line.map(|line| format!(" in line {line}")).unwrap_or_default();
            wrong(format!("is not TOML{place}: {}", e.message().lines().next().unwrap_or_default()))
        })?;
        Self::of(table).map_err(wrong)
    }

    fn of(table: Table) -> std::result::Result<Self, String> {
        let mut config = Self::default();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("model", Value::String(name)) => config.model = Some(name),
                ("data", Value::String(source)) => config.data = Some(source),
                ("data", Value::Table(data)) => config.data_of(data)?,
                ("seed", Value::Integer(seed)) => {
                    config.seed = Some(u64::try_from(seed).map_err(|_| format!("seed must be a whole number from 0, not {seed}"))?);
                }
                ("encoder", Value::String(run)) => config.encoder = Some(run),
                ("set" | "train" | "hyper", Value::Table(settings)) => config.settings.extend(settings),
                (known, value) if TOP.contains(&known) => return Err(format!("{known} = {value} is of the wrong kind")),
                (found, _) if FOUND.contains(&found) => {}
                (other, _) => {
                    return Err(format!("has a key {other}{}; the keys are {}", hint(other, TOP), TOP.join(", ")));
                }
            }
        }
        Ok(config)
    }

    /// The part of a recipe that is about the data, as settings.
    fn data_of(&mut self, data: Table) -> std::result::Result<(), String> {
        for (key, value) in data {
            match (key.as_str(), value) {
                ("source", Value::String(source)) => self.data = Some(source),
                ("digest", Value::String(digest)) => self.digest = Some(digest),
                ("limit", Value::Integer(count)) => self.limit = u64::try_from(count).ok(),
                ("labels_per_class", Value::Integer(count)) => self.labels_per_class = u64::try_from(count).ok(),
                ("reading", Value::Table(reading)) => self.reading(reading),
                ("augment", Value::Table(augment)) => self.settings.extend(augment),
                (found, _) if FOUND_OF_DATA.contains(&found) => {}
                ("binarization", value) => drop(self.settings.insert(key, value)),
                (other, _) => return Err(format!("has a key data.{other}; data is a SOURCE, or the [data] of a run's recipe.toml")),
            }
        }
        Ok(())
    }

    /// How data are read: what `--set` writes in another way than a recipe does is written so.
    fn reading(&mut self, reading: Table) {
        let sized = reading.contains_key("size");
        for (key, value) in reading {
            match (key.as_str(), value) {
                ("series", Value::Table(series)) => {
                    self.settings.extend(series.into_iter().filter(|(key, _)| !FOUND_OF_SERIES.contains(&key.as_str())));
                }
                ("size", Value::Array(sides)) => {
                    let sides: Vec<String> = sides.iter().map(ToString::to_string).collect();
                    self.settings.insert("size".into(), Value::String(sides.join("x")));
                }
                // Without a size there is nothing to fit.
                ("fit", _) if !sized => {}
                (_, value) => drop(self.settings.insert(key, value)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Config, String> {
        Config::of(text.parse().expect("TOML"))
    }

    #[test]
    fn a_few_lines_are_enough() {
        let config = read("model = 'vae'\ndata = 'builtin:digits'\nseed = 3\n[set]\nlatent = 4\nbatch = 8\n").expect("read");
        assert_eq!((config.model.as_deref(), config.data.as_deref(), config.seed), (Some("vae"), Some("builtin:digits"), Some(3)));
        assert_eq!(config.settings.keys().collect::<Vec<_>>(), ["batch", "latent"]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(read("modle = 'vae'").unwrap_err().contains("did you mean model?"));
        assert!(read("model = 3").unwrap_err().contains("model = 3"));
        assert!(read("[data]\nplace = 3").unwrap_err().contains("data.place"));
    }

    #[test]
    fn sizes_and_series_of_a_recipe_are_settings() {
        let text = "[data]\nsource = 'x'\ndims = [8, 6, 1]\n[data.reading]\nsize = [8, 6]\nfit = 'pad'\n[data.reading.series]\nwindow = 9\nnames = ['a']\n";
        let config = read(text).expect("read");
        assert_eq!(config.settings["size"].as_str(), Some("8x6"));
        assert_eq!((config.settings["fit"].as_str(), config.settings["window"].as_integer()), (Some("pad"), Some(9)));
        assert!(!config.settings.contains_key("names"));
    }
}
