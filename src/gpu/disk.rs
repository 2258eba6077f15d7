//! What is kept between runs: the driver's compiled kernels, where wgpu offers them (Vulkan).

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::cache;

/// What a file of this form begins with; the digest of an adapter's identity and the driver's data follows, then these data.
const MAGIC: &[u8] = b"kiln pipelines 1\n";
/// Bytes of the digest.
const DIGEST: usize = 32;

/// A pipeline cache and the file it is kept in.
pub(super) struct DiskCache {
    cache: wgpu::PipelineCache,
    file: PathBuf,
    identity: String,
}

impl DiskCache {
    /// Opens the cache of an adapter; `None` where the adapter or the system has no place for one. What is not as it was written is left
    /// out and written again: drivers trust what they are given.
    pub(super) fn open(device: &wgpu::Device, adapter: &wgpu::Adapter) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let info = adapter.get_info();
        let file = cache::folder()?.join(wgpu::util::pipeline_cache_key(&info)?);
        let identity = format!("{} {} {} {:?}", info.name, info.driver, info.driver_info, info.backend);
        let kept = match std::fs::read(&file) {
            Ok(kept) => Some(kept),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                log::info!("compiled kernels are not read from {}: {e}", file.display());
                None
            }
        };
        let data = kept.as_deref().and_then(|kept| unseal(&identity, kept));
        if kept.is_some() && data.is_none() {
            log::info!("{} holds no compiled kernels of this adapter and driver, or was spoiled; they are compiled again", file.display());
        }
        // SAFETY: the data comes from an earlier call of `get_data` on this adapter with this driver: the digest beside it says that
        // neither changed since, and `fallback` makes wgpu start empty where the header does not fit the driver.
        let cache = unsafe { device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor { label: Some("kiln"), data, fallback: true }) };
        Some(Self { cache, file, identity })
    }

    pub(super) fn handle(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the cache, replacing the file whole. A failure costs the next run time and nothing else, so it is not reported.
    pub(super) fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        if let Err(e) = replace(&self.file, &seal(&self.identity, &data)) {
            log::debug!("the pipeline cache was not kept: {e}");
        }
    }
}

fn digest(identity: &str, data: &[u8]) -> [u8; DIGEST] {
    let hash = Sha256::new().chain_update((identity.len() as u64).to_le_bytes()).chain_update(identity).chain_update(data);
    hash.finalize().into()
}

/// A driver's data as its file holds them.
fn seal(identity: &str, data: &[u8]) -> Vec<u8> {
    [MAGIC, &digest(identity, data), data].concat()
}

/// The driver's data, where the file is what [`seal`] made of them for this adapter and driver.
fn unseal<'a>(identity: &str, file: &'a [u8]) -> Option<&'a [u8]> {
    let (kept, data) = file.strip_prefix(MAGIC)?.split_at_checked(DIGEST)?;
    (kept == digest(identity, data)).then_some(data)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_comes_back_and_nothing_else_does() {
        let data: Vec<u8> = (0..60).map(|n| n * 3).collect();
        let file = seal("card driver 1", &data);
        assert_eq!(unseal("card driver 1", &file), Some(&data[..]));
        assert_eq!(unseal("card driver 2", &file), None);
        for bit in 0..8 * file.len() {
            let mut spoiled = file.clone();
            spoiled[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal("card driver 1", &spoiled), None, "bit {bit}");
        }
        for len in 0..file.len() {
            assert_eq!(unseal("card driver 1", &file[..len]), None, "{len} bytes");
        }
        assert_eq!(unseal("card driver 1", &data), None);
        assert_eq!(unseal("", &seal("", &[])), Some(&[][..]));
    }
}
