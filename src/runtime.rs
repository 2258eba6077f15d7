//! One face for the two executors: where a graph's persistent tensors live and how its plan is run.

use std::collections::BTreeMap;
use std::ops::Range;
use web_time::Instant;

use crate::cpu::{Arena, CpuProgram, CpuState, memory};
use crate::error::{Error, Result};
use crate::gpu::{self, Choice, Gpu, GpuProgram, GpuState, Options};
use crate::graph::{Graph, Init, Plan, StateId, StateSpec, Step, Stretch};
use crate::native::simd;
use crate::random::Draws;
use crate::shader::{Choices, Precision};

/// Random stream of initial weights; tensor k of a model draws at step k.
const INIT_STREAM: u32 = 0x696e_6974;

/// Something that can run plans, for a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name, as `--device` takes it.
    pub name: String,
    /// What it is.
    pub details: String,
}

/// What runs the plans.
#[derive(Clone)]
pub enum Device {
    /// The CPU executor.
    Cpu,
    /// A GPU adapter, or a software driver asked for.
    Gpu(Gpu),
}

impl Device {
    /// Opens `auto` (a real GPU, else the CPU executor), `cpu`, `gpu` (any adapter, a software driver too), a device by its place in
    /// [`Device::list`] (a number of one or two digits: longer ones are of names) or an adapter by a part of its name.
    ///
    /// # Errors
    /// [`Error::Device`] where there is no adapter, [`Error::Usage`] where none has the name, or where `KILN_SIMD` names no vectors of
    /// this machine.
    pub async fn open(choice: &str) -> Result<Self> {
        Self::open_equal(choice, 0).await
    }

    /// The same; of several equal adapters that are meant, the one with this number, modulo how many they are: so ranks of one machine take
    /// one each.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub async fn open_equal(choice: &str, number: usize) -> Result<Self> {
        let open = async |choice| {
            let gpu = Gpu::open(&choice, Options { number, ..Options::default() }).await?;
            if gpu.description().is_cpu {
                let name = &gpu.description().name;
                log::warn!(
                    "{name} is a software driver on the CPU; --device cpu was 9 and 31 times as fast where both were timed (docs/benchmarks.md)"
                );
            }
            Ok(Self::Gpu(gpu))
        };
        // Every device has work for the host's vectors.
        simd::choose()?;
        match choice {
            "cpu" => Ok(Self::Cpu),
            "gpu" => open(Choice::Any).await,
            "auto" => match open(Choice::Hardware).await {
                Ok(gpu) => Ok(gpu),
                Err(reason) => {
                    log::info!("auto takes the CPU: {reason}");
                    Ok(Self::Cpu)
                }
            },
            name => match name.parse::<usize>().ok().filter(|_| name.len() <= 2) {
                Some(number) if number == gpu::adapters().await.len() => Ok(Self::Cpu),
                Some(number) => open(Choice::Numbered(number)).await,
                None => open(Choice::Named(name.to_string())).await,
            },
        }
    }

    /// Everything that can run plans: adapters, then kiln's own executor.
    pub async fn list() -> Vec<Listed> {
        let adapter = |a: gpu::AdapterDescription| Listed {
            details: format!(
                "{} · {} · {} · kernels see {} MiB at once · {} KiB workgroup memory · subgroups {}–{} · {}",
                a.backend,
                a.kind,
                a.driver,
                a.max_binding >> 20,
                a.workgroup_memory >> 10,
                a.subgroup[0],
                a.subgroup[1],
                a.features.join(", ")
            ),
            name: a.name,
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let details = format!("kiln's own executor · {threads} threads · {} vectors", simd::level().name());
        gpu::adapters().await.into_iter().map(adapter).chain([Listed { name: "cpu".into(), details }]).collect()
    }

    /// The same device with the given choices of kernel variants, where it has kernels.
    pub fn with_choices(&self, choices: Choices) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Gpu(gpu) => Self::Gpu(gpu.with_choices(choices)),
        }
    }

    /// The same device with products computed in another precision.
    ///
    /// # Errors
    /// [`Error::Usage`] where it cannot.
    pub async fn with_precision(&self, precision: Precision) -> Result<Self> {
        match (self, precision) {
            (Self::Cpu, Precision::F32) => Ok(Self::Cpu),
            (Self::Cpu, Precision::Mixed) => {
                Err(Error::usage("precision mixed needs a GPU with cooperative matrices; the CPU executor computes in f32"))
            }
            (Self::Gpu(gpu), _) => gpu.with_precision(precision).await.map(Self::Gpu),
        }
    }

    /// What products are computed in.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Gpu(gpu) if gpu.target().matrices.is_some() => Precision::Mixed,
            _ => Precision::F32,
        }
    }

    /// Its name, as recipes and benches give it.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => "cpu".into(),
            Self::Gpu(gpu) => gpu.description().name.clone(),
        }
    }
}

