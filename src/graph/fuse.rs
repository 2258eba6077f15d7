//! Fusion: pointwise chains become one program, and programs move into the epilogue or prologue of their neighbours.
//!
//! A producer is absorbed only where nothing else reads it (or where every reader can absorb it, for one-operand programs), and never
//! across a node that changes persistent tensors, so results stay what the graph says.

use std::sync::Arc;

use super::{Expr, Graph, Kind, Node, NodeId, Operation, Pointwise};

/// Most inputs a fused node may have: adapters are only promised eight storage buffers a kernel.
const MAX_INPUTS: usize = 6;

/// The graph's nodes after fusion, by the old ids; `None` where nothing is left to do.
pub(super) fn fuse(graph: &Graph, enabled: bool) -> Vec<Option<Node>> {
    let mut work = Work::new(graph);
    if enabled {
        for at in 0..work.nodes.len() {
            work.absorb_pointwise(at);
            work.move_into_epilogue(at);
            work.absorb_prologue(at);
        }
        for at in 0..work.nodes.len() {
            work.spread_cheap(at);
        }
    }
    work.nodes
}

struct Work {
    nodes: Vec<Option<Node>>,
    /// How often each node is read, a named output counting as a reader.
    uses: Vec<usize>,
    /// Number of state changes before each node.
    epoch: Vec<usize>,
    kept: Vec<bool>,
    pointwise: Pointwise,
}

impl Work {
    fn new(graph: &Graph) -> Self {
        let count = graph.nodes().len();
        let changes = |n: &Node| matches!(n.kind, Kind::Assign(_) | Kind::Update(_));
        let mut live = vec![false; count];
        let mut kept = vec![false; count];
        for (_, id) in graph.outputs() {
            live[id.0] = true;
            kept[id.0] = true;
        }
        for at in (0..count).rev() {
            let node = &graph.nodes()[at];
            live[at] |= changes(node);
            if live[at] {
                node.inputs.iter().for_each(|i| live[i.0] = true);
            }
        }
        let mut uses = vec![0; count];
        let mut epoch = Vec::with_capacity(count);
        let mut changed = 0;
        for (at, node) in graph.nodes().iter().enumerate() {
            epoch.push(changed);
            changed += usize::from(changes(node));
            uses[at] += usize::from(kept[at]);
            if live[at] {
                node.inputs.iter().for_each(|i| uses[i.0] += 1);
            }
        }
        let nodes = graph.nodes().iter().zip(&live).map(|(n, &l)| l.then(|| n.clone())).collect();
        Self { nodes, uses, epoch, kept, pointwise: graph.pointwise }
    }

    fn op(&self, at: usize) -> Option<(&Arc<dyn Operation>, &Node)> {
        match &self.nodes[at] {
            Some(node) => match &node.kind {
                Kind::Op(op) => Some((op, node)),
                _ => None,
            },
            None => None,
        }
    }

    /// The program of node `at`, where it is pointwise.
    fn program(&self, at: usize) -> Option<Expr> {
        self.op(at).and_then(|(op, _)| op.pointwise().cloned())
    }

    /// Whether `reader` alone reads `producer`, element by element, with no state change between.
    fn only_reader(&self, producer: NodeId, reader: usize) -> bool {
        let (Some(p), Some(r)) = (&self.nodes[producer.0], &self.nodes[reader]) else { return false };
        let times = r.inputs.iter().filter(|&&i| i == producer).count();
        self.uses[producer.0] == times && self.epoch[producer.0] == self.epoch[reader] && !self.kept[producer.0] && !p.shape.is_empty()
    }

    /// Replaces node `at` by `op` over `inputs`, and `gone` by nothing.
    fn replace(&mut self, at: usize, op: Arc<dyn Operation>, inputs: Vec<NodeId>, gone: usize) {
        if let Some(old) = self.nodes[at].take() {
            old.inputs.iter().for_each(|i| self.uses[i.0] -= 1);
            inputs.iter().for_each(|i| self.uses[i.0] += 1);
            self.nodes[at] = Some(Node { kind: Kind::Op(op), inputs, shape: old.shape });
        }
        if let Some(dead) = self.nodes[gone].take() {
            dead.inputs.iter().for_each(|i| self.uses[i.0] -= 1);
        }
    }

    fn absorb_pointwise(&mut self, at: usize) {
        while let Some(own) = self.program(at) {
            let Some(node) = self.nodes[at].clone() else { return };
            let found = node.inputs.iter().copied().find_map(|p| {
                let inner = self.program(p.0)?;
                let producer = self.nodes[p.0].as_ref()?;
                let same = producer.shape == node.shape || (inner.instrs().len() == 1 && !inner.is_positional());
                (same && self.only_reader(p, at)).then(|| (p, inner, producer.inputs.clone()))
            });
            let Some((p, inner, inner_inputs)) = found else { return };
            let (inputs, programs) = merge(&node.inputs, p, &inner, &inner_inputs);
            if inputs.len() > MAX_INPUTS {
                return;
            }
            let (expr, inputs) = trim(own.substitute(&programs), inputs);
            self.replace(at, (self.pointwise)(expr, node.shape.clone()), inputs, p.0);
        }
    }

