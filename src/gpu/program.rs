//! A plan compiled for a device.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use web_time::Instant;

use super::build::{Buffers, Built, build};
use super::device::Gpu;
use super::dispatch::Dispatch;
use super::pacing::Pacing;
use super::state::{GpuState, Pending, Weights};
use crate::error::{Error, Result};
use crate::graph::{Action, Place, Plan, Rule, StateSpec, Step, Update};
use crate::shader::Choice;

/// Runs that may be queued at once: enough to keep the device busy, few enough that memory for commands does not grow.
const IN_FLIGHT: usize = 2;

/// What a program costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Dispatches of one run.
    pub dispatches: usize,
    /// Submits of one run, as cut at present.
    pub submits: usize,
    /// Bytes of its own buffers (the state's are apart).
    pub bytes: u64,
    /// Buffers made since the program was: staging buffers of outputs read for the first time.
    pub later_buffers: usize,
}

/// A plan compiled for a device: its buffers, kernels and bind groups are made once, and nothing is allocated in a run.
pub struct GpuProgram {
    pub(super) gpu: Gpu,
    pub(super) plan: Plan,
    pub(super) dispatches: Vec<Dispatch>,
    /// Dispatches that it takes until each action, and all before it, are done.
    ends: Vec<usize>,
    choices: Vec<Arc<Choice>>,
    buffers: Buffers,
    pacing: Pacing,
    /// Source of each readable output.
    outputs: HashMap<String, (wgpu::Buffer, u64, usize)>,
    staging: HashMap<String, wgpu::Buffer>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
}

impl std::fmt::Debug for GpuProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GpuProgram").field("gpu", &self.gpu).field("stats", &self.stats()).finish()
    }
}

impl GpuProgram {
    /// Compiles a plan over a state's tensors.
    ///
    /// # Errors
    /// [`Error::Device`] where memory or a kernel is refused.
    pub async fn new(gpu: &Gpu, plan: Plan, spec: &StateSpec, state: &GpuState, weights: Weights) -> Result<Self> {
        let Built { buffers, dispatches, ends, choices } = build(gpu, &plan, spec, state, weights)?;
        let mut outputs = HashMap::new();
        for (name, place, shape) in &plan.outputs {
            let found = match *place {
                Place::Slot(slot) => buffers.slot(slot).map(|buffer| (buffer, 0)),
                Place::Input(at) => Some((&buffers.inputs[at], 0)),
                _ => state.locate(*place, weights),
            };
            let (buffer, offset) = found.ok_or_else(|| Error::Device(format!("output {name} has no place")))?;
            outputs.insert(name.clone(), (buffer.clone(), offset, shape.len()));
        }
        gpu.settle().await?;
        let pacing = Pacing::new(dispatches.iter().map(|d| (d.flops, d.bytes)));
        let gpu = gpu.clone();
        Ok(Self { gpu, plan, dispatches, ends, choices, buffers, pacing, outputs, staging: HashMap::new(), in_flight: VecDeque::new() })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Fills an input; one that nothing depends on is ignored.
    ///
    /// # Errors
    /// [`Error::Shape`] where it has another length.
    pub fn write(&self, name: &str, values: &[f32]) -> Result<()> {
        let Some(at) = self.plan.inputs.iter().position(|(n, _)| n == name) else { return Ok(()) };
        let shape = &self.plan.inputs[at].1;
        if shape.len() != values.len() {
            return Err(Error::Shape(format!("input {name} is {shape}, not {} elements", values.len())));
        }
        self.gpu.upload(&self.buffers.inputs[at], 0, values);
        self.gpu.check()
    }

    /// Runs the plan once. Returns when the work is queued; the first runs wait, to measure how long a submit may be.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost or refused a command.
    pub async fn run(&mut self, step: &Step) -> Result<()> {
        self.run_actions(step, 0..self.plan.actions.len()).await
    }

    /// Runs some of the plan's actions; those before them were run.
    ///
    /// # Errors
    /// As [`GpuProgram::run`].
    pub async fn run_actions(&mut self, step: &Step, actions: Range<usize>) -> Result<()> {
        self.gpu.check()?;
        self.write_step(step);
        let before = |action: usize| action.checked_sub(1).map_or(0, |last| self.ends[last]);
        let (first, end) = (before(actions.start), before(actions.end));
        let mut last = None;
        for number in 0..self.pacing.chunks().len() {
            let chunk = &self.pacing.chunks()[number];
            let chunk = chunk.start.max(first)..chunk.end.min(end);
            if chunk.is_empty() {
                continue;
            }
            let start = Instant::now();
            let submission = self.submit(&self.dispatches[chunk]);
            if self.pacing.measuring() {
                self.gpu.wait(Some(submission.clone())).await?;
                self.pacing.note(number, start.elapsed().as_secs_f64());
            }
            last = Some(submission);
        }
        if actions.end == self.plan.actions.len() {
            self.pacing.end();
        }
        self.in_flight.extend(last);
        while self.in_flight.len() > IN_FLIGHT {
            let oldest = self.in_flight.pop_front();
            self.gpu.wait(oldest).await?;
        }
        self.gpu.check()
    }

    /// Waits until every run queued is done.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost or refused a command.
    pub async fn finish(&mut self) -> Result<()> {
        self.in_flight.clear();
        self.gpu.finish().await
    }

    /// Reads a named result of the last run.
    ///
    /// # Errors
    /// [`Error::Usage`] where the plan has no such output, [`Error::Device`] where the device was lost.
    pub async fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        match self.begin_read(name)? {
            Some(pending) => self.end_read(&pending).await,
            None => Ok(Vec::new()),
        }
    }

