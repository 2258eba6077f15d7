//! IDX files (the form of MNIST): a big-endian magic number `00 00 08 D`, D big-endian 32-bit sizes, then bytes. Plain or gzipped.

use super::entry::Entry;
use super::positioned::{PositionedFile, Reader};
use super::{Kind, Source, check_read};
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

/// No gzip file has more bytes than this a byte of it (deflate's own limit), so a header that announces more lies.
const MAX_RATIO: u64 = 1032;
/// Bytes of a plain file that are held in memory.
const HELD: u64 = 64 << 20;

/// The images of one IDX file, and the labels of its sibling.
pub struct Idx {
    dims: [usize; 3],
    kind: Kind,
    len: usize,
    pixels: Bytes,
    labels: Option<Labels>,
    name: String,
}

impl Idx {
    /// Opens an images file, and its labels where a sibling `…labels-idx1-ubyte[.gz]` exists. Pixels stay on disk where they are many; a
    /// gzipped file of many goes to a temporary file.
    ///
    /// # Errors
    /// A file that is missing, empty, torn or foreign, or labels that do not count as many as the images.
    pub fn open(file: &Entry, name: String) -> Result<Self> {
        let (path, pixels) = (file.path(), Bytes::open(file, 3)?);
        let [count, height, width] = [pixels.sizes[0], pixels.sizes[1], pixels.sizes[2]];
        if pixels.len() == 0 {
            return Err(Error::format(path, format!("holds no images ({count} of {height}×{width} pixels)")));
        }
        let kind = if pixels.only_bits()? { Kind::Binary } else { Kind::Pixels };
        let mut labels = None;
        if let Some(beside) = labels_beside(file) {
            let values = Bytes::open(&beside, 1)?;
            let labelled = values.sizes[0];
            if labelled != count {
                let reason = format!("holds {labelled} labels but {} holds {count} images; fetch the pair again", path.display());
                return Err(Error::format(beside.path(), reason));
            }
            labels = Some(Labels::new(values.all()?));
        }
        Ok(Self { dims: [height, width, 1], kind, len: count, pixels, labels, name })
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
        self.len
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
        let unit = if self.kind == Kind::Binary { 255.0 } else { 1.0 };
        self.pixels.with(index as u64 * out.len() as u64, out.len(), |bytes| {
            for (value, byte) in out.iter_mut().zip(bytes) {
                *value = f32::from(*byte) * unit;
            }
        })
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
fn labels_beside(images: &Entry) -> Option<Entry> {
    let name = images.name();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let at = plain.rfind("images")?;
    let labels = format!("{}labels{}", &plain[..at], plain[at + "images".len()..].replace("idx3", "idx1"));
    if labels == plain {
        return None;
    }
    images.beside(&labels).or_else(|| images.beside(&format!("{labels}.gz")))
}

/// The bytes behind the header of an IDX file.
struct Bytes {
    sizes: Vec<usize>,
    file: Arc<PositionedFile>,
    start: u64,
}

impl Bytes {
    /// Opens an IDX file of unsigned bytes with `rank` dimensions, and checks that it holds what it announces.
    fn open(entry: &Entry, rank: usize) -> Result<Self> {
        let (path, file) = (entry.path(), Arc::new(entry.positioned()?));
        let held = file.len();
        if held == 0 {
            return Err(Error::format(path, "is empty; fetch it again"));
        }
        let mut magic = [0; 2];
        file.read_exact_at(&mut magic[..held.min(2) as usize], 0)?;
        let read = || BufReader::new(Reader::new(Arc::clone(&file)));
        let spool = |stream: &mut dyn Read, most| PositionedFile::spool(path, stream, most).map(Arc::new).map_err(|e| failed(path, e));
        let (sizes, file, start) = if magic == [0x1F, 0x8B] {
            let mut stream = MultiGzDecoder::new(read());
            let (sizes, announced) = read_header(path, &mut stream, rank)?;
            if announced / MAX_RATIO > held {
                let reason = format!("announces {sizes:?}, {announced} bytes, more than {held} gzipped bytes can hold; fetch it again");
                return Err(Error::format(path, reason));
            }
            (sizes, spool(&mut stream, announced)?, 0)
        } else {
            let mut stream = read();
            let (sizes, announced) = read_header(path, &mut stream, rank)?;
            if held <= HELD { (sizes, spool(&mut stream, announced)?, 0) } else { (sizes, file, header_len(rank)) }
        };
        let sizes = sizes.into_iter().map(|size| size as usize).collect();
        let bytes = Self { sizes, file, start };
        let (announced, found) = (bytes.sizes.iter().map(|&size| size as u64).product(), bytes.len());
        if found != announced {
            let found = if found < announced { format!("holds only {found}") } else { "holds more".into() };
            let reason = format!("announces {:?}, {announced} bytes, but {found}; fetch it again", bytes.sizes);
            return Err(Error::format(path, reason));
        }
        Ok(bytes)
    }

    fn len(&self) -> u64 {
        self.file.len() - self.start
    }

    fn with(&self, offset: u64, len: usize, take: impl FnOnce(&[u8])) -> Result<()> {
        self.file.with(self.start + offset, len, take)
    }

    fn only_bits(&self) -> Result<bool> {
        self.file.all_from(self.start, |bytes| bytes.iter().all(|&byte| byte <= 1))
    }

    fn all(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len() as usize];
        self.file.read_exact_at(&mut bytes, self.start)?;
        Ok(bytes)
    }
}

/// Bytes of a header of `rank` sizes.
fn header_len(rank: usize) -> u64 {
    4 + 4 * rank as u64
}

/// What went wrong with a stream, which may be gzipped.
fn failed(path: &Path, e: std::io::Error) -> Error {
    match e.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            Error::format(path, format!("is torn or no gzip file ({e}); fetch it again"))
        }
        _ => Error::io(path, e),
    }
}

/// Sizes of a stream that starts as an IDX file of `rank` dimensions of bytes, and the product of them.
fn read_header(path: &Path, mut stream: impl Read, rank: usize) -> Result<(Vec<u32>, u64)> {
    let mut magic = [0; 4];
    let got = read_up_to(&mut stream, &mut magic).map_err(|e| failed(path, e))?;
    if got < 4 || magic[..3] != [0, 0, 8] {
        return Err(Error::format(path, format!("is not an IDX file of bytes: it starts {:02x?}, not [00, 00, 08]", &magic[..got])));
    }
    if usize::from(magic[3]) != rank {
        return Err(Error::format(path, format!("has {} dimensions; {rank} are wanted here", magic[3])));
    }
    let mut header = vec![0; 4 * rank];
    if read_up_to(&mut stream, &mut header).map_err(|e| failed(path, e))? < header.len() {
        return Err(Error::format(path, "ends within its header; fetch it again"));
    }
    let sizes: Vec<u32> = header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    let announced = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)));
    let Some(announced) = announced.filter(|&bytes| bytes < isize::MAX as u64 - 1) else {
        return Err(Error::format(path, format!("claims sizes {sizes:?}, more than any memory holds; fetch it again")));
    };
    Ok((sizes, announced))
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
