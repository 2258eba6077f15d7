//! Lanes: a step that is taken by equal shares of its batch, one after another or on different ranks, with the same bits either way.
//!
//! Each lane goes through the same plan with items of its own. Before every update of the weights lanes agree: what the update reads (the
//! gradients) and what the lanes have overwritten (running statistics, sums of earlier passes) is replaced by its mean, taken up a tree that
//! depends on the number of lanes alone. Then every rank updates for itself. What is ready while the last lane of a rank is still at its
//! backward pass goes on its way meanwhile.

use std::collections::VecDeque;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu;
use crate::graph::{Graph, Part, Step, Stretch};
use crate::ranks::{Promise, Ranks, Tree};
use crate::runtime::{Device, Program, Reading, State, Weights, elsewhere};
use crate::tensor::Arena;

/// Elements that are worth an exchange of their own.
const BUCKET: usize = 1 << 18;

/// Parts of a backward pass that are queued before what the first of them made ready is fetched.
const AHEAD: usize = 2;

/// A plan that lanes go through.
pub struct Lanes {
    /// One for each lane of this rank where the plan has several parts, since lanes wait for each other in between; else one for all.
    programs: Vec<Program>,
    /// What is agreed on, part by part; nothing where there is one lane.
    parts: Vec<Agreement>,
    lanes: usize,
    ranks: Ranks,
}

/// What lanes agree on at the end of a part.
struct Agreement {
    part: Part,
    /// In the order in which they are ready.
    gradients: Vec<Bucket>,
    assigned: Bucket,
}

/// Tensors that are exchanged together.
struct Bucket {
    /// The action before which they are whole.
    ready: usize,
    stretches: Vec<Stretch>,
    /// Where a device's values are read to: for two lanes in turn, so that one is fetched while the next is computed.
    staging: [Option<gpu::Staging>; 2],
    /// The sum over this rank's lanes.
    tree: Tree,
    /// The sum over all.
    sum: Option<Promise<Vec<f32>>>,
    /// Memory to read into.
    spare: Vec<f32>,
}

/// What lanes tell of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// The means of the values that were asked for; nothing where one lane does the step, whose program is asked.
    pub values: Option<Vec<f32>>,
    /// Whether any rank raised its flag.
    pub flag: bool,
}

impl Lanes {
    /// Plans one lane's graph for all lanes of this rank. There are as many as a power of two says, and ranks share them evenly.
    ///
    /// # Errors
    /// [`Error::Device`] where a tensor does not fit the device; [`Error::Usage`] where ranks cannot share the lanes.
    pub async fn new(device: &Device, graph: &Graph, state: &State, lanes: usize, ranks: &Ranks) -> Result<Self> {
        let count = ranks.count();
        if !lanes.is_power_of_two() || !lanes.is_multiple_of(count) {
            return Err(Error::usage(format!("{count} ranks cannot share {lanes} lanes evenly; start 1, 2, 4 … ranks, at most {lanes}")));
        }
        let first = Program::new(device, graph, state, Weights::Current).await?;
        let (mut programs, mut parts) = (vec![first], Vec::new());
        if lanes > 1 {
            let cut = programs[0].plan().parts();
            let own = if cut.len() > 1 { lanes / count } else { 1 };
            for _ in 1..own {
                programs.push(Program::new(device, graph, state, Weights::Current).await?);
            }
            parts = cut.into_iter().map(|part| Agreement::new(part, &programs[0], state)).collect::<Result<_>>()?;
        }
        Ok(Self { programs, parts, lanes, ranks: ranks.clone() })
    }

    /// The numbers of this rank's lanes.
    pub fn own(lanes: usize, ranks: &Ranks) -> Range<usize> {
        let own = lanes / ranks.count();
        ranks.rank() * own..(ranks.rank() + 1) * own
    }

    /// The program, where one lane does the step: to read results of, and to ask for its kernels.
    pub fn program(&mut self) -> &mut Program {
        &mut self.programs[0]
    }

    /// The same, to look at.
    pub fn first(&self) -> &Program {
        &self.programs[0]
    }

