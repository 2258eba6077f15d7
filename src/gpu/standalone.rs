//! One kernel with buffers of its own, run outside a plan.

use super::device::Gpu;
use crate::error::{Error, Result};
use crate::shader::Access;

/// A kernel, its buffers, and nothing else.
pub struct Standalone {
    gpu: Gpu,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    buffers: Vec<wgpu::Buffer>,
}

impl Standalone {
    /// Compiles WGSL text and makes what it binds at 0, 1, …, zeroed: buffers of so many words, textures of so many texels.
    ///
    /// # Errors
    /// [`Error::Device`] where the kernel does not compile or a buffer does not fit.
    pub fn new(gpu: &Gpu, name: &'static str, text: String, bound: &[(Access, usize)]) -> Result<Self> {
        let key = (text, bound.iter().map(|(access, _)| *access).collect());
        gpu.compile(&[(name, key.clone())])?;
        let kernel = gpu.kernel(&key).ok_or_else(|| Error::Device(format!("kernel {name} is missing")))?;
        let is_texture = |access: &Access| matches!(access, Access::TextureRead | Access::TextureWrite);
        let textures =
            bound.iter().map(|(access, len)| is_texture(access).then(|| gpu.texture(*len)).transpose()).collect::<Result<Vec<_>>>()?;
        // A texture's number stands for an empty buffer, so that buffers keep theirs.
        let length = |access: &Access, len: usize| if is_texture(access) { 0 } else { len };
        let buffers = bound.iter().map(|(access, len)| gpu.storage(name, length(access, *len))).collect::<Result<Vec<_>>>()?;
        let entries: Vec<wgpu::BindGroupEntry<'_>> = buffers
            .iter()
            .enumerate()
            .zip(&textures)
            .map(|((at, buffer), texture)| {
                let resource = match texture {
                    Some((view, _)) => wgpu::BindingResource::TextureView(view),
                    None => buffer.as_entire_binding(),
                };
                wgpu::BindGroupEntry { binding: at as u32, resource }
            })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: Some(name), layout: &kernel.layout, entries: &entries };
        let bind_group = gpu.inner().device.create_bind_group(&descriptor);
        gpu.check()?;
        Ok(Self { gpu: gpu.clone(), pipeline: kernel.pipeline, bind_group, buffers })
    }

    /// Queues words into a buffer, after what was dispatched before.
    pub fn upload(&self, buffer: usize, words: &[u32]) {
        if !words.is_empty() {
            self.gpu.inner().queue.write_buffer(&self.buffers[buffer], 0, bytemuck::cast_slice(words));
        }
    }

    /// Queues one dispatch.
    pub fn dispatch(&self, groups: [u32; 3]) {
        self.repeat(groups, 1);
    }

    /// Queues equal dispatches, one behind the other.
    pub fn repeat(&self, groups: [u32; 3], times: usize) {
        let inner = self.gpu.inner();
        let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        for _ in 0..times {
            pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        }
        drop(pass);
        inner.queue.submit([encoder.finish()]);
    }

    /// Waits until everything queued is done.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub async fn finish(&self) -> Result<()> {
        self.gpu.finish().await
    }

    /// Reads the first `len` elements of a buffer, after everything queued.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub async fn read(&self, buffer: usize, len: usize) -> Result<Vec<f32>> {
        self.gpu.download(&self.buffers[buffer], 0, len).await
    }
}
