//! Files read at an offset, shared by threads without a cursor: what lets a data set larger than memory train.

use crate::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// An open file, its path and its size when it was opened.
pub struct PositionedFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl PositionedFile {
    /// Opens a file for reading.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let len = file.metadata().map_err(|e| Error::io(path, e))?.len();
        Ok(Self { file, path: path.to_path_buf(), len })
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
        self.read_all_at(out, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::format(&self.path, format!("ends before byte {}; it is torn or was changed", offset + out.len() as u64))
            }
            _ => Error::io(&self.path, e),
        })
    }

    #[cfg(unix)]
    fn read_all_at(&self, out: &mut [u8], offset: u64) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, out, offset)
    }

    #[cfg(windows)]
    fn read_all_at(&self, mut out: &mut [u8], mut offset: u64) -> std::io::Result<()> {
        while !out.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, out, offset) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    out = &mut out[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
