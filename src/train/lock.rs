//! The lock of a run folder: one process trains in it at a time.
//!
//! The file `lock` names its owner for people; what counts is the system's lock on it, which ends with the process that holds it however
//! that ends. So a file that a killed run left behind is taken over without a question.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The file's name in a run folder.
pub const NAME: &str = "lock";

/// A lock that is held; dropping it sets the folder free.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
    /// Whether the folder was made for it.
    made: bool,
}

impl Lock {
    /// Locks a folder, which is made where there is none, and goes again if it is empty in the end.
    ///
    /// # Errors
    /// [`Error::Usage`] where another process holds it; [`Error::Io`] where no file can be made there.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let made = !folder.exists();
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        loop {
            let failed = |e| Error::io(&path, e);
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(held(folder, &mut file)),
                // Where the file system knows no locks, the file still tells people.
                Err(TryLockError::Error(e)) => log::warn!("{}: {e}; nothing keeps a second run out", path.display()),
            }
            // Its last owner may have removed it between the opening and the locking: then the name is another file's, or nobody's.
            if is_at(&file, &path) {
                let words = format!("process {} on {}\n", std::process::id(), machine());
                file.set_len(0).and_then(|()| file.write_all(words.as_bytes())).map_err(failed)?;
                return Ok(Self { path, file, made });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is locked still, so that it is no other run's file that goes. A file that cannot be removed while it is open stays, empty.
        if std::fs::remove_file(&self.path).is_err() {
            let _ = self.file.set_len(0);
        }
        // A run that never began.
        if let (true, Some(folder)) = (self.made, self.path.parent()) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// The machine's name.
#[cfg(not(target_family = "wasm"))]
fn machine() -> String {
    gethostname::gethostname().display().to_string()
}

/// Programs of a page have a folder to themselves, in memory.
#[cfg(target_family = "wasm")]
fn machine() -> String {
    "this page".into()
}

fn held(folder: &Path, file: &mut File) -> Error {
    let mut owner = String::new();
    // Some systems let no one read what is locked.
    let _ = file.read_to_string(&mut owner);
    let owner = Some(owner.trim()).filter(|o| !o.is_empty()).unwrap_or("another process").to_string();
    Error::usage(format!("{} is being trained by {owner}; wait for its end or stop it, or name another folder", folder.display()))
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_a_stale_file_is_no_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("other"), b"").expect("a file");
        std::fs::write(folder.path().join(NAME), b"process 1 on elsewhere\n").expect("a stale lock");
        let lock = Lock::take(folder.path()).expect("taken over");
        let said = Lock::take(folder.path()).expect_err("held").to_string();
        assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
        drop(lock);
        assert!(!folder.path().join(NAME).exists());
        drop(Lock::take(folder.path()).expect("free"));
        assert!(folder.path().join("other").exists());
    }
}
