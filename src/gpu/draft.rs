//! From a plan to kernels as text, what each binds, and which of them are one dispatch. Needs no device.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::schedule::{Kind, Limits, Temporary, Use, Work, schedule};
use super::state::{Weights, locate};
use crate::error::{Error, Result};
use crate::graph::{Action, Place, Plan, Signature, StateSpec};
use crate::op::launch;
use crate::parallel::prelude::*;
use crate::shader::{Access, Binding, Choice, Launch, Part, Share, Target, expand, merge};
use crate::tensor::Arena;

/// Kernels that take few registers and little workgroup memory: any of them may share a dispatch.
const LIGHT: [&str; 9] = ["map", "reduce", "copy", "conv_parts", "gate", "concat_elu", "group_norm", "mixture", "product"];
const LIGHT_FAMILY: &str = "light";
/// Products, which share a dispatch with others of the same form.
const PRODUCTS: [&str; 5] = ["conv", "conv_direct", "conv_dot", "conv_weight", "attention"];
/// Kernels in one dispatch at most, light ones and products: each is a branch of its text, and products are long.
const MOST: [usize; 2] = [32, 4];
/// Workgroups up to which a light kernel may go with products: they would not fill an adapter.
const FEW_GROUPS: u64 = 64;
/// Workgroups from which a product fills an adapter by itself.
const ENOUGH_GROUPS: u64 = 1024;

/// Something that kernels bind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Memory {
    /// A tensor of so many elements that lives within a run, by its number.
    Temporary(usize, usize),
    /// An input of the plan.
    Input(usize),
    /// A group's arena.
    Arena(usize, Arena),
    /// A constant table.
    Table(Arc<[u32]>),
    /// The step's numbers.
    Step,
    /// A storage texture.
    Texture(usize),
}

/// A part of a memory, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Region {
    pub(super) memory: usize,
    /// First byte.
    pub(super) offset: u64,
    /// Bytes; `None` for all.
    pub(super) bytes: Option<u64>,
}

/// One dispatch.
#[derive(Clone, Debug)]
pub(super) struct Drafted {
    /// The operation; `merged` for several.
    pub(super) name: &'static str,
    /// The file under `shaders/`; `merged` for several.
    pub(super) kernel: &'static str,
    pub(super) text: String,
    pub(super) bound: Vec<(Region, Access)>,
    pub(super) groups: [u32; 3],
    pub(super) flops: u64,
    pub(super) bytes: u64,
    pub(super) choice: Option<Arc<Choice>>,
}

/// A plan as dispatches.
pub(super) struct Draft {
    pub(super) memories: Vec<Memory>,
    /// Lengths of the buffers that temporary tensors share over time, and the one of each memory that is temporary.
    pub(super) slots: Vec<usize>,
    pub(super) slot_of: Vec<Option<usize>>,
    /// Texels of each texture.
    pub(super) texels: Vec<usize>,
    pub(super) dispatches: Vec<Drafted>,
    /// Numbers of the kernels of each dispatch, as they come where each has a dispatch of its own.
    pub(super) order: Vec<Vec<usize>>,
    /// Dispatches that it takes until each action, and all before it, are done.
    pub(super) ends: Vec<usize>,
    /// The memory that each of the plan's slots is in the end.
    pub(super) last: Vec<Option<usize>>,
    /// Updates of the plan.
    pub(super) updates: usize,
    /// The variant taken of every launch that has several.
    pub(super) choices: Vec<Arc<Choice>>,
}

