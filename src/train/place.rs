//! Where a run's files lie: in a folder on disk, or in memory, where there is no disk.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::report;

/// Files by their names; a name may have a folder in it, as `samples/000100.png`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A place for files.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Disk(PathBuf),
    /// Clones are one place.
    Memory(Arc<Mutex<Files>>),
}

impl Place {
    /// The file's path, for words too.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Disk(folder) => folder.join(name),
            Self::Memory(_) => PathBuf::from(if name.is_empty() { "the run" } else { name }),
        }
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Disk(folder) => std::fs::read(folder.join(name)),
            Self::Memory(files) => held(files).get(name).cloned().ok_or_else(|| ErrorKind::NotFound.into()),
        }
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Disk(folder) => folder.join(name).exists(),
            Self::Memory(files) => held(files).contains_key(name),
        }
    }

    /// Writes a file whole or not at all, and waits until it is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`]; then an old file is as it was.
    pub(super) fn replace(&self, name: &str, parts: &[&[u8]]) -> Result<()> {
        match self {
            Self::Disk(folder) => replace(&folder.join(name), parts),
            Self::Memory(files) => {
                held(files).insert(name.into(), parts.concat());
                Ok(())
            }
        }
    }

    /// Adds to a file's end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn append(&self, name: &str, text: &str) -> Result<()> {
        match self {
            Self::Disk(folder) => {
                let path = folder.join(name);
                let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
                file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| Error::io(&path, e))
            }
            Self::Memory(files) => {
                held(files).entry(name.into()).or_default().extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
    }

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        match self {
            Self::Disk(folder) => {
                let path = folder.join(name);
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(&path, e)),
                    _ => Ok(()),
                }
            }
            Self::Memory(files) => {
                held(files).remove(name);
                Ok(())
            }
        }
    }

    /// Names in a folder of it (`""`: in itself); none where there is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>> {
        match self {
            Self::Disk(root) => {
                let folder = root.join(folder);
                let failed = |e: std::io::Error| Error::io(&folder, e);
                let found = match std::fs::read_dir(&folder) {
                    Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
                    found => found.map_err(failed)?,
                };
                found.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()).map_err(failed)).collect()
            }
            Self::Memory(files) => {
                let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                let within = |name: &String| name.strip_prefix(&prefix).filter(|rest| !rest.contains('/')).map(str::to_string);
                Ok(held(files).keys().filter_map(within).collect())
            }
        }
    }
}

pub(super) fn held(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a file of parts whole or not at all, and waits until it is on the disk.
///
/// # Errors
/// [`Error::Io`]; then an old file is as it was.
pub(super) fn replace(path: &Path, parts: &[&[u8]]) -> Result<()> {
    report::write_atomically(path, |file| {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.flush()?;
        // Before the rename, or a power cut could leave the new name on a file without contents.
        file.get_ref().sync_all()
    })?;
    // And the name itself. Only Unix has folders that can be opened for it.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Error::io(folder, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_place_as_a_disk_is() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        for place in [Place::Disk(folder.path().into()), Place::Memory(Arc::default())] {
            assert!(!place.has("a") && place.read("a").is_err());
            place.replace("a", &[b"one", b" two"])?;
            place.append("lines", "1\n")?;
            place.append("lines", "2\n")?;
            place.replace("samples/1.png", &[b"picture"])?;
            assert_eq!(place.read("a").expect("a"), b"one two");
            assert_eq!(place.read("lines").expect("lines"), b"1\n2\n");
            let sorted = |folder: &str| {
                place.names(folder).map(|mut names| {
                    names.sort();
                    names
                })
            };
            assert_eq!(sorted("samples")?, ["1.png"]);
            assert!(sorted("")?.contains(&"lines".to_string()) && sorted("nowhere")?.is_empty());
            place.remove("a")?;
            place.remove("a")?;
            assert!(!place.has("a") && place.path("a").ends_with("a"));
        }
        Ok(())
    }
}
