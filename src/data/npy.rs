//! Arrays of images: `.npy` files, read item by item from disk, and the arrays within an `.npz`.

use super::npy_header::NpyHeader;
use super::number::Number;
use super::positioned::PositionedFile;
use super::reading::{Layout, Range, Reading};
use super::{Kind, Source, check_read};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Longest header accepted, bytes; NumPy's own are 128.
const MAX_HEADER: u64 = 65_536;

/// The images of one array.
pub struct Npy {
    array: Array,
    len: usize,
    dims: [usize; 3],
    /// Channels lie apart in the file.
    planar: bool,
    kind: Kind,
    /// What is black and white; `None` for points, which stay as they are.
    range: Option<Range>,
    labels: Option<Labels>,
    /// Whether black and white were named.
    asked: bool,
    notes: Vec<String>,
    name: String,
}

impl Npy {
    /// Opens an array in C order of shape N×H×W, N×H×W×1 or N×H×W×3 (N×1×H×W or N×3×H×W with `layout` nchw), or of points, N×2. Labels lie
    /// beside `F.npy` in `F.labels.npy`.
    ///
    /// Values are bytes: 0..=255 of whole numbers as they are; floats of 0..1, of −1..1, or whole ones of 0..255 as they say themselves, or
    /// any numbers between the ends of `range`. Where there are only two, the ends, they are bits.
    ///
    /// # Errors
    /// A file that is missing, empty, torn or foreign, or of another type, order or shape, or of values that do not say what is white.
    pub fn open(path: &Path, reading: &Reading, name: String) -> Result<Self> {
        let labels = labels_beside(path).map(|beside| PositionedFile::open(&beside)).transpose()?;
        Self::new(PositionedFile::open(path)?, labels, reading, name)
    }

    /// As [`Npy::open`], of the bytes of an array and of its labels.
    ///
    /// # Errors
    /// As [`Npy::open`].
    pub fn new(file: PositionedFile, labels: Option<PositionedFile>, reading: &Reading, name: String) -> Result<Self> {
        let array = Array::open(file)?;
        let (len, dims, planar) = layout(&array, reading.layout)?;
        let labels = labels.map(|file| Labels::open(Array::open(file)?, len, array.path())).transpose()?;
        let asked = reading.range.is_some();
        if dims == [1, 1, 2] {
            return Ok(Self { array, len, dims, planar, kind: Kind::Points, range: None, labels, asked, notes: Vec::new(), name });
        }
        let (range, kind) = match reading.range {
            Some(range) => (range, array.within(range)?),
            None => array.range()?,
        };
        let number = array.number.name();
        let notes = if reading.range.is_none() && array.number.is_float() {
            let path = array.path().display();
            let levels = if kind == Kind::Binary { "" } else { ", rounded to 256 levels" };
            vec![format!("{path}: its {number} values are read as {range}, black to white{levels} (--set range=LOW..HIGH for others)")]
        } else {
            Vec::new()
        };
        Ok(Self { array, len, dims, planar, kind, range: Some(range), labels, asked, notes, name })
    }
}

/// Shape and values of any array of at most `most` numbers.
///
/// # Errors
/// As [`Npy::open`] of a file that is no array; [`Error::Usage`] for one of more numbers.
pub fn numbers(path: &Path, most: usize) -> Result<(Vec<usize>, Vec<f64>)> {
    let array = Array::open(PositionedFile::open(path)?)?;
    let count: u64 = array.shape.iter().product();
    if count > most as u64 {
        return Err(Error::usage(format!("{} holds {count} numbers, more than the {most} that are read; cut it", path.display())));
    }
    let mut values = Vec::with_capacity(count as usize);
    array.all(|value| {
        values.push(value);
        true
    })?;
    Ok((array.shape.iter().map(|&size| size as usize).collect(), values))
}

/// The sizes of an array, which is not looked at any further; `None` where the file is none.
pub fn shape(path: &Path) -> Option<Vec<u64>> {
    Some(Array::open(PositionedFile::open(path).ok()?).ok()?.shape)
}

