//! A model's persistent tensors on the device.

use super::device::Gpu;
use crate::error::{Error, Result};
use crate::graph::{Place, StateId, StateSpec};
use crate::tensor::{Arena, Stretch};

/// Which weights a program computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The current ones.
    Current,
    /// Their exponential moving average, where a tensor is trained.
    Average,
}

/// A result on its way from the device.
#[derive(Debug)]
pub struct Pending {
    pub(super) staging: wgpu::Buffer,
    pub(super) bytes: u64,
    pub(super) copied: wgpu::SubmissionIndex,
}

/// Memory of the host for some stretches of arenas, one after another.
#[derive(Debug)]
pub struct Staging {
    buffer: wgpu::Buffer,
    stretches: Vec<Stretch>,
}

/// A model's persistent tensors: five arenas for each optimiser group.
#[derive(Clone, Debug)]
pub struct GpuState {
    gpu: Gpu,
    spec: StateSpec,
    groups: Vec<[wgpu::Buffer; 5]>,
}

const ARENAS: [Arena; 5] = [Arena::Value, Arena::Gradient, Arena::First, Arena::Second, Arena::Average];

impl GpuState {
    /// All zeros.
    ///
    /// # Errors
    /// [`Error::Device`] where the adapter cannot hold an arena.
    pub fn new(gpu: &Gpu, spec: &StateSpec) -> Result<Self> {
        let mut groups = Vec::with_capacity(spec.groups.len());
        for group in &spec.groups {
            let make = |arena: Arena| gpu.storage(&format!("{} {arena:?}", group.name), group.len);
            let [a, b, c, d, e] = ARENAS;
            groups.push([make(a)?, make(b)?, make(c)?, make(d)?, make(e)?]);
        }
        Ok(Self { gpu: gpu.clone(), spec: spec.clone(), groups })
    }

    /// Uploads a whole arena.
    ///
    /// # Errors
    /// [`Error::Shape`] where the length is not the group's.
    pub fn write(&self, group: usize, arena: Arena, values: &[f32]) -> Result<()> {
        let len = self.spec.groups[group].len;
        if values.len() != len {
            return Err(Error::Shape(format!("group {group} has {len} elements, not {}", values.len())));
        }
        self.gpu.upload(self.arena(group, arena), 0, values);
        self.gpu.check()
    }

    /// Reads a whole arena, after everything submitted before.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub async fn read(&self, group: usize, arena: Arena) -> Result<Vec<f32>> {
        self.gpu.download(self.arena(group, arena), 0, self.spec.groups[group].len).await
    }

    /// Uploads one tensor.
    ///
    /// # Errors
    /// [`Error::Shape`] where the length is not the tensor's.
    pub fn write_tensor(&self, id: StateId, arena: Arena, values: &[f32]) -> Result<()> {
        let spec = self.spec.spec(id);
        if values.len() != spec.shape.len() {
            return Err(Error::Shape(format!("{} is {}, not {} elements", spec.name, spec.shape, values.len())));
        }
        self.gpu.upload(self.arena(id.group, arena), 4 * spec.offset as u64, values);
        self.gpu.check()
    }

    /// Reads one tensor, after everything submitted before.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub async fn read_tensor(&self, id: StateId, arena: Arena) -> Result<Vec<f32>> {
        let spec = self.spec.spec(id);
        self.gpu.download(self.arena(id.group, arena), 4 * spec.offset as u64, spec.shape.len()).await
    }

    /// Memory to read stretches into, again and again.
    ///
    /// # Errors
    /// [`Error::Device`] where there is none left.
    pub fn staging(&self, stretches: &[Stretch]) -> Result<Staging> {
        let len = stretches.iter().map(|s| s.range.len()).sum();
        Ok(Staging { buffer: self.gpu.staging(len)?, stretches: stretches.to_vec() })
    }

    /// Queues the copy of stretches as they are now, to be fetched by [`GpuState::end_read`]; one at a time for each staging.
    pub fn begin_read(&self, staging: &Staging) -> Pending {
        let inner = self.gpu.inner();
        let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("readback") });
        let mut bytes = 0;
        for Stretch { group, arena, range } in &staging.stretches {
            let len = 4 * range.len() as u64;
            encoder.copy_buffer_to_buffer(self.arena(*group, *arena), 4 * range.start as u64, &staging.buffer, bytes, len);
            bytes += len;
        }
        let copied = inner.queue.submit([encoder.finish()]);
        Pending { staging: staging.buffer.clone(), bytes, copied }
    }

    /// Waits for what [`GpuState::begin_read`] began.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub async fn end_read(&self, pending: &Pending) -> Result<Vec<f32>> {
        self.gpu.collect(&pending.staging, pending.bytes, pending.copied.clone()).await
    }

    /// Uploads stretches, one after another.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub fn write_stretches(&self, stretches: &[Stretch], values: &[f32]) -> Result<()> {
        let mut values = values;
        for Stretch { group, arena, range } in stretches {
            let (these, rest) = values.split_at(range.len());
            self.gpu.upload(self.arena(*group, *arena), 4 * range.start as u64, these);
            values = rest;
        }
        self.gpu.check()
    }

    /// Bytes of all arenas.
    pub fn bytes(&self) -> u64 {
        self.groups.iter().flatten().map(wgpu::Buffer::size).sum()
    }

    pub(super) fn arena(&self, group: usize, arena: Arena) -> &wgpu::Buffer {
        &self.groups[group][arena as usize]
    }

    /// Arena and byte offset of a persistent place.
    pub(super) fn locate(&self, place: Place, weights: Weights) -> Option<(&wgpu::Buffer, u64)> {
        locate(&self.spec, place, weights).map(|(group, arena, offset)| (self.arena(group, arena), offset))
    }
}

/// Group, arena and byte offset of a persistent place.
pub(super) fn locate(spec: &StateSpec, place: Place, weights: Weights) -> Option<(usize, Arena, u64)> {
    let (id, arena) = match place {
        Place::State(id) if weights == Weights::Average && spec.spec(id).averaged => (id, Arena::Average),
        Place::State(id) => (id, Arena::Value),
        Place::Gradient(id) => (id, Arena::Gradient),
        Place::Slot(_) | Place::Input(_) => return None,
    };
    Some((id.group, arena, 4 * spec.spec(id).offset as u64))
}
