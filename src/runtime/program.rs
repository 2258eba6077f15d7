//! Plans, ready to run.

use std::collections::BTreeMap;
use std::ops::Range;
use web_time::Instant;

use super::state::elsewhere;
use super::{Device, Reading, State};
use crate::cpu::{Arena, CpuProgram, memory};
use crate::error::{Error, Result};
use crate::gpu::{GpuProgram, Weights};
use crate::graph::{Graph, Plan, StateSpec, Step};
use crate::timing::StageTime;

/// Where the wall time of work that was waited for went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// In the CPU executor's kernels, or waiting for the device: then with the device's idle moments between kernels.
    pub kernels: f64,
    /// Around the CPU executor's kernels, or recording and submitting; what the device does meanwhile counts here too.
    pub host: f64,
    /// Writing inputs and reading results, as the host sees it.
    pub transfers: f64,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.kernels += other.kernels;
        self.host += other.host;
        self.transfers += other.transfers;
    }
}

/// A graph planned and ready to run on a device, with buffers that are allocated once.
pub enum Program {
    /// On the CPU.
    Cpu(CpuProgram<f32>),
    /// On an adapter.
    Gpu(Box<GpuProgram>),
}

impl Program {
    /// Plans a graph, fused, and allocates its buffers.
    ///
    /// # Errors
    /// [`Error::Device`] where a tensor does not fit the device.
    pub async fn new(device: &Device, graph: &Graph, state: &State, weights: Weights) -> Result<Self> {
        let plan = Plan::new(graph, state.spec(), true);
        match (device, state) {
            (Device::Gpu(gpu), State::Gpu(spec, state)) => Ok(Self::Gpu(Box::new(GpuProgram::new(gpu, plan, spec, state, weights).await?))),
            (Device::Cpu(precision), State::Cpu(..)) => {
                check_room(&plan)?;
                let arena = if weights == Weights::Average { Arena::Average } else { Arena::Value };
                Ok(Self::Cpu(CpuProgram::new(plan, arena).with_precision(*precision)))
            }
            _ => Err(elsewhere()),
        }
    }

    /// Plans a graph of as many items as the device takes at once, `most` at most; returns their number and the graph, too. A tensor may be
    /// larger than an adapter binds or than there is memory, and half as many items need half of it.
    ///
    /// # Errors
    /// As [`Program::new`] for a single item; those of `graph`.
    pub async fn of_items(
        device: &Device,
        state: &State,
        weights: Weights,
        most: usize,
        mut graph: impl FnMut(usize) -> Result<Graph>,
    ) -> Result<(Self, Graph, usize)> {
        let mut items = most.max(1);
        loop {
            let planned = graph(items)?;
            match Self::new(device, &planned, state, weights).await {
                Ok(program) => return Ok((program, planned, items)),
                Err(Error::Device(_)) if items > 1 => items = items.div_ceil(2),
                Err(error) => return Err(error),
            }
        }
    }

