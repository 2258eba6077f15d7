//! A raster program derived from a model's own graph.

use super::program::{Feature, Known, Operand, RasterProgram, RasterStep, View, Work};
use crate::error::{Error, Result};
use crate::graph::{Expr, Graph, Kind, Node, NodeId, Reaches};
use crate::op::{Concat, ConcatElu, Conv, Gate, GatedResidual, Map, Scan, Slice};
use crate::tensor::{StateSpec, Walk};

/// The lag of what does not depend on the image at all.
const NEVER: usize = usize::MAX;

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
    /// Derives the steps of a graph from input `x` to output `logits`, given the tensors it names.
    ///
    /// # Errors
    /// [`Error::Shape`] where the graph reads positions that come later, or has an operation that mixes positions in another way.
    pub fn new(graph: &Graph, spec: &StateSpec) -> Result<Self> {
        let unfit = |what: String| Error::Shape(format!("the network cannot be sampled pixel by pixel from a cache: {what}"));
        let (_, logits) = graph.outputs().iter().find(|(n, _)| n == "logits").ok_or_else(|| unfit("no logits".into()))?;
        let &[_, height, width, _] = graph.shape(*logits).dims() else { return Err(unfit("its logits are no image".into())) };
        let empty = Self {
            size: [height, width],
            features: Vec::new(),
            steps: Vec::new(),
            ended: Vec::new(),
            row: Vec::new(),
            pixel: Vec::new(),
            again: Vec::new(),
            late: Vec::new(),
            logits: 0,
            constants: Vec::new(),
            given: Vec::new(),
        };
        Derivation::new(graph, spec, *logits, empty).run().map_err(unfit)
    }
}

/// A program being derived.
struct Derivation<'a> {
    graph: &'a Graph,
    reaches: Reaches<'a>,
    nodes: Vec<Option<Node>>,
    homes: Vec<Option<Home>>,
    logits: NodeId,
    program: RasterProgram,
    /// For each feature the rows of the image between a place and the last row that it depends on: 0 where that is its own. From 1 on it
    /// is known when the row begins.
    lags: Vec<usize>,
}

/// What a step is known by: how its output depends on the image, from what it reads.
struct Reading {
    lag: usize,
    /// Whether it reads something of its own row that is known when the row is finished.
    ends: bool,
    /// Features and the offset of each reading.
    reads: Vec<(usize, [i32; 2])>,
}

impl Reading {
    fn known(&self) -> Known {
        match self.lag {
            0 if self.ends => Known::RowEnd,
            0 => Known::Pixel,
            _ => Known::Row,
        }
    }
}

impl<'a> Derivation<'a> {
    /// Begins with a program of a size and nothing else.
    fn new(graph: &'a Graph, spec: &'a StateSpec, logits: NodeId, program: RasterProgram) -> Self {
        let nodes = graph.fused();
        let reaches = Reaches::new(graph, spec, "x", logits);
        Self { graph, reaches, homes: vec![None; nodes.len()], nodes, logits, program, lags: Vec::new() }
    }

