//! Files of tensors as other programs write them: `.safetensors`, and the zip archives of `torch.save`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors};
use zip::ZipArchive;

use super::pickle::{self, Number, Pickle, Value};
use crate::error::{Error, Result};

/// Words before every name that tools put there: `DataParallel`, `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// Where a tensor lies in a file's bytes.
#[derive(Clone, Debug)]
struct Place {
    number: Number,
    shape: Vec<usize>,
    /// In numbers.
    strides: Vec<usize>,
    /// First byte of the first number.
    start: usize,
    /// Numbers from there to the end of their storage.
    room: usize,
}

/// A file of tensors.
pub struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Place>,
}

impl Weights {
    /// Reads a `.safetensors` file or a `.pt` of a dictionary of tensors, whatever it is called. Of a dictionary of dictionaries `part`
    /// names the one that is meant, if more than one holds tensors. Nothing in the file is executed.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Format`] where it is torn, or of another kind; [`Error::Usage`] for a part that it
    /// lacks, or that must be named.
    pub fn open(path: &Path, part: Option<&str>) -> Result<Self> {
        Self::of(path, std::fs::read(path).map_err(|e| Error::io(path, e))?, part)
    }

    /// The same of bytes that were read.
    pub(super) fn of(path: &Path, bytes: Vec<u8>, part: Option<&str>) -> Result<Self> {
        let wrong = |reason: String| Error::format(path, reason);
        let tensors = match &bytes[..bytes.len().min(4)] {
            b"PK\x03\x04" => of_torch(path, &bytes, part)?,
            [0x80, 2, 0x8a, ..] => {
                return Err(wrong(
                    "is in the format that PyTorch had before 1.6; load it there and save it with torch.save, as that does unasked".into(),
                ));
            }
            _ if part.is_some() => return Err(Error::usage(format!("{} holds no parts; leave --part out", path.display()))),
            _ => of_safetensors(&bytes).map_err(wrong)?,
        };
        let mut weights = Self { path: path.into(), bytes, tensors };
        for wrapper in WRAPPERS {
            if weights.tensors.keys().all(|name| name.starts_with(wrapper)) {
                let tensors = std::mem::take(&mut weights.tensors);
                weights.tensors = tensors.into_iter().map(|(name, place)| (name[wrapper.len()..].to_string(), place)).collect();
            }
        }
        if weights.tensors.is_empty() {
            return Err(Error::format(path, "holds no tensors; name a file of weights"));
        }
        Ok(weights)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of its tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether it has a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|place| &place.shape[..])
    }

    /// A tensor's values, first index slowest.
    ///
    /// # Errors
    /// [`Error::Format`] where it has none, or one that reaches beyond what is stored, or whole numbers.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let wrong = |reason: &str| Error::format(&self.path, format!("{name} {reason}"));
        let place = self.tensors.get(name).ok_or_else(|| wrong("is not there"))?;
        let count = place.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        // A tensor that repeats its numbers is no weight, and may ask for more memory than there is.
        let count = count.filter(|count| *count <= place.room).ok_or_else(|| wrong("reaches beyond what is stored of it"))?;
        let steps = place.shape.iter().zip(&place.strides).map(|(size, stride)| size.saturating_sub(1).checked_mul(*stride));
        let last = steps.into_iter().try_fold(0usize, |sum, step| sum.checked_add(step?));
        if count > 0 && last.is_none_or(|last| last >= place.room) {
            return Err(wrong("reaches beyond what is stored of it"));
        }
        let width = place.number.bytes();
        let read: fn(&[u8]) -> f32 = match place.number {
            Number::F64 => |b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32,
            Number::F32 => |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Number::F16 => |b| f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Number::Bf16 => |b| bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Number::Whole(_) => return Err(wrong("holds whole numbers, and weights are f32, f16, bf16 or f64")),
        };
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0usize; place.shape.len()];
        for _ in 0..count {
            let at: usize = index.iter().zip(&place.strides).map(|(i, stride)| i * stride).sum();
            values.push(read(&self.bytes[place.start + at * width..][..width]));
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < place.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Ok(values)
    }
}

/// Strides of a tensor that lies in order.
fn in_order(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

fn of_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Place>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("is neither a whole safetensors file ({e}) nor what torch.save writes; name a file of weights"))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let number = match view.dtype() {
            Dtype::F64 => Number::F64,
            Dtype::F32 => Number::F32,
            Dtype::F16 => Number::F16,
            Dtype::BF16 => Number::Bf16,
            _ => Number::Whole(1),
        };
        let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        let (shape, room) = (view.shape().to_vec(), view.data().len() / number.bytes());
        tensors.insert(name.to_string(), Place { number, strides: in_order(&shape), shape, start, room });
    }
    Ok(tensors)
}

