//! The plan: what an executor does, in order, and which buffer each tensor lies in.
//!
//! Tensors whose lifetimes do not meet share a slot. Gradients go straight into their group's gradient arena, so that an optimiser step
//! is one kernel over flat arrays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Graph, Kind, Node, NodeId, Operation, Shape, StateId, StateSpec, Step, Update, fuse};

/// Where a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A planned buffer shared over time.
    Slot(usize),
    /// A persistent tensor.
    State(StateId),
    /// A trained tensor's range of its group's gradient arena.
    Gradient(StateId),
    /// A host-uploaded tensor.
    Input(usize),
}

/// One thing an executor does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Runs an operation.
    Compute {
        /// The operation.
        op: Arc<dyn Operation>,
        /// Where its inputs lie.
        inputs: Vec<Place>,
        /// Their shapes.
        shapes: Vec<Shape>,
        /// Where its output goes: a slot or a gradient.
        output: Place,
        /// The output's shape.
        shape: Shape,
    },
    /// Copies a tensor of `len` elements.
    Copy {
        /// From here.
        from: Place,
        /// To here.
        to: Place,
        /// Elements.
        len: usize,
    },
    /// Applies an optimiser to a group.
    Update(Update),
}

/// What an executor does for one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In order.
    pub actions: Vec<Action>,
    /// Lengths of the slots, in elements.
    pub slots: Vec<usize>,
    /// Host-uploaded tensors.
    pub inputs: Vec<(String, Shape)>,
    /// Readable results: name, place, shape. No later action overwrites them.
    pub outputs: Vec<(String, Place, Shape)>,
}

impl Plan {
    /// Plans a graph. Without `fusion` every node is computed as written, for comparison in tests.
    pub fn new(graph: &Graph, spec: &StateSpec, fusion: bool) -> Self {
        Planner::new(graph, spec, fuse::fuse(graph, fusion)).run(graph)
    }

    /// The counters as action `at` must see them: [`Step::updates`] counts to the end of the run, and a group may be updated several
    /// times in one (the discriminator of an adversarial model), so earlier updates have smaller counts.
    pub fn step_of(&self, at: usize, step: &Step) -> Step {
        let mut step = *step;
        if let Some(Action::Update(own)) = self.actions.get(at) {
            let later = self.actions[at + 1..].iter().filter(|a| matches!(a, Action::Update(u) if u.group == own.group)).count();
            if let Some(count) = step.updates.get_mut(own.group) {
                *count = count.saturating_sub(later as u32).max(1);
            }
        }
        step
    }

    /// Elements of all slots together.
    pub fn slot_elements(&self) -> usize {
        self.slots.iter().fold(0, |sum: usize, slot| sum.saturating_add(*slot))
    }
}

/// Nodes in the order they are computed in: theirs, but first what is small and made of persistent tensors alone that nothing changes before,
/// such as a loss scale. Where it stood it would part what the CPU executor carries out together.
fn in_order(nodes: &[Option<Node>]) -> Vec<usize> {
    let mut early = vec![false; nodes.len()];
    let (mut groups, mut tensors) = (HashSet::new(), HashSet::new());
    for (at, node) in nodes.iter().enumerate() {
        let Some(node) = node else { continue };
        match &node.kind {
            Kind::State(id) => early[at] = !groups.contains(&id.group) && !tensors.contains(id),
            Kind::Op(_) | Kind::Reshape => {
                early[at] = node.shape.len() <= EARLY && !node.inputs.is_empty() && node.inputs.iter().all(|input| early[input.0]);
            }
            Kind::Assign(id) => drop(tensors.insert(*id)),
            Kind::Update(update) => {
                groups.insert(update.group);
                tensors.extend(update.loss_scale);
            }
            Kind::Input(_) => (),
        }
    }
    let (first, then): (Vec<usize>, Vec<usize>) = (0..nodes.len()).partition(|at| early[*at]);
    [first, then].concat()
}

struct Planner<'a> {
    spec: &'a StateSpec,
    nodes: Vec<Option<Node>>,
    /// The node whose elements each node's are (itself, but for reshapes).
    root: Vec<usize>,
    /// The nodes in the order they are computed in, and the place of each in it.
    order: Vec<usize>,
    rank: Vec<usize>,
    /// The place of the last node that reads each root.
    last: Vec<usize>,
    place: Vec<Option<Place>>,
    slots: Vec<usize>,
    free: Vec<usize>,
}

const FOREVER: usize = usize::MAX;
/// Elements of what is computed first, at most: it lies somewhere from then on.
const EARLY: usize = 64;