/// The items and the size of one that a shape tells, and whether channels come before rows.
fn layout(array: &Array, layout: Layout) -> Result<(usize, [usize; 3], bool)> {
    let sizes: Vec<usize> = array.shape.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect();
    let (len, dims, planar) = match (layout, &sizes[..]) {
        (_, &[n, 2] | &[n, 1, 1, 2]) if array.number.is_float() => (n, [1, 1, 2], false),
        (_, &[h, w, 3]) => {
            let ways = format!("save x[None] for one picture of {h}×{w} in colour, x[..., None] for {h} of {w}×3 in grey");
            return Err(Error::format(array.path(), format!("has shape {sizes:?}, which may be either of two; {ways}")));
        }
        (_, &[n, h, w]) => (n, [h, w, 1], false),
        (Layout::Nhwc, &[n, h, w, c @ (1 | 3)]) => (n, [h, w, c], false),
        (Layout::Nchw, &[n, c @ (1 | 3), h, w]) => (n, [h, w, c], true),
        (asked, _) => {
            let (wanted, other) = match asked {
                Layout::Nhwc => ("N×H×W, N×H×W×1 or N×H×W×3", "nchw"),
                Layout::Nchw => ("N×H×W, N×1×H×W or N×3×H×W", "nhwc"),
            };
            let turned = matches!((asked, &sizes[..]), (Layout::Nhwc, [_, 1 | 3, _, _]) | (Layout::Nchw, [_, _, _, 1 | 3]));
            let hint = match sizes.len() {
                _ if turned => format!("; --set layout={other} reads it"),
                2 => {
                    let side = sizes[1].isqrt();
                    let square = format!("; save x.reshape(-1, {side}, {side}) if its rows are pictures");
                    let square = if side > 1 && side * side == sizes[1] { square } else { String::new() };
                    format!("{square}; --set window=STEPS reads it as a series of steps")
                }
                4 if sizes[3] == 4 => "; save x[..., :3] to leave the fourth channel out".into(),
                _ => String::new(),
            };
            return Err(Error::format(array.path(), format!("has shape {sizes:?}; {wanted} is wanted{hint}")));
        }
    };
    if len == 0 || dims.contains(&0) {
        return Err(Error::format(array.path(), format!("holds no images (shape {sizes:?})")));
    }
    Ok((len, dims, planar))
}

/// `F.labels.npy` beside `F.npy`.
fn labels_beside(path: &Path) -> Option<PathBuf> {
    let beside = path.with_extension("labels.npy");
    beside.is_file().then_some(beside)
}

/// A checked array of numbers.
struct Array {
    file: PositionedFile,
    start: u64,
    number: Number,
    shape: Vec<u64>,
}