/// Where the files of an archive begin, and their lengths; they are stored as they are.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, (usize, usize)>, String> {
    let torn = |e: zip::result::ZipError| format!("is no whole archive of torch.save ({e}); take a copy");
    let mut archive = ZipArchive::new(std::io::Cursor::new(bytes)).map_err(torn)?;
    let mut found = BTreeMap::new();
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(torn)?;
        let name = entry.name().map_err(torn)?.to_string();
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let length = usize::try_from(entry.size()).ok();
        let end = start.zip(length).and_then(|(start, length)| start.checked_add(length));
        let whole = end.is_some_and(|end| end <= bytes.len());
        if entry.compression() != zip::CompressionMethod::Stored || entry.encrypted() || !whole {
            return Err(format!("packs {name}, which torch.save does not; it is no file of weights, or torn"));
        }
        if let Some(place) = start.zip(length) {
            found.insert(name, place);
        }
    }
    Ok(found)
}

fn of_torch(path: &Path, bytes: &[u8], part: Option<&str>) -> Result<BTreeMap<String, Place>> {
    let wrong = |reason: String| Error::format(path, reason);
    let files = entries(bytes).map_err(wrong)?;
    let of = |name: &str| files.get(name).map(|(start, length)| &bytes[*start..start + length]);
    let main = files.keys().find(|name| name.ends_with("/data.pkl") || *name == "data.pkl");
    let main = main.ok_or_else(|| wrong("is an archive without data.pkl, so torch.save did not make it; name a file of weights".into()))?;
    let folder = main.strip_suffix("data.pkl").unwrap_or_default();
    if of(&format!("{folder}constants.pkl")).is_some() {
        return Err(wrong("is a TorchScript program; load it in PyTorch and save its state_dict() alone".into()));
    }
    if of(&format!("{folder}byteorder")).is_some_and(|order| order == b"big") {
        return Err(wrong("was written by a big-endian machine; save it again on another".into()));
    }
    let pickle = pickle::read(of(main).unwrap_or_default()).map_err(|reason| wrong(format!("cannot be read: {reason}")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in chosen(path, &pickle, part)? {
        let storage = format!("{folder}data/{}", view.key);
        let (start, length) = *files.get(&storage).ok_or_else(|| wrong(format!("lacks {storage}, which {name} lies in; take a copy")))?;
        let width = view.number.bytes();
        let all = view.room.min(length / width);
        let (Some(room), true) = (all.checked_sub(view.offset), view.shape.len() == view.strides.len()) else {
            return Err(wrong(format!("{name} begins beyond what is stored of it; take a copy")));
        };
        let start = start + view.offset * width;
        tensors.insert(name, Place { number: view.number, shape: view.shape, strides: view.strides, start, room });
    }
    Ok(tensors)
}

/// Tensors of a dictionary, by name.
fn tensors_of(pickle: &Pickle, value: &Value) -> Vec<(String, pickle::View)> {
    let Value::Dict(items) = value else { return Vec::new() };
    let pairs = items.iter().filter_map(|(key, value)| match (pickle.value(*key), pickle.value(*value)) {
        (Value::Text(name), Value::Tensor(view)) => Some((name.clone(), view.clone())),
        _ => None,
    });
    pairs.collect()
}

/// The dictionary of tensors that a file is, or the one in it that is meant.
fn chosen(path: &Path, pickle: &Pickle, part: Option<&str>) -> Result<Vec<(String, pickle::View)>> {
    let own = tensors_of(pickle, pickle.root());
    let shown = path.display();
    let Value::Dict(items) = pickle.root() else {
        return Err(Error::format(path, "holds no dictionary of tensors; save a module's state_dict() with torch.save"));
    };
    let mut parts = Vec::new();
    for (key, value) in items {
        if let Value::Text(name) = pickle.value(*key) {
            let tensors = tensors_of(pickle, pickle.value(*value));
            parts.extend((!tensors.is_empty()).then_some((name.as_str(), tensors)));
        }
    }
    let names = parts.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match (part, own.is_empty()) {
        (Some(part), _) => match parts.into_iter().find(|(name, _)| *name == part) {
            Some((_, tensors)) => Ok(tensors),
            None if names.is_empty() => Err(Error::usage(format!("{shown} holds no parts; leave --part out"))),
            None => Err(Error::usage(format!("{shown} holds no part {part}; its parts are {names}"))),
        },
        (None, false) => Ok(own),
        (None, true) if parts.len() == 1 => Ok(parts.swap_remove(0).1),
        (None, true) if parts.is_empty() => Ok(Vec::new()),
        (None, true) => Err(Error::usage(format!("{shown} holds several parts with tensors, {names}; name one by --part"))),
    }
}
