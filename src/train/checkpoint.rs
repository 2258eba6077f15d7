//! Checkpoints: one safetensors file of weights, averages, optimiser moments and counters, in PyTorch's names and layouts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::recipe::{FORMAT, Recipe};
use super::{digest, layout, place};
use crate::cpu::Arena;
use crate::error::{Error, Result};
use crate::graph::{Layout, StateId, StateSpec};
use crate::parallel::prelude::*;
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
    /// Scores of the validation split since the best one.
    pub waited: u64,
}

/// Arenas in a checkpoint, by the prefix of their tensors' names.
const STORED: [(Arena, &str); 4] =
    [(Arena::Value, ""), (Arena::Average, "ema."), (Arena::First, "optimizer.first."), (Arena::Second, "optimizer.second.")];

fn stored(spec: &StateSpec, arena: Arena) -> Vec<StateId> {
    let keep = |id: &StateId| {
        let tensor = spec.spec(*id);
        let kept = match arena {
            Arena::Value => true,
            Arena::Average => tensor.averaged,
            _ => tensor.trained,
        };
        tensor.layout != Layout::Derived && kept
    };
    spec.ids().into_iter().filter(keep).collect()
}

/// One tensor on its way to a file.
struct Kept {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Everything of a state that a checkpoint keeps, on the host.
pub struct Snapshot {
    tensors: Vec<Kept>,
}

impl Snapshot {
    /// Copies a state.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn take(state: &State) -> Result<Self> {
        let spec = state.spec();
        let mut tensors = Vec::new();
        for (arena, prefix) in STORED {
            for id in stored(spec, arena) {
                tensors.push(kept(state, id, arena, prefix).await?);
            }
        }
        Ok(Self { tensors })
    }

    /// The first tensor that holds something that is no finite number.
    pub fn broken(&self) -> Option<&str> {
        self.tensors.iter().find(|t| t.values.iter().any(|v| !v.is_finite())).map(|t| t.name.as_str())
    }

    /// What all of it is known by: SHA-256 in hexadecimal digits.
    pub fn digest(&self) -> String {
        let each: Vec<String> = self.tensors.par_iter().map(|t| digest::sha256(bytemuck::cast_slice(&t.values))).collect();
        digest::sha256(each.concat().as_bytes())
    }

    /// The checkpoint's file; `path` is for words.
    ///
    /// # Errors
    /// [`Error::Format`] where the recipe cannot be written down.
    pub fn encode(&self, path: &Path, progress: &Progress, recipe: &Recipe) -> Result<Encoded> {
        let mut metadata = BTreeMap::from([
            ("format".to_string(), format!("kiln-{FORMAT}")),
            ("model".to_string(), progress.model.clone()),
            ("step".to_string(), progress.step.to_string()),
            ("waited".to_string(), progress.waited.to_string()),
            ("recipe".to_string(), serde_json::to_string(&recipe.fixed()).map_err(|e| Error::format(path, e.to_string()))?),
        ]);
        if let Some(best) = progress.best {
            metadata.insert("best".into(), format!("{best:e}"));
        }
        encode(path, &self.tensors, Numbers::F32, |plain, tensors| digest::sealed(plain, metadata, tensors))
    }
}

async fn kept(state: &State, id: StateId, arena: Arena, prefix: &str) -> Result<Kept> {
    let tensor = state.spec().spec(id);
    let values = layout::to_torch(tensor, &state.read(id, arena).await?);
    Ok(Kept { name: format!("{prefix}{}", tensor.name), shape: layout::torch_shape(tensor), values })
}

/// How exported numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// As they are.
    F32,
    /// Rounded to f16, in half the room.
    F16,
}

impl Numbers {
    fn bytes(self, values: &[f32]) -> Cow<'_, [u8]> {
        match self {
            Self::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
            Self::F16 => Cow::Owned(values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect()),
        }
    }
}

