//! A recurrence over an image as one operation, with a hand-written adjoint.
//!
//! Cells are visited step by step (rows, or diagonals); a cell reads the hidden states of its neighbours in the step before, which in the
//! image lie at fixed offsets, so the skewed map of the papers is never built. A sequence is a [`Walk::Rows`] with a kernel of 1 over an
//! image one column wide.

use std::any::Any;

use crate::error::{Error, Result};
use crate::graph::{self, Batching, Eval, Graph, Kind, NodeId, Operation, Shape, Signature};
use crate::native::ScanJob;
use crate::native::scan::{self, oracle};
use crate::op::{ConvWeight, Reduction, Taps, launch};
use crate::shader::{Launch, Target};
use crate::tensor::{GATES, Gating, Reach, Read, Walk, classify};

/// LSTM or GRU over an image: `[N, H, W, 4h]` (what the input adds to the gates, see [`Gating`]; those of an LSTM in PyTorch's order),
/// `[taps, h, 4h]`, of a GRU `[taps, h, 3h]` (what the hidden states of the neighbours add to the first of them), `[2, h]`, of a GRU
/// `[1, h]` (the initial hidden state, and cell state) → hidden states `[N, H, W, h]`.
///
/// c₋ and h₋ of [`Gating`] are the states of the neighbour at [`Walk::carry`] (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, "Pixel
/// recurrent neural networks", sections 3.1 and 3.2). It has no second derivative.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The order of the cells.
    pub walk: Walk,
    /// The cell.
    pub gating: Gating,
}

/// The adjoint of [`Scan`]: the hidden states' gradient `[N, H, W, h]`, then what [`Scan`] reads, then what it made, to `[N, L]`: for
/// each image the gradient of the gates' sums `[H, W, 4h]`, then for each tap the sum of those of the cells that read the initial state
/// there `[taps, 4h]`, then the gradient of the state that first cells go on from `[h]`.
#[derive(Clone, Debug)]
pub struct ScanAdjoint {
    /// The order of the cells.
    pub walk: Walk,
    /// The cell.
    pub gating: Gating,
}

/// Largest weights that an executor may pack again for each part of a batch.
const SMALL_WEIGHTS: usize = 32 * 1024;
/// Steps of fewer cells than this are better carried out for several images side by side.
const NARROW: usize = 8;

/// Items, height, width and hidden units, where the three tensors fit each other.
fn extents(walk: Walk, gating: Gating, sums: &Shape, weights: &Shape, initial: &Shape) -> Result<[usize; 4]> {
    let (taps, entered, states) = (walk.taps().len(), gating.entered(), gating.states());
    match (sums.dims(), weights.dims(), initial.dims()) {
        (&[n, height, width, gates], &[t, h, g], &[s, i]) if [t, g, s, i, gates] == [taps, entered * h, states, h, GATES * h] => {
            Ok([n, height, width, h])
        }
        _ => Err(Error::Shape(format!("a scan takes N×H×W×4h, {taps}×h×{entered}h and {states}×h, not {sums}, {weights} and {initial}"))),
    }
}

fn batching(walk: Walk, hidden: &Shape, weights: &Shape) -> Batching {
    let &[items, h, w, _] = hidden.dims() else { return Batching::Whole };
    let splits = weights.len() <= SMALL_WEIGHTS && walk.widest([h, w]) >= NARROW;
    if splits { Batching::Items(items) } else { Batching::Whole }
}

fn job<'a, T>(walk: Walk, gating: Gating, e: &Eval<'a, T>, first: usize, hidden: &Shape) -> ScanJob<'a, T> {
    let d = hidden.dims();
    ScanJob {
        walk,
        gating,
        size: [d[1], d[2]],
        hidden: d[3],
        sums: e.inputs[first],
        weights: e.inputs[first + 1],
        initial: e.inputs[first + 2],
    }
}

impl Graph {
    /// A copy of the nodes that make `x`, as far back as they are as large as x: computed anew where it is read, x itself need not be
    /// kept until then.
    fn again(&mut self, x: NodeId) -> Result<NodeId> {
        let node = self.node(x).clone();
        let len = node.shape.len();
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let large = self.shape(*input).len() >= len;
            inputs.push(if large { self.again(*input)? } else { *input });
        }
        match node.kind {
            Kind::Op(op) => self.boxed(op, &inputs),
            Kind::Reshape => self.reshape(inputs[0], node.shape),
            _ => Ok(x),
        }
    }
}

