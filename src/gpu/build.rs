//! From a plan to buffers, kernels and bind groups, all made once.

use std::sync::Arc;

use super::device::Gpu;
use super::dispatch::Dispatch;
use super::draft::{Draft, Memory, Region};
use super::pipeline::Key;
use super::state::{GpuState, Weights};
use crate::error::{Error, Result};
use crate::graph::{Plan, StateSpec};
use crate::shader::Choice;

/// What a kernel binds.
enum Resource<'a> {
    Buffer(&'a wgpu::Buffer, Region),
    Texture(&'a wgpu::TextureView),
}

/// The buffers of a program.
pub(super) struct Buffers {
    /// Of tensors that live within a run.
    slots: Vec<wgpu::Buffer>,
    /// The one that each of the plan's slots is in when a run is over.
    last: Vec<Option<usize>>,
    pub(super) inputs: Vec<wgpu::Buffer>,
    pub(super) step: wgpu::Buffer,
    textures: Vec<wgpu::TextureView>,
    texture_bytes: u64,
}

impl Buffers {
    pub(super) fn bytes(&self) -> u64 {
        let all = self.slots.iter().chain(&self.inputs).chain([&self.step]);
        all.map(wgpu::Buffer::size).sum::<u64>() + self.texture_bytes
    }

    /// Where what lies in one of the plan's slots is when a run is over.
    pub(super) fn slot(&self, slot: usize) -> Option<&wgpu::Buffer> {
        self.slots.get(self.last[slot]?)
    }
}

/// Words of the step before its updates (`shaders/shared/step.wgsl`), and of each update.
pub(super) const STEP_WORDS: usize = 8;
pub(super) const UPDATE_WORDS: usize = 4;

/// What a plan runs as.
pub(super) struct Built {
    pub(super) buffers: Buffers,
    pub(super) dispatches: Vec<Dispatch>,
    /// Dispatches that it takes until each action, and all before it, are done.
    pub(super) ends: Vec<usize>,
    /// The variant taken of every launch that has several.
    pub(super) choices: Vec<Arc<Choice>>,
}

/// Makes all that a plan needs.
pub(super) fn build(gpu: &Gpu, plan: &Plan, spec: &StateSpec, state: &GpuState, weights: Weights) -> Result<Built> {
    let draft = Draft::new(plan, spec, weights, gpu.target(), gpu.most_merged())?;
    let textures = draft.texels.iter().map(|&texels| gpu.texture(texels)).collect::<Result<Vec<_>>>()?;
    let last = draft.last.iter().map(|memory| memory.and_then(|memory| draft.slot_of[memory])).collect();
    let buffers = Buffers {
        slots: draft.slots.iter().map(|&len| gpu.storage("slot", len)).collect::<Result<_>>()?,
        last,
        inputs: plan.inputs.iter().map(|(name, shape)| gpu.storage(name, shape.len())).collect::<Result<_>>()?,
        step: gpu.storage("step", STEP_WORDS + UPDATE_WORDS * draft.updates.max(1))?,
        texture_bytes: textures.iter().map(|(_, bytes)| bytes).sum(),
        textures: textures.into_iter().map(|(view, _)| view).collect(),
    };
    let tables = draft.memories.iter().map(|memory| match memory {
        Memory::Table(words) => gpu.table(words).map(Some),
        _ => Ok(None),
    });
    let tables = tables.collect::<Result<Vec<_>>>()?;
    let mut drafted = Vec::with_capacity(draft.dispatches.len());
    let mut keys: Vec<(&'static str, Key)> = Vec::with_capacity(draft.dispatches.len());
    for mut dispatch in draft.dispatches {
        let uses = dispatch.bound.iter().map(|(_, access)| *access).collect();
        keys.push((dispatch.kernel, (std::mem::take(&mut dispatch.text), uses)));
        drafted.push(dispatch);
    }
    gpu.compile(&keys)?;
    let mut dispatches = Vec::with_capacity(drafted.len());
    for (dispatch, (kernel, key)) in drafted.into_iter().zip(keys) {
        let found = gpu.kernel(&key).ok_or_else(|| Error::Device(format!("kernel {kernel} is missing")))?;
        let name = dispatch.name;
        let missing = || Error::Device(format!("{name} binds what it does not have"));
        let resource = |&(region, _): &(Region, _)| {
            Ok(match &draft.memories[region.memory] {
                Memory::Temporary(..) => {
                    let slot = draft.slot_of[region.memory].and_then(|slot| buffers.slots.get(slot));
                    Resource::Buffer(slot.ok_or_else(missing)?, region)
                }
                Memory::Input(at) => Resource::Buffer(&buffers.inputs[*at], region),
                Memory::Arena(group, arena) => Resource::Buffer(state.arena(*group, *arena), region),
                Memory::Table(_) => Resource::Buffer(tables[region.memory].as_ref().ok_or_else(missing)?, region),
                Memory::Step => Resource::Buffer(&buffers.step, region),
                Memory::Texture(at) => Resource::Texture(buffers.textures.get(*at).ok_or_else(missing)?),
            })
        };
        let bound = dispatch.bound.iter().map(resource).collect::<Result<Vec<_>>>()?;
        let entries: Vec<wgpu::BindGroupEntry<'_>> = bound.iter().enumerate().map(entry).collect();
        let descriptor = wgpu::BindGroupDescriptor { label: Some(name), layout: &found.layout, entries: &entries };
        let scope = gpu.inner().device.push_error_scope(wgpu::ErrorFilter::Validation);
        let bind_group = gpu.inner().device.create_bind_group(&descriptor);
        gpu.inner().faults.end(scope, move |e| format!("{name} does not bind: {e}"))?;
        dispatches.push(Dispatch {
            name,
            kernel,
            pipeline: found.pipeline,
            bind_group,
            groups: dispatch.groups,
            flops: dispatch.flops,
            bytes: dispatch.bytes,
            choice: dispatch.choice,
        });
    }
    Ok(Built { buffers, dispatches, ends: draft.ends, choices: draft.choices })
}

fn entry<'a>((number, bound): (usize, &'a Resource<'a>)) -> wgpu::BindGroupEntry<'a> {
    let resource = match bound {
        Resource::Buffer(buffer, region) => {
            let size = region.bytes.and_then(std::num::NonZeroU64::new);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: region.offset, size })
        }
        Resource::Texture(view) => wgpu::BindingResource::TextureView(view),
    };
    wgpu::BindGroupEntry { binding: number as u32, resource }
}