pub use crate::gpu::Weights;
pub use crate::timing::{Clock, StageTime};

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

/// A result on its way to the host; see [`Program::begin_read`].
pub enum Reading {
    /// Copied already.
    Here(Vec<f32>),
    /// Queued behind the run it is a result of.
    Queued(gpu::Pending),
}

/// A model's persistent tensors on a device.
pub enum State {
    /// In host memory.
    Cpu(StateSpec, CpuState<f32>),
    /// In the adapter's memory.
    Gpu(StateSpec, GpuState),
}

impl State {
    /// All zeros.
    pub fn new(device: &Device, spec: &StateSpec) -> Result<Self> {
        match device {
            Device::Cpu => {
                let elements = spec.elements();
                // Values, gradients, two moments and an average.
                memory::check((elements as u64).saturating_mul(5 * size_of::<f32>() as u64), "the model")?;
                Ok(Self::Cpu(spec.clone(), CpuState::new(spec)))
            }
            Device::Gpu(gpu) => Ok(Self::Gpu(spec.clone(), GpuState::new(gpu, spec)?)),
        }
    }

    /// First values, drawn from a seed; averages start equal to the weights.
    pub fn initial(device: &Device, spec: &StateSpec, seed: u64) -> Result<Self> {
        let mut state = Self::new(device, spec)?;
        for (number, id) in spec.ids().into_iter().enumerate() {
            let tensor = spec.spec(id);
            let mut draws = Draws::new(seed, INIT_STREAM, number as u32);
            let count = tensor.shape.len();
            let values: Vec<f32> = match &tensor.init {
                Init::Constant(value) => vec![*value; count],
                Init::Uniform(bound) => (0..count).map(|_| draws.range(-bound, *bound)).collect(),
                Init::UniformMasked(bound, mask) => mask.iter().map(|m| draws.range(-bound, *bound) * m).collect(),
                Init::UniformAround(bound, centre) => centre.iter().map(|c| c + draws.range(-bound, *bound)).collect(),
                Init::Normal(deviation) => (0..count).map(|_| deviation * draws.normal()).collect(),
                Init::NearOne(deviation) => (0..count).map(|_| 1.0 + deviation * draws.normal()).collect(),
                Init::Values(values) => values.clone(),
            };
            state.write(id, Arena::Value, &values)?;
            state.write(id, Arena::Average, &values)?;
        }
        Ok(state)
    }

    /// What it holds.
    pub fn spec(&self) -> &StateSpec {
        match self {
            Self::Cpu(spec, _) | Self::Gpu(spec, _) => spec,
        }
    }

    /// Copies one tensor to the host.
    pub async fn read(&self, id: StateId, arena: Arena) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(_, state) => Ok(state.tensor(id, arena).to_vec()),
            Self::Gpu(_, state) => state.read_tensor(id, arena).await,
        }
    }

    /// Waits for what was read of arenas.
    pub(crate) async fn end_read(&self, reading: Reading) -> Result<Vec<f32>> {
        match (self, reading) {
            (_, Reading::Here(values)) => Ok(values),
            (Self::Gpu(_, state), Reading::Queued(pending)) => state.end_read(&pending).await,
            (Self::Cpu(..), Reading::Queued(_)) => Err(elsewhere()),
        }
    }

    /// Overwrites stretches of arenas, one after another.
    pub(crate) fn write_stretches(&mut self, stretches: &[Stretch], values: &[f32]) -> Result<()> {
        match self {
            Self::Gpu(_, state) => state.write_stretches(stretches, values),
            Self::Cpu(_, state) => {
                let mut values = values;
                for Stretch { group, arena, range } in stretches {
                    let (these, rest) = values.split_at(range.len());
                    state.arena_mut(*group, *arena)[range.clone()].copy_from_slice(these);
                    values = rest;
                }
                Ok(())
            }
        }
    }

    /// Overwrites one tensor.
    pub fn write(&mut self, id: StateId, arena: Arena, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(_, state) => {
                state.tensor_mut(id, arena).copy_from_slice(values);
                Ok(())
            }
            Self::Gpu(_, state) => state.write_tensor(id, arena, values),
        }
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
            (Device::Cpu, State::Cpu(..)) => {
                check_room(&plan)?;
                let arena = if weights == Weights::Average { Arena::Average } else { Arena::Value };
                Ok(Self::Cpu(CpuProgram::new(plan, arena)))
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
        if matches!(device, Device::Cpu) { check_room(&Plan::new(graph, spec, true)) } else { Ok(()) }
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

/// What is said of weights and programs of different devices.
pub(crate) fn elsewhere() -> Error {
    Error::Device("the weights lie on another device than the program".into())
}