impl Operation for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let [n, height, width, h] = extents(self.walk, self.gating, inputs[0], inputs[1], inputs[2])?;
        Ok(Shape::from([n, height, width, h]))
    }

    fn gradient(&self, graph: &mut Graph, node: NodeId, upstream: NodeId, wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        let [sums, weights, initial] = [0, 1, 2].map(|k| graph.node(node).inputs[k]);
        let [n, height, width, h] = extents(self.walk, self.gating, graph.shape(sums), graph.shape(weights), graph.shape(initial))?;
        let (taps, gates, entered) = (self.walk.taps(), GATES * h, self.gating.entered() * h);
        let cells = height * width * gates;
        let sums = graph.again(sums)?;
        let all = graph.op(ScanAdjoint { walk: self.walk, gating: self.gating }, &[upstream, sums, weights, initial, node])?;
        let dz = graph.slice(all, 1, 0, cells)?;
        let dz = graph.reshape(dz, [n, height, width, gates])?;
        if !wanted[1] && !wanted[2] {
            return Ok(vec![Some(dz), None, None]);
        }
        let rest = graph.slice(all, 1, cells, taps.len() * gates + h)?;
        let rest = graph.reduce(Reduction::Sum, rest, 0..1)?;
        let met = graph.slice(rest, 1, 0, taps.len() * gates)?;
        let met = graph.reshape(met, [taps.len(), 1, gates])?;
        // What no hidden state enters has no weights.
        let met = if entered < gates { graph.slice(met, 2, 0, entered)? } else { met };
        let by_state = if entered < gates { graph.slice(dz, 3, 0, entered)? } else { dz };
        let d_cell = graph.slice(rest, 1, taps.len() * gates, h)?;
        let size = [height, width];
        let geometry = Taps { offsets: taps, stride: 1, input: size, output: size };
        let inner = graph.op(ConvWeight::new(geometry), &[node, by_state])?;
        let first = graph.slice(initial, 0, 0, 1)?;
        let first = graph.reshape(first, [1, h, 1])?;
        let border = graph.mul(first, met)?;
        let d_weights = graph.add(inner, border)?;
        let products = graph.mul(weights, met)?;
        let by_unit = graph.sum_to(products, &Shape::from([1, h, 1]))?;
        let d_hidden = graph.reshape(by_unit, [1, h])?;
        let d_initial = match self.gating {
            Gating::Lstm => graph.concat(d_hidden, d_cell, 0)?,
            Gating::Gru => graph.add(d_hidden, d_cell)?,
        };
        Ok(vec![Some(dz), Some(d_weights), Some(d_initial)])
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        scan::forward(&job(self.walk, self.gating, &e, 0, e.shape), e.output);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        oracle::forward(&job(self.walk, self.gating, &e, 0, e.shape), e.output);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        launch::scan((self.walk, self.gating), signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        batching(self.walk, signature.output, signature.inputs[1])
    }

    fn has_items(&self, k: usize, _shape: &Shape, _items: usize, _output: &Shape) -> bool {
        k == 0
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        let cells = signature.output.len() / signature.output.channels().max(1);
        (2 * cells * signature.inputs[1].len()) as u64
    }

    fn reach(&self, inputs: &[graph::Read<'_>], output: &Shape) -> Reach {
        let (Some(sums), &[n, height, width, h], false) = (inputs[0].reach, output.dims(), inputs[1..].iter().any(|i| i.reach.is_some()))
        else {
            return Reach::whole(output, graph::Read::latest(inputs));
        };
        let (class, keys) = classify((0..h).map(|unit| std::array::from_fn::<_, GATES, _>(|gate| sums.class()[gate * h + unit])));
        let (classes, size) = (keys.len(), [height, width]);
        let mut last = vec![0u32; n * height * width * classes];
        let mut neighbours = self.walk.taps();
        neighbours.push(self.walk.carry());
        for item in 0..n {
            for [y, x] in (0..self.walk.steps(size)).flat_map(|step| self.walk.cells(step, size)) {
                let place = |[y, x]: [usize; 2]| (item * height + y) * width + x;
                // Every unit reads all units of its neighbours.
                let met = neighbours.iter().filter_map(|tap| match self.walk.read([y, x], *tap, size) {
                    Read::Cell(cell) => last[place(cell) * classes..][..classes].iter().max().copied(),
                    _ => None,
                });
                let met = met.max().unwrap_or(0);
                let at = place([y, x]);
                for (k, key) in keys.iter().enumerate() {
                    last[at * classes + k] = key.iter().map(|gate| sums.of_class(at, *gate)).fold(met, u32::max);
                }
            }
        }
        Reach::from_classes(class, classes, n * height * width, |p, k| last[p * classes + k])
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Operation for ScanAdjoint {
    fn name(&self) -> &'static str {
        "scan_adjoint"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        let [n, height, width, h] = extents(self.walk, self.gating, inputs[1], inputs[2], inputs[3])?;
        let hidden = Shape::from([n, height, width, h]);
        match [inputs[0], inputs[4]].into_iter().find(|s| **s != hidden) {
            Some(other) => Err(Error::Shape(format!("a scan's hidden states are {hidden}, not {other}"))),
            None => Ok(Shape::from([n, self.walk.adjoint_len([height, width, h])])),
        }
    }

    fn gradient(&self, _graph: &mut Graph, _node: NodeId, _upstream: NodeId, _wanted: &[bool]) -> Result<Vec<Option<NodeId>>> {
        Err(Error::Gradient("a scan has no second derivative".into()))
    }

    fn eval_f32(&self, e: Eval<'_, f32>) {
        scan::adjoint(&job(self.walk, self.gating, &e, 1, e.shapes[0]), e.inputs[0], e.inputs[4], e.output);
    }

    fn eval_f64(&self, e: Eval<'_, f64>) {
        oracle::adjoint(&job(self.walk, self.gating, &e, 1, e.shapes[0]), e.inputs[0], e.inputs[4], e.output);
    }

    fn launch(&self, signature: &Signature<'_>, target: &Target) -> Launch {
        launch::scan_adjoint((self.walk, self.gating), signature, target)
    }

    fn batching(&self, signature: &Signature<'_>) -> Batching {
        batching(self.walk, signature.inputs[0], signature.inputs[2])
    }

    fn has_items(&self, k: usize, _shape: &Shape, _items: usize, _output: &Shape) -> bool {
        [0, 1, 4].contains(&k)
    }

    fn flops(&self, signature: &Signature<'_>) -> u64 {
        let cells = signature.inputs[0].len() / signature.inputs[0].channels().max(1);
        // The gates again, and the way back.
        (4 * cells * signature.inputs[2].len()) as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