impl Draft {
    /// Drafts a plan. Small kernels are merged into dispatches of so many storage buffers at most, or not at all.
    ///
    /// # Errors
    /// [`Error::Device`] where a kernel's template is at fault.
    pub(super) fn new(plan: &Plan, spec: &StateSpec, weights: Weights, target: &Target, merged: Option<usize>) -> Result<Self> {
        let mut drafter = Drafter::new(plan, spec, weights, target);
        for (at, action) in plan.actions.iter().enumerate() {
            drafter.action(at, action)?;
        }
        let outputs = plan.outputs.iter().filter_map(|(_, place, _)| match place {
            Place::Slot(slot) => drafter.current[*slot],
            _ => None,
        });
        let outputs: Vec<usize> = outputs.collect();
        let temporary = |(at, memory): (usize, &Memory)| match memory {
            Memory::Temporary(_, len) => Some(Temporary { bytes: 4 * *len as u64, kept: outputs.contains(&at) }),
            _ => None,
        };
        let temporaries: Vec<Option<Temporary>> = drafter.memories.iter().enumerate().map(temporary).collect();
        let order = match merged {
            Some(bound) => {
                let limits = Limits { bound, workgroup_bytes: target.workgroup_bytes };
                schedule(&drafter.works(), &temporaries, limits)
            }
            None => (0..drafter.stages.len()).map(|at| vec![at]).collect(),
        };
        let mut ends = vec![0; plan.actions.len()];
        for (number, at) in order.iter().enumerate().flat_map(|(number, group)| group.iter().map(move |at| (number, *at))) {
            let end: &mut usize = &mut ends[drafter.stages[at].action];
            *end = (*end).max(number + 1);
        }
        let done = ends.into_iter().scan(0, |done, end| {
            *done = end.max(*done);
            Some(*done)
        });
        let ends = done.collect();
        let (slots, slot_of) = drafter.slots(&temporaries, &order);
        let dispatches = drafter.dispatches(&order)?;
        let choices = drafter.stages.iter().filter_map(|staged| staged.drafted.choice.clone()).collect();
        let Drafter { memories, current: last, texels, updates, .. } = drafter;
        Ok(Self { memories, slots, slot_of, texels, dispatches, order, ends, last, updates, choices })
    }
}

/// One stage of a launch.
struct Staged {
    action: usize,
    is_update: bool,
    drafted: Drafted,
    /// What it is where it may be merged.
    part: Option<(Kind, Arc<Part>)>,
}

/// What a launch's bindings stand for.
#[derive(Default)]
struct Job {
    name: &'static str,
    inputs: Vec<Region>,
    output: Option<Region>,
    /// The optimiser group of an update.
    group: Option<usize>,
    scratch: Vec<usize>,
}

struct Drafter<'a> {
    spec: &'a StateSpec,
    target: &'a Target,
    weights: Weights,
    memories: Vec<Memory>,
    known: HashMap<Memory, usize>,
    /// The memory that each of the plan's slots is now.
    current: Vec<Option<usize>>,
    texels: Vec<usize>,
    stages: Vec<Staged>,
    parts: HashMap<String, Option<Arc<Part>>>,
    updates: usize,
}

/// What kernels bind of which type: a region, how it is used, and as what.
type Port = (Region, Access, String);

impl<'a> Drafter<'a> {
    fn new(plan: &Plan, spec: &'a StateSpec, weights: Weights, target: &'a Target) -> Self {
        let (memories, known, parts, texels, stages) = Default::default();
        Self { spec, target, weights, memories, known, current: vec![None; plan.slots.len()], texels, stages, parts, updates: 0 }
    }

    fn action(&mut self, at: usize, action: &Action) -> Result<()> {
        match action {
            Action::Compute { op, inputs, shapes, output, shape } => {
                let launch = op.launch(&Signature { inputs: shapes.iter().collect(), output: shape }, self.target);
                let inputs = inputs.iter().zip(shapes).map(|(p, s)| self.region(*p, s.len(), self.weights)).collect::<Result<_>>()?;
                if let Place::Slot(slot) = output {
                    self.current[*slot] = Some(self.temporary(shape.len().max(1)));
                }
                let output = Some(self.region(*output, shape.len(), self.weights)?);
                self.stage(at, launch, Job { name: op.name(), inputs, output, ..Job::default() })
            }
            Action::Copy { from, to, len } => {
                let source = self.region(*from, *len, self.weights)?;
                let goal = self.region(*to, *len, Weights::Current)?;
                let launch = launch::copy(*len, self.target);
                let job = |from, to| Job { name: "copy", inputs: vec![from], output: Some(to), ..Job::default() };
                // A kernel cannot both read and write one buffer.
                if source.memory == goal.memory {
                    let between = whole(self.temporary(*len));
                    self.stage(at, launch.clone(), job(source, between))?;
                    return self.stage(at, launch, job(between, goal));
                }
                self.stage(at, launch, job(source, goal))
            }
            Action::Update(update) => {
                let launch = launch::update(update, self.updates, self.spec.groups[update.group].len, self.target);
                self.updates += 1;
                let scale = update.loss_scale.map(|id| self.region(Place::State(id), self.spec.spec(id).shape.len(), Weights::Current));
                let scale = scale.transpose()?;
                let inputs = scale.iter().copied().collect();
                self.stage(at, launch, Job { name: "update", inputs, output: scale, group: Some(update.group), ..Job::default() })
            }
        }
    }

