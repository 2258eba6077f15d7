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
    /// [`Error::Format`] where the file is spoiled or another's, [`Error::Io`] where it cannot be read.
    pub fn of(gpu: &Gpu) -> Result<Self> {
        Self::kept(gpu.description()).map(|kept| kept.unwrap_or_else(|| Self::none(gpu)))
    }

    /// Nothing tuned yet.
    pub fn none(gpu: &Gpu) -> Self {
        Self::fresh(gpu.description())
    }

    fn kept(adapter: &AdapterDescription) -> Result<Option<Self>> {
        let fresh = Self::fresh(adapter);
        let Some(file) = fresh.file().filter(|file| file.exists()) else { return Ok(None) };
        let kept = Self::read(&file)?;
        match kept.differs(&fresh) {
            None => Ok(Some(kept)),
            Some((what, theirs, _)) => Err(Error::format(&file, format!("is of another {what} ({theirs})"))),
        }
    }

    /// The first of what a tuning depends on that is other than here: what it is, theirs and ours.
    fn differs<'a>(&'a self, here: &'a Self) -> Option<(&'static str, &'a str, &'a str)> {
        let parts =
            [("adapter", &self.adapter, &here.adapter), ("driver", &self.driver, &here.driver), ("kernels", &self.kernels, &here.kernels)];
        parts.into_iter().find(|(_, theirs, ours)| theirs != ours).map(|(what, theirs, ours)| (what, theirs.as_str(), ours.as_str()))
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
        let tuning: Self = toml::from_str::<toml::Table>(&text)
            .and_then(toml::Table::try_into)
            .map_err(|e| Error::format(path, format!("is no tuning of kiln: {}", e.message().lines().next().unwrap_or_default())))?;
        Choices::parse(&tuning.variants).map_err(|e| Error::format(path, e.to_string()))?;
        Ok(tuning)
    }

    /// Refuses a tuning that was measured elsewhere.
    ///
    /// # Errors
    /// [`Error::Usage`] with what differs.
    pub fn check(&self, gpu: &Gpu) -> Result<()> {
        match self.differs(&Self::none(gpu)) {
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
    let kept = Tuning::kept(adapter).and_then(|kept| kept.map_or_else(|| Ok(Choices::default()), |kept| Choices::parse(&kept.variants)));
    Ok(kept.unwrap_or_else(|e| {
        log::warn!("the tuning is not used: {e}; kiln tune replaces it");
        Choices::default()
    }))
}
