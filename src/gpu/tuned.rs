//! Tuned choices on disk: one file an adapter, driver and text of the kernels, so that a new driver or a new kernel starts afresh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::adapter::AdapterDescription;
use super::{Gpu, disk};
use crate::cache;
use crate::error::{Error, Result};
use crate::shader::{Choices, kernels_digest};

/// Variants measured as the fastest, and where that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// The adapter's name.
    pub adapter: String,
    /// Its driver's name and version.
    pub driver: String,
    /// Digest of the kernels' text.
    pub kernels: String,
    /// Variants by problem.
    #[serde(default)]
    pub variants: BTreeMap<String, String>,
}

impl Tuning {
    /// What is kept for an adapter; empty where nothing is.
    ///
    /// # Errors
    /// [`Error::Format`] where the file is spoiled.
    pub fn of(gpu: &Gpu) -> Result<Self> {
        let fresh = Self::fresh(gpu.description());
        match fresh.file() {
            Some(file) if file.exists() => Self::read(&file),
            _ => Ok(fresh),
        }
    }

    fn fresh(adapter: &AdapterDescription) -> Self {
        let (adapter, driver) = (adapter.name.clone(), adapter.driver.clone());
        Self { adapter, driver, kernels: kernels_digest(), variants: BTreeMap::new() }
    }

    /// Reads an exported file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] where it is no tuning.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let tuning: Self = toml::from_str(&text)
            .map_err(|e| Error::format(path, format!("is no tuning of kiln: {}", e.message().lines().next().unwrap_or_default())))?;
        Choices::parse(&tuning.variants).map_err(|e| Error::format(path, e.to_string()))?;
        Ok(tuning)
    }

    /// Refuses a tuning that was measured elsewhere.
    ///
    /// # Errors
    /// [`Error::Usage`] with what differs.
    pub fn check(&self, gpu: &Gpu) -> Result<()> {
        let here = Self::fresh(gpu.description());
        let parts =
            [("adapter", &self.adapter, &here.adapter), ("driver", &self.driver, &here.driver), ("kernels", &self.kernels, &here.kernels)];
        match parts.iter().find(|(_, theirs, ours)| theirs != ours) {
            Some((what, theirs, ours)) => {
                Err(Error::usage(format!("the tuning is of another {what} ({theirs}, and here is {ours}); run kiln tune here")))
            }
            None => Ok(()),
        }
    }

    /// Writes it to a file, replacing it whole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string_pretty(self).map_err(|e| Error::format(path, e.to_string()))?;
        disk::replace(path, text.as_bytes()).map_err(|e| Error::io(path, e))
    }

    /// Where it is kept; `None` where the system has no place for caches.
    pub fn file(&self) -> Option<PathBuf> {
        let plain = |text: &str| -> String { text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect() };
        let name = format!("{}_{}_{}.toml", plain(&self.adapter), plain(&self.driver), self.kernels);
        Some(cache::folder()?.join("tuning").join(name))
    }
}

/// The choices for an adapter: what was tuned, or none. `KILN_VARIANT` forces variants (tests and debugging).
///
/// # Errors
/// [`Error::Usage`] where `KILN_VARIANT` names none.
pub(super) fn load(adapter: &AdapterDescription) -> Result<Choices> {
    if let Some(start) = std::env::var("KILN_VARIANT").ok().filter(|start| !start.is_empty()) {
        return Choices::forcing(&start);
    }
    let fresh = Tuning::fresh(adapter);
    let kept = fresh.file().filter(|file| file.exists()).map(|file| Tuning::read(&file).and_then(|t| Choices::parse(&t.variants)));
    Ok(match kept {
        Some(Ok(choices)) => choices,
        Some(Err(e)) => {
            log::warn!("the tuning is not used: {e}");
            Choices::default()
        }
        None => Choices::default(),
    })
}
