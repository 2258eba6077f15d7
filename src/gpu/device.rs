//! An opened adapter.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::adapter::{self, AdapterDescription, Choice};
use super::pipeline::{Pipelines, TEXTURE_FORMAT};
use super::{matrix, open, probe, tuned};
use crate::error::{Error, Result};
use crate::op::launch::TEXTURE_WIDTH;
use crate::shader::{Choices, Class, Precision, Target};

/// How an adapter is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep index clamps and loop bounds in kernels (tests and debugging). The environment variable `KILN_CHECKED=1` sets it too.
    pub checked: bool,
    /// Treat the adapter as a GPU (`Some(false)`) or as a CPU (`Some(true)`) whatever it says, to test either kind of kernel.
    pub as_cpu: Option<bool>,
}

/// An opened adapter. Cheap to clone; all clones are one device.
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
    target: Target,
}

pub(super) struct Inner {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) description: AdapterDescription,
    pub(super) limits: wgpu::Limits,
    pub(super) checked: bool,
    pub(super) pipelines: Pipelines,
    pub(super) tables: Mutex<HashMap<Arc<[u32]>, wgpu::Buffer>>,
    /// Sides of the cooperative matrices that the adapter says it has.
    matrix_sides: Vec<usize>,
    fault: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpu").field(&self.inner.description).finish()
    }
}

/// A lock whose holder cannot have left it half written: a panic elsewhere does not spoil it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Gpu {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Device`] where there is none or it refuses, [`Error::Usage`] where none has the name asked for.
    pub fn open(choice: &Choice, options: Options) -> Result<Self> {
        let (adapter, description) = adapter::choose(choice)?;
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
        let (device, queue) = open::device(&adapter, &descriptor, checked)?;
        let fault: Arc<Mutex<Option<String>>> = Arc::default();
        let (on_error, on_loss) = (Arc::clone(&fault), Arc::clone(&fault));
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            lock(&on_error).get_or_insert_with(|| format!("the GPU refused a command: {e}"));
        }));
        device.set_device_lost_callback(move |reason, what| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lock(&on_loss).get_or_insert_with(|| format!("the GPU was lost ({what}); resume from the last checkpoint"));
            }
        });
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
        let inner = Arc::new(Inner { device, queue, description, limits, checked, pipelines, tables, matrix_sides, fault });
        let mut gpu = Self { inner, target };
        // GPUs have their operands in registers and workgroup memory; what loads cost matters on CPUs.
        gpu.target.prefers_textures = gpu.target.is_cpu() && gpu.target.texels > 0 && probe::textures_are_cheaper(&gpu)?;
        Ok(gpu)
    }

    /// The same device with other choices of kernel variants.
    pub fn with_choices(&self, choices: Choices) -> Self {
        let target = Target { choices: Arc::new(choices), ..self.target.clone() };
        Self { inner: Arc::clone(&self.inner), target }
    }

    /// The same device computing in another precision.
    ///
    /// # Errors
    /// [`Error::Usage`] where mixed precision is asked for and the adapter has no cooperative matrices that multiply as they should.
    pub fn with_precision(&self, precision: Precision) -> Result<Self> {
        let matrices = match precision {
            Precision::F32 => None,
            Precision::Mixed => Some(matrix::proven(self, &self.inner.matrix_sides, self.inner.description.subgroup[1] as usize)?),
        };
        Ok(Self { inner: Arc::clone(&self.inner), target: Target { matrices, ..self.target.clone() } })
    }

    /// What is known of the adapter.
    pub fn description(&self) -> &AdapterDescription {
        &self.inner.description
    }

    /// What kernels may assume of the adapter.
    pub fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The first error the device reported outside a call that could return it.
    pub(super) fn check(&self) -> Result<()> {
        match lock(&self.inner.fault).as_ref() {
            Some(fault) => Err(Error::Device(fault.clone())),
            None => Ok(()),
        }
    }

    /// Waits for a submission, or for all where there is none given.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let waited = self.inner.device.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None });
        self.check()?;
        waited.map(|_| ()).map_err(|e| Error::Device(format!("waiting for the GPU failed: {e}")))
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost or refused a command.
    pub fn finish(&self) -> Result<()> {
        self.wait(None)
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
