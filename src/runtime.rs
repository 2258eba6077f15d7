//! One face for the two executors: where a graph's persistent tensors live and how its plan is run.

use crate::cpu::{Arena, CpuProgram, CpuState};
use crate::error::Result;
use crate::graph::{Graph, Init, Plan, StateId, StateSpec, Step};
use crate::random::Draws;

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
}

impl Device {
    /// Opens `auto`, `cpu`, `gpu` or an adapter by a part of its name.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where no adapter matches.
    pub fn open(choice: &str) -> Result<Self> {
        match choice {
            "auto" | "cpu" => Ok(Self::Cpu),
            other => Err(crate::Error::Device(format!("no adapter matches {other}"))),
        }
    }

    /// Everything that can run plans.
    pub fn list() -> Vec<Listed> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let details = format!("kiln's own executor, {threads} threads, {:?} vectors", crate::cpu::simd::level());
        vec![Listed { name: "cpu".into(), details }]
    }

    /// Its name, as recipes and benches give it.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => "cpu".into(),
        }
    }
}

/// Which weights a program computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// As trained.
    Current,
    /// Their exponential moving average.
    Average,
}

/// A model's persistent tensors on a device.
pub enum State {
    /// In host memory.
    Cpu(StateSpec, CpuState<f32>),
}

impl State {
    /// All zeros.
    pub fn new(device: &Device, spec: &StateSpec) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::Cpu(spec.clone(), CpuState::new(spec))),
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
                Init::Normal(deviation) => (0..count).map(|_| deviation * draws.normal()).collect(),
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
            Self::Cpu(spec, _) => spec,
        }
    }

    /// Copies one tensor to the host.
    pub fn read(&self, id: StateId, arena: Arena) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(_, state) => Ok(state.tensor(id, arena).to_vec()),
        }
    }

    /// Overwrites one tensor.
    pub fn write(&mut self, id: StateId, arena: Arena, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(_, state) => state.tensor_mut(id, arena).copy_from_slice(values),
        }
        Ok(())
    }
}

/// A graph planned and ready to run on a device.
pub enum Program {
    /// On the CPU.
    Cpu(CpuProgram<f32>),
}

impl Program {
    /// Plans a graph, fused, and allocates its buffers.
    pub fn new(device: &Device, graph: &Graph, state: &State, weights: Weights) -> Result<Self> {
        let plan = Plan::new(graph, state.spec(), true);
        match device {
            Device::Cpu => {
                let arena = if weights == Weights::Average { Arena::Average } else { Arena::Value };
                Ok(Self::Cpu(CpuProgram::new(plan, arena)))
            }
        }
    }

    /// Fills an input; inputs that nothing depends on are ignored.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        match self {
            Self::Cpu(program) => program.write(name, values),
        }
    }

    /// Runs once.
    pub fn run(&mut self, state: &mut State, step: &Step) -> Result<()> {
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => program.run(state, step),
        }
        Ok(())
    }

    /// Copies a named result of the last run to the host.
    pub fn read(&self, state: &State, name: &str) -> Result<Vec<f32>> {
        match (self, state) {
            (Self::Cpu(program), State::Cpu(_, state)) => Ok(program.read(state, name)?.to_vec()),
        }
    }

    /// Bytes of the buffers it allocated.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Cpu(program) => program.bytes(),
        }
    }
}