impl Array {
    fn open(file: PositionedFile) -> Result<Self> {
        let refused = |reason: String| Err(Error::format(file.path(), reason));
        if file.len() == 0 {
            return refused("is empty; write it again".into());
        }
        let mut start = [0; 12];
        let got = file.len().min(12) as usize;
        file.read_exact_at(&mut start[..got], 0)?;
        if got < 10 || &start[..6] != b"\x93NUMPY" {
            return refused("is not a .npy file: it does not start with \\x93NUMPY".into());
        }
        // Version 1 has a 16-bit header length, later versions a 32-bit one.
        let (prefix, length) = match start[6] {
            1 => (10, u64::from(u16::from_le_bytes([start[8], start[9]]))),
            2 | 3 if got == 12 => (12, u64::from(u32::from_le_bytes([start[8], start[9], start[10], start[11]]))),
            version => return refused(format!("is of .npy version {version}; 1 to 3 are read")),
        };
        let data_start = prefix + length;
        if length > MAX_HEADER || data_start > file.len() {
            return refused(format!("announces a header of {length} bytes but has {} bytes in all", file.len()));
        }
        let mut header = vec![0; length as usize];
        file.read_exact_at(&mut header, prefix)?;
        let Some(NpyHeader { descr, fortran_order, shape }) = NpyHeader::parse(&header) else {
            return refused("has no readable .npy header; write it again".into());
        };
        let Some(number) = Number::parse(&descr) else {
            let ways = "save what its values mean as numpy.float32 (of complex numbers a part, of texts the numbers they stand for)";
            return refused(format!("holds {descr}, and bool, whole numbers and floats of 16 to 64 bits are read; {ways}"));
        };
        if fortran_order {
            return refused("is in Fortran order; save it through numpy.ascontiguousarray".into());
        }
        let expected = shape.iter().try_fold(number.size() as u64, |product, &size| product.checked_mul(size));
        let held = file.len() - data_start;
        if expected != Some(held) {
            let wanted = expected.map_or("more bytes than any file".into(), |bytes| format!("{bytes} bytes"));
            return refused(format!("announces shape {shape:?}, {wanted}, but holds {held}; write it again"));
        }
        Ok(Self { file, start: data_start, number, shape })
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether `holds` of every value; stops soon after the first of which it does not.
    fn all(&self, mut holds: impl FnMut(f64) -> bool) -> Result<bool> {
        self.file.all_from(self.start, |bytes| {
            let mut all = true;
            self.number.each(bytes, |value| all &= holds(value));
            all
        })
    }

    /// Bits where all values are the ends of a range that all lie in.
    fn within(&self, range: Range) -> Result<Kind> {
        let mut outside = None;
        let mut ends = true;
        self.all(|value| {
            match range.byte(value) {
                Some(byte) => ends &= byte == 0.0 || byte == 255.0,
                None => outside = Some(value),
            }
            outside.is_none()
        })?;
        if let Some(value) = outside {
            let reason = format!("holds {value}, outside of range={range}; name the values of black and white with --set range=LOW..HIGH");
            return Err(Error::format(self.path(), reason));
        }
        Ok(if ends { Kind::Binary } else { Kind::Pixels })
    }

    /// What the values say themselves to be.
    fn range(&self) -> Result<(Range, Kind)> {
        let number = self.number;
        if number.is_bool() || (number.is_byte() && self.all(|value| value <= 1.0)?) {
            return Ok((Range::UNIT, Kind::Binary));
        }
        if number.is_byte() {
            return Ok((Range::BYTES, Kind::Pixels));
        }
        let (mut low, mut high, mut whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        let finite = self.all(|value| {
            (low, high) = (low.min(value), high.max(value));
            whole &= value.fract() == 0.0;
            value.is_finite()
        })?;
        if !finite {
            return Err(Error::format(self.path(), "holds values that are no finite numbers; mend them first"));
        }
        let bits = whole && low >= 0.0 && high <= 1.0;
        if bits {
            Ok((Range::UNIT, Kind::Binary))
        } else if whole && low >= 0.0 && high <= 255.0 {
            Ok((Range::BYTES, Kind::Pixels))
        } else if number.is_float() && low >= 0.0 && high <= 1.0 {
            Ok((Range::UNIT, Kind::Pixels))
        } else if number.is_float() && low >= -1.0 && high <= 1.0 {
            let kind = self.within(Range::SYMMETRIC)?;
            Ok((Range::SYMMETRIC, if self.all(|value| value.abs() == 1.0)? { kind } else { Kind::Pixels }))
        } else {
            let reason = format!(
                "holds {} values of {low} to {high}; say which are black and white with --set range=LOW..HIGH, such as range={low}..{high}",
                number.name()
            );
            Err(Error::format(self.path(), reason))
        }
    }
}

/// Labels of a file as they occur: any numbers, any gaps.
struct Labels {
    /// The numbers that occur, ascending.
    known: Vec<i64>,
    /// An index of them for each image.
    values: Vec<u32>,
}

/// Most classes of an array of labels.
const MAX_CLASSES: usize = 65_536;

impl Labels {
    fn open(array: Array, images: usize, of: &Path) -> Result<Self> {
        let count = match array.shape[..] {
            [n] | [n, 1] => n,
            _ => return Err(Error::format(array.path(), format!("has shape {:?}; labels are N whole numbers", array.shape))),
        };
        if count != images as u64 {
            let reason = format!("holds {count} labels but {} holds {images} images; write the pair again", of.display());
            return Err(Error::format(array.path(), reason));
        }
        let mut numbers = Vec::new();
        if !array.all(|value| {
            numbers.push(value as i64);
            value.fract() == 0.0 && value.abs() < 9e15
        })? {
            return Err(Error::format(array.path(), "holds labels that are no whole numbers; write them as int64"));
        }
        let mut known = numbers.clone();
        known.sort_unstable();
        known.dedup();
        if known.len() > MAX_CLASSES {
            return Err(Error::format(array.path(), format!("holds {} different labels; up to {MAX_CLASSES} are read", known.len())));
        }
        let values = numbers.iter().filter_map(|number| known.binary_search(number).ok().map(|at| at as u32)).collect();
        Ok(Self { known, values })
    }
}

impl Source for Npy {
    fn len(&self) -> usize {
        self.len
    }
    fn dims(&self) -> [usize; 3] {
        self.dims
    }
    fn kind(&self) -> Kind {
        self.kind
    }
    fn class_names(&self) -> Vec<String> {
        self.labels.iter().flat_map(|labels| &labels.known).map(i64::to_string).collect()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let (array, range) = (&self.array, self.range);
        let size = out.len() * array.number.size();
        let offset = array.start + index as u64 * size as u64;
        let [h, w, c] = self.dims;
        let plane = h * w;
        let mut at = 0;
        let mut outside = None;
        array.file.with(offset, size, |bytes| {
            array.number.each(bytes, |value| {
                let to = if self.planar { at % plane * c + at / plane } else { at };
                at += 1;
                out[to] = match range {
                    None => value as f32,
                    Some(range) => range.byte(value).unwrap_or_else(|| {
                        outside = Some(value);
                        0.0
                    }),
                };
            });
        })?;
        match outside {
            Some(value) => Err(Error::format(array.path(), format!("now holds {value}; it was changed since the data set was opened"))),
            None => Ok(()),
        }
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref()?.values.get(index).copied()
    }
    fn knows_white(&self) -> bool {
        self.asked || !self.array.number.is_byte()
    }
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}
