//! Where this system keeps what can be made again: compiled kernels, tunings, judges of sample quality.

use std::path::PathBuf;

/// kiln's own folder of caches: `KILN_CACHE` where that is set, else `kiln` in the system's (`XDG_CACHE_HOME`, `LOCALAPPDATA`,
/// `~/Library/Caches` or `~/.cache`); `None` where there is none.
pub fn folder() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(own) = from("KILN_CACHE") {
        return Some(own);
    }
    let base = from("XDG_CACHE_HOME").or_else(|| from("LOCALAPPDATA")).or_else(|| {
        let home = from("HOME")?;
        Some(if cfg!(target_os = "macos") { home.join("Library/Caches") } else { home.join(".cache") })
    })?;
    Some(base.join("kiln"))
}
