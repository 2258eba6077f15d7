//! Starting a network from the encoder of another run.

use std::path::Path;

use safetensors::tensor::SafeTensors;

use super::RunFolder;
use super::checkpoint::{self, read_tensor};
use super::recipe::Recipe;
use crate::cpu::Arena;
use crate::error::{Error, Result};
use crate::runtime::State;

/// Hyper-parameters that an encoder's tensors depend on.
const SHAPE_KEYS: [&str; 6] = ["form", "hidden", "layers", "filters", "stages", "activation"];
/// What the tensors of an encoder's body are called in every model that has one.
const PREFIX: &str = "encoder.";

/// Fills `settings` with those hyper-parameters of the run at `path` that shape its encoder, where they are not given, and says what the
/// run was trained on.
///
/// # Errors
/// As [`RunFolder::open`]; [`Error::Usage`] where the run has no encoder.
pub fn adopt(path: &Path, settings: &mut toml::Table) -> Result<Recipe> {
    let (_, recipe) = RunFolder::open(path)?;
    let defaults = match recipe.model.as_str() {
        "vae" | "autoencoder" => toml::Table::try_from(crate::model::vae::Config::default()),
        other => return Err(Error::usage(format!("{} holds a {other}; --encoder takes a vae or an autoencoder", path.display()))),
    };
    let defaults = defaults.map_err(|e| Error::usage(e.to_string()))?;
    for key in SHAPE_KEYS {
        let value = recipe.hyper.get(key).or(defaults.get(key));
        if let (Some(value), false) = (value, settings.contains_key(key)) {
            settings.insert(key.into(), value.clone());
        }
    }
    Ok(recipe)
}

/// Copies the encoder's body from a run's newest checkpoint (its averaged weights where it keeps them) into a new model's state.
///
/// # Errors
/// [`Error::Format`] where a tensor is missing or of another shape; [`Error::Io`] where the checkpoint cannot be read.
pub fn encoder(path: &Path, state: &mut State) -> Result<()> {
    let (folder, recipe) = RunFolder::open(path)?;
    let file = folder.file("checkpoint.safetensors");
    let (bytes, _) = checkpoint::read(&file)?;
    let torn = |e: safetensors::SafeTensorError| Error::format(&file, format!("not a whole kiln checkpoint ({e})"));
    let tensors = SafeTensors::deserialize(&bytes).map_err(torn)?;
    let averaged = if recipe.train.ema > 0.0 { "ema." } else { "" };
    let spec = state.spec().clone();
    for id in spec.ids() {
        let name = &spec.spec(id).name;
        if name.starts_with(PREFIX) {
            for arena in [Arena::Value, Arena::Average] {
                read_tensor(&file, &tensors, &format!("{averaged}{name}"), state, id, arena)?;
            }
        }
    }
    Ok(())
}