/// Writes weights alone (the averaged ones if asked for), for other programs.
///
/// # Errors
/// [`Error::Usage`] where a weight is too large for f16; [`Error::Io`]; those of the device.
pub async fn export(path: &Path, state: &State, averaged: bool, numbers: Numbers) -> Result<()> {
    let spec = state.spec();
    let mut tensors = Vec::new();
    // What the optimiser keeps is not exported.
    for id in stored(spec, Arena::Value).into_iter().filter(|id| !spec.spec(*id).name.starts_with("optimizer.")) {
        let arena = if averaged && spec.spec(id).averaged { Arena::Average } else { Arena::Value };
        tensors.push(kept(state, id, arena, "").await?);
    }
    let large = |t: &&Kept| t.values.iter().any(|v| v.is_finite() && !half::f16::from_f32(*v).is_finite());
    if let (Numbers::F16, Some(tensor)) = (numbers, tensors.iter().find(large)) {
        return Err(Error::usage(format!("{} holds a number that f16 does not; take f32", tensor.name)));
    }
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    encode(path, &tensors, numbers, |plain, _| digest::with_metadata(plain, &metadata))?.write(path)
}

/// A safetensors file, whose header was made anew.
pub struct Encoded {
    header: Vec<u8>,
    plain: Vec<u8>,
    /// Where the tensors begin in the plain file.
    body: usize,
}

impl Encoded {
    /// Its bytes, one part behind the other.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        [&self.header, &self.plain[self.body..]]
    }

    /// Writes it beside `path` and renames it, so that a full disk or a kill leaves an old file whole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        place::replace(path, &self.parts())
    }
}

/// Tensors under the header that `header` makes of the plain file and the tensors' names and bytes.
fn encode(
    path: &Path,
    tensors: &[Kept],
    numbers: Numbers,
    header: impl FnOnce(&[u8], &[(&str, &[u8])]) -> serde_json::Result<Vec<u8>>,
) -> Result<Encoded> {
    let failed = |reason: String| Error::format(path, reason);
    let stored: Vec<(&str, Cow<'_, [u8]>)> = tensors.iter().map(|t| (t.name.as_str(), numbers.bytes(&t.values))).collect();
    let bytes: Vec<(&str, &[u8])> = stored.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
    let dtype = if numbers == Numbers::F16 { Dtype::F16 } else { Dtype::F32 };
    let mut views = Vec::new();
    for (tensor, (name, bytes)) in tensors.iter().zip(&bytes) {
        views.push((*name, TensorView::new(dtype, tensor.shape.clone(), bytes).map_err(|e| failed(e.to_string()))?));
    }
    let plain = safetensors::serialize(views, None).map_err(|e| failed(e.to_string()))?;
    let (length, _) = SafeTensors::read_metadata(&plain).map_err(|e| failed(e.to_string()))?;
    let header = header(&plain, &bytes).map_err(|e| failed(e.to_string()))?;
    Ok(Encoded { header, body: 8 + length, plain })
}

/// Writes a file whole or not at all, and waits until it is on the disk.
///
/// # Errors
/// [`Error::Io`]; then an old file is as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    place::replace(path, &[bytes])
}

/// Reads a checkpoint's file, whole and as it was written, with its metadata.
///
/// # Errors
/// [`Error::Io`] where it cannot be read; [`Error::Format`] where it is torn, damaged or of another version.
pub fn read(path: &Path) -> Result<(Vec<u8>, BTreeMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let metadata = parse(path, &bytes)?;
    Ok((bytes, metadata))
}

/// The metadata of a checkpoint's file.
///
/// # Errors
/// [`Error::Format`] where it is torn, damaged or of another version.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let torn = |reason: String| Error::format(path, format!("not a whole kiln checkpoint ({reason}); take a copy or train again"));
    SafeTensors::deserialize(bytes).map_err(|e| torn(e.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| torn(e.to_string()))?;
    let metadata: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
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
    match digest::damage(bytes).map_err(|e| torn(e.to_string()))? {
        Some(damage) => Err(Error::format(path, format!("is damaged: {damage}; take a copy or train again"))),
        None => Ok(metadata),
    }
}

