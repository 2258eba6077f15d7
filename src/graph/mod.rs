//! Nodes, shapes, gradients, fusion, liveness and the plan. Knows no device and no model.

mod accumulate;
mod fuse;
mod gradient;
mod operation;
mod parts;
mod plan;
mod pointwise;
mod reach;
mod scale;

use std::collections::HashMap;
use std::sync::Arc;

pub use accumulate::Accumulate;
pub use operation::{Batching, Eval, Operation, Signature};
pub use parts::Part;
pub use plan::{Action, Place, Plan};
pub use pointwise::Pointwise;
pub use reach::{Link, Reaches, Read};
pub use scale::{FIRST_SCALE, GROWTH_INTERVAL, SCALES, adjusted};

use crate::error::{Error, Result};
pub use crate::tensor::{
    ALIGNMENT, Binary, Builder, Distribution, Expr, Group, Init, Instr, Layout, Shape, StateId, StateSpec, Step, Stretch, TensorSpec,
    Unary, Value, operands,
};

/// Handle of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A change to an optimiser group's tensors from the gradients of its trained ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The group.
    pub group: usize,
    /// The rule.
    pub rule: Rule,
    /// Largest Euclidean norm of the whole gradient; longer ones are scaled down to it.
    pub clip_norm: Option<f32>,
    /// Largest size of each element of the gradient, after that; larger ones are cut to it.
    pub clip_value: Option<f32>,
    /// Share of each weight that is taken away, times the learning rate, apart from the gradient (Loshchilov and Hutter, 2019).
    pub weight_decay: f32,
    /// Bound that every weight is clamped to afterwards (Wasserstein critics).
    pub clamp: Option<f32>,
    /// Whether an exponential moving average of the weights is kept.
    pub average: bool,
    /// The tensor of the factor that the loss was multiplied by (see [`StateSpec::with_loss_scales`]). Gradients are divided by it; where
    /// one is no finite number, nothing but the factor changes.
    pub loss_scale: Option<StateId>,
    /// Where this is one pass of several before an update.
    pub accumulate: Option<Accumulate>,
}

impl Update {
    /// A plain step of a rule: nothing clipped, decayed, clamped, averaged, scaled or added up.
    pub fn new(group: usize, rule: Rule) -> Self {
        let (clip_norm, clip_value, clamp, loss_scale, accumulate) = (None, None, None, None, None);
        Self { group, rule, clip_norm, clip_value, weight_decay: 0.0, clamp, average: false, loss_scale, accumulate }
    }

    /// What decay leaves of a weight in one step.
    pub fn kept(&self, step: &Step) -> f64 {
        1.0 - f64::from(step.learning_rate[self.group]) * f64::from(self.weight_decay)
    }
}

/// An optimiser's rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Kingma and Ba, 2015, with bias correction; ε outside the root.
    Adam {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
    },
    /// Tieleman and Hinton, 2012; ε outside the root.
    RmsProp {
        /// Decay of the mean square.
        decay: f32,
        /// Added to the root.
        epsilon: f32,
    },
    /// Stochastic gradient descent: v ← momentum·v + g, w ← w − rate·v.
    Sgd {
        /// Weight of the old velocity.
        momentum: f32,
    },
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A tensor the host uploads before each run.
    Input(String),
    /// A persistent tensor.
    State(StateId),
    /// An operation on other nodes.
    Op(Arc<dyn Operation>),
    /// The same elements under another shape.
    Reshape,
    /// Overwrites a persistent tensor with its one input.
    Assign(StateId),
    /// An optimiser step; its inputs are the gradients of the group's trained tensors, in order.
    Update(Update),
}

/// A node: what it is, what it reads, and its output's shape.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Nodes it reads.
    pub inputs: Vec<NodeId>,
    /// Its output's shape.
    pub shape: Shape,
}

/// A computation: nodes in an order in which each follows what it reads. Nodes that change persistent tensors take effect in that
/// order: what is created after an update reads the updated weights.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Node>,
    outputs: Vec<(String, NodeId)>,
    inputs: HashMap<String, NodeId>,
    /// Persistent tensors already read, by the number of state changes before the reading.
    states: HashMap<(StateId, usize), NodeId>,
    changes: usize,
    streams: u32,
    /// Probability that dropout drops an element.
    drops: f64,
    pointwise: Pointwise,
}

impl Graph {
    /// An empty graph, whose pointwise operations are made by `pointwise`. `Graph::new` stands with the operations.
    pub fn with_pointwise(pointwise: Pointwise) -> Self {
        let (nodes, outputs, inputs, states) = Default::default();
        Self { nodes, outputs, inputs, states, changes: 0, streams: 0, drops: 0.0, pointwise }
    }

    /// All nodes, by `NodeId` order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// A node's shape.
    pub fn shape(&self, id: NodeId) -> &Shape {
        &self.nodes[id.0].shape
    }

    /// Named results, in the order they were asked for.
    pub fn outputs(&self) -> &[(String, NodeId)] {
        &self.outputs
    }

    /// A tensor the host uploads before each run, by name; asking twice gives the same node.
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> NodeId {
        if let Some(&id) = self.inputs.get(name) {
            return id;
        }
        let id = self.push(Kind::Input(name.to_string()), Vec::new(), shape.into());
        self.inputs.insert(name.to_string(), id);
        id
    }

