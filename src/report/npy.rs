//! `.npy` arrays, as NumPy's `load` reads them.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use npyz::{AutoSerialize, DType, Field, WriterBuilder};

use super::write_atomically;
use crate::{Error, Result};

/// Writes `values` in C order as a little-endian `float32` array of `shape`, any rank; whole or not at all.
///
/// # Errors
/// A shape that does not hold as many values, or a file that cannot be written.
pub fn write_npy_f32(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    write(path, shape, values)
}

/// Writes `values` in C order as a `float64` array; see [`write_npy_f32`].
///
/// # Errors
/// As [`write_npy_f32`].
pub fn write_npy_f64(path: &Path, shape: &[usize], values: &[f64]) -> Result<()> {
    write(path, shape, values)
}

/// Writes `values` in C order as a `uint8` array, such as pixels; see [`write_npy_f32`].
///
/// # Errors
/// As [`write_npy_f32`].
pub fn write_npy_u8(path: &Path, shape: &[usize], values: &[u8]) -> Result<()> {
    write(path, shape, values)
}

/// Writes `values` in C order as a `uint32` array, such as indices; see [`write_npy_f32`].
///
/// # Errors
/// As [`write_npy_f32`].
pub fn write_npy_u32(path: &Path, shape: &[usize], values: &[u32]) -> Result<()> {
    write(path, shape, values)
}

/// Writes `values` in C order as an `int64` array, such as labels; see [`write_npy_f32`].
///
/// # Errors
/// As [`write_npy_f32`].
pub fn write_npy_i64(path: &Path, shape: &[usize], values: &[i64]) -> Result<()> {
    write(path, shape, values)
}

fn sizes(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&size| size as u64).collect()
}

fn write<T: AutoSerialize + Copy>(path: &Path, shape: &[usize], values: &[T]) -> Result<()> {
    let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if count != Some(values.len()) {
        return Err(Error::Shape(format!("{} values are no array of shape {shape:?}", values.len())));
    }
    write_atomically(path, |out| {
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&sizes(shape)).writer(out).begin_nd()?;
        writer.extend(values.iter().copied())?;
        writer.finish()
    })
}

/// Writes columns of one length as a table: `.csv` with a line of names, or `.npy` as a structured array of `float64` fields, so that
/// `numpy.load(path)["kl"]` is a column. The ending decides, and anything but `.csv` is `.npy`.
///
/// # Errors
/// Columns of different lengths, or a file that cannot be written.
pub fn write_table(path: &Path, columns: &[(String, Vec<f64>)]) -> Result<()> {
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    if let Some((name, values)) = columns.iter().find(|(_, values)| values.len() != rows) {
        return Err(Error::Shape(format!("the column {name} has {} rows, and the first has {rows}", values.len())));
    }
    let row = |i: usize| columns.iter().map(move |(_, values)| values[i]);
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
        return write_atomically(path, |out| {
            writeln!(out, "{}", columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(","))?;
            (0..rows).try_for_each(|i| writeln!(out, "{}", row(i).map(|v| v.to_string()).collect::<Vec<_>>().join(",")))
        });
    }
    let field = |(name, _): &(String, Vec<f64>)| Field { name: name.clone(), dtype: <f64 as AutoSerialize>::default_dtype() };
    let dtype = DType::Record(columns.iter().map(field).collect());
    write_atomically(path, |out| {
        let options = npyz::WriteOptions::new_header_only().dtype(dtype).shape(&[rows as u64]);
        let out = options.writer(out).write_header_only()?;
        (0..rows).flat_map(row).try_for_each(|value| out.write_all(&value.to_le_bytes()))
    })
}

/// A `float32` array that is written as its values come, so that its size is bounded by the disk alone. Nothing stands under its name
/// before [`NpyStream::finish`].
pub struct NpyStream {
    path: PathBuf,
    temporary: tempfile::NamedTempFile<File>,
    buffer: BufWriter<File>,
    left: u64,
}

