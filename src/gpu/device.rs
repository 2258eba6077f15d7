//! An opened adapter.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures_intrusive::channel::shared::oneshot_channel;

use super::adapter::AdapterDescription;
use super::faults::Faults;
use super::pipeline::{Kernel, Key, Pipelines};
use crate::error::{Error, Result};
use crate::shader::{Choices, Matrices, Target};

/// An opened adapter. Cheap to clone; all clones are one device.
#[derive(Clone)]
pub struct Gpu {
    pub(super) inner: Arc<Inner>,
    pub(super) target: Target,
    /// Whether small kernels share dispatches.
    pub(super) merges: bool,
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
    pub(super) matrix_sides: Vec<usize>,
    pub(super) faults: Faults,
}

/// Storage buffers that merged kernels bind at most, however many an adapter offers: binding more costs the host more.
const MOST_BOUND: u32 = 64;

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpu").field(&self.inner.description).finish()
    }
}

impl Gpu {
    /// The same device with other choices of kernel variants.
    pub fn with_choices(&self, choices: Choices) -> Self {
        let target = Target { choices: Arc::new(choices), ..self.target.clone() };
        Self { inner: Arc::clone(&self.inner), target, ..*self }
    }

    /// The same device with a dispatch for each kernel, to time each by itself.
    pub fn apart(&self) -> Self {
        Self { merges: false, ..self.clone() }
    }

    /// Storage buffers that a dispatch of merged kernels may bind, where kernels are merged.
    pub(super) fn most_merged(&self) -> Option<usize> {
        let limits = &self.inner.limits;
        let most = limits.max_storage_buffers_per_shader_stage.min(limits.max_buffers_and_acceleration_structures_per_shader_stage);
        self.merges.then_some(most.min(MOST_BOUND) as usize)
    }

    /// The same device with products computed by these matrices, or in f32 alone.
    pub(super) fn with_matrices(&self, matrices: Option<Matrices>) -> Self {
        Self { inner: Arc::clone(&self.inner), target: Target { matrices, ..self.target.clone() }, ..*self }
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

    /// Compiles what is not compiled yet.
    pub(super) fn compile(&self, wanted: &[(&'static str, Key)]) -> Result<()> {
        self.inner.pipelines.compile(&self.inner.device, &self.inner.faults, self.inner.checked, wanted)
    }

    /// A compiled kernel.
    pub(super) fn kernel(&self, key: &Key) -> Option<Kernel> {
        self.inner.pipelines.kernel(key)
    }

    /// The first error the device reported outside a call that could return it.
    pub(super) fn check(&self) -> Result<()> {
        self.inner.faults.check()
    }

    /// Waits until the device has said of everything made so far whether it could be.
    pub(super) async fn settle(&self) -> Result<()> {
        self.inner.faults.settle().await
    }

    /// Waits for a submission, or for all where there is none given.
    pub(super) async fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        if cfg!(target_family = "wasm") {
            let (tell, told) = oneshot_channel();
            // The receiver only goes away with this call.
            self.inner.queue.on_submitted_work_done(move || drop(tell.send(())));
            told.receive().await;
            return self.settle().await;
        }
        // Callbacks are made while the device is polled, so that natively nothing else needs to be waited for.
        let waited = self.inner.device.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None });
        self.check()?;
        waited.map(|_| ()).map_err(|e| Error::Device(format!("waiting for the GPU failed: {e}")))
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost or refused a command.
    pub async fn finish(&self) -> Result<()> {
        self.wait(None).await
    }
}