    /// Takes a step. `fill` writes a lane's inputs and returns its counters; of `wanted` outputs the means over lanes of their first values
    /// are told; `flag` is raised on all ranks where one raises it.
    ///
    /// # Errors
    /// Those of `fill`, of the device, and of a rank that is gone.
    pub async fn run(
        &mut self,
        state: &mut State,
        mut fill: impl FnMut(&mut Program, usize) -> Result<Step>,
        wanted: &[&str],
        flag: bool,
    ) -> Result<Told> {
        if self.parts.is_empty() {
            let step = fill(&mut self.programs[0], 0)?;
            self.programs[0].run(state, &step).await?;
            return Ok(Told { values: None, flag });
        }
        let own = Self::own(self.lanes, &self.ranks);
        let mut steps = vec![Step::default(); own.len()];
        let (mut values, mut raised) = (Tree::default(), flag);
        let mut parts = std::mem::take(&mut self.parts);
        let ends = parts.len();
        for (number, agreement) in parts.iter_mut().enumerate() {
            let last = number + 1 == ends;
            let before = agreement.assigned.values(state, own.len() > 1).await?;
            let mut reading: VecDeque<Vec<Reading>> = VecDeque::new();
            for (at, lane) in own.clone().enumerate() {
                let which = if self.programs.len() > 1 { at } else { 0 };
                let program = &mut self.programs[which];
                if number == 0 {
                    steps[at] = fill(program, lane)?;
                }
                if let (true, Some(before)) = (at > 0, &before) {
                    state.write_stretches(&agreement.assigned.stretches, before)?;
                }
                if lane + 1 < own.end {
                    program.run_actions(state, &steps[at], agreement.part.actions.clone()).await?;
                    reading.push_back(agreement.begin(state, at % 2)?);
                    if at > 0 {
                        agreement.end(state, reading.pop_front()).await?;
                    }
                } else {
                    agreement.end(state, reading.pop_front()).await?;
                    let raise = last.then_some(flag);
                    agreement.finish(program, state, &steps[at], (at % 2, &self.ranks), raise).await?;
                }
                if last && !wanted.is_empty() {
                    values.add(told(program, state, wanted).await?);
                }
            }
            raised |= agreement.settle(state, self.lanes, last).await?;
            // The counters of an update are those of any lane.
            self.programs[0].run_actions(state, &steps[0], agreement.part.updates.clone()).await?;
        }
        self.parts = parts;
        let values = match values.whole() {
            Some(values) => {
                let sum = self.ranks.sum(values)?.wait()?;
                Some(sum.into_iter().map(|v| v / self.lanes as f32).collect())
            }
            None => None,
        };
        Ok(Told { values, flag: raised })
    }
}

/// The first values of a program's outputs.
async fn told(program: &mut Program, state: &State, wanted: &[&str]) -> Result<Vec<f32>> {
    let all = program.read_all(state, wanted).await?;
    Ok(all.into_iter().map(|values| values.first().copied().unwrap_or(f32::NAN)).collect())
}

impl Agreement {
    fn new(part: Part, program: &Program, state: &State) -> Result<Self> {
        let mut gradients: Vec<Bucket> = Vec::new();
        let (mut ids, mut len) = (Vec::new(), 0);
        for (number, (written, id)) in part.gradients.iter().enumerate() {
            ids.push(*id);
            len += state.spec().spec(*id).shape.len();
            let ready = program.cut_behind(*written);
            // Tensors that are ready at one time go together.
            let whole = part.gradients.get(number + 1).is_none_or(|(next, _)| program.cut_behind(*next) > ready && len >= BUCKET);
            if whole {
                gradients.push(Bucket::new(ready, state.spec().stretches(&ids, Arena::Gradient), state)?);
                (ids, len) = (Vec::new(), 0);
            }
        }
        let assigned = Bucket::new(part.actions.end, state.spec().stretches(&part.assigned, Arena::Value), state)?;
        Ok(Self { part, gradients, assigned })
    }

    fn buckets(&mut self) -> impl Iterator<Item = &mut Bucket> {
        self.gradients.iter_mut().chain([&mut self.assigned])
    }

    /// Begins to read what a lane made of it.
    fn begin(&mut self, state: &State, side: usize) -> Result<Vec<Reading>> {
        self.buckets().map(|bucket| bucket.begin(state, side)).collect()
    }

