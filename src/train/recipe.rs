//! The recipe: everything needed to repeat a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::TrainRecipe;
use super::digest::sha256;
use crate::data::{Augment, Binarization, Digest, Kind, Reading};
use crate::error::{Error, Result};
use crate::model::DataSpec;
use crate::runtime::Device;
use crate::shader::Choices;

/// Version of the run folder; another version is refused.
pub const FORMAT: u32 = 2;

/// Everything needed to repeat a run; `recipe.toml` in the run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of the run folder.
    pub format: u32,
    /// Version of kiln that made it.
    pub kiln: String,
    /// The model's name.
    pub model: String,
    /// Seed of weights, order, binarization and noise.
    pub seed: u64,
    /// The device it is trained on.
    pub device: String,
    /// The host's vectors it is trained with, where that device is the CPU: sums over other widths round differently.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub vectors: String,
    /// Run whose trained encoder the first weights come from, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PathBuf>,
    /// Run whose weights all first weights are, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Files of another program's that all first weights are of, if any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imported: Vec<PathBuf>,
    /// What it is trained on.
    pub data: DataRecipe,
    /// How it is trained.
    pub train: TrainRecipe,
    /// The model's own hyper-parameters.
    #[serde(default)]
    pub hyper: toml::Table,
    /// Kernel variants that the training step ran with, by problem, so that it can be repeated bit for bit on `device`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kernels: BTreeMap<String, String>,
    /// What was changed when the run went on, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Change>,
}

/// A key of a recipe that changed when its run went on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Steps done before.
    pub step: u64,
    /// The key.
    pub key: String,
    /// Its value before.
    pub was: toml::Value,
    /// Its value from then on.
    pub now: toml::Value,
}

/// Values of [`Recipe::fixed`] that are longer than this stand as their digests.
const LONGEST: usize = 80;

impl Recipe {
    /// What cannot change while a run lasts, by key: what its tensors are, and what they were computed from. A checkpoint holds it, so
    /// that it is not taken for one of another run.
    pub fn fixed(&self) -> BTreeMap<String, String> {
        let mut fixed = BTreeMap::from([("model".to_string(), self.model.clone()), ("seed".into(), self.seed.to_string())]);
        let tables = [("data", table(&self.data)), ("train", table(&self.train)), ("hyper", self.hyper.clone())];
        for (name, table) in tables {
            let lasting = |key: &String| match name {
                // Data may move; what they are stands in the other keys.
                "data" => key != "source",
                "train" => !TrainRecipe::CHANGEABLE.contains(&key.as_str()),
                _ => true,
            };
            for (key, value) in table.iter().filter(|(key, _)| lasting(key)) {
                let shown = value.to_string();
                let shown = if shown.len() > LONGEST { sha256(shown.as_bytes()) } else { shown };
                fixed.insert(format!("{name}.{key}"), shown);
            }
        }
        fixed
    }

    /// Whether all first weights are those of another network, which the first batch does not change.
    pub fn begins_elsewhere(&self) -> bool {
        self.from.is_some() || !self.imported.is_empty()
    }

    /// Refuses what cannot be trained with, or what its file could not hold.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        if i64::try_from(self.seed).is_err() {
            return Err(Error::usage(format!("a seed must be below 2^63 = {}, not {}; take a smaller --seed", 1u64 << 63, self.seed)));
        }
        self.train.check()?;
        if let Some(path) = self.encoder.iter().chain(&self.from).chain(&self.imported).find(|path| path.to_str().is_none()) {
            let shown = path.display();
            return Err(Error::usage(format!(
                "a recipe is text, and the path that weights come from, {shown}, is none; rename what it names"
            )));
        }
        let lost = || Error::usage("a number of this recipe cannot be written down so that it is read again; take smaller ones");
        let text = toml::to_string(self).map_err(|_| lost())?;
        let read = toml::from_str::<toml::Table>(&text).ok().and_then(|table| table.try_into::<Self>().ok());
        if read.is_some_and(|read| read == *self) { Ok(()) } else { Err(lost()) }
    }

    /// The device as this run's training steps use it: in its precision, and with its kernel variants where it is the device it was
    /// trained on.
    ///
    /// # Errors
    /// [`Error::Usage`] where a variant's name is none or the device cannot compute in the precision.
    pub async fn on(&self, device: &Device) -> Result<Device> {
        let device = device.with_precision(self.train.precision).await?;
        let known = self.device == device.name() && !self.kernels.is_empty();
        if known { Ok(device.with_choices(Choices::parse(&self.kernels)?)) } else { Ok(device) }
    }
}

/// What a run is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// The source, as the command line names it.
    pub source: String,
    /// Height, width and channels.
    pub dims: [usize; 3],
    /// Number of items, before a limit.
    pub count: usize,
    /// Number of classes, 0 without labels.
    pub classes: usize,
    /// Their names, in the order of the labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// What the data is known by again; see [`Digest`].
    pub digest: String,
    /// What was read for the digest.
    pub digest_of: String,
    /// Whether the source holds bits, and not grey levels.
    pub binary: bool,
    /// Whether the source holds points, and not pixels.
    pub points: bool,
    /// How grey levels become bits.
    pub binarization: Binarization,
    /// A seeded random so many items alone, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// A seeded random so many items of each class alone, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_per_class: Option<usize>,
    /// How pictures and arrays are read.
    #[serde(default, skip_serializing_if = "Reading::is_default")]
    pub reading: Reading,
    /// What is done to training images at random.
    #[serde(default, skip_serializing_if = "Augment::is_none")]
    pub augment: Augment,
    /// Mean of each value, where the model starts from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
}

impl DataRecipe {
    /// What the values are.
    pub fn kind(&self) -> Kind {
        match (self.points, self.binary) {
            (true, _) => Kind::Points,
            (_, true) => Kind::Binary,
            _ => Kind::Pixels,
        }
    }

    /// What the data is known by again.
    pub fn digest(&self) -> Digest {
        Digest { hash: self.digest.clone(), of: self.digest_of.clone() }
    }

    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// [`Error::Usage`] where there are not as many names as classes, or one name twice; as of [`Reading::check`] and [`Augment::check`].
    pub fn check(&self) -> Result<()> {
        let mut names = self.class_names.clone();
        names.sort();
        names.dedup();
        self.reading.check()?;
        self.augment.check(self.kind(), self.dims, &self.source)?;
        if names.len() == self.classes && self.class_names.len() == self.classes {
            return Ok(());
        }
        Err(Error::usage(format!("class_names must be {} different names, one a class", self.classes)))
    }

    /// What a model must know of the data.
    pub fn spec(&self) -> DataSpec {
        let kind = self.kind();
        DataSpec { dims: self.dims, classes: self.classes, kind, binarization: self.binarization, mean: self.mean.clone() }
    }
}

/// The vectors that a device computes with, where it is the host.
pub fn vectors(device: &Device) -> String {
    if matches!(device, Device::Cpu(_)) { crate::native::simd::level().name().into() } else { String::new() }
}

/// A part of a recipe as its file shows it: numbers as short as they are written.
pub(super) fn table(part: &impl Serialize) -> toml::Table {
    toml::to_string(part).ok().and_then(|text| toml::from_str(&text).ok()).unwrap_or_default()
}