/// Reads a checkpoint of a recipe's run, of which the name and the bytes are given, into a state of its model.
///
/// # Errors
/// [`Error::Format`] where it is torn, damaged, of another version or of another run.
pub fn load((path, bytes): (&Path, &[u8]), state: &mut State, recipe: &Recipe) -> Result<Progress> {
    let metadata = parse(path, bytes)?;
    let torn = |reason: &str| Error::format(path, format!("not a whole kiln checkpoint ({reason}); take a copy or train again"));
    let file = SafeTensors::deserialize(bytes).map_err(|e| torn(&e.to_string()))?;
    let model = metadata.get("model").cloned().unwrap_or_default();
    if model != recipe.model {
        return Err(Error::format(path, format!("holds a {model}, and the recipe beside it says {}", recipe.model)));
    }
    let made: BTreeMap<String, String> = metadata.get("recipe").and_then(|r| serde_json::from_str(r).ok()).unwrap_or_default();
    if let Some((key, was, now)) = difference(&made, &recipe.fixed()) {
        let reason = format!("is of another run or of other hyper-parameters: {key} was {was}, and is {now} in the recipe beside it");
        return Err(Error::format(path, format!("{reason}; put the files together that belong together")));
    }
    let step = metadata.get("step").and_then(|s| s.parse().ok()).ok_or_else(|| torn("no step"))?;
    let best = metadata.get("best").and_then(|s| s.parse().ok());
    let waited = metadata.get("waited").and_then(|s| s.parse().ok()).unwrap_or(0);
    let spec = state.spec().clone();
    for (arena, prefix) in STORED {
        for id in stored(&spec, arena) {
            read_tensor(path, &file, &format!("{prefix}{}", spec.spec(id).name), state, id, arena)?;
        }
    }
    Ok(Progress { model, step, best, waited })
}

/// A key whose values differ, with both: the seed, if it does, for from it much else follows.
fn difference(made: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Option<(String, String, String)> {
    let value = |table: &BTreeMap<String, String>, key: &str| table.get(key).cloned().unwrap_or_else(|| "left out".into());
    let differs = |key: &&String| made.get(*key) != now.get(*key);
    let seed = "seed".to_string();
    [&seed].into_iter().chain(made.keys()).chain(now.keys()).find(differs).map(|key| (key.clone(), value(made, key), value(now, key)))
}

/// Reads one tensor of a safetensors file, of f32, f16 or bf16.
///
/// # Errors
/// [`Error::Format`] where it is missing, of other numbers or of another shape.
pub fn read_tensor(path: &Path, file: &SafeTensors<'_>, name: &str, state: &mut State, id: StateId, arena: Arena) -> Result<()> {
    let tensor = state.spec().spec(id).clone();
    let view =
        file.tensor(name).map_err(|_| Error::format(path, format!("has no tensor {name}; it was made with other hyper-parameters")))?;
    let shape = layout::torch_shape(&tensor);
    let halves = || view.data().chunks_exact(2).map(|b| [b[0], b[1]]);
    let values: Option<Vec<f32>> = match view.dtype() {
        _ if view.shape() != shape => None,
        Dtype::F32 => Some(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
        Dtype::F16 => Some(halves().map(|b| half::f16::from_le_bytes(b).to_f32()).collect()),
        Dtype::BF16 => Some(halves().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect()),
        _ => None,
    };
    let values = values.ok_or_else(|| {
        let found = format!("{:?} {:?}", view.dtype(), view.shape());
        Error::format(path, format!("{name} is {found}, not F32 {shape:?}; it was made with other hyper-parameters"))
    })?;
    state.write(id, arena, &layout::from_torch(&tensor, &values))
}
