//! Buffers and transfers.

use futures_intrusive::channel::shared::oneshot_channel;

use super::device::Gpu;
use super::lock::lock;
use super::pipeline::TEXTURE_FORMAT;
use crate::error::{Error, Result};
use crate::op::launch::TEXTURE_WIDTH;

use std::sync::Arc;

/// Buffers are a multiple of this long, so that any of them can be bound as four-vectors.
const GRAIN: u64 = 16;

impl Gpu {
    /// A zeroed storage buffer of `len` elements.
    ///
    /// # Errors
    /// [`Error::Device`] where the adapter cannot hold or bind so much.
    pub(super) fn storage(&self, label: &str, len: usize) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.buffer(label, 4 * len as u64, usage)
    }

    pub(super) fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let inner = self.inner();
        let size = bytes.max(1).next_multiple_of(GRAIN);
        let most = inner.limits.max_storage_buffer_binding_size.min(inner.limits.max_buffer_size);
        if size > most {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            return Err(Error::Device(format!(
                "a tensor of {} MiB is more than {} takes at once ({} MiB); use a smaller batch",
                mib(size),
                inner.description.name,
                mib(most)
            )));
        }
        let scope = inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = inner.device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false });
        inner.faults.end(scope, self.exhausted())?;
        Ok(buffer)
    }

    /// A zeroed storage texture of at least so many texels, and its bytes.
    pub(super) fn texture(&self, texels: usize) -> Result<(wgpu::TextureView, u64)> {
        let inner = self.inner();
        let height = texels.div_ceil(TEXTURE_WIDTH).max(1);
        let size = wgpu::Extent3d { width: TEXTURE_WIDTH as u32, height: height as u32, depth_or_array_layers: 1 };
        let scope = inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let texture = inner.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("scratch"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: TEXTURE_FORMAT,
            usage: wgpu::TextureUsages::STORAGE_BINDING,
            view_formats: &[],
        });
        inner.faults.end(scope, self.exhausted())?;
        Ok((texture.create_view(&wgpu::TextureViewDescriptor::default()), (16 * TEXTURE_WIDTH * height) as u64))
    }

    /// What is said where there is no memory.
    fn exhausted(&self) -> impl FnOnce(wgpu::Error) -> String + Send + 'static {
        let name = self.inner().description.name.clone();
        move |_| format!("{name} is out of memory; use a smaller batch or a smaller model")
    }

    /// The buffer of a constant table; equal tables share one.
    pub(super) fn table(&self, words: &Arc<[u32]>) -> Result<wgpu::Buffer> {
        if let Some(buffer) = lock(&self.inner().tables).get(words) {
            return Ok(buffer.clone());
        }
        let buffer = self.storage("table", words.len())?;
        self.inner().queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        lock(&self.inner().tables).insert(Arc::clone(words), buffer.clone());
        Ok(buffer)
    }

    /// Queues an upload.
    pub(super) fn upload(&self, buffer: &wgpu::Buffer, offset: u64, values: &[f32]) {
        if !values.is_empty() {
            self.inner().queue.write_buffer(buffer, offset, bytemuck::cast_slice(values));
        }
    }

    /// Queues a copy of part of a buffer to the start of another: a staging buffer that the host can read, or an input.
    pub(super) fn stage(&self, from: &wgpu::Buffer, offset: u64, to: &wgpu::Buffer, bytes: u64) -> wgpu::SubmissionIndex {
        let mut encoder = self.inner().device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("readback") });
        encoder.copy_buffer_to_buffer(from, offset, to, 0, bytes);
        self.inner().queue.submit([encoder.finish()])
    }

    /// A buffer that [`Gpu::stage`] copies into.
    pub(super) fn staging(&self, len: usize) -> Result<wgpu::Buffer> {
        self.buffer("staging", 4 * len as u64, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }

    /// Waits for a staging buffer's copy and reads it.
    pub(super) async fn collect<T: bytemuck::Pod>(
        &self,
        staging: &wgpu::Buffer,
        bytes: u64,
        copied: wgpu::SubmissionIndex,
    ) -> Result<Vec<T>> {
        let slice = staging.slice(..bytes);
        let (tell, told) = oneshot_channel();
        // The receiver only goes away with this call.
        slice.map_async(wgpu::MapMode::Read, move |mapped| drop(tell.send(mapped)));
        self.wait(Some(copied)).await?;
        let lost = || Error::Device("reading back from the GPU failed".into());
        // Where several threads wait, another may be the one that calls back, a moment later.
        let mapped = told.receive().await.ok_or_else(lost)?;
        mapped.map_err(|e| Error::Device(format!("reading back from the GPU failed: {e}")))?;
        let values = slice.get_mapped_range().map_err(|_| lost())?.to_vec();
        staging.unmap();
        Ok(bytemuck::pod_collect_to_vec(&values))
    }

    /// Reads part of a buffer, waiting for all before it.
    pub(super) async fn download(&self, from: &wgpu::Buffer, offset: u64, len: usize) -> Result<Vec<f32>> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let staging = self.staging(len)?;
        let bytes = 4 * len as u64;
        let copied = self.stage(from, offset, &staging, bytes);
        self.collect(&staging, bytes, copied).await
    }
}
