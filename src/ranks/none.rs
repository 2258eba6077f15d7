//! Where no library of MPI can be opened.

use std::ffi::OsStr;

use super::Ranks;
use super::launcher::Launcher;
use crate::error::{Error, Result};

/// Refuses.
///
/// # Errors
/// [`Error::Usage`].
pub fn open(_: Option<Launcher>, _: Option<&OsStr>) -> Result<Ranks> {
    Err(Error::usage("kiln opens a library of MPI on Linux and macOS alone; start it as one process, without KILN_MPI"))
}
