//! The recipe of a new run, made of what is asked for and of what its data are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{DataRecipe, FORMAT, Recipe, TrainRecipe, absolute, adopt, apply_settings, chosen, vectors};
use crate::data::{self, Augment, Binarization, Kind, OpenOptions, Reading, Source};
use crate::error::{Error, Result};
use crate::model;
use crate::nearest::hint;
use crate::runtime::Device;
use crate::tensor::Precision;

/// What a new run is asked to be.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The model's name.
    pub model: String,
    /// What it is trained on, as the command line names it.
    pub source: String,
    /// Seed of weights, order, binarization and noise.
    pub seed: u64,
    /// Keys of the model, of training and of data that come from a recipe.
    pub inherited: toml::Table,
    /// Such keys that are given for this run; they go before the inherited ones.
    pub settings: toml::Table,
    /// Items a step.
    pub batch: Option<usize>,
    /// Steps of the whole run.
    pub steps: Option<u64>,
    /// The same in epochs.
    pub epochs: Option<f64>,
    /// Only a seeded random so many items.
    pub limit: Option<usize>,
    /// Only a seeded random so many items of each class.
    pub labels_per_class: Option<usize>,
    /// What products are computed in.
    pub precision: Option<Precision>,
    /// Run whose trained encoder the first weights come from.
    pub encoder: Option<PathBuf>,
    /// Run whose weights all first weights are.
    pub from: Option<PathBuf>,
    /// What the data of the recipe that keys come from are known by, where the source is that recipe's too.
    pub digest: Option<String>,
}

impl Order {
    /// The recipe.
    ///
    /// # Errors
    /// [`Error::Usage`] for what does not fit; those of the data.
    pub fn recipe(self, device: &Device) -> Result<Recipe> {
        let (name, source) = (&self.model, &self.source);
        model::check_name(name)?;
        let mut settings = self.inherited;
        settings.extend(self.settings.clone());
        check_keys(name, &settings)?;
        let wanted = data_settings(&mut settings)?;
        let options = OpenOptions { seed: self.seed, reading: wanted.reading.clone(), ..OpenOptions::default() };
        let settled = data::settle(source, &options)?;
        let (name_of_data, kind, dims) = (settled.source.name(), settled.kind, settled.dims);
        if self.digest.is_some_and(|digest| digest != settled.digest.hash) {
            log::warn!("{name_of_data} is not what the recipe was made on; its classes, sizes and scales are found anew");
        }
        let encoder = self.encoder.as_ref().map(|path| adopt_encoder(path, name, dims, &mut settings)).transpose()?;
        let inherited = wanted.binarization.or(encoder);
        let binarization = inherited.unwrap_or_else(|| default_binarization(name, kind, &*settled.source, &settings));
        binarization.check(kind, &name_of_data)?;
        wanted.augment.check(kind, dims, &name_of_data)?;
        let mut recipe = DataRecipe {
            source: absolute(source),
            dims,
            count: settled.source.len(),
            classes: settled.source.classes(),
            class_names: settled.source.class_names(),
            digest: settled.digest.hash,
            digest_of: settled.digest.of,
            binary: kind == Kind::Binary,
            points: kind == Kind::Points,
            binarization,
            limit: self.limit,
            labels_per_class: self.labels_per_class,
            reading: settled.reading,
            augment: wanted.augment,
            mean: None,
        };
        let data = chosen(&recipe, settled.source)?;
        // Training keys are known before the model is: its defaults need its own keys, which are what is left.
        let mut own = settings.clone();
        own.retain(|key, _| !TrainRecipe::is_key(key));
        let made = model::build(name, &own, &recipe.spec())?;
        recipe.mean = None;
        let mut train = TrainRecipe::new(&made.defaults());
        for (key, value) in [("batch", self.batch.map(|b| b as u64)), ("steps", self.steps)] {
            let Some(value) = value else { continue };
            settings.insert(key.into(), whole_setting(key, value)?);
            if let Some(set) = self.settings.get(key) {
                return Err(Error::usage(format!("--{key} {value} and --set {key}={set} are both given; leave one out")));
            }
        }
        if self.epochs.is_some() && settings.contains_key("steps") {
            return Err(Error::usage("--epochs and --set steps= both say how long to train; leave one out"));
        }
        apply_settings(&mut train, &mut settings)?;
        train.precision = self.precision.unwrap_or(train.precision);
        let per_step = train.items(made.batches())?;
        if per_step > data.len() {
            let most = data.len() / (per_step / train.batch.max(1)).max(1);
            // A batch is equal lanes.
            let most = most - most % train.lanes.max(1);
            let way_out = if most > 0 { format!("take --batch {most} or less") } else { "take more data".into() };
            return Err(Error::usage(format!("a step takes {per_step} items and {} has {}; {way_out}", data.name(), data.len())));
        }
        if let Some(epochs) = self.epochs {
            train.steps = epoch_steps(epochs, (data.len() / per_step) as u64)?;
        }
        let recipe = Recipe {
            format: FORMAT,
            kiln: env!("CARGO_PKG_VERSION").into(),
            model: self.model,
            seed: self.seed,
            device: device.name(),
            vectors: vectors(device),
            encoder: self.encoder,
            from: self.from.as_ref().map(|run| std::path::absolute(run).unwrap_or_else(|_| run.clone())),
            imported: Vec::new(),
            data: recipe,
            train,
            hyper: settings,
            kernels: BTreeMap::new(),
            history: Vec::new(),
        };
        recipe.check()?;
        Ok(recipe)
    }
}

