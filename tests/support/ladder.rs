//! Raster-causal networks of strided stages that no model of kiln has, to sample from: small, and of any size.
#![allow(dead_code)] // each test binary uses its part

use kiln::Result;
use kiln::data::Scale;
use kiln::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec, Update};
use kiln::model::{Defaults, Law, Model, Optimiser, Raster};
use kiln::op::{Gating, Taps, Walk};

const CHANNELS: usize = 4;

/// What lies between the first and the last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To half the size, to a quarter and back, with short-cuts; a stream of rows above beside one that also sees the own row.
    Streams,
    /// Recurrences at half the size, to the right and, a row late, to the left.
    Recurrent,
    /// Layers that see the position itself, before one that does not.
    Late,
}

/// A network.
pub struct Ladder {
    kind: Kind,
    dims: [usize; 3],
    levels: usize,
    spec: StateSpec,
    ids: Vec<StateId>,
}

/// Hands out tensors: new ones at first, then the same in the same order.
struct Tensors<'a> {
    spec: &'a mut StateSpec,
    ids: Vec<StateId>,
    known: usize,
}

impl Tensors<'_> {
    fn next(&mut self, g: &mut Graph, shape: &[usize]) -> NodeId {
        if self.known == self.ids.len() {
            let name = format!("t{}", self.known);
            self.ids.push(self.spec.tensor(0, &name, shape, Init::Uniform(0.7), Layout::Plain, true));
        }
        self.known += 1;
        g.state(self.spec, self.ids[self.known - 1])
    }

    /// A convolution of `x` with a bias, to every `stride`-th place, or back to an image of size `back`.
    fn conv(
        &mut self,
        g: &mut Graph,
        x: NodeId,
        offsets: &[[i32; 2]],
        stride: usize,
        back: Option<[usize; 2]>,
        d: usize,
    ) -> Result<NodeId> {
        let &[_, h, w, c] = g.shape(x).dims() else { panic!("an image") };
        let offsets = offsets.to_vec();
        let y = match back {
            None => {
                let output = [h, w].map(|side| side.div_ceil(stride));
                let weights = self.next(g, &[offsets.len(), c, d]);
                g.conv(x, weights, Taps { offsets, stride, input: [h, w], output })?
            }
            Some(input) => {
                let weights = self.next(g, &[offsets.len(), d, c]);
                g.conv_transposed(x, weights, Taps { offsets, stride, input, output: [h, w] })?
            }
        };
        let bias = self.next(g, &[d]);
        g.add(y, bias)
    }
}

/// Rows above and, up to a column, the own row.
fn causal(rows: i32, side: i32, own: i32) -> Vec<[i32; 2]> {
    let above = (-rows..0).flat_map(|dy| (-side..=side).map(move |dx| [dy, dx]));
    above.chain((-side..own).map(|dx| [0, dx])).collect()
}

impl Ladder {
    pub fn new(kind: Kind, dims: [usize; 3], levels: usize) -> Result<Self> {
        let mut spec = StateSpec::default();
        spec.group("");
        let mut ladder = Self { kind, dims, levels, spec: StateSpec::default(), ids: Vec::new() };
        let mut tensors = Tensors { spec: &mut spec, ids: Vec::new(), known: 0 };
        ladder.build(&mut tensors, 1)?;
        ladder.ids = tensors.ids;
        ladder.spec = spec;
        Ok(ladder)
    }

