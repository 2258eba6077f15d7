//! IDX files (the form of MNIST): a big-endian magic number `00 00 08 D`, D big-endian 32-bit sizes, then bytes. Plain or gzipped.

use super::{Kind, Source, check_read};
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The images of one IDX file, and the labels of its sibling, held in memory.
pub struct Idx {
    dims: [usize; 3],
    kind: Kind,
    pixels: Vec<u8>,
    labels: Option<Labels>,
    name: String,
}

impl Idx {
    /// Reads an images file, and its labels where a sibling `…labels-idx1-ubyte[.gz]` exists.
    ///
    /// # Errors
    /// A file that is missing, empty, torn or foreign, or labels that do not count as many as the images.
    pub fn open(path: &Path, name: String) -> Result<Self> {
        let (sizes, mut pixels) = read_idx(path, 3)?;
        let (count, height, width) = (sizes[0], sizes[1], sizes[2]);
        if pixels.is_empty() {
            return Err(Error::format(path, format!("holds no images ({count} of {height}×{width} pixels)")));
        }
        let kind = if pixels.iter().all(|&byte| byte <= 1) { Kind::Binary } else { Kind::Pixels };
        if kind == Kind::Binary {
            pixels.iter_mut().for_each(|byte| *byte *= 255);
        }
        let mut labels = None;
        if let Some(label_path) = labels_beside(path) {
            let (label_sizes, values) = read_idx(&label_path, 1)?;
            if label_sizes[0] != count {
                let reason = format!("holds {} labels but {} holds {count} images; fetch the pair again", label_sizes[0], path.display());
                return Err(Error::format(label_path, reason));
            }
            labels = Some(Labels::new(values));
        }
        Ok(Self { dims: [height, width, 1], kind, pixels, labels, name })
    }
}

/// Labels of a file as they occur: any first number, any gaps.
struct Labels {
    /// The numbers that occur, ascending.
    known: Vec<u8>,
    /// One an image.
    values: Vec<u8>,
}

impl Labels {
    fn new(values: Vec<u8>) -> Self {
        let known = (0..=u8::MAX).filter(|number| values.contains(number)).collect();
        Self { known, values }
    }

    /// Which of the known numbers item `index` has.
    fn of(&self, index: usize) -> Option<u32> {
        let value = self.values.get(index)?;
        self.known.binary_search(value).ok().map(|at| at as u32)
    }
}

impl Source for Idx {
    fn len(&self) -> usize {
        self.pixels.len() / (self.dims[0] * self.dims[1])
    }
    fn dims(&self) -> [usize; 3] {
        self.dims
    }
    fn kind(&self) -> Kind {
        self.kind
    }
    fn class_names(&self) -> Vec<String> {
        self.labels.iter().flat_map(|labels| &labels.known).map(u8::to_string).collect()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let start = index * out.len();
        for (value, &byte) in out.iter_mut().zip(&self.pixels[start..]) {
            *value = f32::from(byte);
        }
        Ok(())
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref()?.of(index)
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Whether a file name is that of IDX images.
pub fn is_images_name(name: &str) -> bool {
    name.contains("images") && (name.ends_with("idx3-ubyte") || name.ends_with("idx3-ubyte.gz"))
}

/// The labels file that belongs to an images file, gzipped or not.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let at = plain.rfind("images")?;
    let labels = format!("{}labels{}", &plain[..at], plain[at + "images".len()..].replace("idx3", "idx1"));
    if labels == plain {
        return None;
    }
    [images.with_file_name(&labels), images.with_file_name(format!("{labels}.gz"))].into_iter().find(|path| path.is_file())
}

/// The sizes and bytes of an IDX file of unsigned bytes with `rank` dimensions.
fn read_idx(path: &Path, rank: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let mut start = [0; 2];
    let got = File::open(path).and_then(|file| read_up_to(file, &mut start)).map_err(|e| Error::io(path, e))?;
    if got == 0 {
        return Err(Error::format(path, "is empty; fetch it again"));
    }
    let file = BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?);
    if start == [0x1F, 0x8B] { read_stream(path, MultiGzDecoder::new(file), rank) } else { read_stream(path, file, rank) }
}

fn read_stream(path: &Path, mut stream: impl Read, rank: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            Error::format(path, format!("is torn or no gzip file ({e}); fetch it again"))
        }
        _ => Error::io(path, e),
    };
    let mut magic = [0; 4];
    let got = read_up_to(&mut stream, &mut magic).map_err(failed)?;
    if got < 4 || magic[..3] != [0, 0, 8] {
        return Err(Error::format(path, format!("is not an IDX file of bytes: it starts {:02x?}, not [00, 00, 08]", &magic[..got])));
    }
    if usize::from(magic[3]) != rank {
        return Err(Error::format(path, format!("has {} dimensions; {rank} are wanted here", magic[3])));
    }
    let mut header = vec![0; 4 * rank];
    if read_up_to(&mut stream, &mut header).map_err(failed)? < header.len() {
        return Err(Error::format(path, "ends within its header; fetch it again"));
    }
    let sizes: Vec<u32> = header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    let expected = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)));
    let Some(expected) = expected.filter(|&bytes| bytes < isize::MAX as u64 - 1) else {
        return Err(Error::format(path, format!("claims sizes {sizes:?}, more than any memory holds; fetch it again")));
    };
    // Grows with what is really there: the header is not trusted with an allocation.
    let mut bytes = Vec::new();
    stream.take(expected + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != expected {
        let found = if (bytes.len() as u64) < expected { format!("holds only {}", bytes.len()) } else { "holds more".into() };
        return Err(Error::format(path, format!("announces {sizes:?}, {expected} bytes, but {found}; fetch it again")));
    }
    Ok((sizes.iter().map(|&size| size as usize).collect(), bytes))
}

/// Reads until `out` is full or the stream ends; returns how many bytes came.
fn read_up_to(mut stream: impl Read, out: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match stream.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