    /// Queues the copy of a named result of the last run, to be fetched by [`GpuProgram::end_read`] while later runs go on; one at a
    /// time for each name. `None` where the result is empty.
    ///
    /// # Errors
    /// As for [`GpuProgram::read`].
    pub fn begin_read(&mut self, name: &str) -> Result<Option<Pending>> {
        let found = self.outputs.get(name).ok_or_else(|| Error::usage(format!("the plan has no output {name}")))?;
        let (buffer, offset, len) = (found.0.clone(), found.1, found.2);
        if len == 0 {
            return Ok(None);
        }
        let staging = match self.staging.get(name) {
            Some(staging) => staging.clone(),
            None => {
                let staging = self.gpu.staging(len)?;
                self.staging.insert(name.to_string(), staging.clone());
                staging
            }
        };
        let bytes = 4 * len as u64;
        let copied = self.gpu.stage(&buffer, offset, &staging, bytes);
        Ok(Some(Pending { staging, bytes, copied }))
    }

    /// Queues the copy of a named result of the last run into an input of the next. An input that nothing depends on is ignored.
    ///
    /// # Errors
    /// [`Error::Usage`] where the plan has no such output, [`Error::Shape`] where they differ in length.
    pub fn carry(&self, output: &str, input: &str) -> Result<()> {
        let (buffer, offset, len) = self.outputs.get(output).ok_or_else(|| Error::usage(format!("the plan has no output {output}")))?;
        let Some(at) = self.plan.inputs.iter().position(|(n, _)| n == input) else { return Ok(()) };
        let shape = &self.plan.inputs[at].1;
        if shape.len() != *len {
            return Err(Error::Shape(format!("input {input} is {shape}, and output {output} has {len} elements")));
        }
        let to = &self.buffers.inputs[at];
        if buffer != to {
            self.gpu.stage(buffer, *offset, to, 4 * *len as u64);
        }
        self.gpu.check()
    }

    /// Waits for a result.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub async fn end_read(&self, pending: &Pending) -> Result<Vec<f32>> {
        self.gpu.collect(&pending.staging, pending.bytes, pending.copied.clone()).await
    }

    /// The variant taken of every product it computes, once for each problem.
    pub fn choices(&self) -> Vec<&Choice> {
        self.choices.iter().map(|c| (&*c.problem, c.as_ref())).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// What the program costs.
    pub fn stats(&self) -> Stats {
        Stats {
            dispatches: self.dispatches.len(),
            submits: self.pacing.chunks().len(),
            bytes: self.buffers.bytes(),
            later_buffers: self.staging.len(),
        }
    }

    fn submit(&self, dispatches: &[Dispatch]) -> wgpu::SubmissionIndex {
        let inner = self.gpu.inner();
        let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("run"), timestamp_writes: None });
        let mut current = None;
        for dispatch in dispatches {
            if current != Some(&dispatch.pipeline) {
                pass.set_pipeline(&dispatch.pipeline);
                current = Some(&dispatch.pipeline);
            }
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [x, y, z] = dispatch.groups;
            pass.dispatch_workgroups(x, y, z);
        }
        drop(pass);
        inner.queue.submit([encoder.finish()])
    }

    pub(super) fn write_step(&self, step: &Step) {
        let mut words = vec![step.seed as u32, (step.seed >> 32) as u32, step.step, step.first_item];
        words.push(step.ema_decay.to_bits());
        words.push(((1.0 - f64::from(step.ema_decay)) as f32).to_bits());
        words.extend([0, 0]);
        for (at, action) in self.plan.actions.iter().enumerate() {
            if let Action::Update(update) = action {
                let [rate, root, kept] = corrections(update, &self.plan.step_of(at, step));
                words.extend([rate.to_bits(), root.to_bits(), kept.to_bits(), 0]);
            }
        }
        self.gpu.inner().queue.write_buffer(&self.buffers.step, 0, bytemuck::cast_slice(&words));
    }
}

/// The learning rate over the first bias correction, the root of the second, and what decay leaves of a weight, in double precision:
/// 1 − βᵗ cancels in single.
fn corrections(update: &Update, step: &Step) -> [f32; 3] {
    let rate = f64::from(step.learning_rate[update.group]);
    let kept = update.kept(step) as f32;
    match update.rule {
        Rule::Adam { beta1, beta2, .. } => {
            let rest = |beta: f32| 1.0 - f64::from(beta).powi(step.updates[update.group] as i32);
            [(rate / rest(beta1)) as f32, rest(beta2).sqrt() as f32, kept]
        }
        _ => [rate as f32, 1.0, kept],
    }
}
