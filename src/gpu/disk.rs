//! What is kept between runs: the driver's compiled kernels, where wgpu offers them (Vulkan).

use std::path::{Path, PathBuf};

use crate::cache;

/// A pipeline cache and the file it is kept in.
pub(super) struct DiskCache {
    cache: wgpu::PipelineCache,
    file: PathBuf,
}

impl DiskCache {
    /// Opens the cache of an adapter; `None` where the adapter or the system has no place for one. A spoiled file is ignored by the
    /// driver, which checks its header.
    pub(super) fn open(device: &wgpu::Device, adapter: &wgpu::Adapter) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = cache::folder()?.join(wgpu::util::pipeline_cache_key(&adapter.get_info())?);
        let data = std::fs::read(&file).ok();
        // SAFETY: the data comes from an earlier call of `get_data` on this adapter: the name holds its vendor and device, the file is
        // replaced whole, and `fallback` makes wgpu start empty where the header does not fit the driver.
        let cache = unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor { label: Some("kiln"), data: data.as_deref(), fallback: true })
        };
        Some(Self { cache, file })
    }

    pub(super) fn handle(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the cache, replacing the file whole. A failure costs the next run time and nothing else, so it is not reported.
    pub(super) fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        if let Err(e) = replace(&self.file, &data) {
            log::debug!("the pipeline cache was not kept: {e}");
        }
    }
}

/// Writes a file whole or not at all, and its folder where that is missing.
pub(super) fn replace(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    std::fs::write(file.path(), data)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
