//! How much memory the CPU executor may take, asked before it is taken: an allocation that fails ends a program without a word.

use crate::error::{Error, Result};

/// Refuses to allocate `bytes` for `what` where the system has not as many.
///
/// # Errors
/// [`Error::Device`].
pub fn check(bytes: u64, what: &str) -> Result<()> {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    match available() {
        Some(free) if bytes > free => Err(Error::Device(format!(
            "{what} takes {:.1} GiB and {:.1} GiB of memory are free; take a smaller --batch or a smaller model",
            gib(bytes),
            gib(free)
        ))),
        _ => Ok(()),
    }
}

/// Bytes that can be had, where the system says so: what is free or easily freed, within the bound of the process's group.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let free = line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024;
    let bound = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(bound.map_or(free, |bound: u64| free.min(bound)))
}
