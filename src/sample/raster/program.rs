//! A raster-causal network as steps over positions, derived from the model's own graph.
//!
//! In raster order a feature is final once computed, so each node is evaluated once per position, reading what it needs of earlier
//! positions from cached rows: one forward pass an image in total, not one a pixel (Ramachandran et al., 2017). What depends on rows
//! above alone is known when a row begins: it is computed for all columns then, and may be read to the right.

use crate::error::{Error, Result};
use crate::graph::{Expr, Graph, Kind, Node, NodeId};
use crate::op::{Concat, Conv, Gate, Map, Slice};

/// The lag of what does not depend on the image at all.
const NEVER: usize = usize::MAX;

/// Channels of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The feature.
    pub feature: usize,
    /// First channel.
    pub first: usize,
    /// Channels.
    pub channels: usize,
}

/// Where an operand of a step is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Channels of a feature map, at the position (or at a tap from it).
    Feature(View),
    /// A tensor that is the same for all images: one of [`RasterProgram::constants`].
    Constant(usize),
}

/// A feature map: what is kept of it while positions are visited.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Channels.
    pub channels: usize,
    /// Rows kept, the current one included; 1 with `wide` false where only the position itself is read.
    pub rows: usize,
    /// Whether whole rows are kept.
    pub wide: bool,
    /// Rows between a position and the last row of the image it depends on: 0 where it depends on its own row. From 1 on it is computed
    /// for a whole row at once; the largest number where it does not depend on the image.
    pub lag: usize,
}

impl Feature {
    /// Places that are kept, of an image `width` wide.
    pub fn places(&self, width: usize) -> usize {
        if self.wide { self.rows * width } else { 1 }
    }
}

/// What is computed at each position.
#[derive(Clone, Debug)]
pub enum Work {
    /// `epilogue(Σ_t source at t · W_t)`
    Conv {
        /// What the taps read.
        source: View,
        /// Row and column offset of each tap.
        taps: Vec<[i32; 2]>,
        /// Constant `[taps, C, D]`.
        weights: usize,
        /// Program over the sums (input 0) and the operands.
        epilogue: Option<Expr>,
        /// The epilogue's further inputs.
        operands: Vec<Operand>,
    },
    /// A pointwise program.
    Map {
        /// The program.
        expr: Expr,
        /// Its inputs.
        operands: Vec<Operand>,
    },
    /// The channels of one feature behind those of another.
    Join([View; 2]),
}

/// One step: computes a feature at the position.
#[derive(Clone, Debug)]
pub struct RasterStep {
    /// The feature.
    pub output: usize,
    /// How.
    pub work: Work,
}

/// A network's steps.
#[derive(Clone, Debug)]
pub struct RasterProgram {
    /// Height and width.
    pub size: [usize; 2],
    /// Feature maps; the first is the image.
    pub features: Vec<Feature>,
    /// Steps, in order.
    pub steps: Vec<RasterStep>,
    /// Steps that are carried out for all columns when a row begins.
    pub row: Vec<usize>,
    /// Steps that are carried out at each position.
    pub pixel: Vec<usize>,
    /// Steps that are computed once more when the last value of a position is known: pointwise functions of the image itself, which
    /// later positions read. (What the first convolution makes of the position does not depend on its last value: mask A.)
    pub late: Vec<usize>,
    /// The feature that holds the logits.
    pub logits: usize,
    /// Nodes of the graph whose values are the same for all images.
    pub constants: Vec<NodeId>,
    /// Features that other inputs than the image give, known before it is drawn, and their nodes: `[N, 1, 1, C]` or `[N, H, W, C]`.
    pub given: Vec<(usize, NodeId)>,
}

/// Where a node went.
#[derive(Clone, Copy)]
enum Home {
    Feature(View),
    Constant(usize),
    /// Depends on other inputs than the image, and becomes a feature where one that does reads it.
    Given,
}

type Said<T> = std::result::Result<T, String>;

impl RasterProgram {
    /// Derives the steps of a graph from input `x` to output `logits`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the graph reads positions that come later, or has an operation that mixes positions in another way.
    pub fn new(graph: &Graph) -> Result<Self> {
        let unfit = |what: String| Error::Shape(format!("the network cannot be sampled pixel by pixel from a cache: {what}"));
        let (_, logits) = graph.outputs().iter().find(|(n, _)| n == "logits").ok_or_else(|| unfit("no logits".into()))?;
        let [_, height, width, _] = *graph.shape(*logits).dims() else { return Err(unfit("its logits are no image".into())) };
        let mut derived = Derivation::new(graph, [height, width]);
        derived.run().map_err(unfit)?;
        let logits = derived.homes[logits.0];
        let mut program = derived.program;
        program.schedule();
        match logits {
            Some(Home::Feature(View { feature, first: 0, channels })) if channels == program.features[feature].channels => {
                program.logits = feature;
            }
            _ => return Err(unfit("its logits are no feature of the image".into())),
        }
        Ok(program)
    }

