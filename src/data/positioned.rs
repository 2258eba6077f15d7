//! Bytes read at an offset, shared by threads without a cursor: what lets a data set larger than memory train.

use crate::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a stream that are held in memory; what is longer goes to a temporary file.
const HELD: u64 = 64 << 20;

/// Bytes looked at together.
const PIECE: u64 = 1 << 16;

/// An open file, or what came out of a stream, with the path that errors name and the size when it was opened.
pub struct PositionedFile {
    body: Body,
    path: PathBuf,
    len: u64,
}

enum Body {
    File(File),
    Held(Vec<u8>),
}

impl PositionedFile {
    /// Opens a file for reading.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let len = file.metadata().map_err(|e| Error::io(path, e))?.len();
        Ok(Self { body: Body::File(file), path: path.to_path_buf(), len })
    }

    /// Takes a stream to its end, at most one byte above `most`: in memory up to 64 MiB, else in a temporary file that has no name and is
    /// gone with this. Memory grows with what really comes.
    ///
    /// # Errors
    /// What the stream or the temporary file says.
    pub fn spool(path: &Path, stream: impl Read, most: u64) -> std::io::Result<Self> {
        let mut stream = stream.take(most.saturating_add(1));
        let mut held = Vec::new();
        Read::by_ref(&mut stream).take(HELD).read_to_end(&mut held)?;
        let path = path.to_path_buf();
        if (held.len() as u64) < HELD {
            let len = held.len() as u64;
            return Ok(Self { body: Body::Held(held), path, len });
        }
        let mut file = tempfile::tempfile()?;
        file.write_all(&held)?;
        let len = held.len() as u64;
        drop(held);
        let len = len + std::io::copy(&mut stream, &mut file)?;
        Ok(Self { body: Body::File(file), path, len })
    }

    /// The file that errors name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `out` from `offset`.
    ///
    /// # Errors
    /// The file ends before, or cannot be read.
    pub fn read_exact_at(&self, out: &mut [u8], offset: u64) -> Result<()> {
        self.fill(out, offset).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => {
                let end = offset.saturating_add(out.len() as u64);
                Error::format(&self.path, format!("ends before byte {end}; it is torn or was changed"))
            }
            _ => Error::io(&self.path, e),
        })
    }

    fn fill(&self, out: &mut [u8], offset: u64) -> std::io::Result<()> {
        match &self.body {
            Body::File(file) => read_all_at(file, out, offset),
            Body::Held(held) => copy_at(held, out, offset),
        }
    }

    /// Hands `len` bytes from `offset` on, without a copy where they lie in memory.
    ///
    /// # Errors
    /// As [`PositionedFile::read_exact_at`].
    pub fn with<T>(&self, offset: u64, len: usize, take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        if let Body::Held(held) = &self.body
            && let Some(from) = usize::try_from(offset).ok().and_then(|start| held.get(start..start.checked_add(len)?))
        {
            return Ok(take(from));
        }
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(take(&bytes))
    }

    /// Whether `holds` of every piece from `start` to the end; stops at the first of which it does not. Pieces are of a length that all
    /// number types divide.
    ///
    /// # Errors
    /// As [`PositionedFile::read_exact_at`].
    pub fn all_from(&self, start: u64, mut holds: impl FnMut(&[u8]) -> bool) -> Result<bool> {
        let mut at = start;
        while at < self.len {
            let n = (self.len - at).min(PIECE);
            if !self.with(at, n as usize, &mut holds)? {
                return Ok(false);
            }
            at += n;
        }
        Ok(true)
    }
}

/// A part of a file, read from its beginning on; clones read by themselves.
#[derive(Clone)]
pub struct Reader {
    file: Arc<PositionedFile>,
    start: u64,
    len: u64,
    at: u64,
}

impl Reader {
    /// All of `file`.
    pub fn new(file: Arc<PositionedFile>) -> Self {
        let len = file.len;
        Self { file, start: 0, len, at: 0 }
    }

    /// `len` bytes from `start` on, which lie within `file`.
    pub fn part(file: Arc<PositionedFile>, start: u64, len: u64) -> Self {
        Self { file, start, len, at: 0 }
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let left = self.len.saturating_sub(self.at);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        self.file.fill(&mut out[..count], self.start + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

fn copy_at(held: &[u8], out: &mut [u8], offset: u64) -> std::io::Result<()> {
    let start = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
    let from = start.checked_add(out.len()).and_then(|end| held.get(start..end)).ok_or(ErrorKind::UnexpectedEof)?;
    out.copy_from_slice(from);
    Ok(())
}

#[cfg(unix)]
fn read_all_at(file: &File, out: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

/// Where there are no threads, one cursor does.
#[cfg(not(any(unix, windows)))]
fn read_all_at(mut file: &File, out: &mut [u8], offset: u64) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(out)
}

#[cfg(windows)]
fn read_all_at(file: &File, mut out: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                out = &mut out[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_reads_back_from_memory_and_from_a_file() {
        for len in [0u64, 1000, HELD - 1, HELD, HELD + 5] {
            let spooled = PositionedFile::spool(Path::new("s"), std::io::repeat(7).take(len), 1 << 40).unwrap();
            assert_eq!(spooled.len(), len);
            let mut out = [0; 3];
            assert_eq!(spooled.read_exact_at(&mut out, len.saturating_sub(3)).is_ok(), len >= 3, "{len}");
            assert!(spooled.read_exact_at(&mut out, len.saturating_sub(2)).is_err());
            assert!(spooled.read_exact_at(&mut out, u64::MAX).is_err());
        }
        let cut = PositionedFile::spool(Path::new("s"), std::io::repeat(7), 10).unwrap();
        assert_eq!(cut.len(), 11, "one byte more tells that there was more");
    }
}