    fn build(&self, t: &mut Tensors<'_>, batch: usize) -> Result<Graph> {
        let ([h, w, colours], c) = (self.dims, CHANNELS);
        let size = [h, w];
        let mut g = Graph::new();
        let input = g.input("x", [batch, h, w, colours]);
        let x = g.scale(input, 0.5)?;
        let last = match self.kind {
            Kind::Streams => {
                let block: Vec<[i32; 2]> = (-1..=0).flat_map(|dy| (-1..=0).map(move |dx| [dy, dx])).collect();
                let around: Vec<[i32; 2]> = (-1..=0).flat_map(|dy| (-1..=1).map(move |dx| [dy, dx])).collect();
                let flip = |taps: &[[i32; 2]]| taps.iter().map(|[dy, dx]| [dy + 1, *dx]).collect::<Vec<_>>();
                let corner = vec![[0, 0], [0, 1], [1, 0], [1, 1]];
                let above = t.conv(&mut g, x, &[[-2, -1], [-2, 0], [-2, 1], [-1, -1], [-1, 0], [-1, 1]], 1, None, c)?;
                let left = t.conv(&mut g, x, &causal(1, 1, 0), 1, None, c)?;
                let mut streams = [g.relu(above)?, g.relu(left)?];
                let mut kept = Vec::new();
                for _ in 0..2 {
                    kept.push(streams);
                    let above = t.conv(&mut g, streams[0], &around, 2, None, c)?;
                    let left = t.conv(&mut g, streams[1], &block, 2, None, 2 * c)?;
                    let left = g.gate(left)?;
                    let both = g.concat(above, left, 3)?;
                    streams = [g.concat_elu(above)?, t.conv(&mut g, both, &block, 1, None, c)?];
                }
                while let Some(short) = kept.pop() {
                    let back = [g.shape(short[0]).dims()[1], g.shape(short[0]).dims()[2]];
                    let above = t.conv(&mut g, streams[0], &flip(&around), 2, Some(back), c)?;
                    let left = t.conv(&mut g, streams[1], &corner, 2, Some(back), c)?;
                    let cut = t.conv(&mut g, short[0], &[[0, 0]], 1, None, c)?;
                    let above = g.add(above, cut)?;
                    let sums = g.concat(above, short[1], 3)?;
                    streams = [g.relu(above)?, g.gated_residual(left, sums)?];
                }
                streams[1]
            }
            Kind::Recurrent => {
                let first = t.conv(&mut g, x, &causal(2, 1, 0), 1, None, c)?;
                let half = t.conv(&mut g, first, &[[-1, -1], [-1, 0], [0, -1], [0, 0]], 2, None, c)?;
                let half = g.relu(half)?;
                let mut sum = half;
                for (walk, shift) in [(Walk::Rightward, 0), (Walk::Leftward, -1), (Walk::Rows { kernel: 3 }, 0)] {
                    let gates = t.conv(&mut g, half, &[[0, 0]], 1, None, 4 * c)?;
                    let [weights, initial] = [t.next(&mut g, &[walk.taps().len(), c, 4 * c]), t.next(&mut g, &[2, c])];
                    let hidden = g.scan(gates, weights, initial, walk, Gating::Lstm)?;
                    let up = t.conv(&mut g, hidden, &[[shift, 0]], 1, None, c)?;
                    sum = g.add(sum, up)?;
                }
                let back = t.conv(&mut g, sum, &[[0, 0], [0, 1], [1, 0], [1, 1]], 2, Some(size), c)?;
                g.add(back, first)?
            }
            Kind::Late => {
                let own = t.conv(&mut g, x, &[[0, 0]], 1, None, c)?;
                let bent = g.relu(own)?;
                let half = t.conv(&mut g, bent, &[[0, -1], [0, 0]], 2, None, c)?;
                let back = t.conv(&mut g, half, &[[0, 2], [1, 2], [2, 0]], 2, Some(size), c)?;
                let row = t.next(&mut g, &[h, 1, 1]);
                let column = t.next(&mut g, &[w, c]);
                let placed = g.map(&[back, row, column], |b, v| {
                    let product = b.mul(v[1], v[2]);
                    b.add(v[0], product)
                })?;
                let shifted = t.conv(&mut g, own, &causal(1, 1, 0), 1, None, c)?;
                g.add(placed, shifted)?
            }
        };
        let per = if self.levels == 2 { 1 } else { self.levels };
        let logits = t.conv(&mut g, last, &[[0, 0]], 1, None, colours * per)?;
        let logits = g.scale(logits, 2.0)?;
        g.output("logits", logits);
        Ok(g)
    }
}

impl Raster for Ladder {
    fn law(&self) -> Law {
        if self.levels == 2 { Law::Bernoulli } else { Law::Categorical { levels: self.levels } }
    }

    fn raster_graph(&self, batch: usize) -> Result<Graph> {
        let mut spec = self.spec.clone();
        self.build(&mut Tensors { spec: &mut spec, ids: self.ids.clone(), known: 0 }, batch)
    }
}

impl Model for Ladder {
    fn name(&self) -> &'static str {
        "ladder"
    }

    fn state(&self) -> &StateSpec {
        &self.spec
    }

    fn defaults(&self) -> Defaults {
        let optimiser = Optimiser::Adam;
        Defaults {
            batch: 1,
            steps: 1,
            learning_rate: vec![1e-3],
            rate_decay: 1.0,
            warmup: 0,
            clip_norm: 0.0,
            ema: 0.0,
            optimiser,
            betas: [0.9, 0.999],
        }
    }

    fn scale(&self) -> Scale {
        Scale::Levels
    }

    fn train_graph(&self, batch: usize, _update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        self.raster_graph(batch)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    fn raster(&self) -> Option<&dyn Raster> {
        Some(self)
    }
}
