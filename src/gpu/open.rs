//! Opening an adapter: what is asked of it, and what is found out of it.

use std::sync::{Arc, Mutex};

use super::adapter::{self, Choice};
use super::device::{Gpu, Inner};
use super::faults::Faults;
use super::pipeline::{Pipelines, TEXTURE_FORMAT};
use super::{matrix, probe, tuned, unchecked};
use crate::error::Result;
use crate::op::launch::TEXTURE_WIDTH;
use crate::shader::{Class, Target};

/// How an adapter is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep index clamps and loop bounds in kernels (tests and debugging). The environment variable `KILN_CHECKED=1` sets it too.
    pub checked: bool,
    /// Treat the adapter as a GPU (`Some(false)`) or as a CPU (`Some(true)`) whatever it says, to test either kind of kernel.
    pub as_cpu: Option<bool>,
    /// Of several equal adapters that are meant, the one to take, modulo how many they are.
    pub number: usize,
}

impl Gpu {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Device`] where there is none or it refuses, [`Error::Usage`] where none has the name asked for.
    pub async fn open(choice: &Choice, options: Options) -> Result<Self> {
        let (adapter, description) = adapter::choose(choice, options.number).await?;
        let mut wanted = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE;
        let matrix_sides = matrix::offered(&adapter);
        if !matrix_sides.is_empty() {
            wanted |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
        }
        let limits = adapter.limits();
        let choices = Arc::new(tuned::load(&description)?);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("kiln"),
            required_features: adapter.features() & wanted,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::Performance,
            // SAFETY: of the experimental features kiln uses cooperative matrices alone, where the adapter offers them, in kernels whose
            // tiles lie whole within workgroup memory, and only after a product of known result came out right.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..Default::default()
        };
        let checked = options.checked || std::env::var_os("KILN_CHECKED").is_some_and(|v| v == "1");
        let (device, queue) = unchecked::device(&adapter, &descriptor, checked).await?;
        let faults = Faults::of(&device);
        let target = Target {
            max_invocations: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            class: options.as_cpu.map_or_else(|| description.class(), |cpu| if cpu { Class::Software } else { Class::Discrete }),
            texels: texels(&adapter, &limits),
            prefers_textures: false,
            matrices: None,
            choices,
        };
        let pipelines = Pipelines::new(&device, &adapter);
        let tables = Mutex::default();
        let inner = Arc::new(Inner { device, queue, description, limits, checked, pipelines, tables, matrix_sides, faults });
        let merges = match std::env::var("KILN_MERGE").as_deref() {
            Ok("0") => false,
            Ok("1") => true,
            // A software driver compiles for longer than its dispatches cost.
            _ => target.class != Class::Software,
        };
        let mut gpu = Self { inner, target, merges };
        // GPUs have their operands in registers and workgroup memory; what loads cost matters on CPUs.
        gpu.target.prefers_textures = gpu.target.is_cpu() && gpu.target.texels > 0 && probe::textures_are_cheaper(&gpu).await?;
        Ok(gpu)
    }
}

/// Texels that a scratch texture can hold; 0 where kernels cannot have one.
fn texels(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> usize {
    let offers = adapter.get_texture_format_features(TEXTURE_FORMAT);
    let usable = offers.allowed_usages.contains(wgpu::TextureUsages::STORAGE_BINDING)
        && offers.flags.contains(wgpu::TextureFormatFeatureFlags::STORAGE_READ_ONLY | wgpu::TextureFormatFeatureFlags::STORAGE_WRITE_ONLY)
        && limits.max_storage_textures_per_shader_stage >= 2;
    let side = limits.max_texture_dimension_2d as usize;
    if usable && side >= TEXTURE_WIDTH { TEXTURE_WIDTH * side } else { 0 }
}
