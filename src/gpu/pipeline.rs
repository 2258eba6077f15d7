//! Compiled kernels, by their final text.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::parallel::prelude::*;

use super::faults::Faults;
use super::lock::lock;
use crate::error::Result;
use crate::shader::Access;

/// What makes two kernels the same: their text, and how they use what is bound.
pub(super) type Key = (String, Vec<Access>);

/// Texels of scratch textures.
pub(super) const TEXTURE_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// A kernel ready to run.
#[derive(Clone)]
pub(super) struct Kernel {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// The kernels of a device and their layouts.
pub(super) struct Pipelines {
    kernels: Mutex<HashMap<Key, Kernel>>,
    layouts: Mutex<HashMap<Vec<Access>, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>>,
    cache: Option<super::disk::DiskCache>,
}

impl Pipelines {
    pub(super) fn new(device: &wgpu::Device, adapter: &wgpu::Adapter) -> Self {
        Self { kernels: Mutex::default(), layouts: Mutex::default(), cache: super::disk::DiskCache::open(device, adapter) }
    }

    /// Compiles what is not compiled yet, on all cores, and keeps the driver's binaries on disk.
    pub(super) fn compile(&self, device: &wgpu::Device, faults: &Faults, checked: bool, wanted: &[(&'static str, Key)]) -> Result<()> {
        let mut missing: Vec<&(&'static str, Key)> = Vec::new();
        for entry in wanted {
            if !lock(&self.kernels).contains_key(&entry.1) && !missing.iter().any(|m| m.1 == entry.1) {
                missing.push(entry);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let compiled: Result<Vec<(Key, Kernel)>> =
            missing.into_par_iter().map(|(name, key)| Ok((key.clone(), self.kernel_new(device, faults, checked, name, key)?))).collect();
        lock(&self.kernels).extend(compiled?);
        if let Some(cache) = &self.cache {
            cache.save();
        }
        Ok(())
    }

    /// A compiled kernel.
    pub(super) fn kernel(&self, key: &Key) -> Option<Kernel> {
        lock(&self.kernels).get(key).cloned()
    }

    fn kernel_new(&self, device: &wgpu::Device, faults: &Faults, checked: bool, name: &'static str, (text, uses): &Key) -> Result<Kernel> {
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let (layout, pipeline_layout) = self.layouts(device, uses);
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(text.as_str().into()) };
        let checks = if checked { wgpu::ShaderRuntimeChecks::checked() } else { wgpu::ShaderRuntimeChecks::unchecked() };
        // SAFETY: the text is one of kiln's own kernels, whose indices are bounded by the shapes baked into it and whose loops end; the
        // tests run every kernel with the checks on and compare.
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { constants: &[], zero_initialize_workgroup_memory: checked },
            cache: self.cache.as_ref().map(super::disk::DiskCache::handle),
        });
        faults.end(scope, move |e| format!("kernel {name} does not compile: {e}"))?;
        Ok(Kernel { pipeline, layout })
    }

    fn layouts(&self, device: &wgpu::Device, uses: &[Access]) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
        let mut layouts = lock(&self.layouts);
        if let Some(found) = layouts.get(uses) {
            return found.clone();
        }
        let buffer = |read_only| wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        let texture =
            |access| wgpu::BindingType::StorageTexture { access, format: TEXTURE_FORMAT, view_dimension: wgpu::TextureViewDimension::D2 };
        let entry = |(number, access): (usize, &Access)| wgpu::BindGroupLayoutEntry {
            binding: number as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: match access {
                Access::Read => buffer(true),
                Access::ReadWrite => buffer(false),
                Access::TextureRead => texture(wgpu::StorageTextureAccess::ReadOnly),
                Access::TextureWrite => texture(wgpu::StorageTextureAccess::WriteOnly),
            },
            count: None,
        };
        let entries: Vec<_> = uses.iter().enumerate().map(entry).collect();
        let group = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&group)],
            immediate_size: 0,
        });
        layouts.insert(uses.to_vec(), (group.clone(), pipeline.clone()));
        (group, pipeline)
    }
}
