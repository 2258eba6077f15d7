//! What each node of a graph may read of an image, walked from the image to the node; and, where that is more than it should be, by which
//! way it does.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Graph, Kind, Node, NodeId, StateId};
use crate::tensor::{Binary, Expr, Init, Instr, Layout, Reach, Shape, StateSpec, Unary};

/// An input of an operation, as its reach is asked for.
pub struct Read<'a> {
    /// Its shape.
    pub shape: &'a Shape,
    /// What its elements read of the image; `None` where it does not depend on it.
    pub reach: Option<&'a Reach>,
    /// Which elements are zero whatever is trained (weights under a mask); `None` where nothing is known.
    pub zeros: Option<&'a [bool]>,
}

impl Read<'_> {
    /// The last value that any of several inputs reads.
    pub fn latest(inputs: &[Read<'_>]) -> u32 {
        inputs.iter().filter_map(|i| i.reach).map(Reach::latest).max().unwrap_or(0)
    }

    /// What their elements read where they broadcast to a shape.
    pub fn join(inputs: &[Read<'_>], shape: &Shape) -> Reach {
        let parts: Vec<(&Shape, &Reach)> = inputs.iter().filter_map(|i| Some((i.shape, i.reach?))).collect();
        Reach::join(&parts, shape)
    }
}

/// A node on the way from the image to an element that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The layer whose weights it has, or the operation's name.
    pub name: String,
    /// Row and column from the position that it makes to the one that it reads, where both are images of the same size.
    pub tap: Option<[i32; 2]>,
}

/// What the nodes of a graph read of one of its inputs.
pub struct Reaches<'a> {
    graph: &'a Graph,
    spec: &'a StateSpec,
    nodes: Vec<Option<Rc<Reach>>>,
    zeros: HashMap<NodeId, Option<Rc<Vec<bool>>>>,
}

impl<'a> Reaches<'a> {
    /// Walks a graph from the input `image` to the node `to`.
    pub fn new(graph: &'a Graph, spec: &'a StateSpec, image: &str, to: NodeId) -> Self {
        let mut reaches = Self { graph, spec, nodes: vec![None; graph.nodes().len()], zeros: HashMap::new() };
        let needed = reaches.needed(to);
        for (at, node) in graph.nodes().iter().enumerate().filter(|(at, _)| needed[*at]) {
            reaches.nodes[at] = match &node.kind {
                Kind::Input(name) if name == image => Some(Rc::new(Reach::image(&node.shape))),
                _ if node.inputs.iter().all(|i| reaches.nodes[i.0].is_none()) => None,
                _ => {
                    let inputs: Vec<Option<Rc<Reach>>> = node.inputs.iter().map(|i| reaches.nodes[i.0].clone()).collect();
                    let found = reaches.through(node, &inputs.iter().map(Option::as_deref).collect::<Vec<_>>());
                    // Most pointwise functions read what their input reads.
                    let same = inputs.into_iter().flatten().find(|input| **input == found);
                    Some(same.unwrap_or_else(|| Rc::new(found)))
                }
            };
        }
        reaches
    }

    /// What a node reads; `None` where it does not depend on the image.
    pub fn of(&self, id: NodeId) -> Option<&Reach> {
        self.nodes[id.0].as_deref()
    }

