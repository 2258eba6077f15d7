//! `.npy` files of N×H×W[×C] unsigned bytes, read item by item from disk.

use super::npy_header::NpyHeader;
use super::positioned::PositionedFile;
use super::{Kind, Source, check_read};
use crate::{Error, Result};
use std::path::Path;

/// Longest header accepted, bytes; NumPy's own are 128.
const MAX_HEADER: u64 = 65_536;

/// The images of one `.npy` file.
pub struct Npy {
    file: PositionedFile,
    data_start: u64,
    len: usize,
    dims: [usize; 3],
    kind: Kind,
    name: String,
}

impl Npy {
    /// Opens a file of `uint8` in C order with shape N×H×W, N×H×W×1 or N×H×W×3.
    ///
    /// # Errors
    /// A file that is missing, empty, torn or foreign, or of another type, order or shape.
    pub fn open(path: &Path, name: String) -> Result<Self> {
        let file = PositionedFile::open(path)?;
        if file.len() == 0 {
            return Err(Error::format(path, "is empty; write it again"));
        }
        let mut start = [0; 12];
        let got = file.len().min(12) as usize;
        file.read_exact_at(&mut start[..got], 0)?;
        if got < 10 || &start[..6] != b"\x93NUMPY" {
            return Err(Error::format(path, "is not a .npy file: it does not start with \\x93NUMPY"));
        }
        // Version 1 has a 16-bit header length, later versions a 32-bit one.
        let (prefix, length) = match start[6] {
            1 => (10, u64::from(u16::from_le_bytes([start[8], start[9]]))),
            2 | 3 if got == 12 => (12, u64::from(u32::from_le_bytes([start[8], start[9], start[10], start[11]]))),
            version => return Err(Error::format(path, format!("is of .npy version {version}; 1 to 3 are read"))),
        };
        let data_start = prefix + length;
        if length > MAX_HEADER || data_start > file.len() {
            return Err(Error::format(path, format!("announces a header of {length} bytes but has {} bytes in all", file.len())));
        }
        let mut header = vec![0; length as usize];
        file.read_exact_at(&mut header, prefix)?;
        let header = NpyHeader::parse(&header).ok_or_else(|| Error::format(path, "has no readable .npy header; write it again"))?;
        let (len, dims) = layout(path, &header)?;
        let expected = dims.iter().try_fold(len as u64, |product, &size| product.checked_mul(size as u64));
        let held = file.len() - data_start;
        if expected != Some(held) {
            let wanted = expected.map_or("more bytes than any file".into(), |bytes| format!("{bytes} bytes"));
            let reason = format!("announces shape {:?}, {wanted}, but holds {held}; write it again", header.shape);
            return Err(Error::format(path, reason));
        }
        let kind = if only_bits(&file, data_start)? { Kind::Binary } else { Kind::Pixels };
        Ok(Self { file, data_start, len, dims, kind, name })
    }
}

/// Items and item size of a header that can be read.
fn layout(path: &Path, header: &NpyHeader) -> Result<(usize, [usize; 3])> {
    if !matches!(header.descr.as_str(), "|u1" | "<u1" | ">u1" | "u1") {
        return Err(Error::format(path, format!("holds {}, not uint8; save it with .astype(numpy.uint8)", header.descr)));
    }
    let sizes: Vec<usize> = header.shape.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect();
    let (len, dims) = match sizes[..] {
        [n, h, w] => (n, [h, w, 1]),
        [n, h, w, c @ (1 | 3)] => (n, [h, w, c]),
        _ => return Err(Error::format(path, format!("has shape {sizes:?}; N×H×W, N×H×W×1 or N×H×W×3 is wanted"))),
    };
    if header.fortran_order {
        return Err(Error::format(path, "is in Fortran order; save it through numpy.ascontiguousarray"));
    }
    if len == 0 || dims.contains(&0) {
        return Err(Error::format(path, format!("holds no images (shape {sizes:?})")));
    }
    Ok((len, dims))
}

/// Whether all bytes from `start` on are 0 or 1; stops at the first that is not.
fn only_bits(file: &PositionedFile, start: u64) -> Result<bool> {
    let mut buffer = vec![0; 1 << 16];
    let mut at = start;
    while at < file.len() {
        let n = (file.len() - at).min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..n], at)?;
        if buffer[..n].iter().any(|&byte| byte > 1) {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
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
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let mut bytes = vec![0; out.len()];
        self.file.read_exact_at(&mut bytes, self.data_start + (index * out.len()) as u64)?;
        let unit = if self.kind == Kind::Binary { 255.0 } else { 1.0 };
        for (value, byte) in out.iter_mut().zip(bytes) {
            *value = f32::from(byte) * unit;
        }
        Ok(())
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}
