//! A file or a folder that data are read from: on disk, or within an archive.

use super::archive::Archive;
use super::positioned::PositionedFile;
use crate::{Error, Result};
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes at any place.
pub trait Bytes: Read + Seek + Send {}

impl<R: Read + Seek + Send> Bytes for R {}

/// One file or folder.
#[derive(Clone)]
pub struct Entry {
    /// What errors name: of a file in an archive, the archive's path and the name within it.
    path: PathBuf,
    within: Option<Within>,
}

#[derive(Clone)]
struct Within {
    archive: Arc<Archive>,
    /// Its name there; empty for the archive's top.
    name: String,
}

impl Entry {
    /// A file or folder on disk.
    pub fn on_disk(path: &Path) -> Self {
        Self { path: path.into(), within: None }
    }

    /// What lies in an archive. Folders that hold nothing but one other folder are passed through, unless `stops` knows their name.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn top_of(path: &Path, stops: impl Fn(&str) -> bool) -> Result<Self> {
        let archive = Archive::open(path)?;
        let mut name = String::new();
        while let [(only, true)] = &archive.listed(&name)[..]
            && !stops(only)
        {
            name = if name.is_empty() { only.clone() } else { format!("{name}/{only}") };
        }
        let shown = if name.is_empty() { path.into() } else { path.join(&name) };
        Ok(Self { path: shown, within: Some(Within { archive, name }) })
    }

    /// What errors name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last part of its name.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.within.as_ref().map_or_else(|| self.path.is_dir(), |within| within.archive.len(&within.name).is_none())
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        self.within.as_ref().map_or_else(|| self.path.is_file(), |within| within.archive.len(&within.name).is_some())
    }

    /// Whether something is there, not only a link to nothing.
    pub fn exists(&self) -> bool {
        self.is_file() || self.path.exists()
    }

    /// What a folder holds but hidden entries, sorted, so that no order depends on the file system.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn entries(&self) -> Result<Vec<Self>> {
        let failed = |e| Error::io(&self.path, e);
        let Some(within) = &self.within else {
            let mut paths = Vec::new();
            for entry in std::fs::read_dir(&self.path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if !entry.file_name().to_string_lossy().starts_with('.') {
                    paths.push(entry.path());
                }
            }
            paths.sort();
            return Ok(paths.iter().map(|path| Self::on_disk(path)).collect());
        };
        Ok(within.archive.listed(&within.name).into_iter().map(|(name, _)| self.below(&name)).collect())
    }

    fn below(&self, name: &str) -> Self {
        let within = self.within.as_ref().map(|within| {
            let name = if within.name.is_empty() { name.to_string() } else { format!("{}/{name}", within.name) };
            Within { archive: Arc::clone(&within.archive), name }
        });
        Self { path: self.path.join(name), within }
    }

    /// A file of another name beside this one; `None` where there is none.
    pub fn beside(&self, name: &str) -> Option<Self> {
        let within = self.within.as_ref().map(|within| {
            let folder = within.name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            Within { archive: Arc::clone(&within.archive), name: format!("{folder}{name}") }
        });
        Some(Self { path: self.path.with_file_name(name), within }).filter(Self::is_file)
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// A file that is not there any more.
    pub fn len(&self) -> Result<u64> {
        match &self.within {
            Some(within) => Ok(within.archive.len(&within.name).unwrap_or(0)),
            None => Ok(std::fs::metadata(&self.path).map_err(|e| Error::io(&self.path, e))?.len()),
        }
    }

    /// All of the file, which is to have no more than `most` bytes.
    ///
    /// # Errors
    /// A file of more; one that cannot be read.
    pub fn bytes(&self, most: u64) -> Result<Vec<u8>> {
        let len = self.len()?;
        if len > most {
            return Err(Error::format(&self.path, format!("has {len} bytes, above the limit of {most}; scale it down")));
        }
        let Some(Within { archive, name }) = &self.within else {
            return std::fs::read(&self.path).map_err(|e| Error::io(&self.path, e));
        };
        archive.with(name, |stream| {
            let mut bytes = Vec::new();
            stream.take(len).read_to_end(&mut bytes).map(|_| bytes)
        })
    }

    /// Opens the file; what lies in an archive is read at once, as of [`Entry::bytes`].
    ///
    /// # Errors
    /// As [`Entry::bytes`].
    pub fn open(&self, most: u64) -> Result<Box<dyn Bytes>> {
        match &self.within {
            Some(_) => Ok(Box::new(Cursor::new(self.bytes(most)?))),
            None => Ok(Box::new(File::open(&self.path).map_err(|e| Error::io(&self.path, e))?)),
        }
    }

    /// Opens the file for reading at any place; what lies in an archive goes to memory or a temporary file, as of [`PositionedFile::spool`].
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn positioned(&self) -> Result<PositionedFile> {
        match &self.within {
            None => PositionedFile::open(&self.path),
            Some(Within { archive, name }) => {
                let len = archive.len(name).unwrap_or(0);
                archive.with(name, |stream| PositionedFile::spool(&self.path, stream, len))
            }
        }
    }
}