    /// Named inputs.
    pub fn inputs(&self) -> &HashMap<String, NodeId> {
        &self.inputs
    }

    /// A persistent tensor as it is at this point of the graph; asking again before anything changes gives the same node.
    pub fn state(&mut self, spec: &StateSpec, id: StateId) -> NodeId {
        if let Some(&node) = self.states.get(&(id, self.changes)) {
            return node;
        }
        let node = self.push(Kind::State(id), Vec::new(), spec.spec(id).shape.clone());
        self.states.insert((id, self.changes), node);
        node
    }

    /// An operation's node, or why it cannot take these inputs.
    pub fn op(&mut self, op: impl Operation, inputs: &[NodeId]) -> Result<NodeId> {
        self.boxed(Arc::new(op), inputs)
    }

    pub(crate) fn boxed(&mut self, op: Arc<dyn Operation>, inputs: &[NodeId]) -> Result<NodeId> {
        let shapes: Vec<&Shape> = inputs.iter().map(|&i| self.shape(i)).collect();
        let shape = op.shape(&shapes)?;
        Ok(self.push(Kind::Op(op), inputs.to_vec(), shape))
    }

    /// The same elements under another shape of the same length.
    pub fn reshape(&mut self, x: NodeId, shape: impl Into<Shape>) -> Result<NodeId> {
        let shape = shape.into();
        if shape.len() != self.shape(x).len() {
            return Err(Error::Shape(format!("{} elements of {} cannot be read as {shape}", self.shape(x).len(), self.shape(x))));
        }
        if &shape == self.shape(x) {
            return Ok(x);
        }
        if let Some(value) = self.constant_of(x) {
            return self.fill(shape, value);
        }
        Ok(self.push(Kind::Reshape, vec![x], shape))
    }

    /// Overwrites a persistent tensor.
    pub fn assign(&mut self, spec: &StateSpec, id: StateId, value: NodeId) -> Result<()> {
        let shape = spec.spec(id).shape.clone();
        if &shape != self.shape(value) {
            return Err(Error::Shape(format!("{} holds {shape} and was assigned {}", spec.spec(id).name, self.shape(value))));
        }
        self.push(Kind::Assign(id), vec![value], shape);
        Ok(())
    }

    /// An optimiser step on a group, from the gradient of each of its trained tensors; or a pass of one, see [`Accumulate`].
    pub fn update(&mut self, spec: &StateSpec, update: Update, gradients: &[NodeId]) -> Result<()> {
        let trained = spec.trained(update.group);
        let fits = trained.len() == gradients.len() && trained.iter().zip(gradients).all(|(&t, &g)| &spec.spec(t).shape == self.shape(g));
        if !fits {
            return Err(Error::Shape(format!("an update of group {} needs one gradient for each trained tensor", update.group)));
        }
        if let Some(how) = update.accumulate {
            return self.accumulate(spec, update, how, gradients);
        }
        self.push(Kind::Update(update), gradients.to_vec(), Shape::scalar());
        Ok(())
    }

    /// Names a result that the host may read after each run.
    pub fn output(&mut self, name: &str, id: NodeId) {
        self.outputs.push((name.to_string(), id));
    }

    /// Takes the names of all results but these back, so that what others alone need is not computed.
    pub fn keep_outputs(&mut self, names: &[&str]) {
        self.outputs.retain(|(n, _)| names.contains(&n.as_str()));
    }

    /// Takes a result's name back, so that what it alone needs is not computed.
    pub fn drop_output(&mut self, name: &str) {
        self.outputs.retain(|(n, _)| n != name);
    }

    /// The nodes after fusion, by the same ids; `None` where nothing is left to do.
    pub fn fused(&self) -> Vec<Option<Node>> {
        fuse::fuse(self, true)
    }

    /// Floating-point operations of one evaluation of all that its outputs and updates need.
    pub fn flops(&self) -> u64 {
        let nodes = self.fused();
        let shape = |id: &NodeId| &self.nodes[id.0].shape;
        nodes
            .iter()
            .flatten()
            .map(|node| match &node.kind {
                Kind::Op(op) => op.flops(&Signature { inputs: node.inputs.iter().map(shape).collect(), output: &node.shape }),
                _ => 0,
            })
            .sum()
    }

    /// A random stream that nothing else in this graph draws from.
    pub fn stream(&mut self) -> u32 {
        self.streams += 1;
        self.streams
    }

    /// Lets dropout of what is built from now on drop elements with this probability. A graph drops none unless it is told to, so that
    /// only steps of training do.
    pub fn let_drop(&mut self, probability: f64) {
        self.drops = probability;
    }

    /// Probability that dropout drops an element.
    pub fn drops(&self) -> f64 {
        self.drops
    }

    fn push(&mut self, kind: Kind, inputs: Vec<NodeId>, shape: Shape) -> NodeId {
        self.changes += usize::from(matches!(kind, Kind::Assign(_) | Kind::Update(_)));
        self.nodes.push(Node { kind, inputs, shape });
        NodeId(self.nodes.len() - 1)
    }
}