    /// Derives it.
    ///
    /// # Errors
    /// Says what does not fit.
    fn run(mut self) -> Said<RasterProgram> {
        let x = *self.graph.inputs().get("x").ok_or("it has no image")?;
        self.homes[x.0] = Some(Home::Feature(self.feature(self.graph.shape(x).channels(), 1, Known::Pixel, 0)));
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes[at].clone() else { continue };
            if self.homes[at].is_some() {
                continue;
            }
            let moves = node.inputs.iter().any(|i| matches!(self.homes[i.0], Some(Home::Feature(v)) if !self.is_given(v)));
            let given = |i: &NodeId| matches!(self.homes[i.0], Some(Home::Given | Home::Feature(_)));
            let home = if moves {
                Home::Feature(self.derive(NodeId(at), &node)?)
            } else if matches!(node.kind, Kind::Input(_)) || node.inputs.iter().any(given) {
                Home::Given
            } else {
                self.program.constants.push(NodeId(at));
                Home::Constant(self.program.constants.len() - 1)
            };
            self.homes[at] = Some(home);
        }
        match self.homes[self.logits.0] {
            Some(Home::Feature(View { feature, first: 0, channels })) if channels == self.program.features[feature].channels => {
                match self.program.features[feature] {
                    Feature { stride: 1, known: Known::Row | Known::Pixel, .. } => self.program.logits = feature,
                    _ => return Err("its logits read values to the right".into()),
                }
            }
            _ => return Err("its logits are no feature of the image".into()),
        }
        Ok(self.program)
    }

    fn feature(&mut self, channels: usize, stride: usize, known: Known, lag: usize) -> View {
        // A row that is computed at once is kept at once.
        let wide = known != Known::Pixel;
        self.program.features.push(Feature { channels, stride, rows: 1, wide, known });
        self.lags.push(lag);
        View { feature: self.program.features.len() - 1, first: 0, channels }
    }

    fn is_given(&self, view: View) -> bool {
        self.program.features[view.feature].known == Known::Given
    }

    /// Height and width of a feature of a stride.
    fn grid(&self, stride: usize) -> [usize; 2] {
        self.program.size.map(|side| side.div_ceil(stride))
    }

    /// The stride of the first input of a node that depends on the image.
    fn stride(&self, node: &Node) -> usize {
        let stride = |id: &NodeId| match self.homes[id.0] {
            Some(Home::Feature(view)) if !self.is_given(view) => Some(self.program.features[view.feature].stride),
            _ => None,
        };
        node.inputs.iter().find_map(stride).unwrap_or(1)
    }

    /// Where an input of a step is found that has a place at every `stride`-th row and column; what other inputs give becomes a feature
    /// here.
    fn operand(&mut self, id: NodeId, stride: usize) -> Said<Operand> {
        match self.homes[id.0] {
            Some(Home::Feature(view)) => {
                let feature = &self.program.features[view.feature];
                let fits = feature.stride == stride || (feature.known == Known::Given && !feature.wide);
                if fits { Ok(Operand::Feature(view)) } else { Err("maps of different sizes meet in one function".into()) }
            }
            Some(Home::Constant(c)) => Ok(Operand::Constant(c)),
            Some(Home::Given) => {
                let shape = self.graph.shape(id);
                let wide = match *shape.dims() {
                    [_, 1, 1, _] => false,
                    [_, h, w, _] if [h, w] == self.grid(stride) => true,
                    _ => return Err(format!("an input of shape {shape} is neither one vector an image nor one a pixel")),
                };
                let view = self.feature(shape.channels(), stride, Known::Given, NEVER);
                let feature = &mut self.program.features[view.feature];
                feature.wide = wide;
                if wide {
                    feature.rows = self.program.size[0].div_ceil(stride);
                }
                self.program.given.push((view.feature, id));
                self.homes[id.0] = Some(Home::Feature(view));
                Ok(Operand::Feature(view))
            }
            None => Err("something that is not known when it is needed".into()),
        }
    }

    fn view(&mut self, id: NodeId, stride: usize) -> Said<View> {
        let constant = match self.operand(id, stride)? {
            Operand::Feature(view) => return Ok(view),
            constant @ Operand::Constant(_) => constant,
        };
        let &[_, h, w, channels] = self.graph.shape(id).dims() else { return Err("a constant that is no image".into()) };
        if [h, w] != self.grid(stride) {
            return Err("a constant image of another size".into());
        }
        // What is the same for all images is laid down row by row.
        let reading = self.reading(&[constant], None)?;
        let work = Work::Map { expr: Expr::identity(), operands: vec![constant] };
        let view = self.push(id, [channels, stride], &reading, work);
        self.homes[id.0] = Some(Home::Feature(view));
        Ok(view)
    }

    fn operands(&mut self, ids: &[NodeId], stride: usize) -> Said<Vec<Operand>> {
        ids.iter().map(|id| self.operand(*id, stride)).collect()
    }

    fn constant(&self, id: NodeId) -> Said<usize> {
        match self.homes[id.0] {
            Some(Home::Constant(c)) => Ok(c),
            _ => Err("weights depend on the image".into()),
        }
    }

    /// What a step is known by that reads operands at its place and a source at some offsets of rows and columns.
    fn reading(&self, operands: &[Operand], source: Option<(View, &[[i32; 2]])>) -> Said<Reading> {
        let at_place = operands.iter().filter_map(|o| match o {
            Operand::Feature(view) => Some((view.feature, [0, 0])),
            Operand::Constant(_) => None,
        });
        let at_taps = source.into_iter().flat_map(|(view, taps)| taps.iter().map(move |tap| (view.feature, *tap)));
        let mut reading = Reading { lag: NEVER, ends: false, reads: at_place.chain(at_taps).collect() };
        for (feature, [dy, dx]) in &reading.reads {
            let known = self.program.features[*feature].known;
            if known == Known::Given {
                continue;
            }
            // A row that was computed at once can be read to both sides, others up to the position.
            if *dy > 0 || (*dy == 0 && *dx > 0 && known == Known::Pixel) {
                return Err(format!("a convolution reads {dy} rows down and {dx} columns to the right"));
            }
            reading.ends |= *dy == 0 && known == Known::RowEnd;
            reading.lag = reading.lag.min(self.lags[*feature].saturating_add(dy.unsigned_abs() as usize));
        }
        Ok(reading)
    }

    /// Keeps of each feature what a step reads of it.
    fn keep(&mut self, reads: &[(usize, [i32; 2])], by: Known) {
        for (feature, [dy, dx]) in reads {
            let feature = &mut self.program.features[*feature];
            if feature.known == Known::Given {
                continue;
            }
            let mut up = dy.unsigned_abs() as usize;
            if feature.known == Known::RowEnd && by != Known::RowEnd {
                // The row of the position is not there yet.
                up -= 1;
            }
            feature.rows = feature.rows.max(1 + up / feature.stride);
            feature.wide |= *dy != 0 || *dx != 0 || by != Known::Pixel;
        }
    }

    /// Adds a step that makes a feature of every `stride`-th row and column. `from`: the node that its value is a function of.
    fn push(&mut self, from: NodeId, [channels, stride]: [usize; 2], reading: &Reading, work: Work) -> View {
        let known = reading.known();
        self.keep(&reading.reads, known);
        let output = self.feature(channels, stride, known, reading.lag);
        let at = self.program.steps.len();
        self.program.steps.push(RasterStep { output: output.feature, work });
        match known {
            Known::RowEnd => self.program.ended.push(at),
            Known::Row => self.program.row.push(at),
            Known::Pixel | Known::Given => self.program.pixel.push(at),
        }
        if known == Known::Pixel && self.reads(from, stride, 0) {
            self.program.again.push(at);
            if self.reads(from, stride, self.program.features[0].channels - 1) {
                self.program.late.push(at);
            }
        }
        output
    }

    /// Whether a node depends at some position on the value of a colour of that position, or on a later one.
    fn reads(&self, id: NodeId, stride: usize, colour: usize) -> bool {
        let Some(reach) = self.reaches.of(id) else { return false };
        let colours = self.program.features[0].channels;
        let [height, width] = self.grid(stride);
        let position = |place: usize| place / width * stride * self.program.size[1] + place % width * stride;
        let does = |place: usize, class: usize| reach.of_class(place, class) as usize > position(place) * colours + colour;
        (0..height * width).any(|place| (0..reach.classes()).any(|class| does(place, class)))
    }

    fn derive(&mut self, id: NodeId, node: &Node) -> Said<View> {
        let stride = self.stride(node);
        if let Kind::Reshape = node.kind {
            let view = self.view(node.inputs[0], stride)?;
            let [_, h, w, c] = *node.shape.dims() else { return Err("a reshape makes no image".into()) };
            return if [h, w] == self.grid(stride) && c == view.channels { Ok(view) } else { Err("a reshape mixes positions".into()) };
        }
        let Kind::Op(op) = &node.kind else { return Err(format!("{:?} depends on the image", node.kind)) };
        let [_, h, w, channels] = *node.shape.dims() else { return Err(format!("{} makes no image", op.name())) };
        let any = op.as_any();
        if let Some(conv) = any.downcast_ref::<Conv>() {
            return self.convolution(conv, id, node);
        }
        if [h, w] != self.grid(stride) {
            return Err(format!("{} changes the size", op.name()));
        }
        if let Some(map) = any.downcast_ref::<Map>() {
            if map.expr().is_random() {
                return Err("it draws noise of its own".into());
            }
            let operands = self.operands(&node.inputs, stride)?;
            let reading = self.reading(&operands, None)?;
            return Ok(self.push(id, [channels, stride], &reading, Work::Map { expr: map.expr().clone(), operands }));
        }
        if let Some(slice) = any.downcast_ref::<Slice>().filter(|s| s.axis == 3) {
            let View { feature, first, .. } = self.view(node.inputs[0], stride)?;
            return Ok(View { feature, first: first + slice.start, channels: slice.len });
        }
        if any.downcast_ref::<Concat>().is_some_and(|c| c.axis == 3) {
            let parts = [self.view(node.inputs[0], stride)?, self.view(node.inputs[1], stride)?];
            let reading = self.reading(&parts.map(Operand::Feature), None)?;
            return Ok(self.push(id, [channels, stride], &reading, Work::Join(parts)));
        }
        if any.is::<Gate>() {
            let View { feature, first, .. } = self.view(node.inputs[0], stride)?;
            let half = |k: usize| Operand::Feature(View { feature, first: first + k * channels, channels });
            let operands = vec![half(0), half(1)];
            let reading = self.reading(&operands, None)?;
            return Ok(self.push(id, [channels, stride], &reading, Work::Map { expr: Gate::expr(), operands }));
        }
        if any.is::<GatedResidual>() {
            let x = self.operand(node.inputs[0], stride)?;
            let View { feature, first, .. } = self.view(node.inputs[1], stride)?;
            let half = |k: usize| Operand::Feature(View { feature, first: first + k * channels, channels });
            let operands = vec![x, half(0), half(1)];
            let reading = self.reading(&operands, None)?;
            return Ok(self.push(id, [channels, stride], &reading, Work::Map { expr: GatedResidual::expr(), operands }));
        }
        if any.is::<ConcatElu>() {
            let source = self.view(node.inputs[0], stride)?;
            let reading = self.reading(&[Operand::Feature(source)], None)?;
            return Ok(self.push(id, [channels, stride], &reading, Work::Halves { exprs: ConcatElu::exprs(), source }));
        }
        if let Some(scan) = any.downcast_ref::<Scan>() {
            return self.recurrence(scan, id, node);
        }
        Err(format!("{} mixes positions", op.name()))
    }

    fn convolution(&mut self, conv: &Conv, id: NodeId, node: &Node) -> Said<View> {
        let s = conv.taps.stride;
        let given = !matches!(self.homes[node.inputs[0].0], Some(Home::Feature(view)) if !self.is_given(view));
        // Strides of the source and of what is made of it: where the source is given, the operands say the latter.
        let [from, to] = match (given, self.stride(node)) {
            (false, from) if conv.adjoint => [from, if from.is_multiple_of(s) { from / s } else { 0 }],
            (false, from) => [from, from * s],
            (true, to) if conv.adjoint => [to * s, to],
            (true, to) => [if to.is_multiple_of(s) { to / s } else { 0 }, to],
        };
        let [_, h, w, channels] = *node.shape.dims() else { return Err("a convolution makes no image".into()) };
        if from == 0 || to == 0 || [h, w] != self.grid(to) {
            return Err("a convolution changes the size in another way than by its stride".into());
        }
        // An output's place p reads the source's q with p = s·q + t in a transposed convolution, with q = s·p + t in another.
        let unit = if conv.adjoint { -(to as i32) } else { from as i32 };
        let taps: Vec<[i32; 2]> = conv.taps.offsets.iter().map(|tap| tap.map(|offset| offset * unit)).collect();
        let mut source = self.view(node.inputs[0], from)?;
        let weights = self.constant(node.inputs[1])?;
        let operands = self.operands(&node.inputs[2..], to)?;
        if let Some(expr) = &conv.prologue {
            // What is read through a program is cached behind it.
            let operands = vec![Operand::Feature(source)];
            let reading = self.reading(&operands, None)?;
            source = self.push(node.inputs[0], [source.channels, from], &reading, Work::Map { expr: expr.clone(), operands });
        }
        let reading = self.reading(&operands, Some((source, &taps)))?;
        let work = Work::Conv { source, taps, transposed: conv.adjoint, weights, epilogue: conv.epilogue.clone(), operands };
        Ok(self.push(id, [channels, to], &reading, work))
    }

    fn recurrence(&mut self, scan: &Scan, id: NodeId, node: &Node) -> Said<View> {
        let Scan { walk, gating } = *scan;
        let stride = self.stride(node);
        let sums = self.view(node.inputs[0], stride)?;
        let [weights, initial] = [self.constant(node.inputs[1])?, self.constant(node.inputs[2])?];
        let mut reading = self.reading(&[Operand::Feature(sums)], None)?;
        // From right to left a row must be there as a whole.
        reading.ends |= walk == Walk::Leftward;
        let hidden = node.shape.channels();
        let cells = self.feature(hidden, stride, reading.known(), reading.lag);
        let work = Work::Scan { walk, gating, sums, weights, initial, cells: cells.feature };
        let states = self.push(id, [hidden, stride], &reading, work);
        let unit = stride as i32;
        let own = walk.taps().into_iter().map(|tap| (states.feature, tap.map(|offset| offset * unit)));
        let carried = (cells.feature, walk.carry().map(|offset| offset * unit));
        self.keep(&own.chain([carried]).collect::<Vec<_>>(), reading.known());
        Ok(states)
    }
}
