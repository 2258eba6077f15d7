//! Runs plans on the CPU.

use std::ops::Range;
use std::sync::Arc;
use web_time::Instant;

use super::Number;
use super::bands::{self, Band};
use super::optimiser::{self, Arenas};
use crate::error::{Error, Result};
use crate::graph::{Action, Eval, Place, Plan, Signature};
use crate::tensor::{Arena, Precision, Shape, StateId, StateSpec, Step};
use crate::timing::{Clock, StageTime};

const ARENAS: usize = 5;

/// A model's persistent tensors on the CPU.
#[derive(Clone, Debug)]
pub struct CpuState<T> {
    spec: StateSpec,
    groups: Vec<[Vec<T>; ARENAS]>,
}

impl<T: Number> CpuState<T> {
    /// All zeros.
    pub fn new(spec: &StateSpec) -> Self {
        let zeros = |len: usize| std::array::from_fn(|_| vec![T::default(); len]);
        Self { spec: spec.clone(), groups: spec.groups.iter().map(|g| zeros(g.len)).collect() }
    }

    /// A group's arena.
    pub fn arena(&self, group: usize, arena: Arena) -> &[T] {
        &self.groups[group][arena as usize]
    }

    /// A group's arena, to be written.
    pub fn arena_mut(&mut self, group: usize, arena: Arena) -> &mut [T] {
        &mut self.groups[group][arena as usize]
    }

    /// One tensor.
    pub fn tensor(&self, id: StateId, arena: Arena) -> &[T] {
        let spec = self.spec.spec(id);
        &self.arena(id.group, arena)[spec.offset..spec.offset + spec.shape.len()]
    }

    /// One tensor, to be written.
    pub fn tensor_mut(&mut self, id: StateId, arena: Arena) -> &mut [T] {
        let spec = self.spec.spec(id);
        let range = spec.offset..spec.offset + spec.shape.len();
        &mut self.arena_mut(id.group, arena)[range]
    }
}

/// A plan with its buffers.
#[derive(Debug)]
pub struct CpuProgram<T> {
    plan: Arc<Plan>,
    bands: Vec<Band>,
    slots: Vec<Vec<T>>,
    inputs: Vec<Vec<T>>,
    /// Which arena persistent tensors are read from.
    read_from: Arena,
    precision: Precision,
}

impl<T: Number> CpuProgram<T> {
    /// Allocates a plan's buffers. `read_from` is [`Arena::Value`], or [`Arena::Average`] to compute with averaged weights.
    pub fn new(plan: Plan, read_from: Arena) -> Self {
        // Zeros from the system take no memory before they are touched, and what is local to bands never is.
        let slots = plan.slots.iter().map(|&len| vec![T::default(); len]).collect();
        let inputs = plan.inputs.iter().map(|(_, shape)| vec![T::default(); shape.len()]).collect();
        let bands = bands::find(&plan);
        Self { plan: Arc::new(plan), bands, slots, inputs, read_from, precision: Precision::F32 }
    }

    /// The same with large products computed in another precision; in f32 all the same where this machine has no other.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of slots and inputs that a run touches.
    pub fn bytes(&self) -> usize {
        let inputs: usize = self.inputs.iter().map(Vec::len).sum();
        (inputs + bands::touched(&self.plan, &self.bands)) * size_of::<T>()
    }

    /// Fills an input.
    ///
    /// # Errors
    /// [`Error::Usage`] where the plan has no such input or it has another length.
    pub fn write(&mut self, name: &str, values: &[T]) -> Result<()> {
        let Some(at) = self.plan.inputs.iter().position(|(n, _)| n == name) else {
            // An input that nothing depends on was dropped from the plan.
            return Ok(());
        };
        let shape = &self.plan.inputs[at].1;
        if shape.len() != values.len() {
            return Err(Error::Shape(format!("input {name} is {shape}, not {} elements", values.len())));
        }
        self.inputs[at].copy_from_slice(values);
        Ok(())
    }

    /// Runs the plan once.
    pub fn run(&mut self, state: &mut CpuState<T>, step: &Step) {
        crate::parallel::among(|| self.run_observed(state, step, 0..self.plan.actions.len(), |_, _| {}));
    }

    /// Where a run may be cut at the earliest once action `at` is done: behind the actions that are carried out together with it.
    pub fn cut_behind(&self, at: usize) -> usize {
        self.bands.iter().find(|band| band.actions.contains(&at)).map_or(at + 1, |band| band.actions.end)
    }

    /// Runs some of the plan's actions, which begin and end where a run may be cut, telling `observe` the number of the first action and the
    /// seconds of each action, or of each run of actions that were carried out together.
    pub fn run_observed(&mut self, state: &mut CpuState<T>, step: &Step, actions: Range<usize>, mut observe: impl FnMut(usize, f64)) {
        let plan = Arc::clone(&self.plan);
        let mut at = actions.start;
        while at < actions.end {
            let start = Instant::now();
            let first = at;
            match self.bands.iter().find(|b| b.actions.start == at).cloned() {
                Some(band) => {
                    self.run_band(&band, &plan, state, step);
                    at = band.actions.end;
                }
                None => {
                    self.run_action(&plan.actions[at], state, &plan.step_of(at, step));
                    at += 1;
                }
            }
            observe(first, start.elapsed().as_secs_f64());
        }
    }