    fn schedule(&mut self) {
        let mut follows = vec![false; self.features.len()];
        follows[0] = true;
        for (at, step) in self.steps.iter().enumerate() {
            if self.features[step.output].lag > 0 {
                self.row.push(at);
                continue;
            }
            self.pixel.push(at);
            let reads = |o: &Operand| matches!(o, Operand::Feature(v) if follows[v.feature]);
            let pointwise = match &step.work {
                Work::Map { operands, .. } => operands.iter().any(reads),
                Work::Join(parts) => parts.iter().any(|v| follows[v.feature]),
                Work::Conv { .. } => false,
            };
            if pointwise {
                follows[step.output] = true;
                self.late.push(at);
            }
        }
    }

    fn feature(&mut self, channels: usize, lag: usize) -> View {
        // A row that is computed at once is kept at once.
        self.features.push(Feature { channels, rows: 1, wide: lag > 0, lag });
        View { feature: self.features.len() - 1, first: 0, channels }
    }
}

/// A program being derived.
struct Derivation<'a> {
    graph: &'a Graph,
    nodes: Vec<Option<Node>>,
    homes: Vec<Option<Home>>,
    program: RasterProgram,
}

impl<'a> Derivation<'a> {
    fn new(graph: &'a Graph, size: [usize; 2]) -> Self {
        let nodes = graph.fused();
        let program = RasterProgram {
            size,
            features: Vec::new(),
            steps: Vec::new(),
            row: Vec::new(),
            pixel: Vec::new(),
            late: Vec::new(),
            logits: 0,
            constants: Vec::new(),
            given: Vec::new(),
        };
        Self { graph, homes: vec![None; nodes.len()], nodes, program }
    }