    /// Adds what was read to the sums.
    async fn end(&mut self, state: &State, readings: Option<Vec<Reading>>) -> Result<()> {
        for (bucket, reading) in self.buckets().zip(readings.into_iter().flatten()) {
            bucket.tree.add(state.end_read(reading).await?);
        }
        Ok(())
    }

    /// Carries the last lane of a rank through the part, and sends what is ready on its way while the rest is computed.
    async fn finish(
        &mut self,
        program: &mut Program,
        state: &mut State,
        step: &Step,
        (side, ranks): (usize, &Ranks),
        raise: Option<bool>,
    ) -> Result<()> {
        let mut queued: VecDeque<(usize, Reading)> = VecDeque::new();
        let mut at = self.part.actions.start;
        for number in 0..self.gradients.len() {
            let ready = self.gradients[number].ready.min(self.part.actions.end);
            program.run_actions(state, step, at..ready).await?;
            at = ready;
            queued.push_back((number, self.gradients[number].begin(state, side)?));
            while queued.len() > AHEAD || matches!(queued.front(), Some((_, Reading::Here(_)))) {
                self.send(state, queued.pop_front(), ranks).await?;
            }
        }
        program.run_actions(state, step, at..self.part.actions.end).await?;
        let assigned = self.assigned.begin(state, side)?;
        while !queued.is_empty() {
            self.send(state, queued.pop_front(), ranks).await?;
        }
        self.assigned.tree.add(state.end_read(assigned).await?);
        self.assigned.send(ranks, raise.map(f32::from))
    }

    async fn send(&mut self, state: &State, queued: Option<(usize, Reading)>, ranks: &Ranks) -> Result<()> {
        let Some((number, reading)) = queued else { return Ok(()) };
        let bucket = &mut self.gradients[number];
        bucket.tree.add(state.end_read(reading).await?);
        bucket.send(ranks, None)
    }

    /// Puts the means where the update reads them; tells whether any rank raised its flag, where flags were sent.
    async fn settle(&mut self, state: &mut State, lanes: usize, flags: bool) -> Result<bool> {
        let mut raised = false;
        let last = self.gradients.len();
        for (number, bucket) in self.buckets().enumerate() {
            let Some(sum) = bucket.sum.take() else { continue };
            let mut mean = sum.wait()?;
            if number == last && flags {
                raised = mean.pop().is_some_and(|flags| flags > 0.0);
            }
            // A power of two: the division is exact.
            mean.iter_mut().for_each(|v| *v /= lanes as f32);
            state.write_stretches(&bucket.stretches, &mean)?;
            bucket.spare = mean;
        }
        Ok(raised)
    }
}

impl Bucket {
    fn new(ready: usize, stretches: Vec<Stretch>, state: &State) -> Result<Self> {
        let staging = match state {
            State::Gpu(_, state) if !stretches.is_empty() => [Some(state.staging(&stretches)?), Some(state.staging(&stretches)?)],
            _ => [None, None],
        };
        Ok(Self { ready, stretches, staging, tree: Tree::default(), sum: None, spare: Vec::new() })
    }

    fn begin(&mut self, state: &State, side: usize) -> Result<Reading> {
        match (state, &self.staging[side]) {
            (State::Gpu(_, state), Some(staging)) => Ok(Reading::Queued(state.begin_read(staging))),
            (State::Cpu(_, state), None) => {
                let mut values = std::mem::take(&mut self.spare);
                values.clear();
                self.stretches.iter().for_each(|s| values.extend_from_slice(&state.arena(s.group, s.arena)[s.range.clone()]));
                Ok(Reading::Here(values))
            }
            (State::Gpu(..), None) => Ok(Reading::Here(Vec::new())),
            _ => Err(elsewhere()),
        }
    }

    /// What it holds now, where that is wanted and there is anything.
    async fn values(&mut self, state: &State, wanted: bool) -> Result<Option<Vec<f32>>> {
        if !wanted || self.stretches.is_empty() {
            return Ok(None);
        }
        state.end_read(self.begin(state, 0)?).await.map(Some)
    }

    /// Sends the sum of this rank's lanes to the others, with a number more where one is given.
    fn send(&mut self, ranks: &Ranks, more: Option<f32>) -> Result<()> {
        let mut own = self.tree.whole().unwrap_or_default();
        own.extend(more);
        if !own.is_empty() {
            self.sum = Some(ranks.sum(own)?);
        }
        Ok(())
    }
}