    fn stage(&mut self, action: usize, launch: Launch, mut job: Job) -> Result<()> {
        job.scratch = launch.scratch.iter().map(|&len| self.temporary(len)).collect();
        self.texels.resize(self.texels.len().max(launch.textures.len()), 0);
        self.texels.iter_mut().zip(&launch.textures).for_each(|(most, &texels)| *most = texels.max(*most));
        let choice = launch.choice.map(Arc::new);
        for stage in launch.stages {
            let text = expand(stage.kernel, &stage.defines)?;
            let bound = stage.bindings.iter().map(|binding| Ok((self.resolve(binding, &job)?, binding.access())));
            let bound = bound.collect::<Result<Vec<_>>>()?;
            let groups: u64 = stage.groups.iter().map(|&g| u64::from(g)).product();
            let family = match stage.kernel {
                _ if job.group.is_some() => None,
                kernel if LIGHT.contains(&kernel) => Some((LIGHT_FAMILY, MOST[0])),
                kernel if PRODUCTS.contains(&kernel) && groups < ENOUGH_GROUPS => Some((kernel, MOST[1])),
                _ => None,
            };
            let part = family.and_then(|(family, most)| {
                let part = self.parts.entry(text.clone()).or_insert_with_key(|text| Part::of(text).map(Arc::new)).clone()?;
                Some((Kind { family, threads: part.threads, most }, part))
            });
            let (name, kernel, groups, choice) = (job.name, stage.kernel, stage.groups, choice.clone());
            let drafted = Drafted { name, kernel, text, bound, groups, flops: stage.flops, bytes: stage.bytes, choice };
            self.stages.push(Staged { action, is_update: job.group.is_some(), drafted, part });
        }
        Ok(())
    }

    fn resolve(&mut self, binding: &Binding, job: &Job) -> Result<Region> {
        let missing = || Error::Device(format!("{} binds what it does not have", job.name));
        let memory = match binding {
            Binding::Input(k) => return job.inputs.get(*k).copied().ok_or_else(missing),
            Binding::Output => return job.output.ok_or_else(missing),
            Binding::Scratch(k) | Binding::ScratchRead(k) => *job.scratch.get(*k).ok_or_else(missing)?,
            Binding::Texture(k) | Binding::TextureRead(k) => self.memory(Memory::Texture(*k)),
            Binding::Step => self.memory(Memory::Step),
            Binding::Table(words) => self.memory(Memory::Table(Arc::clone(words))),
            Binding::Arena(arena) => self.memory(Memory::Arena(job.group.ok_or_else(missing)?, *arena)),
        };
        Ok(whole(memory))
    }

    fn region(&mut self, place: Place, len: usize, weights: Weights) -> Result<Region> {
        let missing = || Error::Device("a tensor has no place".into());
        Ok(match place {
            Place::Slot(slot) => whole(self.current[slot].ok_or_else(missing)?),
            Place::Input(at) => whole(self.memory(Memory::Input(at))),
            Place::State(_) | Place::Gradient(_) => {
                let (group, arena, offset) = locate(self.spec, place, weights).ok_or_else(missing)?;
                // An empty tensor is never read, but what is bound cannot be empty.
                Region { memory: self.memory(Memory::Arena(group, arena)), offset, bytes: Some(4 * len.max(1) as u64) }
            }
        })
    }

    fn temporary(&mut self, len: usize) -> usize {
        self.memory(Memory::Temporary(self.memories.len(), len))
    }

    fn memory(&mut self, memory: Memory) -> usize {
        let number = self.memories.len();
        *self.known.entry(memory).or_insert_with_key(|memory| {
            self.memories.push(memory.clone());
            number
        })
    }