    fn move_into_epilogue(&mut self, at: usize) {
        let Some(own) = self.program(at) else { return };
        let Some(node) = self.nodes[at].clone() else { return };
        for &p in &node.inputs {
            let Some((op, producer)) = self.op(p.0) else { continue };
            if op.pointwise().is_some() || producer.shape != node.shape || !self.only_reader(p, at) {
                continue;
            }
            let extra: Vec<NodeId> = distinct(node.inputs.iter().copied().filter(|&i| i != p));
            if producer.inputs.len() + extra.len() > MAX_INPUTS {
                continue;
            }
            let place = |i: &NodeId| if *i == p { 0 } else { 1 + extra.iter().position(|e| e == i).unwrap_or(0) };
            let expr = own.renumber(&node.inputs.iter().map(place).collect::<Vec<_>>());
            let Some(fused) = op.with_epilogue(&expr, extra.len()) else { continue };
            let inputs = producer.inputs.iter().copied().chain(extra).collect();
            self.replace(at, Arc::from(fused), inputs, p.0);
            return;
        }
    }

    /// Reductions and their like take whole programs as what they read.
    fn absorb_prologue(&mut self, at: usize) {
        loop {
            let Some((op, node)) = self.op(at) else { return };
            if op.pointwise().is_some() {
                return;
            }
            let found = node.inputs.iter().enumerate().find_map(|(k, &p)| {
                let inner = self.program(p.0)?;
                let producer = self.nodes[p.0].as_ref()?;
                let fits = self.only_reader(p, at)
                    && op.iteration().is_none_or(|shape| *shape == producer.shape)
                    && node.inputs.iter().filter(|&&i| i == p).count() == 1
                    && node.inputs.len() - 1 + producer.inputs.len() <= MAX_INPUTS;
                if !fits {
                    return None;
                }
                let fused = op.with_prologue(k, &inner, producer.inputs.len())?;
                let mut inputs = node.inputs.clone();
                inputs.splice(k..=k, producer.inputs.iter().copied());
                Some((p, fused, inputs))
            });
            let Some((p, fused, inputs)) = found else { return };
            self.replace(at, Arc::from(fused), inputs, p.0);
        }
    }

    /// A cheap one-operand program (an activation, say) disappears where every reader can compute it while loading.
    fn spread_cheap(&mut self, at: usize) {
        let Some(inner) = self.program(at) else { return };
        let Some(node) = self.nodes[at].clone() else { return };
        let source = match node.inputs[..] {
            [source] if inner.is_cheap() && !self.kept[at] => source,
            _ => return,
        };
        if self.nodes[source.0].as_ref().is_none_or(|s| s.shape != node.shape) {
            return;
        }
        let mut fused: Vec<(usize, Arc<dyn Operation>)> = Vec::new();
        for reader in at + 1..self.nodes.len() {
            let Some(r) = &self.nodes[reader] else { continue };
            let at_inputs: Vec<usize> = r.inputs.iter().enumerate().filter(|(_, i)| i.0 == at).map(|(k, _)| k).collect();
            if at_inputs.is_empty() {
                continue;
            }
            let Kind::Op(op) = &r.kind else { return };
            if self.epoch[reader] != self.epoch[at] {
                return;
            }
            let mut changed: Option<Arc<dyn Operation>> = None;
            for k in at_inputs {
                match changed.as_ref().unwrap_or(op).with_prologue(k, &inner, 1) {
                    Some(next) => changed = Some(Arc::from(next)),
                    None => return,
                }
            }
            if let Some(op) = changed {
                fused.push((reader, op));
            }
        }
        for (reader, op) in fused {
            let Some(r) = &self.nodes[reader] else { continue };
            let inputs = r.inputs.iter().map(|&i| if i.0 == at { source } else { i }).collect();
            let kind = Kind::Op(op);
            if let Some(r) = &mut self.nodes[reader] {
                r.kind = kind;
                r.inputs = inputs;
            }
            self.uses[source.0] += 1;
        }
        self.nodes[at] = None;
        self.uses[source.0] -= 1;
    }
}

/// The inputs of a node after its producer `p` is replaced by a program over the producer's inputs, and for each old input the program
/// that stands for it.
fn merge(outer: &[NodeId], p: NodeId, inner: &Expr, inner_inputs: &[NodeId]) -> (Vec<NodeId>, Vec<Expr>) {
    let inputs = distinct(outer.iter().copied().filter(|&i| i != p).chain(inner_inputs.iter().copied()));
    let place = |id: &NodeId| inputs.iter().position(|i| i == id).unwrap_or(0);
    let inner = inner.renumber(&inner_inputs.iter().map(place).collect::<Vec<_>>());
    let programs = outer.iter().map(|id| if *id == p { inner.clone() } else { Expr::build(|b| b.input(place(id))) }).collect();
    (inputs, programs)
}

/// Drops inputs that simplification made unnecessary.
fn trim(expr: Expr, inputs: Vec<NodeId>) -> (Expr, Vec<NodeId>) {
    let kept: Vec<usize> = (0..inputs.len()).filter(|&k| expr.reads(k)).collect();
    let to: Vec<usize> = (0..inputs.len()).map(|k| kept.iter().position(|&i| i == k).unwrap_or(0)).collect();
    (expr.renumber(&to), kept.into_iter().map(|k| inputs[k]).collect())
}

fn distinct(ids: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut seen = Vec::new();
    for id in ids {
        if !seen.contains(&id) {
            seen.push(id);
        }
    }
    seen
}
