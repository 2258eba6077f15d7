//! How much memory the CPU executor may take, asked before it is taken: an allocation that fails ends a program without a word.

mod limits;

use std::path::Path;

use crate::error::{Error, Result};

/// Refuses to allocate `bytes` for `what` where the system, a limit of the process or one of its control groups has not as many.
///
/// # Errors
/// [`Error::Device`].
pub fn check(bytes: u64, what: &str) -> Result<()> {
    match limits::room(Path::new("/")) {
        Some(room) if bytes > room.bytes => Err(Error::Device(format!(
            "{what} takes {} and {} of memory are free{}; take a smaller --batch or a smaller model",
            shown(bytes),
            shown(room.bytes),
            room.bound.words()
        ))),
        _ => Ok(()),
    }
}

fn shown(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
