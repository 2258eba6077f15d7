//! PixelCNN++ (Salimans, Karpathy, Chen and Kingma, 2017, "PixelCNN++: Improving the PixelCNN with discretized logistic mixture likelihood
//! and other modifications").
//!
//! Two streams of feature maps, one that knows the rows above, one that knows the own row to the left as well, go through gated residual
//! blocks at sizes that halve, and up again with short-cuts from the way down. What a pixel knows depends on its place in the grid of the
//! strides; no later pixel is ever known.

mod block;
mod config;

pub use config::Config;

use block::{Block, Context, Map, STREAMS, pixelwise};
use config::{Preset, Sizes};

use super::autoregressive::{Given, Network};
use super::dropout::Dropout;
use super::levels::{Levels, Likelihood};
use super::{DataSpec, Defaults, Optimiser, size};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{NormedSpec, Pass, Shift, WeightNorm};

/// The model.
pub struct PixelCnnPp {
    spec: StateSpec,
    pixels: Levels,
    /// Classes that it tells apart; 0 where it is not conditional.
    classes: usize,
    sizes: Sizes,
    /// Whether it is small enough for large steps.
    small: bool,
    /// What makes the first maps of the image: from above of the first stream, from above and from the left of the second.
    first: [WeightNorm; 3],
    down: Vec<[Block; 2]>,
    up: Vec<[Block; 2]>,
    halve: Vec<[WeightNorm; 2]>,
    double: Vec<[WeightNorm; 2]>,
    out: WeightNorm,
}

impl PixelCnnPp {
    /// A model for images of `data.dims`.
    ///
    /// # Errors
    /// [`Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        let [h, w, colours] = data.dims;
        let pixels = Levels::new("pixelcnn-pp", 0, data)?;
        let sizes = config.sizes(data.dims)?;
        let pixels = match (pixels.levels(), config.mixtures) {
            (2, None) => pixels,
            (2, Some(_)) => {
                let words =
                    "mixtures counts logistics of grey or colour values, and these are bits; leave it out, or take binarization=none";
                return Err(Error::usage(format!("pixelcnn-pp: {words}")));
            }
            _ => pixels.told_by("pixelcnn-pp", Likelihood::Mixture, Some(sizes.mixtures))?,
        };
        if config.conditional && data.classes == 0 {
            let words = "conditional=true needs labels, and these data have none; take labelled data or leave it out";
            return Err(Error::usage(format!("pixelcnn-pp: {words}")));
        }
        let classes = if config.conditional { data.classes } else { 0 };
        size::room("pixelcnn-pp", sizes.weights(pixels.outputs()))?;
        let Sizes { stages, blocks, filters: f, .. } = sizes;
        let at = |stage: usize| [h >> stage, w >> stage];
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let mut layer = |name: &str, layer: NormedSpec| WeightNorm::new(&mut spec, group, name, layer);
        let channels = [colours + 1, f];
        let rows =
            |kernel: [usize; 2], origin: [usize; 2], shift: Shift| NormedSpec { kernel, origin, shift, ..pixelwise([h, w], channels) };
        let first = [
            layer("u0", rows([2, 3], [1, 1], Shift::Down)),
            layer("ul0", rows([1, 3], [0, 1], Shift::Down)),
            layer("ul1", rows([2, 1], [1, 0], Shift::Right)),
        ];
        // Steps between sizes, streams in turn.
        let mut steps = |name: &str, transposed: bool| -> Vec<[WeightNorm; 2]> {
            let stage = |k: usize| if transposed { stages - 1 - k } else { k + 1 };
            let step = |k: usize, s: usize| (format!("{name}.{}", 2 * k + s), STREAMS[s].layer(2, transposed, at(stage(k)), [f, f]));
            (0..stages - 1).map(|k| [0, 1].map(|s| step(k, s))).map(|pair| pair.map(|(name, spec)| layer(&name, spec))).collect()
        };
        let (halve, double) = (steps("halve", false), steps("twice", true));
        let out = layer("out", pixelwise([h, w], [f, pixels.outputs()]));
        let mut pair = |names: [&str; 2], i: usize, stage: usize, maps: [usize; 2]| {
            let block = |s: usize| (format!("{}.{i}", names[s]), STREAMS[s], maps[s]);
            [0, 1].map(block).map(|(name, stream, maps)| Block::new(&mut spec, group, &name, stream, at(stage), [f, maps, classes]))
        };
        let down = (0..stages * blocks).map(|i| pair(["up_u", "up_ul"], i, i / blocks, [0, 1])).collect();
        // The way up has one block more at each size, for the map that was halved.
        let stage = |i: usize| stages - 1 - if i < blocks { 0 } else { 1 + (i - blocks) / (blocks + 1) };
        let up = (0..stages * blocks + stages - 1).map(|i| pair(["down_u", "down_ul"], i, stage(i), [1, 2])).collect();
        let small = matches!(config.preset, Preset::Tiny | Preset::Small) || (config.preset == Preset::Custom && f <= 64);
        Ok(Self { spec, pixels, classes, sizes, small, first, down, up, halve, double, out })
    }

    /// The maps of the way down, one after another.
    fn descend(&self, c: &mut Context<'_>, x: NodeId) -> Result<Vec<[Map; 2]>> {
        let Sizes { stages, blocks, .. } = self.sizes;
        // A channel of ones tells the image from what lies around it.
        let mut dims = c.g.shape(x).dims().to_vec();
        if let Some(channels) = dims.last_mut() {
            *channels = 1;
        }
        let ones = c.g.fill(dims.as_slice(), 1.0)?;
        let x = c.g.concat(x, ones, 3)?;
        let above = c.apply(&self.first[0], &[x])?;
        let parts = [c.apply(&self.first[1], &[x])?, c.apply(&self.first[2], &[x])?];
        let left = c.g.add(parts[0], parts[1])?;
        let mut maps = [Map::new(c.g, above)?, Map::new(c.g, left)?];
        let mut kept = vec![maps];
        for stage in 0..stages {
            for pair in &self.down[stage * blocks..(stage + 1) * blocks] {
                maps[0] = pair[0].apply(c, maps[0], &[])?;
                maps[1] = pair[1].apply(c, maps[1], &[maps[0]])?;
                kept.push(maps);
            }
            if let Some(halve) = self.halve.get(stage) {
                maps = resized(c, halve, maps)?;
                kept.push(maps);
            }
        }
        Ok(kept)
    }

    fn forward(&self, c: &mut Context<'_>, x: NodeId) -> Result<NodeId> {
        let Sizes { stages, blocks, .. } = self.sizes;
        let mut kept = self.descend(c, x)?;
        let Some(mut maps) = kept.pop() else { return Err(Error::Shape("the way down has a map at least".into())) };
        let mut pairs = self.up.iter();
        for stage in 0..stages {
            for pair in pairs.by_ref().take(blocks + usize::from(stage > 0)) {
                let short = kept.pop().unwrap_or(maps);
                maps[0] = pair[0].apply(c, maps[0], &[short[0]])?;
                maps[1] = pair[1].apply(c, maps[1], &[maps[0], short[1]])?;
            }
            if let Some(double) = self.double.get(stage) {
                maps = resized(c, double, maps)?;
            }
        }
        let last = c.g.elu(maps[1].plain)?;
        c.apply(&self.out, &[last])
    }
}

