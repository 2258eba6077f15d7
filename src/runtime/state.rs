//! A model's persistent tensors, on whichever device.

use super::Device;
use crate::cpu::{Arena, CpuState, memory};
use crate::error::{Error, Result};
use crate::gpu::{self, GpuState};
use crate::graph::{Init, Layout, StateId, StateSpec, Stretch, TensorSpec};
use crate::random::Draws;

/// Random stream of initial weights; tensor k of a model draws at step k.
const INIT_STREAM: u32 = 0x696e_6974;

/// A result on its way to the host; see [`super::Program::begin_read`].
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
            Device::Cpu(_) => {
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
        Self::with_first(device, spec, seed, |_| true)
    }

    /// First values of what no checkpoint keeps alone, and zeros where one is about to be read.
    pub fn to_read(device: &Device, spec: &StateSpec) -> Result<Self> {
        Self::with_first(device, spec, 0, |tensor| tensor.layout == Layout::Derived)
    }

    fn with_first(device: &Device, spec: &StateSpec, seed: u64, has: impl Fn(&TensorSpec) -> bool) -> Result<Self> {
        let mut state = Self::new(device, spec)?;
        for (number, id) in spec.ids().into_iter().enumerate() {
            let tensor = spec.spec(id);
            if !has(tensor) {
                continue;
            }
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

/// What is said of weights and programs of different devices.
pub(crate) fn elsewhere() -> Error {
    Error::Device("the weights lie on another device than the program".into())
}
