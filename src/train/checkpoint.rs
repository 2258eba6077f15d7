//! Checkpoints: one safetensors file of weights, averages, optimiser moments and counters, in PyTorch's names and layouts.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::layout;
use super::recipe::FORMAT;
use crate::cpu::Arena;
use crate::error::{Error, Result};
use crate::graph::{Layout, StateId, StateSpec};
use crate::report;
use crate::runtime::State;

/// What is kept beside tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The model's name.
    pub model: String,
    /// Steps done: the data cursor and every random draw follow from it.
    pub step: u64,
    /// Best score of the validation split so far.
    pub best: Option<f64>,
}

/// Arenas in a checkpoint, by the prefix of their tensors' names.
const STORED: [(Arena, &str); 4] =
    [(Arena::Value, ""), (Arena::Average, "ema."), (Arena::First, "optimizer.first."), (Arena::Second, "optimizer.second.")];

fn stored(spec: &StateSpec, arena: Arena) -> Vec<StateId> {
    let keep = |id: &StateId| {
        let tensor = spec.spec(*id);
        tensor.layout != Layout::Derived && (arena == Arena::Value || tensor.trained)
    };
    spec.ids().into_iter().filter(keep).collect()
}

/// Writes a checkpoint beside `path` and renames it, so that a full disk or a kill leaves the old one whole.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be written.
pub fn save(path: &Path, state: &State, progress: &Progress) -> Result<()> {
    let mut metadata = HashMap::from([
        ("format".to_string(), format!("kiln-{FORMAT}")),
        ("model".to_string(), progress.model.clone()),
        ("step".to_string(), progress.step.to_string()),
    ]);
    if let Some(best) = progress.best {
        metadata.insert("best".into(), format!("{best:e}"));
    }
    write(path, state, &STORED, metadata)
}

/// Writes weights alone (the averaged ones if asked for), for other programs.
pub fn export(path: &Path, state: &State, averaged: bool) -> Result<()> {
    let arena = if averaged { Arena::Average } else { Arena::Value };
    // One key: several would stand in an order of their own each time, and equal weights should make equal files.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    write(path, state, &[(arena, "")], metadata)
}

fn write(path: &Path, state: &State, arenas: &[(Arena, &str)], metadata: HashMap<String, String>) -> Result<()> {
    let spec = state.spec();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (arena, prefix) in arenas {
        for id in stored(spec, Arena::Value) {
            let tensor = spec.spec(id);
            // Running statistics have neither averages nor moments: they stand once, among the weights. What the optimiser keeps is not
            // exported.
            let exported = arenas.len() == 1;
            if !tensor.trained && !prefix.is_empty() || exported && tensor.name.starts_with("optimizer.") {
                continue;
            }
            let from = if tensor.trained { *arena } else { Arena::Value };
            let values = layout::to_torch(tensor, &state.read(id, from)?);
            tensors.push((format!("{prefix}{}", tensor.name), layout::torch_shape(tensor), values));
        }
    }
    let views: Result<Vec<(&str, TensorView<'_>)>> = tensors
        .iter()
        .map(|(name, shape, values)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
            view.map(|view| (name.as_str(), view)).map_err(|e| Error::format(path, e.to_string()))
        })
        .collect();
    let bytes = safetensors::serialize(views?, Some(metadata)).map_err(|e| Error::format(path, e.to_string()))?;
    replace(path, &bytes)
}

/// Writes a file whole or not at all.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    report::write_atomically(path, |file| file.write_all(bytes))
}

/// Reads a checkpoint into a state of the same model.
///
/// # Errors
/// [`Error::Io`] where it cannot be read; [`Error::Format`] where it is torn, of another version, or of another model.
pub fn load(path: &Path, state: &mut State, model: &str) -> Result<Progress> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let torn = |reason: String| Error::format(path, format!("not a whole kiln checkpoint ({reason}); take a copy or train again"));
    let file = SafeTensors::deserialize(&bytes).map_err(|e| torn(e.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| torn(e.to_string()))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    match metadata.get("format") {
        Some(format) if *format == format!("kiln-{FORMAT}") => {}
        Some(format) if format.starts_with("kiln-") => {
            return Err(Error::format(
                path,
                format!("is of format {format} and this program reads kiln-{FORMAT}; use the kiln that made it"),
            ));
        }
        _ => return Err(Error::format(path, "is a safetensors file but no kiln checkpoint")),
    }
    let found = metadata.get("model").cloned().unwrap_or_default();
    if found != model {
        return Err(Error::format(path, format!("holds a {found}, and the recipe beside it says {model}")));
    }
    let step = metadata.get("step").and_then(|s| s.parse().ok()).ok_or_else(|| torn("no step".into()))?;
    let best = metadata.get("best").and_then(|s| s.parse().ok());
    let spec = state.spec().clone();
    for (arena, prefix) in STORED {
        for id in stored(&spec, arena) {
            read_tensor(path, &file, &format!("{prefix}{}", spec.spec(id).name), state, id, arena)?;
        }
    }
    Ok(Progress { model: found, step, best })
}

/// The step of a checkpoint, if there is a whole one.
pub fn step_of(path: &Path) -> Option<u64> {
    let bytes = std::fs::read(path).ok()?;
    let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
    header.metadata().as_ref()?.get("step")?.parse().ok()
}

/// Reads one tensor of a safetensors file.
pub fn read_tensor(path: &Path, file: &SafeTensors<'_>, name: &str, state: &mut State, id: StateId, arena: Arena) -> Result<()> {
    let tensor = state.spec().spec(id).clone();
    let view =
        file.tensor(name).map_err(|_| Error::format(path, format!("has no tensor {name}; it was made with other hyper-parameters")))?;
    let shape = layout::torch_shape(&tensor);
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        let reason = format!("{name} is {:?} {:?}, not F32 {shape:?}; it was made with other hyper-parameters", view.dtype(), view.shape());
        return Err(Error::format(path, reason));
    }
    let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    state.write(id, arena, &layout::from_torch(&tensor, &values))
}