    /// Runs the plan once, every action by itself, and times each.
    pub fn profile(&mut self, state: &mut CpuState<T>, step: &Step) -> Vec<StageTime> {
        let plan = Arc::clone(&self.plan);
        let begun = Instant::now();
        let time = |(at, action): (usize, &Action)| {
            let start = begun.elapsed().as_secs_f64();
            self.run_action(action, state, &plan.step_of(at, step));
            let seconds = begun.elapsed().as_secs_f64() - start;
            let bytes = |elements: usize| (elements * size_of::<T>()) as u64;
            let (name, flops, bytes) = match action {
                Action::Compute { op, shapes, shape, .. } => {
                    let signature = Signature { inputs: shapes.iter().collect(), output: shape };
                    let moved = shapes.iter().map(Shape::len).sum::<usize>() + shape.len();
                    (op.name(), op.flops(&signature), bytes(moved))
                }
                Action::Copy { len, .. } => ("copy", 0, bytes(2 * len)),
                Action::Update(update) => ("update", 0, bytes(7 * state.arena(update.group, Arena::Value).len())),
            };
            StageTime { name, kernel: "cpu", start, seconds, clock: Clock::Calls, flops, bytes, choice: None }
        };
        plan.actions.iter().enumerate().map(time).collect()
    }

    fn run_band(&mut self, band: &Band, plan: &Plan, state: &mut CpuState<T>, step: &Step) {
        let mut slots = std::mem::take(&mut self.slots);
        // SAFETY: `new` found the bands in this plan and made its slots.
        let sums = unsafe { bands::run(band, plan, &mut slots, |place, shape| self.slice(state, place, shape), step, self.precision) };
        self.slots = slots;
        for (at, values) in sums {
            if let Action::Compute { output, .. } = &plan.actions[at] {
                self.store(state, *output, &values);
            }
        }
        for &at in &band.put_off {
            self.run_action(&plan.actions[at], state, step);
        }
    }

    fn run_action(&mut self, action: &Action, state: &mut CpuState<T>, step: &Step) {
        match action {
            Action::Compute { op, inputs, shapes, output, shape } => {
                let mut target = self.take(state, *output);
                let (from, len) = match *output {
                    Place::Gradient(id) => (state.spec.spec(id).offset, shape.len()),
                    _ => (0, shape.len()),
                };
                let slices = inputs.iter().zip(shapes).map(|(p, s)| self.slice(state, *p, s)).collect();
                let (shapes, output_part) = (shapes.iter().collect(), &mut target[from..from + len]);
                T::evaluate(
                    op.as_ref(),
                    Eval { inputs: slices, shapes, shape, output: output_part, step, precision: self.precision, items: None },
                );
                self.put(state, *output, target);
            }
            Action::Copy { from, to, len } => {
                let values = self.slice(state, *from, &Shape::from([*len])).to_vec();
                self.store(state, *to, &values);
            }
            Action::Update(update) => {
                // A copy: it lies in another group's arena.
                let mut scale = update.loss_scale.map(|id| state.tensor(id, Arena::Value).to_vec());
                let [value, gradient, first, second, average] = &mut state.groups[update.group];
                optimiser::update(update, Arenas { value, gradient, first, second, average }, scale.as_deref_mut(), step);
                if let (Some(id), Some(scale)) = (update.loss_scale, scale) {
                    state.tensor_mut(id, Arena::Value).copy_from_slice(&scale);
                }
            }
        }
    }

    fn store(&mut self, state: &mut CpuState<T>, place: Place, values: &[T]) {
        match place {
            Place::State(id) => state.tensor_mut(id, Arena::Value).copy_from_slice(values),
            Place::Gradient(id) => state.tensor_mut(id, Arena::Gradient).copy_from_slice(values),
            Place::Slot(slot) => self.slots[slot][..values.len()].copy_from_slice(values),
            Place::Input(_) => {}
        }
    }

    /// Reads a named result of the last run.
    ///
    /// # Errors
    /// [`Error::Usage`] where the plan has no such output.
    pub fn read<'a>(&'a self, state: &'a CpuState<T>, name: &str) -> Result<&'a [T]> {
        let found = self.plan.outputs.iter().find(|(n, ..)| n == name);
        let (_, place, shape) = found.ok_or_else(|| Error::usage(format!("the plan has no output {name}")))?;
        Ok(self.slice(state, *place, shape))
    }

    fn slice<'a>(&'a self, state: &'a CpuState<T>, place: Place, shape: &Shape) -> &'a [T] {
        match place {
            Place::Slot(slot) => &self.slots[slot][..shape.len()],
            Place::Input(at) => &self.inputs[at],
            Place::State(id) if self.read_from == Arena::Average && state.spec.spec(id).averaged => state.tensor(id, Arena::Average),
            Place::State(id) => state.tensor(id, Arena::Value),
            Place::Gradient(id) => state.tensor(id, Arena::Gradient),
        }
    }

    /// Takes the buffer an action writes out of its place, so that the others can be read meanwhile.
    fn take(&mut self, state: &mut CpuState<T>, place: Place) -> Vec<T> {
        match place {
            Place::Slot(slot) => std::mem::take(&mut self.slots[slot]),
            Place::Gradient(id) => std::mem::take(&mut state.groups[id.group][Arena::Gradient as usize]),
            Place::State(_) | Place::Input(_) => Vec::new(),
        }
    }

    fn put(&mut self, state: &mut CpuState<T>, place: Place, buffer: Vec<T>) {
        match place {
            Place::Slot(slot) => self.slots[slot] = buffer,
            Place::Gradient(id) => state.groups[id.group][Arena::Gradient as usize] = buffer,
            Place::State(_) | Place::Input(_) => {}
        }
    }
}
