//! A raster-causal network as steps over one position, derived from the model's own graph.
//!
//! In raster order a feature is final once computed, so each node is evaluated once per position, reading what it needs of earlier
//! positions from cached rows: one forward pass an image in total, not one a pixel (Ramachandran et al., 2017).

use crate::error::{Error, Result};
use crate::graph::{Expr, Graph, Kind, Node, NodeId};
use crate::op::{Conv, Map};

/// Where an operand of a step is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A feature map, at the position (or at a tap from it).
    Feature(usize),
    /// A tensor that does not depend on the image: one of [`RasterProgram::constants`].
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
}

/// What is computed at each position.
#[derive(Clone, Debug)]
pub enum Work {
    /// `epilogue(Σ_t source at t · W_t)`
    Conv {
        /// Feature the taps read.
        source: usize,
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
}

/// One step: computes a feature at the position.
#[derive(Clone, Debug)]
pub struct RasterStep {
    /// The feature.
    pub output: usize,
    /// How.
    pub work: Work,
}

/// A network's steps at one position.
#[derive(Clone, Debug)]
pub struct RasterProgram {
    /// Height and width.
    pub size: [usize; 2],
    /// Feature maps; the first is the image.
    pub features: Vec<Feature>,
    /// Steps, in order.
    pub steps: Vec<RasterStep>,
    /// Steps that are computed once more when the last value of a position is known: pointwise functions of the image itself, which
    /// later positions read. (What the first convolution makes of the position does not depend on its last value: mask A.)
    pub late: Vec<usize>,
    /// The feature that holds the logits.
    pub logits: usize,
    /// Nodes of the graph whose values do not depend on the image.
    pub constants: Vec<NodeId>,
}

/// Where a node went.
#[derive(Clone, Copy)]
enum Home {
    Feature(usize),
    Constant(usize),
}

impl RasterProgram {
    /// Derives the steps of a graph from input `x` to output `logits`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the graph reads positions that come later, or has an operation that mixes positions in another way.
    pub fn new(graph: &Graph) -> Result<Self> {
        let nodes = graph.fused();
        let unfit = |what: String| Error::Shape(format!("the network cannot be sampled pixel by pixel from a cache: {what}"));
        let (_, logits) = graph.outputs().iter().find(|(n, _)| n == "logits").ok_or_else(|| unfit("no logits".into()))?;
        let [_, height, width, _] = *graph.shape(*logits).dims() else { return Err(unfit("its logits are no image".into())) };
        let mut program =
            Self { size: [height, width], features: Vec::new(), steps: Vec::new(), late: Vec::new(), logits: 0, constants: Vec::new() };
        let mut homes: Vec<Option<Home>> = vec![None; nodes.len()];
        if let Some(&x) = graph.inputs().get("x") {
            homes[x.0] = Some(Home::Feature(program.feature(graph.shape(x).channels())));
        }
        for (at, node) in nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            if homes[at].is_some() {
                continue;
            }
            if node.inputs.iter().all(|i| matches!(homes[i.0], Some(Home::Constant(_)))) && !matches!(node.kind, Kind::Input(_)) {
                homes[at] = Some(Home::Constant(program.constants.len()));
                program.constants.push(NodeId(at));
                continue;
            }
            let work = program.step(node, &homes).map_err(unfit)?;
            let output = program.feature(node.shape.channels());
            program.steps.push(RasterStep { output, work });
            homes[at] = Some(Home::Feature(output));
        }
        program.late = program.late_steps();
        match homes[logits.0] {
            Some(Home::Feature(feature)) => program.logits = feature,
            _ => return Err(unfit("its logits do not depend on the image".into())),
        }
        Ok(program)
    }

    fn late_steps(&self) -> Vec<usize> {
        let mut follows = vec![false; self.features.len()];
        follows[0] = true;
        let mut late = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            let Work::Map { operands, .. } = &step.work else { continue };
            if operands.iter().any(|o| matches!(o, Operand::Feature(f) if follows[*f])) {
                follows[step.output] = true;
                late.push(at);
            }
        }
        late
    }

    fn feature(&mut self, channels: usize) -> usize {
        self.features.push(Feature { channels, rows: 1, wide: false });
        self.features.len() - 1
    }

    fn step(&mut self, node: &Node, homes: &[Option<Home>]) -> std::result::Result<Work, String> {
        let Kind::Op(op) = &node.kind else { return Err(format!("{:?} depends on the image", node.kind)) };
        let home = |id: &NodeId| match homes[id.0] {
            Some(Home::Feature(f)) => Ok(Operand::Feature(f)),
            Some(Home::Constant(c)) => Ok(Operand::Constant(c)),
            None => Err("an input besides the image".to_string()),
        };
        let [_, h, w, _] = *node.shape.dims() else { return Err(format!("{} makes no image", op.name())) };
        if [h, w] != self.size {
            return Err(format!("{} changes the size", op.name()));
        }
        if let Some(conv) = op.as_any().downcast_ref::<Conv>().filter(|conv| !conv.adjoint) {
            let later = |o: &&[i32; 2]| o[0] > 0 || (o[0] == 0 && o[1] > 0);
            if conv.taps.stride != 1 || conv.taps.offsets.iter().any(|o| later(&o)) {
                return Err("a convolution reads later pixels".into());
            }
            let Operand::Feature(mut source) = home(&node.inputs[0])? else { return Err("a constant image".into()) };
            let Operand::Constant(weights) = home(&node.inputs[1])? else { return Err("weights depend on the image".into()) };
            if let Some(expr) = &conv.prologue {
                // What is read through a program is cached behind it.
                let output = self.feature(self.features[source].channels);
                self.steps.push(RasterStep { output, work: Work::Map { expr: expr.clone(), operands: vec![Operand::Feature(source)] } });
                source = output;
            }
            let feature = &mut self.features[source];
            for [dy, dx] in &conv.taps.offsets {
                feature.rows = feature.rows.max(1 + dy.unsigned_abs() as usize);
                feature.wide |= *dy != 0 || *dx != 0;
            }
            let operands = node.inputs[2..].iter().map(home).collect::<std::result::Result<_, _>>()?;
            return Ok(Work::Conv { source, taps: conv.taps.offsets.clone(), weights, epilogue: conv.epilogue.clone(), operands });
        }
        if let Some(map) = op.as_any().downcast_ref::<Map>() {
            if map.expr().is_random() {
                return Err("it draws noise of its own".into());
            }
            let operands = node.inputs.iter().map(home).collect::<std::result::Result<_, _>>()?;
            return Ok(Work::Map { expr: map.expr().clone(), operands });
        }
        Err(format!("{} mixes positions", op.name()))
    }
}
