//! From a plan to buffers, kernels and bind groups, all made once.

use std::sync::Arc;

use super::device::Gpu;
use super::dispatch::Dispatch;
use super::pipeline::Key;
use super::state::{GpuState, Weights};
use crate::error::{Error, Result};
use crate::graph::{Action, Place, Plan, Signature, StateSpec};
use crate::op::launch;
use crate::shader::{Binding, Launch, expand};

/// What a kernel binds.
enum Resource {
    Buffer(Range),
    Texture(wgpu::TextureView),
}

/// A range of a buffer.
#[derive(Clone)]
struct Range {
    buffer: wgpu::Buffer,
    offset: u64,
    bytes: u64,
}

/// A launch with what its bindings stand for.
struct Job {
    name: &'static str,
    launch: Launch,
    inputs: Vec<Range>,
    output: Option<Range>,
    /// The optimiser group of an update.
    group: usize,
}

/// The buffers of a program.
pub(super) struct Buffers {
    pub(super) slots: Vec<wgpu::Buffer>,
    pub(super) inputs: Vec<wgpu::Buffer>,
    pub(super) scratch: Vec<wgpu::Buffer>,
    pub(super) step: wgpu::Buffer,
    /// Bytes of the scratch textures, which live as long as what binds them.
    pub(super) texture_bytes: u64,
}

impl Buffers {
    pub(super) fn bytes(&self) -> u64 {
        let all = self.slots.iter().chain(&self.inputs).chain(&self.scratch).chain([&self.step]);
        all.map(wgpu::Buffer::size).sum::<u64>() + self.texture_bytes
    }
}

/// Words of the step before its updates (`shaders/shared/step.wgsl`), and of each update.
pub(super) const STEP_WORDS: usize = 8;
pub(super) const UPDATE_WORDS: usize = 4;

