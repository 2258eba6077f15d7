//! What TensorBoard is told of a run while it trains: an event file in the run's folder.

use super::run::EVENTS;
use super::{Recipe, RunFolder, recipe};
use crate::cpu::Arena;
use crate::error::Result;
use crate::report::{EventFile, Setting};
use crate::runtime::State;

/// The event file of a run in progress.
pub struct Events {
    file: EventFile,
    /// Learning rates that there are.
    groups: usize,
}

impl Events {
    /// Opens the file of a run that goes on after `step`; none where its recipe wants none, or there is no disk for it.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn open(folder: &RunFolder, recipe: &Recipe, step: u64) -> Result<Option<Self>> {
        if !recipe.train.tensorboard || folder.on_disk().is_none() {
            return Ok(None);
        }
        let mut file = EventFile::open(&folder.file(EVENTS), step)?;
        file.settings(&settings(recipe))?;
        Ok(Some(Self { file, groups: recipe.train.learning_rate.len().clamp(1, 4) }))
    }

    /// Adds a step's metrics, in the order of the model's names, its learning rates, and items a second.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn metrics(&mut self, step: u64, names: &[(&str, &str)], values: &[f32], rates: [f32; 4], speed: f64) -> Result<()> {
        let mut told: Vec<(String, f32)> = names.iter().zip(values).map(|((name, _), value)| (format!("train/{name}"), *value)).collect();
        for (group, rate) in rates.into_iter().take(self.groups).enumerate() {
            let name = if self.groups == 1 { "rate/learning_rate".into() } else { format!("rate/learning_rate.{group}") };
            told.push((name, rate));
        }
        told.push(("rate/items_per_s".into(), speed as f32));
        self.file.scalars(step, told.iter().map(|(name, value)| (name.as_str(), *value)))
    }

    /// Adds a score of the validation split, in nats.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn valid(&mut self, step: u64, nats: f64) -> Result<()> {
        self.file.scalars(step, [("valid/nats", nats as f32)])
    }

    /// Adds the picture of samples that was drawn at a step, if one was.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn samples(&mut self, step: u64, folder: &RunFolder) -> Result<()> {
        let path = folder.file(&format!("samples/{step:06}.png"));
        let (Ok(png), Ok((width, height))) = (std::fs::read(&path), image::image_dimensions(&path)) else { return Ok(()) };
        self.file.image(step, "samples", &png, [height, width])
    }

    /// Adds a histogram of every trained tensor.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; those of the device.
    pub async fn weights(&mut self, step: u64, state: &State) -> Result<()> {
        let spec = state.spec();
        for id in spec.ids().into_iter().filter(|id| spec.spec(*id).trained) {
            let values = state.read(id, Arena::Value).await?;
            self.file.histogram(step, &format!("weights/{}", spec.spec(id).name), &values)?;
        }
        Ok(())
    }
}

/// A recipe's keys, as hyper-parameters.
fn settings(recipe: &Recipe) -> Vec<(String, Setting)> {
    let setting = |value: &toml::Value| match value {
        toml::Value::Integer(value) => Setting::Number(*value as f64),
        toml::Value::Float(value) => Setting::Number(*value),
        toml::Value::Boolean(value) => Setting::Flag(*value),
        toml::Value::String(words) => Setting::Text(words.clone()),
        // One learning rate is a number like others.
        toml::Value::Array(list) if list.len() == 1 => match &list[0] {
            toml::Value::Float(value) => Setting::Number(*value),
            other => Setting::Text(other.to_string()),
        },
        other => Setting::Text(other.to_string()),
    };
    let mut settings = vec![
        ("model".to_string(), Setting::Text(recipe.model.clone())),
        ("data".into(), Setting::Text(recipe.data.source.rsplit('/').next().unwrap_or_default().into())),
        ("binarization".into(), Setting::Text(recipe.data.binarization.to_string())),
        ("seed".into(), Setting::Number(recipe.seed as f64)),
    ];
    let keys = recipe::table(&recipe.train).into_iter().chain(recipe.hyper.clone());
    settings.extend(keys.map(|(key, value)| (key, setting(&value))));
    settings
}
