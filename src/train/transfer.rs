//! Starting a network from the encoder of another run.

use std::path::Path;

use safetensors::tensor::SafeTensors;

use super::RunFolder;
use super::checkpoint::{self, read_tensor};
use super::layout::torch_shape;
use super::recipe::Recipe;
use crate::cpu::Arena;
use crate::error::{Error, Result};
use crate::graph::{Layout, StateSpec};
use crate::model::{self, Learnt, need};
use crate::runtime::State;

/// Hyper-parameters that an encoder's tensors depend on.
const SHAPE_KEYS: [&str; 6] = ["form", "hidden", "layers", "filters", "stages", "activation"];
/// What the tensors of an encoder's body are called in every model that has one.
const PREFIX: &str = "encoder.";

/// Whether an encoder is a trunk as a classifier has one, which can be trained further.
fn is_trunk(recipe: &Recipe) -> bool {
    ["vae", "autoencoder"].contains(&recipe.model.as_str())
}

/// Fills `settings` with those hyper-parameters of the run at `path` that shape its encoder, where they are not given, or with the whole model
/// whose features are taken, and says what the run was trained on.
///
/// # Errors
/// As [`RunFolder::open`]; [`Error::Usage`] where the run has no encoder, and no features.
pub fn adopt(path: &Path, settings: &mut toml::Table) -> Result<Recipe> {
    let (_, recipe) = RunFolder::open(path)?;
    if !is_trunk(&recipe) {
        let made = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
        need::represents(made.as_ref()).map_err(|e| Error::usage(format!("{}: {e}", path.display())))?;
        let bits = recipe.data.spec().is_binary();
        let body = Learnt { model: recipe.model.clone(), bits, classes: recipe.data.classes, hyper: recipe.hyper.clone() };
        settings.insert("body".into(), toml::Value::try_from(body).map_err(|e| Error::usage(e.to_string()))?);
        settings.entry("frozen").or_insert(toml::Value::Boolean(true));
        return Ok(recipe);
    }
    let defaults = toml::Table::try_from(model::vae::Config::default()).map_err(|e| Error::usage(e.to_string()))?;
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
    let averaged = recipe.train.ema > 0.0;
    let spec = state.spec().clone();
    for id in spec.ids() {
        let tensor = spec.spec(id);
        let Some(own) = tensor.name.strip_prefix(PREFIX).filter(|_| tensor.layout != Layout::Derived) else { continue };
        let name = if is_trunk(&recipe) { tensor.name.as_str() } else { own };
        let average = format!("ema.{name}");
        let name = if averaged && tensors.tensor(&average).is_ok() { &average } else { name };
        for arena in [Arena::Value, Arena::Average] {
            read_tensor(&file, &tensors, name, state, id, arena)?;
        }
    }
    Ok(())
}

/// Copies all weights of a run's newest checkpoint (its averaged weights where it keeps them) into the state of a new model with the tensors
/// of `spec`, which must be the same; optimisers begin anew.
///
/// # Errors
/// [`Error::Usage`] with the tensors that differ in name or shape; [`Error::Format`] and [`Error::Io`] where the checkpoint cannot be read.
pub fn weights(path: &Path, spec: &StateSpec, state: &mut State) -> Result<()> {
    let (folder, recipe) = RunFolder::open(path)?;
    let file = folder.file("checkpoint.safetensors");
    let (bytes, _) = checkpoint::read(&file)?;
    let torn = |e: safetensors::SafeTensorError| Error::format(&file, format!("not a whole kiln checkpoint ({e})"));
    let tensors = SafeTensors::deserialize(&bytes).map_err(torn)?;
    let own: Vec<_> = spec.ids().into_iter().filter(|id| spec.spec(*id).layout != Layout::Derived).collect();
    let mut differing: Vec<String> = Vec::new();
    for id in &own {
        let tensor = spec.spec(*id);
        let wanted = torch_shape(tensor);
        match tensors.tensor(&tensor.name) {
            Ok(found) if found.shape() == wanted => {}
            Ok(found) => differing.push(format!("{} is {:?} there and {wanted:?} here", tensor.name, found.shape())),
            Err(_) => differing.push(format!("{} is not there", tensor.name)),
        }
    }
    let known = |name: &str| own.iter().any(|id| spec.spec(*id).name == name);
    // What else a checkpoint holds goes by these names: averages, moments, scales of losses.
    let beside = |name: &str| ["ema.", "optimizer."].iter().any(|prefix| name.starts_with(prefix));
    let extra = tensors.names().into_iter().filter(|name| !beside(name) && !known(name));
    differing.extend(extra.map(|name| format!("{name} is there alone")));
    if !differing.is_empty() {
        let (shown, count) = (differing.iter().take(5).cloned().collect::<Vec<_>>().join(", "), differing.len());
        let more = if count > 5 { format!(" and {} more", count - 5) } else { String::new() };
        return Err(Error::usage(format!(
            "the weights of {} are of another network: {shown}{more}; leave out the keys that change it",
            path.display()
        )));
    }
    for id in own {
        let name = &spec.spec(id).name;
        let average = format!("ema.{name}");
        let name = if recipe.train.ema > 0.0 && tensors.tensor(&average).is_ok() { &average } else { name };
        for arena in [Arena::Value, Arena::Average] {
            read_tensor(&file, &tensors, name, state, id, arena)?;
        }
    }
    Ok(())
}

/// What a classifier takes of a run that it is put upon, in words; `None` where it trains the run's encoder further.
///
/// # Errors
/// As [`RunFolder::open`].
pub fn note(path: &Path) -> Result<Option<String>> {
    let (_, recipe) = RunFolder::open(path)?;
    if is_trunk(&recipe) {
        return Ok(None);
    }
    let made = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
    Ok(made.represents().map(|network| format!("features of {}: {}, which stays as it is", path.display(), network.whence())))
}
