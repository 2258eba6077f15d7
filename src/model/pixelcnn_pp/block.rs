//! What the two streams are made of: convolutions that look up alone or up and to the left, and gated residual blocks of them.

use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{NormedSpec, OneHot, Pass, Shift, Start, WeightNorm};

/// The two streams: what a map's position knows of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Rows above, by kernels of 2×3.
    Above,
    /// Rows above and the own row to the left, by kernels of 2×2.
    Left,
}

/// The streams, the one that the other reads first.
pub const STREAMS: [Stream; 2] = [Stream::Above, Stream::Left];

impl Stream {
    /// Its convolution of an image, to half its size or to twice where it is asked to; `image` is the smaller one.
    pub fn layer(self, stride: usize, transposed: bool, image: [usize; 2], channels: [usize; 2]) -> NormedSpec {
        let (kernel, left) = match self {
            Self::Above => ([2, 3], 1),
            Self::Left => ([2, 2], 1 - usize::from(transposed)),
        };
        let origin = [usize::from(!transposed), left];
        NormedSpec { kernel, origin, stride, transposed, shift: Shift::None, image, channels, deviation: 1.0 }
    }
}

/// A layer of single pixels.
pub fn pixelwise(image: [usize; 2], channels: [usize; 2]) -> NormedSpec {
    let (kernel, origin, shift) = ([1, 1], [0, 0], Shift::None);
    NormedSpec { kernel, origin, stride: 1, transposed: false, shift, image, channels, deviation: 1.0 }
}

/// What layers are applied in.
pub struct Context<'a> {
    pub g: &'a mut Graph,
    pub spec: &'a StateSpec,
    pub labels: Option<NodeId>,
    pub pass: Pass,
}

impl Context<'_> {
    pub fn apply(&mut self, layer: &WeightNorm, inputs: &[NodeId]) -> Result<NodeId> {
        layer.apply(self.g, self.spec, inputs, self.pass)
    }
}

/// A feature map, and its concatenated ELU, which several blocks read.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    pub plain: NodeId,
    bent: NodeId,
}

impl Map {
    pub fn new(g: &mut Graph, plain: NodeId) -> Result<Self> {
        Ok(Self { plain, bent: g.concat_elu(plain)? })
    }
}

/// A gated residual block: x + a · σ(b), where a and b are made of x and of other maps beside it.
pub struct Block {
    first: WeightNorm,
    beside: Option<WeightNorm>,
    second: WeightNorm,
    classes: Option<OneHot>,
}

impl Block {
    /// A block of `filters` channels at this size, beside which lie `maps` others; labels are of so many classes.
    pub fn new(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        stream: Stream,
        image: [usize; 2],
        [filters, maps, classes]: [usize; 3],
    ) -> Self {
        let f = filters;
        let mut layer = |part: &str, layer: NormedSpec| WeightNorm::new(spec, group, &format!("{name}.{part}"), layer);
        let first = layer("c1", stream.layer(1, false, image, [2 * f, f]));
        let beside = (maps > 0).then(|| layer("nin", pixelwise(image, [2 * maps * f, f])));
        // Blocks begin close to the identity.
        let second = layer("c2", NormedSpec { deviation: 0.1, ..stream.layer(1, false, image, [2 * f, 2 * f]) });
        let classes = (classes > 0).then(|| OneHot::new(spec, group, &format!("{name}.hw"), [classes, 2 * f], Start::Normal(0.05)));
        Self { first, beside, second, classes }
    }

    /// The block's map.
    pub fn apply(&self, c: &mut Context<'_>, x: Map, others: &[Map]) -> Result<Map> {
        let mut h = c.apply(&self.first, &[x.bent])?;
        if let Some(beside) = &self.beside {
            let told = c.apply(beside, &others.iter().map(|map| map.bent).collect::<Vec<_>>())?;
            h = c.g.add(h, told)?;
        }
        let bent = c.g.concat_elu(h)?;
        let kept = c.g.dropout(bent)?;
        let mut sums = c.apply(&self.second, &[kept])?;
        if let (Some(classes), Some(labels)) = (&self.classes, c.labels) {
            sums = classes.add_to(c.g, c.spec, sums, labels)?;
        }
        let out = c.g.gated_residual(x.plain, sums)?;
        Map::new(c.g, out)
    }
}