/// The maps at the next size.
fn resized(c: &mut Context<'_>, layers: &[WeightNorm; 2], maps: [Map; 2]) -> Result<[Map; 2]> {
    let above = c.apply(&layers[0], &[maps[0].plain])?;
    let left = c.apply(&layers[1], &[maps[1].plain])?;
    Ok([Map::new(c.g, above)?, Map::new(c.g, left)?])
}

impl Network for PixelCnnPp {
    const NAME: &'static str = "pixelcnn-pp";
    const STARTS: bool = true;

    fn tensors(&self) -> &StateSpec {
        &self.spec
    }

    fn pixels(&self) -> &Levels {
        &self.pixels
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn dropout(&self) -> Dropout {
        self.sizes.dropout
    }

    fn preferences(&self) -> Defaults {
        Defaults {
            batch: 16,
            steps: 20_000,
            learning_rate: vec![if self.small { 2e-3 } else { 1e-3 }],
            rate_decay: 0.999_995,
            warmup: 0,
            clip_norm: 0.0,
            ema: 0.9995,
            optimiser: Optimiser::Adam,
            betas: [0.95, 0.9995],
        }
    }

    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        self.forward(&mut Context { g, spec: &self.spec, labels: given.labels, pass: Pass::Use }, x)
    }

    /// Both streams where the way down ends, at the smallest size.
    fn middle(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let kept = self.descend(&mut Context { g: &mut *g, spec: &self.spec, labels: given.labels, pass: Pass::Use }, x)?;
        let Some([above, left]) = kept.last() else { return Err(Error::Shape("the way down has a map at least".into())) };
        let both = g.concat(above.plain, left.plain, 3)?;
        g.elu(both)
    }

    fn start(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        self.forward(&mut Context { g, spec: &self.spec, labels: given.labels, pass: Pass::Start }, x)
    }
}