impl NpyStream {
    /// Begins an array of `shape`.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn create(path: &Path, shape: &[usize]) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(path, e);
        let temporary = super::file::temporary_beside(path)?;
        let mut buffer = BufWriter::new(temporary.as_file().try_clone().map_err(failed)?);
        let options = npyz::WriteOptions::new_header_only().dtype(<f32 as AutoSerialize>::default_dtype()).shape(&sizes(shape));
        options.writer(&mut buffer).write_header_only().map_err(failed)?;
        let left = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
        let left = left.ok_or_else(|| Error::Shape(format!("an array of shape {shape:?} has more values than can be counted")))?;
        Ok(Self { path: path.to_path_buf(), temporary, buffer, left })
    }

    /// Appends values in C order.
    ///
    /// # Errors
    /// A full disk; more values than the shape has.
    pub fn extend(&mut self, values: &[f32]) -> Result<()> {
        self.left =
            self.left.checked_sub(values.len() as u64).ok_or_else(|| Error::Shape("more values than the array's shape has".into()))?;
        let written = values.iter().try_for_each(|value| self.buffer.write_all(&value.to_le_bytes()));
        written.map_err(|e| Error::io(&self.path, e))
    }

    /// Puts the whole array in its place.
    ///
    /// # Errors
    /// A full disk; fewer values than the shape has.
    pub fn finish(mut self) -> Result<()> {
        if self.left > 0 {
            return Err(Error::Shape(format!("{} values are missing of the array's shape", self.left)));
        }
        self.buffer.flush().map_err(|e| Error::io(&self.path, e))?;
        self.temporary.persist(&self.path).map_err(|e| Error::io(&self.path, e.error))?;
        Ok(())
    }
}

/// Reads a `float32` or `float64` array in C order: its shape and its values as `float32`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a file that is no such array, is torn, or holds what is no number.
pub fn read_npy_f32(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let array = Opened::new(path, |descr| match descr {
        "<f4" => Ok(4),
        "<f8" => Ok(8),
        other => Err(format!("holds {other}; save it with .astype(numpy.float32)")),
    })?;
    let shape = array.shape.clone();
    let values: Vec<f32> =
        if array.width == 4 { array.values::<f32>()? } else { array.values::<f64>()?.into_iter().map(|v| v as f32).collect() };
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Error::format(path, format!("holds {} at place {at}; every value must be a finite number", values[at]))),
        None => Ok((shape, values)),
    }
}

/// Reads classes, an array `[N]` of `uint32` or `int64`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a file that is no such array, is torn, or holds what is no class.
pub fn read_npy_classes(path: &Path) -> Result<Vec<u32>> {
    let array = Opened::new(path, |descr| match descr {
        "<u4" => Ok(4),
        "<i8" => Ok(8),
        other => Err(format!("holds {other}; save classes with .astype(numpy.uint32)")),
    })?;
    if array.shape.len() != 1 {
        return Err(Error::format(path, format!("is of shape {:?}; classes are [N]", array.shape)));
    }
    if array.width == 4 {
        return array.values::<u32>();
    }
    let class = |v: i64| u32::try_from(v).map_err(|_| Error::format(path, format!("holds {v}, which is no class")));
    array.values::<i64>()?.into_iter().map(class).collect()
}

/// An array's file, whose header was found to be true.
struct Opened<'a> {
    path: &'a Path,
    array: npyz::NpyFile<BufReader<File>>,
    shape: Vec<usize>,
    /// Bytes of a value.
    width: u64,
}

impl<'a> Opened<'a> {
    /// Opens an array in C order whose type is one that `width` knows.
    fn new(path: &'a Path, width: impl Fn(&str) -> std::result::Result<u64, String>) -> Result<Self> {
        let wrong = |reason: String| Error::format(path, reason);
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
        let array = npyz::NpyFile::new(BufReader::new(file)).map_err(|e| wrong(format!("is no .npy array: {e}")))?;
        if array.order() != npyz::Order::C {
            return Err(wrong("is in Fortran order; save it with numpy.ascontiguousarray".into()));
        }
        let shape: Vec<usize> = array.shape().iter().map(|&size| size as usize).collect();
        let width = width(array.dtype().descr().trim_matches('\'')).map_err(wrong)?;
        let bytes = array.shape().iter().try_fold(width, |product, &size| product.checked_mul(size));
        if bytes.is_none_or(|bytes| bytes > length) {
            return Err(wrong(format!("is torn: an array of shape {shape:?} is larger than its {length} bytes")));
        }
        Ok(Self { path, array, shape, width })
    }