pub(super) struct Compiler<'a> {
    gpu: &'a Gpu,
    spec: &'a StateSpec,
    state: &'a GpuState,
    weights: Weights,
    slots: Vec<wgpu::Buffer>,
    inputs: Vec<wgpu::Buffer>,
    jobs: Vec<Job>,
    /// Elements of a buffer for copies within one arena, which a kernel cannot both read and write.
    bounce: usize,
    updates: usize,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(gpu: &'a Gpu, plan: &Plan, spec: &'a StateSpec, state: &'a GpuState, weights: Weights) -> Result<Self> {
        let slots = plan.slots.iter().map(|&len| gpu.storage("slot", len)).collect::<Result<_>>()?;
        let inputs = plan.inputs.iter().map(|(name, shape)| gpu.storage(name, shape.len())).collect::<Result<_>>()?;
        Ok(Self { gpu, spec, state, weights, slots, inputs, jobs: Vec::new(), bounce: 0, updates: 0 })
    }

    /// Its buffers, its dispatches, and how many of them there are up to the end of each action.
    pub(super) fn run(mut self, plan: &Plan) -> Result<(Buffers, Vec<Dispatch>, Vec<usize>)> {
        let longest = |a: &Action| if let Action::Copy { len, .. } = a { *len } else { 0 };
        self.bounce = plan.actions.iter().filter(|a| self.within_one_arena(a)).map(longest).max().unwrap_or(0);
        let bounce = if self.bounce > 0 { Some(self.gpu.storage("bounce", self.bounce)?) } else { None };
        let mut ends = Vec::with_capacity(plan.actions.len());
        for action in &plan.actions {
            self.action(action, bounce.as_ref())?;
            ends.push(self.jobs.iter().map(|job| job.launch.stages.len()).sum());
        }
        let jobs = std::mem::take(&mut self.jobs);
        let lengths = longest_each(jobs.iter().map(|j| &j.launch.scratch[..]));
        let mut scratch = lengths.iter().map(|&len| self.gpu.storage("scratch", len)).collect::<Result<Vec<_>>>()?;
        let texels = longest_each(jobs.iter().map(|j| &j.launch.textures[..]));
        let textures = texels.iter().map(|&texels| self.gpu.texture(texels)).collect::<Result<Vec<_>>>()?;
        let texture_bytes = textures.iter().map(|(_, bytes)| bytes).sum();
        let step = self.gpu.storage("step", STEP_WORDS + UPDATE_WORDS * self.updates.max(1))?;
        let mut keys: Vec<(&'static str, Key)> = Vec::new();
        for stage in jobs.iter().flat_map(|j| &j.launch.stages) {
            let uses = stage.bindings.iter().map(Binding::access).collect();
            keys.push((stage.kernel, (expand(stage.kernel, &stage.defines)?, uses)));
        }
        self.gpu.compile(&keys)?;
        let mut keys = keys.into_iter();
        let mut dispatches = Vec::new();
        for job in &jobs {
            let choice = job.launch.choice.as_ref().map(|c| Arc::new(c.clone()));
            for stage in &job.launch.stages {
                let missing = || Error::Device(format!("kernel {} is missing", stage.kernel));
                let (_, key) = keys.next().ok_or_else(missing)?;
                let kernel = self.gpu.kernel(&key).ok_or_else(missing)?;
                let bound = stage.bindings.iter().map(|b| self.resolve(b, job, &scratch, &textures, &step)).collect::<Result<Vec<_>>>()?;
                let entries: Vec<wgpu::BindGroupEntry<'_>> = bound.iter().enumerate().map(entry).collect();
                let descriptor = wgpu::BindGroupDescriptor { label: Some(job.name), layout: &kernel.layout, entries: &entries };
                let scope = self.gpu.inner().device.push_error_scope(wgpu::ErrorFilter::Validation);
                let bind_group = self.gpu.inner().device.create_bind_group(&descriptor);
                let name = job.name;
                self.gpu.inner().faults.end(scope, move |e| format!("{name} does not bind: {e}"))?;
                dispatches.push(Dispatch {
                    name: job.name,
                    kernel: stage.kernel,
                    pipeline: kernel.pipeline,
                    bind_group,
                    groups: stage.groups,
                    flops: stage.flops,
                    bytes: stage.bytes,
                    choice: choice.clone(),
                });
            }
        }
        scratch.extend(bounce);
        Ok((Buffers { slots: self.slots, inputs: self.inputs, scratch, step, texture_bytes }, dispatches, ends))
    }

    fn action(&mut self, action: &Action, bounce: Option<&wgpu::Buffer>) -> Result<()> {
        let target = self.gpu.target();
        match action {
            Action::Compute { op, inputs, shapes, output, shape } => {
                let launch = op.launch(&Signature { inputs: shapes.iter().collect(), output: shape }, target);
                let inputs = inputs.iter().zip(shapes).map(|(p, s)| self.range(*p, s.len(), self.weights)).collect::<Result<_>>()?;
                let output = Some(self.range(*output, shape.len(), self.weights)?);
                self.jobs.push(Job { name: op.name(), launch, inputs, output, group: 0 });
            }
            Action::Copy { from, to, len } => {
                let source = self.range(*from, *len, self.weights)?;
                let goal = self.range(*to, *len, Weights::Current)?;
                let copy = |from: Range, to: Range| Job {
                    name: "copy",
                    launch: launch::copy(*len, target),
                    inputs: vec![from],
                    output: Some(to),
                    group: 0,
                };
                match bounce {
                    Some(buffer) if source.buffer == goal.buffer => {
                        let between = Range { buffer: buffer.clone(), offset: 0, bytes: source.bytes };
                        self.jobs.push(copy(source, between.clone()));
                        self.jobs.push(copy(between, goal));
                    }
                    _ => self.jobs.push(copy(source, goal)),
                }
            }
            Action::Update(update) => {
                let len = self.spec.groups[update.group].len;
                let launch = launch::update(update, self.updates, len, target);
                self.updates += 1;
                let scale = update.loss_scale.map(|id| self.range(Place::State(id), self.spec.spec(id).shape.len(), Weights::Current));
                let scale = scale.transpose()?;
                self.jobs.push(Job { name: "update", launch, inputs: scale.iter().cloned().collect(), output: scale, group: update.group });
            }
        }
        Ok(())
    }

    fn within_one_arena(&self, action: &Action) -> bool {
        let Action::Copy { from, to, .. } = action else { return false };
        match (self.state.locate(*from, self.weights), self.state.locate(*to, Weights::Current)) {
            (Some((a, _)), Some((b, _))) => a == b,
            _ => false,
        }
    }

    fn range(&self, place: Place, len: usize, weights: Weights) -> Result<Range> {
        let bytes = 4 * len as u64;
        let whole = |buffer: &wgpu::Buffer| Range { buffer: buffer.clone(), offset: 0, bytes: buffer.size() };
        Ok(match place {
            Place::Slot(slot) => whole(&self.slots[slot]),
            Place::Input(at) => whole(&self.inputs[at]),
            _ => {
                let found = self.state.locate(place, weights).ok_or_else(|| Error::Device("a tensor has no place".into()))?;
                // An empty tensor is never read, but what is bound cannot be empty.
                Range { buffer: found.0.clone(), offset: found.1, bytes: bytes.max(4) }
            }
        })
    }

    fn resolve(
        &self,
        binding: &Binding,
        job: &Job,
        scratch: &[wgpu::Buffer],
        textures: &[(wgpu::TextureView, u64)],
        step: &wgpu::Buffer,
    ) -> Result<Resource> {
        let whole = |buffer: &wgpu::Buffer| Range { buffer: buffer.clone(), offset: 0, bytes: buffer.size() };
        let missing = || Error::Device(format!("{} binds what it does not have", job.name));
        Ok(Resource::Buffer(match binding {
            Binding::Texture(k) | Binding::TextureRead(k) => {
                return textures.get(*k).map(|(view, _)| Resource::Texture(view.clone())).ok_or_else(missing);
            }
            Binding::Input(k) => job.inputs.get(*k).cloned().ok_or_else(missing)?,
            Binding::Output => job.output.clone().ok_or_else(missing)?,
            Binding::Scratch(k) | Binding::ScratchRead(k) => whole(scratch.get(*k).ok_or_else(missing)?),
            Binding::Step => whole(step),
            Binding::Table(words) => whole(&self.gpu.table(words)?),
            Binding::Arena(arena) => whole(self.state.arena(job.group, *arena)),
        }))
    }
}

fn entry((number, bound): (usize, &Resource)) -> wgpu::BindGroupEntry<'_> {
    let resource = match bound {
        Resource::Buffer(range) => {
            let size = std::num::NonZeroU64::new(range.bytes);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &range.buffer, offset: range.offset, size })
        }
        Resource::Texture(view) => wgpu::BindingResource::TextureView(view),
    };
    wgpu::BindGroupEntry { binding: number as u32, resource }
}

/// The k-th length is the longest of the k-th of all lists.
fn longest_each<'a>(lists: impl Iterator<Item = &'a [usize]>) -> Vec<usize> {
    let mut lengths: Vec<usize> = Vec::new();
    for list in lists {
        lengths.resize(lengths.len().max(list.len()), 0);
        lengths.iter_mut().zip(list).for_each(|(length, &len)| *length = (*length).max(len));
    }
    lengths
}