    fn run(&mut self) -> Said<()> {
        let x = *self.graph.inputs().get("x").ok_or("it has no image")?;
        self.homes[x.0] = Some(Home::Feature(self.program.feature(self.graph.shape(x).channels(), 0)));
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes[at].clone() else { continue };
            if self.homes[at].is_some() {
                continue;
            }
            let moves = node.inputs.iter().any(|i| matches!(self.homes[i.0], Some(Home::Feature(v)) if !self.is_given(v)));
            let given = |i: &NodeId| matches!(self.homes[i.0], Some(Home::Given | Home::Feature(_)));
            let home = if moves {
                Home::Feature(self.derive(&node)?)
            } else if matches!(node.kind, Kind::Input(_)) || node.inputs.iter().any(given) {
                Home::Given
            } else {
                self.program.constants.push(NodeId(at));
                Home::Constant(self.program.constants.len() - 1)
            };
            self.homes[at] = Some(home);
        }
        Ok(())
    }

    fn is_given(&self, view: View) -> bool {
        self.program.features[view.feature].lag == NEVER
    }

    /// Where an input of a step is found; what other inputs give becomes a feature here.
    fn operand(&mut self, id: NodeId) -> Said<Operand> {
        match self.homes[id.0] {
            Some(Home::Feature(view)) => Ok(Operand::Feature(view)),
            Some(Home::Constant(c)) => Ok(Operand::Constant(c)),
            Some(Home::Given) => {
                let shape = self.graph.shape(id);
                let wide = match *shape.dims() {
                    [_, 1, 1, _] => false,
                    [_, h, w, _] if [h, w] == self.program.size => true,
                    _ => return Err(format!("an input of shape {shape} is neither one vector an image nor one a pixel")),
                };
                let view = self.program.feature(shape.channels(), NEVER);
                let rows = if wide { self.program.size[0] } else { 1 };
                self.program.features[view.feature] = Feature { channels: view.channels, rows, wide, lag: NEVER };
                self.program.given.push((view.feature, id));
                self.homes[id.0] = Some(Home::Feature(view));
                Ok(Operand::Feature(view))
            }
            None => Err("something that is not known when it is needed".into()),
        }
    }

    fn view(&mut self, id: NodeId) -> Said<View> {
        match self.operand(id)? {
            Operand::Feature(view) => Ok(view),
            Operand::Constant(_) => Err("a constant image".into()),
        }
    }

    fn operands(&mut self, ids: &[NodeId]) -> Said<Vec<Operand>> {
        ids.iter().map(|id| self.operand(*id)).collect()
    }

    /// The least lag of what some operands read at the position.
    fn lag(&self, operands: &[Operand]) -> usize {
        let lag = |o: &Operand| match o {
            Operand::Feature(v) => self.program.features[v.feature].lag,
            Operand::Constant(_) => NEVER,
        };
        operands.iter().map(lag).min().unwrap_or(NEVER)
    }

    /// Adds a step that makes a feature.
    fn push(&mut self, channels: usize, lag: usize, work: Work) -> View {
        let output = self.program.feature(channels, lag);
        self.program.steps.push(RasterStep { output: output.feature, work });
        output
    }

    fn derive(&mut self, node: &Node) -> Said<View> {
        if let Kind::Reshape = node.kind {
            let view = self.view(node.inputs[0])?;
            let [_, h, w, c] = *node.shape.dims() else { return Err("a reshape makes no image".into()) };
            return if [h, w] == self.program.size && c == view.channels { Ok(view) } else { Err("a reshape mixes positions".into()) };
        }
        let Kind::Op(op) = &node.kind else { return Err(format!("{:?} depends on the image", node.kind)) };
        let [_, h, w, channels] = *node.shape.dims() else { return Err(format!("{} makes no image", op.name())) };
        if [h, w] != self.program.size {
            return Err(format!("{} changes the size", op.name()));
        }
        let any = op.as_any();
        if let Some(conv) = any.downcast_ref::<Conv>().filter(|conv| !conv.adjoint) {
            return self.convolution(conv, node);
        }
        if let Some(map) = any.downcast_ref::<Map>() {
            if map.expr().is_random() {
                return Err("it draws noise of its own".into());
            }
            let operands = self.operands(&node.inputs)?;
            return Ok(self.push(channels, self.lag(&operands), Work::Map { expr: map.expr().clone(), operands }));
        }
        if let Some(slice) = any.downcast_ref::<Slice>().filter(|s| s.axis == 3) {
            let View { feature, first, .. } = self.view(node.inputs[0])?;
            return Ok(View { feature, first: first + slice.start, channels: slice.len });
        }
        if any.downcast_ref::<Concat>().is_some_and(|c| c.axis == 3) {
            let parts = [self.view(node.inputs[0])?, self.view(node.inputs[1])?];
            let lag = self.lag(&parts.map(Operand::Feature));
            return Ok(self.push(channels, lag, Work::Join(parts)));
        }
        if any.is::<Gate>() {
            let View { feature, first, .. } = self.view(node.inputs[0])?;
            let half = |k: usize| Operand::Feature(View { feature, first: first + k * channels, channels });
            let operands = vec![half(0), half(1)];
            return Ok(self.push(channels, self.lag(&operands), Work::Map { expr: Gate::expr(), operands }));
        }
        Err(format!("{} mixes positions", op.name()))
    }

    fn convolution(&mut self, conv: &Conv, node: &Node) -> Said<View> {
        let taps = conv.taps.offsets.clone();
        if conv.taps.stride != 1 {
            return Err("a convolution has a stride".into());
        }
        let mut source = self.view(node.inputs[0])?;
        let Operand::Constant(weights) = self.operand(node.inputs[1])? else { return Err("weights depend on the image".into()) };
        let operands = self.operands(&node.inputs[2..])?;
        let from = self.program.features[source.feature].lag;
        // A row that was computed at once can be read to both sides, others up to the position.
        let ahead = |[dy, dx]: &&[i32; 2]| *dy > 0 || (*dy == 0 && *dx > 0 && from == 0);
        if let Some([dy, dx]) = taps.iter().find(ahead) {
            return Err(format!("a convolution reads {dy} rows down and {dx} columns to the right"));
        }
        if let Some(expr) = &conv.prologue {
            // What is read through a program is cached behind it.
            let expr = expr.clone();
            source = self.push(source.channels, from, Work::Map { expr, operands: vec![Operand::Feature(source)] });
        }
        let feature = &mut self.program.features[source.feature];
        for [dy, dx] in &taps {
            feature.rows = feature.rows.max(1 + dy.unsigned_abs() as usize);
            feature.wide |= *dy != 0 || *dx != 0;
        }
        let above = taps.iter().map(|[dy, _]| dy.unsigned_abs() as usize).min().unwrap_or(0);
        let lag = from.saturating_add(above).min(self.lag(&operands));
        let work = Work::Conv { source, taps, weights, epilogue: conv.epilogue.clone(), operands };
        Ok(self.push(node.shape.channels(), lag, work))
    }
}