    fn values<T: npyz::Deserialize>(self) -> Result<Vec<T>> {
        let path = self.path;
        self.array.into_vec::<T>().map_err(|e| Error::format(path, format!("is torn: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_read_back_in_their_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let values: Vec<f32> = (0..24).map(|i| i as f32 - 0.5).collect();
        for shape in [vec![24], vec![2, 3, 4], vec![1, 24, 1, 1]] {
            write_npy_f32(&path, &shape, &values).unwrap();
            let whole = std::fs::read(&path).unwrap();
            assert_eq!(read_npy_f32(&path).unwrap(), (shape.clone(), values.clone()));
            // The same array, written as it comes, is the same file.
            let mut stream = NpyStream::create(&path, &shape).unwrap();
            values.chunks(7).for_each(|part| stream.extend(part).unwrap());
            stream.finish().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        let doubles: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        write_npy_f64(&path, &[24], &doubles).unwrap();
        assert_eq!(read_npy_f32(&path).unwrap(), (vec![24], values));
        write_npy_i64(&path, &[3], &[1, -2, 3]).unwrap();
        assert_eq!(npyz::NpyFile::new(&std::fs::read(&path).unwrap()[..]).unwrap().into_vec::<i64>().unwrap(), [1, -2, 3]);
        assert!(read_npy_f32(&path).unwrap_err().to_string().contains("float32"));
        assert!(read_npy_classes(&path).unwrap_err().to_string().contains("-2"));
        write_npy_u32(&path, &[3], &[1, 0, 9]).unwrap();
        assert_eq!(read_npy_classes(&path).unwrap(), [1, 0, 9]);
        write_npy_i64(&path, &[2], &[4, 5]).unwrap();
        assert_eq!(read_npy_classes(&path).unwrap(), [4, 5]);
        write_npy_f32(&path, &[1], &[1.0]).unwrap();
        assert!(read_npy_classes(&path).unwrap_err().to_string().contains("uint32"));
        write_npy_u32(&path, &[1, 2], &[1, 2]).unwrap();
        assert!(read_npy_classes(&path).unwrap_err().to_string().contains("[N]"));
        // A lone number.
        write_npy_u32(&path, &[], &[7]).unwrap();
        assert_eq!(npyz::NpyFile::new(&std::fs::read(&path).unwrap()[..]).unwrap().into_vec::<u32>().unwrap(), [7]);
    }

    #[test]
    fn a_stream_that_ends_early_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut stream = NpyStream::create(&path, &[2, 2]).unwrap();
        stream.extend(&[1.0; 3]).unwrap();
        assert!(stream.extend(&[1.0; 2]).is_err());
        drop(stream);
        let mut stream = NpyStream::create(&path, &[2, 2]).unwrap();
        stream.extend(&[1.0; 3]).unwrap();
        assert!(stream.finish().is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn arrays_of_no_numbers_and_torn_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write_npy_f32(&path, &[3], &[1.0, f32::NAN, 2.0]).unwrap();
        assert!(read_npy_f32(&path).unwrap_err().to_string().contains("place 1"));
        write_npy_f32(&path, &[8], &[1.0; 8]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 3, 40, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read_npy_f32(&path).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn tables_have_named_columns() {
        let folder = tempfile::tempdir().unwrap();
        let columns = [("elbo".to_string(), vec![-1.5, 2.0]), ("kl".to_string(), vec![0.25, 1e-9])];
        let csv = folder.path().join("a.csv");
        write_table(&csv, &columns).unwrap();
        assert_eq!(std::fs::read_to_string(&csv).unwrap(), "elbo,kl\n-1.5,0.25\n2,0.000000001\n");
        let npy = folder.path().join("a.npy");
        write_table(&npy, &columns).unwrap();
        let bytes = std::fs::read(&npy).unwrap();
        let header = String::from_utf8_lossy(&bytes[..120]);
        assert!(header.contains("'elbo', '<f8'") && header.contains("'kl', '<f8'") && header.contains("'shape': (2,"), "{header}");
        let last: Vec<u8> = [-1.5f64, 0.25, 2.0, 1e-9].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(bytes.ends_with(&last));
        assert!(write_table(&csv, &[("a".into(), vec![1.0]), ("b".into(), vec![])]).is_err());
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        for shape in [&[2, 2][..], &[usize::MAX, 2], &[]] {
            assert!(write_npy_f32(&path, shape, &[1.0, 2.0, 3.0]).is_err(), "{shape:?}");
        }
        assert!(!path.exists());
    }
}