/// Settings that belong to the data.
struct DataSettings {
    binarization: Option<Binarization>,
    reading: Reading,
    augment: Augment,
}

fn data_settings(settings: &mut toml::Table) -> Result<DataSettings> {
    let binarization = match settings.remove("binarization") {
        Some(toml::Value::String(word)) => Some(word.parse()?),
        Some(other) => return Err(Error::usage(format!("binarization is none, static, dynamic or threshold, not {other}"))),
        None => None,
    };
    Ok(DataSettings { binarization, reading: Reading::take(settings)?, augment: Augment::take(settings)? })
}

/// Refuses a key that neither the model nor training nor the data have, before anything is opened.
fn check_keys(model: &str, settings: &toml::Table) -> Result<()> {
    let own = model::keys(model)?;
    let of_data = data::keys().concat();
    let known = || own.iter().chain(&of_data).map(|key| key.name.as_str()).chain(TrainRecipe::KEYS).chain(["resize"]);
    match settings.keys().find(|key| !known().any(|own| own == *key)) {
        Some(key) => Err(Error::usage(format!(
            "{model} has no key {key}{}; its own are {}, and kiln help training and kiln help data tell those of every model",
            hint(key, known()),
            own.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ")
        ))),
        None => Ok(()),
    }
}

/// Binarization where none is asked for: what the data are, or for grey data what lets the model see bits if it must.
fn default_binarization(model: &str, kind: Kind, source: &dyn Source, settings: &toml::Table) -> Binarization {
    let grey = source.dims()[2] == 1 && source.series().is_none();
    let many = settings.get("levels").and_then(toml::Value::as_integer).is_some_and(|l| l > 2);
    match kind {
        Kind::Binary => Binarization::Static,
        Kind::Pixels if model == "pixelcnn" && grey && !many => Binarization::Dynamic,
        _ => Binarization::None,
    }
}

/// A number as a recipe holds it.
pub fn whole_setting(key: &str, value: u64) -> Result<toml::Value> {
    let fits = i64::try_from(value).map(toml::Value::Integer);
    fits.map_err(|_| Error::usage(format!("{key} must be below 2^63 = {}, not {value}; take fewer", 1u64 << 63)))
}

/// Takes what shapes the encoder of another run over into `settings`, and returns the binarization that it saw.
fn adopt_encoder(path: &Path, model: &str, dims: [usize; 3], settings: &mut toml::Table) -> Result<Binarization> {
    if model != "classifier" {
        return Err(Error::usage(format!("--encoder starts a classifier from a trained encoder; a {model} starts afresh")));
    }
    let other = adopt(path, settings)?;
    if other.data.dims != dims {
        let [[h, w, c], [oh, ow, oc]] = [dims, other.data.dims];
        let shown = path.display();
        return Err(Error::usage(format!(
            "the encoder of {shown} reads images of {oh}×{ow}×{oc}, and these are {h}×{w}×{c}; take the same data"
        )));
    }
    Ok(other.data.binarization)
}

/// Steps of a number of epochs.
pub fn epoch_steps(epochs: f64, steps_per_epoch: u64) -> Result<u64> {
    if !(epochs > 0.0 && epochs.is_finite()) {
        return Err(Error::usage(format!("--epochs must be above 0, not {epochs}")));
    }
    Ok((steps_per_epoch as f64 * epochs).ceil().max(1.0) as u64)
}
