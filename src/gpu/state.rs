//! A model's persistent tensors on the device.

use super::device::Gpu;
use crate::error::{Error, Result};
use crate::graph::{Place, StateId, StateSpec};
use crate::tensor::Arena;

/// Which weights a program computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The current ones.
    Current,
    /// Their exponential moving average, where a tensor is trained.
    Average,
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

    /// Bytes of all arenas.
    pub fn bytes(&self) -> u64 {
        self.groups.iter().flatten().map(wgpu::Buffer::size).sum()
    }

    pub(super) fn arena(&self, group: usize, arena: Arena) -> &wgpu::Buffer {
        &self.groups[group][arena as usize]
    }

    /// Arena and byte offset of a persistent place.
    pub(super) fn locate(&self, place: Place, weights: Weights) -> Option<(&wgpu::Buffer, u64)> {
        let (id, arena) = match place {
            Place::State(id) if weights == Weights::Average && self.spec.spec(id).averaged => (id, Arena::Average),
            Place::State(id) => (id, Arena::Value),
            Place::Gradient(id) => (id, Arena::Gradient),
            Place::Slot(_) | Place::Input(_) => return None,
        };
        Some((self.arena(id.group, arena), 4 * self.spec.spec(id).offset as u64))
    }
}
