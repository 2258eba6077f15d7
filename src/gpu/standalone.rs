//! One kernel with buffers of its own, run outside a plan.

use super::device::Gpu;
use crate::error::{Error, Result};

/// How a kernel uses a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads it.
    Read,
    /// Reads and writes it.
    Write,
}

/// A kernel, its buffers, and nothing else.
pub struct Standalone {
    gpu: Gpu,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    buffers: Vec<wgpu::Buffer>,
}

impl Standalone {
    /// Compiles WGSL text and makes its buffers, zeroed, of the given lengths in words, at bindings 0, 1, ….
    ///
    /// # Errors
    /// [`Error::Device`] where the kernel does not compile or a buffer does not fit.
    pub fn new(gpu: &Gpu, name: &'static str, text: String, buffers: &[(Role, usize)]) -> Result<Self> {
        let key = (text, buffers.iter().map(|(role, _)| *role == Role::Read).collect());
        gpu.compile(&[(name, key.clone())])?;
        let kernel = gpu.kernel(&key).ok_or_else(|| Error::Device(format!("kernel {name} is missing")))?;
        let buffers = buffers.iter().map(|(_, len)| gpu.storage(name, *len)).collect::<Result<Vec<_>>>()?;
        let entries: Vec<wgpu::BindGroupEntry<'_>> = buffers
            .iter()
            .enumerate()
            .map(|(at, buffer)| wgpu::BindGroupEntry { binding: at as u32, resource: buffer.as_entire_binding() })
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
        let inner = self.gpu.inner();
        let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        drop(pass);
        inner.queue.submit([encoder.finish()]);
    }

    /// Waits until everything queued is done.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub fn finish(&self) -> Result<()> {
        self.gpu.finish()
    }

    /// Reads the first `len` elements of a buffer, after everything queued.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub fn read(&self, buffer: usize, len: usize) -> Result<Vec<f32>> {
        self.gpu.download(&self.buffers[buffer], 0, len)
    }
}