    fn needed(&self, to: NodeId) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        needed[to.0] = true;
        for at in (0..=to.0).rev() {
            if needed[at] {
                self.graph.nodes()[at].inputs.iter().for_each(|i| needed[i.0] = true);
            }
        }
        needed
    }

    /// What a node reads where its inputs read this.
    fn through(&mut self, node: &Node, inputs: &[Option<&Reach>]) -> Reach {
        let zeros: Vec<_> = node.inputs.iter().zip(inputs).map(|(i, r)| if r.is_none() { self.zeros(*i) } else { None }).collect();
        let shapes = node.inputs.iter().map(|i| self.graph.shape(*i));
        let reads: Vec<Read<'_>> = shapes
            .zip(inputs)
            .zip(&zeros)
            .map(|((shape, reach), zeros)| Read { shape, reach: *reach, zeros: zeros.as_ref().map(|z| z.as_slice()) })
            .collect();
        match &node.kind {
            Kind::Op(op) => op.reach(&reads, &node.shape),
            Kind::Reshape => match reads.first() {
                Some(Read { shape, reach: Some(reach), .. }) => reach.reshaped(shape, &node.shape),
                _ => Reach::whole(&node.shape, 0),
            },
            _ => Reach::whole(&node.shape, Read::latest(&reads)),
        }
    }

    /// Which elements of a tensor that does not depend on the image are zero whatever is trained.
    fn zeros(&mut self, id: NodeId) -> Option<Rc<Vec<bool>>> {
        if let Some(known) = self.zeros.get(&id) {
            return known.clone();
        }
        let node = self.graph.node(id);
        let found = match &node.kind {
            Kind::State(tensor) => fixed_zeros(self.spec, *tensor).map(Rc::new),
            Kind::Reshape => self.zeros(node.inputs[0]),
            Kind::Op(op) => match op.pointwise() {
                Some(expr) => {
                    let inputs: Vec<_> = node.inputs.iter().map(|i| self.zeros(*i)).collect();
                    let shapes: Vec<&Shape> = node.inputs.iter().map(|i| self.graph.shape(*i)).collect();
                    let any = inputs.iter().any(Option::is_some);
                    any.then(|| Rc::new(pointwise_zeros(expr, &inputs, &shapes, &node.shape)))
                }
                None => None,
            },
            _ => None,
        };
        self.zeros.insert(id, found.clone());
        found
    }

    /// The way from element `(position, channel)` of a node to the last value that it reads, node by node. Pointwise functions and
    /// reshapes are left out.
    pub fn path(&mut self, to: NodeId, position: usize, channel: usize) -> Vec<Link> {
        let mut links = Vec::new();
        let (mut at, mut position, mut channel) = (to, position, channel);
        while let Some((input, place, class)) = self.source(at, position, channel) {
            let (node, from) = (self.graph.node(at), self.graph.shape(input));
            if let Kind::Op(op) = &node.kind
                && op.pointwise().is_none()
            {
                links.push(Link { name: self.layer(at).unwrap_or_else(|| op.name().into()), tap: tap(&node.shape, position, from, place) });
            }
            let Some(reach) = self.of(input) else { break };
            channel = reach.class().iter().position(|c| *c == class).unwrap_or(0);
            (at, position) = (input, place);
        }
        links
    }

    /// The input of a node, and the position and class in it, by which an element reads the last value that it reads.
    fn source(&mut self, at: NodeId, position: usize, channel: usize) -> Option<(NodeId, usize, usize)> {
        let node = self.graph.node(at).clone();
        let wanted = self.of(at)?.at(position, channel);
        let inputs: Vec<Option<Rc<Reach>>> = node.inputs.iter().map(|i| self.nodes[i.0].clone()).collect();
        for (k, reach) in inputs.iter().enumerate() {
            let Some(reach) = reach else { continue };
            let mut reads = |places: &[(usize, usize)]| {
                let part = reach.only(places);
                let alone: Vec<Option<&Reach>> = (0..inputs.len()).map(|i| (i == k).then_some(&part)).collect();
                self.through(&node, &alone).at(position, channel) == wanted
            };
            let mut places = reach.places(wanted);
            if places.is_empty() || !reads(&places) {
                continue;
            }
            while places.len() > 1 {
                let rest = places.split_off(places.len() / 2);
                if !reads(&places) {
                    places = rest;
                }
            }
            let (place, class) = places[0];
            return Some((node.inputs[k], place, class));
        }
        None
    }

    /// The layer that a node's weights belong to.
    fn layer(&self, at: NodeId) -> Option<String> {
        let mut open: Vec<NodeId> = self.graph.node(at).inputs.iter().copied().filter(|i| self.nodes[i.0].is_none()).collect();
        while let Some(id) = open.pop() {
            let node = self.graph.node(id);
            if let Kind::State(tensor) = node.kind {
                let spec = self.spec.spec(tensor);
                if spec.layout != Layout::Derived {
                    return Some(spec.name.rsplit_once('.').map_or(spec.name.as_str(), |(layer, _)| layer).to_string());
                }
            }
            open.extend(&node.inputs);
        }
        None
    }
}

/// Row and column from a position of one image to that of another of the same size.
fn tap(to: &Shape, position: usize, from: &Shape, place: usize) -> Option<[i32; 2]> {
    match (to.dims(), from.dims()) {
        ([_, h, w, _], [_, fh, fw, _]) if h == fh && w == fw => {
            let [y, x] = [position / w % h, position % w].map(|v| v as i32);
            let [fy, fx] = [place / w % h, place % w].map(|v| v as i32);
            Some([fy - y, fx - x])
        }
        _ => None,
    }
}

/// Zeros of a tensor that nothing changes.
fn fixed_zeros(spec: &StateSpec, id: StateId) -> Option<Vec<bool>> {
    let tensor = spec.spec(id);
    match &tensor.init {
        Init::Values(values) if tensor.layout == Layout::Derived && !tensor.trained => Some(values.iter().map(|v| *v == 0.0).collect()),
        _ => None,
    }
}

/// Which elements of a pointwise function are zero because of zeros among its inputs.
fn pointwise_zeros(expr: &Expr, inputs: &[Option<Rc<Vec<bool>>>], shapes: &[&Shape], shape: &Shape) -> Vec<bool> {
    if let ([Instr::Input(a), Instr::Input(b), Instr::Binary(Binary::Mul, ..)], true) = (expr.instrs(), shapes.iter().all(|s| *s == shape))
    {
        // Weights under a mask, which may be large.
        let zero = |k: usize, i: usize| inputs[k].as_ref().is_some_and(|z| z[i]);
        return (0..shape.len()).map(|i| zero(*a, i) || zero(*b, i)).collect();
    }
    let strides: Vec<Vec<usize>> = shapes.iter().map(|s| s.strides_in(shape)).collect();
    let mut values: Vec<bool> = Vec::with_capacity(expr.instrs().len());
    let mut at = vec![0usize; shape.rank()];
    let mut zeros = Vec::with_capacity(shape.len());
    for _ in 0..shape.len() {
        values.clear();
        for instr in expr.instrs() {
            let zero = match *instr {
                Instr::Input(k) => inputs[k].as_ref().is_some_and(|z| z[strides[k].iter().zip(&at).map(|(s, i)| s * i).sum::<usize>()]),
                Instr::Const(bits) => f64::from_bits(bits) == 0.0,
                Instr::Channel | Instr::Random(..) => false,
                Instr::Unary(Unary::Exp | Unary::Log | Unary::Softplus | Unary::Sigmoid | Unary::Recip, _) => false,
                Instr::Unary(_, x) => values[x],
                Instr::Binary(Binary::Mul, x, y) => values[x] || values[y],
                Instr::Binary(Binary::Div, x, _) => values[x],
                Instr::Binary(Binary::Equal, ..) => false,
                Instr::Binary(_, x, y) | Instr::Select(_, x, y) => values[x] && values[y],
            };
            values.push(zero);
        }
        zeros.push(values.last().copied().unwrap_or(false));
        for (cell, extent) in at.iter_mut().zip(shape.dims()).rev() {
            *cell += 1;
            if *cell < *extent {
                break;
            }
            *cell = 0;
        }
    }
    zeros
}
