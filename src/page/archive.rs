//! A run folder as one file.

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

use crate::error::{Error, Result};
use crate::train::Files;

/// The folder's name within the archive.
const FOLDER: &str = "kiln-run";

/// The bytes of a `.zip` of a run's files.
///
/// # Errors
/// [`Error::Format`] where they do not fit one.
pub fn zipped(files: &Files) -> Result<Vec<u8>> {
    let failed = |reason: &dyn std::fmt::Display| Error::format("kiln-run.zip", format!("cannot be made: {reason}"));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(format!("{FOLDER}/{name}"), SimpleFileOptions::default()).map_err(|e| failed(&e))?;
        archive.write_all(bytes).map_err(|e| failed(&e))?;
    }
    Ok(archive.finish().map_err(|e| failed(&e))?.into_inner())
}
