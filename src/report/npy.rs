//! `.npy` arrays, as NumPy's `load` reads them.

use super::write_atomically;
use crate::{Error, Result};
use npyz::{AutoSerialize, WriterBuilder};
use std::path::Path;

/// Writes `values` in C order as a little-endian `float32` array of `shape`, any rank; whole or not at all.
///
/// # Errors
/// A shape that does not hold as many values, or a file that cannot be written.
pub fn write_npy_f32(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
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

fn write<T: AutoSerialize + Copy>(path: &Path, shape: &[usize], values: &[T]) -> Result<()> {
    let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if count != Some(values.len()) {
        return Err(Error::Shape(format!("{} values are no array of shape {shape:?}", values.len())));
    }
    let shape: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
    write_atomically(path, |out| {
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(out).begin_nd()?;
        writer.extend(values.iter().copied())?;
        writer.finish()
    })
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
            let bytes = std::fs::read(&path).unwrap();
            let read = npyz::NpyFile::new(&bytes[..]).unwrap();
            assert_eq!(read.shape(), shape.iter().map(|&s| s as u64).collect::<Vec<_>>());
            assert_eq!(read.into_vec::<f32>().unwrap(), values);
        }
        write_npy_i64(&path, &[3], &[1, -2, 3]).unwrap();
        assert_eq!(npyz::NpyFile::new(&std::fs::read(&path).unwrap()[..]).unwrap().into_vec::<i64>().unwrap(), [1, -2, 3]);
        // A lone number.
        write_npy_u32(&path, &[], &[7]).unwrap();
        assert_eq!(npyz::NpyFile::new(&std::fs::read(&path).unwrap()[..]).unwrap().into_vec::<u32>().unwrap(), [7]);
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