    /// The stages as the schedule sees them.
    fn works(&self) -> Vec<Work> {
        let mut numbers: HashMap<Port, usize> = HashMap::new();
        let mut arrays: HashMap<[String; 2], usize> = HashMap::new();
        let work = |staged: &Staged| {
            let uses = staged.drafted.bound.iter().map(|(region, access)| {
                let range = region.bytes.map_or(0..u64::MAX, |bytes| region.offset..region.offset + bytes);
                Use { memory: region.memory, range, writes: matches!(access, Access::ReadWrite | Access::TextureWrite) }
            });
            let types = staged.part.iter().flat_map(|(_, part)| &part.types);
            let own = staged.drafted.bound.iter().zip(types).map(|(&(region, access), ty)| {
                let next = numbers.len();
                *numbers.entry((region, access, ty.clone())).or_insert(next)
            });
            let ports = own.collect();
            let own = staged.part.iter().flat_map(|(_, part)| &part.arrays).map(|(array, bytes)| {
                let next = arrays.len();
                (*arrays.entry(array.clone()).or_insert(next), *bytes)
            });
            let own = own.collect();
            let kind = staged.part.as_ref().map(|(kind, _)| *kind);
            let groups: u64 = staged.drafted.groups.iter().map(|&g| u64::from(g)).product();
            let small = kind.is_some_and(|kind| kind.family == LIGHT_FAMILY) && groups <= FEW_GROUPS;
            Work { uses: uses.collect(), ports, arrays: own, kind, small, ends: staged.is_update }
        };
        self.stages.iter().map(work).collect()
    }

    /// Lengths of the buffers of all temporary memories, and which of them each lies in: the longest first, each where it meets no other.
    fn slots(&self, temporaries: &[Option<Temporary>], order: &[Vec<usize>]) -> (Vec<usize>, Vec<Option<usize>>) {
        let mut lives: Vec<Option<[usize; 2]>> = vec![None; self.memories.len()];
        for (number, group) in order.iter().enumerate() {
            for (region, _) in group.iter().flat_map(|&at| &self.stages[at].drafted.bound) {
                lives[region.memory].get_or_insert([number; 2])[1] = number;
            }
        }
        let mut all: Vec<(usize, usize, [usize; 2])> = Vec::new();
        for (at, memory) in self.memories.iter().enumerate() {
            if let (Memory::Temporary(_, len), Some(Temporary { kept, .. }), Some([first, last])) = (memory, temporaries[at], lives[at]) {
                all.push((*len, at, [first, if kept { order.len() } else { last }]));
            }
        }
        all.sort_by_key(|&(len, at, _)| (Reverse(len), at));
        let mut slots: Vec<(usize, Vec<[usize; 2]>)> = Vec::new();
        let mut slot_of = vec![None; self.memories.len()];
        for (len, at, [first, last]) in all {
            let free = |(_, taken): &(usize, Vec<[usize; 2]>)| taken.iter().all(|[from, to]| last < *from || *to < first);
            // The shortest that does, which is the one made last.
            let slot = slots.iter().rposition(free).unwrap_or_else(|| {
                slots.push((len, Vec::new()));
                slots.len() - 1
            });
            slots[slot].1.push([first, last]);
            slot_of[at] = Some(slot);
        }
        (slots.into_iter().map(|(len, _)| len).collect(), slot_of)
    }

    fn dispatches(&self, order: &[Vec<usize>]) -> Result<Vec<Drafted>> {
        let dispatches: Vec<Result<Drafted>> = order.to_vec().into_par_iter().map(|group| self.dispatch(&group)).collect();
        dispatches.into_iter().collect()
    }

    fn dispatch(&self, group: &[usize]) -> Result<Drafted> {
        let staged: Vec<&Staged> = group.iter().map(|&at| &self.stages[at]).collect();
        if let [one] = staged[..] {
            return Ok(one.drafted.clone());
        }
        let mut ports: Vec<Port> = Vec::new();
        let mut shares = Vec::with_capacity(staged.len());
        for one in &staged {
            let (_, part) = one.part.as_ref().ok_or_else(|| Error::Device(format!("{} cannot be merged", one.drafted.kernel)))?;
            let own = one.drafted.bound.iter().zip(&part.types).map(|(&(region, access), ty)| {
                let port = (region, access, ty.clone());
                let known = ports.iter().position(|p| *p == port);
                known.unwrap_or_else(|| {
                    ports.push(port);
                    ports.len() - 1
                })
            });
            shares.push(Share { part, bindings: own.collect(), groups: one.drafted.groups });
        }
        let (text, groups) = merge(&shares)?;
        let sum = |of: fn(&Drafted) -> u64| staged.iter().map(|one| of(&one.drafted)).sum();
        let bound = ports.into_iter().map(|(region, access, _)| (region, access)).collect();
        let (name, kernel) = ("merged", "merged");
        Ok(Drafted { name, kernel, text, bound, groups, flops: sum(|d| d.flops), bytes: sum(|d| d.bytes), choice: None })
    }
}

fn whole(memory: usize) -> Region {
    Region { memory, offset: 0, bytes: None }
}