impl<'a> Planner<'a> {
    fn new(graph: &Graph, spec: &'a StateSpec, nodes: Vec<Option<Node>>) -> Self {
        let count = nodes.len();
        let order = in_order(&nodes);
        let mut rank = vec![0; count];
        order.iter().enumerate().for_each(|(place, at)| rank[*at] = place);
        let mut root: Vec<usize> = (0..count).collect();
        let mut last = vec![0; count];
        for (at, node) in nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            if matches!(node.kind, Kind::Reshape) {
                root[at] = root[node.inputs[0].0];
            }
            node.inputs.iter().for_each(|i| last[root[i.0]] = last[root[i.0]].max(rank[at]));
        }
        for (_, id) in graph.outputs() {
            last[root[id.0]] = FOREVER;
        }
        Self { spec, nodes, root, order, rank, last, place: vec![None; count], slots: Vec::new(), free: Vec::new() }
    }

    fn run(mut self, graph: &Graph) -> Plan {
        let destined = self.gradients();
        let mut actions = Vec::new();
        let mut inputs = Vec::new();
        for at in std::mem::take(&mut self.order) {
            let Some(node) = self.nodes[at].clone() else { continue };
            match node.kind {
                Kind::Input(name) => {
                    self.place[at] = Some(Place::Input(inputs.len()));
                    inputs.push((name, node.shape));
                }
                Kind::State(id) => self.place[at] = Some(Place::State(id)),
                Kind::Reshape => self.place[at] = self.place[self.root[at]],
                Kind::Op(op) => {
                    let output = match destined.get(&at) {
                        Some(&id) => Place::Gradient(id),
                        None => Place::Slot(self.take(node.shape.len().max(1))),
                    };
                    self.place[at] = Some(output);
                    let shapes = node.inputs.iter().map(|i| self.shape(*i)).collect();
                    let inputs = node.inputs.iter().filter_map(|i| self.place[i.0]).collect();
                    actions.push(Action::Compute { op, inputs, shapes, output, shape: node.shape });
                }
                Kind::Assign(id) => {
                    let from = node.inputs.iter().filter_map(|i| self.place[i.0]);
                    actions.extend(from.map(|from| Action::Copy { from, to: Place::State(id), len: node.shape.len() }));
                }
                Kind::Update(update) => {
                    for (id, input) in self.spec.trained(update.group).into_iter().zip(&node.inputs) {
                        let to = Place::Gradient(id);
                        let len = self.spec.spec(id).shape.len();
                        actions.extend(self.place[input.0].filter(|&p| p != to).map(|from| Action::Copy { from, to, len }));
                    }
                    actions.push(Action::Update(update));
                }
            }
            self.release(at, &node.inputs);
        }
        let output = |(name, id): &(String, NodeId)| Some((name.clone(), self.place[id.0]?, graph.shape(*id).clone()));
        let outputs = graph.outputs().iter().filter_map(output).collect();
        Plan { actions, slots: self.slots, inputs, outputs }
    }

    fn shape(&self, id: NodeId) -> Shape {
        self.nodes[id.0].as_ref().map_or_else(Shape::scalar, |n| n.shape.clone())
    }

    /// Nodes whose output can be written straight into a gradient arena: read by one update alone, and computed after the same
    /// group's previous update.
    fn gradients(&self) -> HashMap<usize, StateId> {
        let mut readers = vec![0; self.nodes.len()];
        for node in self.nodes.iter().flatten() {
            node.inputs.iter().for_each(|i| readers[self.root[i.0]] += 1);
        }
        let mut previous: HashMap<usize, usize> = HashMap::new();
        let mut destined = HashMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(Node { kind: Kind::Update(update), inputs, .. }) = node else { continue };
            let since = previous.insert(update.group, at).unwrap_or(0);
            for (id, input) in self.spec.trained(update.group).into_iter().zip(inputs) {
                let root = self.root[input.0];
                let is_op = matches!(self.nodes[root], Some(Node { kind: Kind::Op(_), .. }));
                if is_op && readers[root] == self.reshapes_to(input.0) && self.last[root] != FOREVER && root >= since {
                    destined.insert(root, id);
                }
            }
        }
        destined
    }

    /// Readers that a root has where one update alone reads it, through a chain of reshapes ending at `at`.
    fn reshapes_to(&self, at: usize) -> usize {
        match &self.nodes[at] {
            Some(Node { kind: Kind::Reshape, inputs, .. }) => 1 + self.reshapes_to(inputs[0].0),
            _ => 1,
        }
    }

    /// A slot for `len` elements: the free one that fits closest, else the largest free one grown, else a new one.
    fn take(&mut self, len: usize) -> usize {
        let fits = |s: &usize| (self.slots[*s] < len, self.slots[*s].abs_diff(len));
        match self.free.iter().copied().enumerate().min_by_key(|(_, s)| fits(s)) {
            Some((at, slot)) if self.slots[slot] * 4 >= len => {
                self.free.swap_remove(at);
                self.slots[slot] = self.slots[slot].max(len);
                slot
            }
            _ => {
                self.slots.push(len);
                self.slots.len() - 1
            }
        }
    }

    /// Frees what node `at` was the last to read, and its own output if nothing reads it.
    fn release(&mut self, at: usize, inputs: &[NodeId]) {
        let mut roots: Vec<usize> = inputs.iter().map(|i| self.root[i.0]).collect();
        roots.push(self.root[at]);
        roots.sort_unstable();
        roots.dedup();
        for root in roots {
            if let (true, Some(Place::Slot(slot))) = (self.last[root] <= self.rank[at], self.place[root])
                && !self.free.contains(&slot)
            {
                self.free.push(slot);
            }
        }
    }
}