    /// Refuses a graph whose buffers the host has no room for, where the device is the host; an adapter says so only when asked for them.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn check(device: &Device, graph: &Graph, spec: &StateSpec) -> Result<()> {
        if matches!(device, Device::Cpu(_)) { check_room(&Plan::new(graph, spec, true)) } else { Ok(()) }
    }

    /// Fills an input; inputs that nothing depends on are ignored.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(program) => program.write(name, values),
            Self::Gpu(program) => program.write(name, values),
        }
    }

    /// Runs once. On a GPU this returns when the work is queued.
    pub async fn run(&mut self, state: &mut State, step: &Step) -> Result<()> {
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => {
                program.run(state, step);
                Ok(())
            }
            (Self::Gpu(program), State::Gpu(..)) => program.run(step).await,
            _ => Err(elsewhere()),
        }
    }

    /// Runs some of the plan's actions, which begin and end where a run may be cut; those before them were run.
    pub(crate) async fn run_actions(&mut self, state: &mut State, step: &Step, actions: Range<usize>) -> Result<()> {
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => {
                program.run_observed(state, step, actions, |_, _| {});
                Ok(())
            }
            (Self::Gpu(program), State::Gpu(..)) => program.run_actions(step, actions).await,
            _ => Err(elsewhere()),
        }
    }

    /// Where a run may be cut at the earliest once an action is done.
    pub(crate) fn cut_behind(&self, action: usize) -> usize {
        match self {
            Self::Cpu(program) => program.cut_behind(action),
            Self::Gpu(_) => action + 1,
        }
    }

    /// What it runs.
    pub(crate) fn plan(&self) -> &Plan {
        match self {
            Self::Cpu(program) => program.plan(),
            Self::Gpu(program) => program.plan(),
        }
    }

    /// Copies a named result of the last run to the host.
    pub async fn read(&mut self, state: &State, name: &str) -> Result<Vec<f32>> {
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => Ok(program.read(state, name)?.to_vec()),
            (Self::Gpu(program), State::Gpu(..)) => program.read(name).await,
            _ => Err(elsewhere()),
        }
    }

    /// Copies several named results of the last run to the host.
    pub async fn read_all(&mut self, state: &State, names: &[impl AsRef<str>]) -> Result<Vec<Vec<f32>>> {
        let mut results = Vec::with_capacity(names.len());
        for name in names {
            results.push(self.read(state, name.as_ref()).await?);
        }
        Ok(results)
    }

    /// Copies a named result of the last run into an input of the next, on the device.
    ///
    /// # Errors
    /// [`Error::Usage`] where the plan has no such output or input, [`Error::Shape`] where they differ in length.
    pub fn carry(&mut self, state: &State, output: &str, input: &str) -> Result<()> {
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => {
                let values = program.read(state, output)?.to_vec();
                program.write(input, &values)
            }
            (Self::Gpu(program), State::Gpu(..)) => program.carry(output, input),
            _ => Err(elsewhere()),
        }
    }

    /// The kernel variant of every product, by problem; none on the CPU.
    pub fn variants(&self) -> BTreeMap<String, String> {
        match self {
            Self::Cpu(_) => BTreeMap::new(),
            Self::Gpu(program) => program.choices().iter().map(|c| (c.problem.to_string(), c.variant.to_string())).collect(),
        }
    }

    /// Starts copying a named result of the last run to the host; runs queued afterwards do not change it. One at a time for each name.
    ///
    /// # Errors
    /// [`Error::Usage`] where the plan has no such output, [`Error::Device`] where the device was lost.
    pub fn begin_read(&mut self, state: &State, name: &str) -> Result<Reading> {
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => Ok(Reading::Here(program.read(state, name)?.to_vec())),
            (Self::Gpu(program), State::Gpu(..)) => {
                Ok(program.begin_read(name)?.map_or_else(|| Reading::Here(Vec::new()), Reading::Queued))
            }
            _ => Err(elsewhere()),
        }
    }

    /// Waits for what [`Program::begin_read`] began, and for no run queued after it.
    ///
    /// # Errors
    /// [`Error::Device`] where the device was lost.
    pub async fn end_read(&self, reading: Reading) -> Result<Vec<f32>> {
        match (self, reading) {
            (_, Reading::Here(values)) => Ok(values),
            (Self::Gpu(program), Reading::Queued(pending)) => program.end_read(&pending).await,
            (Self::Cpu(_), Reading::Queued(_)) => Err(elsewhere()),
        }
    }

    /// Runs once, waits for the end, and tells where the time went.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub async fn run_timed(&mut self, state: &mut State, step: &Step) -> Result<Spent> {
        let begun = Instant::now();
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => {
                let mut kernels = 0.0;
                let all = 0..program.plan().actions.len();
                program.run_observed(state, step, all, |_, seconds| kernels += seconds);
                Ok(Spent { kernels, host: (begun.elapsed().as_secs_f64() - kernels).max(0.0), transfers: 0.0 })
            }
            (Self::Gpu(program), State::Gpu(..)) => {
                program.run(step).await?;
                let host = begun.elapsed().as_secs_f64();
                program.finish().await?;
                Ok(Spent { kernels: begun.elapsed().as_secs_f64() - host, host, transfers: 0.0 })
            }
            _ => Err(elsewhere()),
        }
    }

    /// Bytes of the buffers it allocated.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Cpu(program) => program.bytes(),
            Self::Gpu(program) => program.stats().bytes as usize,
        }
    }

    /// Runs once and times each operation or kernel apart.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub async fn profile(&mut self, state: &mut State, step: &Step) -> Result<Vec<StageTime>> {
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => Ok(program.profile(state, step)),
            (Self::Gpu(program), State::Gpu(..)) => program.profile(step).await,
            _ => Err(elsewhere()),
        }
    }

    /// Kernels and submits of one run, on a GPU.
    pub fn dispatches(&self) -> Option<(usize, usize)> {
        match self {
            Self::Cpu(_) => None,
            Self::Gpu(program) => Some((program.stats().dispatches, program.stats().submits)),
        }
    }
}

/// Refuses a plan whose buffers the host has no room for.
fn check_room(plan: &Plan) -> Result<()> {
    let inputs = plan.inputs.iter().map(|(_, shape)| shape.len());
    let elements = inputs.fold(plan.slot_elements(), usize::saturating_add) as u64;
    memory::check(elements.saturating_mul(size_of::<f32>() as u64), "a batch of this size")
}
