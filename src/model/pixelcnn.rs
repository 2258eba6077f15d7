//! PixelCNN: masked convolutions over residual blocks (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, "Pixel recurrent neural networks").

use serde::{Deserialize, Serialize};

use super::size;
use super::{DataSpec, Defaults, Model, Optimiser, Raster, Score, Scores};
use crate::data::{Kind, Scale};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec, Update};
use crate::nn::{Conv2d, ConvSpec, Start};
use crate::op::Taps;

/// Hyper-parameters. Those that are left out are as `preset` says; widths are then rounded up to a multiple of the colours.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Residual blocks; 15.
    pub blocks: Option<usize>,
    /// Channels inside a block, h; between blocks there are 2h.
    pub hidden: Option<usize>,
    /// Channels of the head.
    pub head: Option<usize>,
    /// Kernel of the first, mask A convolution; 7.
    pub first_kernel: Option<usize>,
    /// Kernel of the mask B convolutions; 3.
    pub kernel: Option<usize>,
    /// Values a pixel can take: 2 (Bernoulli) or up to 256 (categorical); 0 takes 2 for binary data and 256 for other.
    pub levels: usize,
    /// A named size, which the other keys do not change: `tiny` (h = 16, head 32: 53,569 parameters on binary 28×28) or `paper` (h = 128,
    /// head 1024).
    pub preset: Preset,
}

/// Named sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The network of the benchmarks.
    Tiny,
    /// The paper's.
    Paper,
    /// As the other keys say, or else as the tiny one.
    #[default]
    Custom,
}

/// Sizes of the network, settled.
struct Sizes {
    blocks: usize,
    hidden: usize,
    head: usize,
    first_kernel: usize,
    kernel: usize,
}

impl Config {
    /// The sizes for images of so many colours.
    fn sizes(&self, colours: usize) -> Result<Sizes> {
        let given = [
            ("blocks", self.blocks),
            ("hidden", self.hidden),
            ("head", self.head),
            ("first_kernel", self.first_kernel),
            ("kernel", self.kernel),
        ];
        if let (true, Some((key, _))) = (self.preset != Preset::Custom, given.iter().find(|(_, value)| value.is_some())) {
            return Err(Error::usage(format!("pixelcnn: a preset settles {key}; leave out preset= or {key}=")));
        }
        let [hidden, head]: [usize; 2] = if self.preset == Preset::Paper { [128, 1024] } else { [16, 32] };
        let sizes = Sizes {
            blocks: self.blocks.unwrap_or(15),
            hidden: self.hidden.unwrap_or(hidden.next_multiple_of(colours)),
            head: self.head.unwrap_or(head.next_multiple_of(colours)),
            first_kernel: self.first_kernel.unwrap_or(7),
            kernel: self.kernel.unwrap_or(3),
        };
        // Far beyond any use, and short of sizes that no machine could even be asked for.
        size::within(
            "pixelcnn",
            &[
                ("blocks", sizes.blocks, 0..=1000),
                ("hidden", sizes.hidden, 1..=8192),
                ("head", sizes.head, 1..=8192),
                ("first_kernel", sizes.first_kernel, 1..=99),
                ("kernel", sizes.kernel, 1..=99),
            ],
        )?;
        if let Some((key, value)) = [("hidden", sizes.hidden), ("head", sizes.head)].into_iter().find(|(_, v)| v % colours != 0) {
            let (below, above) = (value / colours * colours, value.next_multiple_of(colours));
            let near = if below == 0 { format!("{above}") } else { format!("{below} or {above}") };
            return Err(Error::usage(format!("pixelcnn: {key}={value} cannot be dealt equally to {colours} colours; take {key}={near}")));
        }
        if let Some((key, value)) =
            [("first_kernel", sizes.first_kernel), ("kernel", sizes.kernel)].into_iter().find(|(_, v)| v.is_multiple_of(2))
        {
            return Err(Error::usage(format!("pixelcnn: kernels must be odd, so {key} is {} or {}, not {value}", value - 1, value + 1)));
        }
        Ok(sizes)
    }
}

impl Sizes {
    /// Weights of all convolutions.
    fn weights(&self, colours: usize, outputs: usize) -> u64 {
        let [blocks, h, head, colours, outputs] = [self.blocks, self.hidden, self.head, colours, outputs].map(|v| v as u64);
        let [first, kernel] = [self.first_kernel, self.kernel].map(|k| (k * k / 2 + 1) as u64);
        first * colours * 2 * h + blocks * (4 * h * h + kernel * h * h) + 2 * h * head + head * outputs
    }
}

/// The model.
pub struct PixelCnn {
    spec: StateSpec,
    dims: [usize; 3],
    levels: usize,
    input: Conv2d,
    blocks: Vec<[Conv2d; 3]>,
    head: [Conv2d; 2],
}

/// Which features a masked channel may see: those of earlier colours, or also of its own.
#[derive(Clone, Copy, PartialEq)]
enum Mask {
    A,
    B,
}

/// The colour of channel `i` of `count`: channels are dealt to colours in equal contiguous parts.
fn colour(i: usize, count: usize, colours: usize) -> usize {
    i * colours / count
}

/// The 0/1 mask of a convolution, where taps alone do not say it: at the centre tap, outputs of one colour see inputs of colours before it
/// (A), or up to it (B); elsewhere everything.
fn colour_mask(taps: &Taps, [c, d]: [usize; 2], colours: usize, mask: Mask) -> Option<Vec<f32>> {
    if colours == 1 && (mask == Mask::B || !taps.offsets.contains(&[0, 0])) {
        return None;
    }
    let sees = |tap: [i32; 2], i: usize, o: usize| {
        let (from, to) = (colour(i, c, colours), colour(o, d, colours));
        tap != [0, 0] || from < to || (mask == Mask::B && from == to)
    };
    let cells = taps.offsets.iter().flat_map(|&tap| (0..c).flat_map(move |i| (0..d).map(move |o| (tap, i, o))));
    Some(cells.map(|(tap, i, o)| f32::from(u8::from(sees(tap, i, o)))).collect())
}

impl PixelCnn {
    /// A model for images of `data.dims`.
    ///
    /// # Errors
    /// [`Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        if data.kind == Kind::Points {
            return Err(Error::usage("pixelcnn draws pixels, and these data are points; take images"));
        }
        let [h, w, colours] = data.dims;
        let levels = match config.levels {
            0 if data.is_binary() => 2,
            0 => 256,
            n => n,
        };
        let sizes = config.sizes(colours)?;
        if !(2..=256).contains(&levels) {
            return Err(Error::usage(format!("pixelcnn: levels must be 2 to 256, not {levels}")));
        }
        if levels > 2 && data.is_binary() {
            return Err(Error::usage(format!(
                "pixelcnn: {levels} levels do not fit binary pixels; leave levels at 2 or take --set binarization=none"
            )));
        }
        if levels == 2 && !data.is_binary() {
            return Err(Error::usage("pixelcnn: levels=2 needs binary pixels; take --set binarization=dynamic, static or threshold"));
        }
        let outputs = if levels == 2 { colours } else { colours * levels };
        // Masks of colours are as large as the weights, and stand beside them twice.
        size::room("pixelcnn", sizes.weights(colours, outputs).saturating_mul(if colours > 1 { 3 } else { 1 }))?;
        let Sizes { blocks, hidden, head, first_kernel, kernel } = sizes;
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let mut conv = |name: &str, size: usize, mask: Mask, channels: [usize; 2]| {
            // A kernel of one pixel is a pixel, be it masked.
            let taps = Taps::causal(size, mask == Mask::B || colours > 1 || size == 1, [h, w]);
            let masked = colour_mask(&taps, channels, colours, mask);
            let conv = ConvSpec { taps, kernel: size, centre: size / 2, channels, bias: true, start: Start::FanIn };
            Conv2d::masked(&mut spec, group, name, conv, masked)
        };
        let input = conv("input", first_kernel, Mask::A, [colours, 2 * hidden]);
        let blocks = (0..blocks)
            .map(|i| {
                [
                    conv(&format!("blocks.{i}.reduce"), 1, Mask::B, [2 * hidden, hidden]),
                    conv(&format!("blocks.{i}.masked"), kernel, Mask::B, [hidden, hidden]),
                    conv(&format!("blocks.{i}.expand"), 1, Mask::B, [hidden, 2 * hidden]),
                ]
            })
            .collect();
        let head = [conv("head.0", 1, Mask::B, [2 * hidden, head]), conv("head.1", 1, Mask::B, [head, outputs])];
        Ok(Self { spec, dims: data.dims, levels, input, blocks, head })
    }

    /// Logits of every pixel given those before it.
    fn logits(&self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        let spec = &self.spec;
        // Levels are presented in [−1, 1]; bits as they are.
        let x = if self.levels == 2 {
            x
        } else {
            let half = (self.levels as f64 - 1.0) / 2.0;
            g.map(&[x], |b, v| {
                let scaled = b.scale(v[0], 1.0 / half);
                b.offset(scaled, -1.0)
            })?
        };
        let mut h = self.input.apply(g, spec, x)?;
        for block in &self.blocks {
            let mut r = h;
            for layer in block {
                r = g.relu(r)?;
                r = layer.apply(g, spec, r)?;
            }
            h = g.add(h, r)?;
        }
        for layer in &self.head {
            h = g.relu(h)?;
            h = layer.apply(g, spec, h)?;
        }
        Ok(h)
    }

    /// The input at the model's levels: whole numbers from 0.
    fn quantised(&self, g: &mut Graph, batch: usize) -> Result<NodeId> {
        let [h, w, c] = self.dims;
        let x = g.input("x", [batch, h, w, c]);
        let levels = self.levels as f64;
        if self.levels == 2 || self.levels == 256 {
            return Ok(x);
        }
        g.map(&[x], |b, v| {
            let scaled = b.scale(v[0], levels / 256.0);
            b.unary(crate::graph::Unary::Floor, scaled)
        })
    }

    /// −ln p of every value, `[N, H, W, C]`.
    fn nll_map(&self, g: &mut Graph, batch: usize) -> Result<NodeId> {
        let [h, w, c] = self.dims;
        let x = self.quantised(g, batch)?;
        let logits = self.logits(g, x)?;
        if self.levels == 2 {
            return g.bernoulli_nll(logits, x);
        }
        let logits = g.reshape(logits, [batch, h, w * c, self.levels])?;
        let target = g.reshape(x, [batch, h, w * c, 1])?;
        let nll = g.categorical_nll(logits, target)?;
        g.reshape(nll, [batch, h, w, c])
    }
}

impl Model for PixelCnn {
    fn name(&self) -> &'static str {
        "pixelcnn"
    }

    fn state(&self) -> &StateSpec {
        &self.spec
    }

    fn defaults(&self) -> Defaults {
        Defaults {
            batch: 64,
            steps: 10_000,
            learning_rate: vec![1e-3],
            rate_decay: 0.999_977,
            ema: 0.0,
            optimiser: Optimiser::Adam,
            betas: [0.9, 0.999],
        }
    }

    fn scale(&self) -> Scale {
        if self.levels == 2 { Scale::Unit } else { Scale::Levels }
    }

    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        let mut g = Graph::new();
        let nll = self.nll_map(&mut g, batch)?;
        let total = g.sum_all(nll)?;
        let loss = g.scale(total, 1.0 / batch as f64)?;
        g.output("loss", loss);
        let update = update(0);
        let gradients = g.group_gradients(loss, &self.spec, &update)?;
        g.update(&self.spec, update, &gradients)?;
        Ok(g)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        vec![("loss", "nats")]
    }

    fn scores(&self) -> Option<&dyn Scores> {
        Some(self)
    }

    fn raster(&self) -> Option<&dyn Raster> {
        Some(self)
    }
}

impl Scores for PixelCnn {
    fn score(&self) -> Score {
        Score::Exact
    }

    fn likelihood_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let map = self.nll_map(&mut g, batch)?;
        let nll = g.sum_items(map)?;
        g.output("nll", nll);
        g.output("nll_map", map);
        Ok(g)
    }
}

impl Raster for PixelCnn {
    fn levels(&self) -> usize {
        self.levels
    }

    fn raster_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let [h, w, c] = self.dims;
        let x = g.input("x", [batch, h, w, c]);
        let logits = self.logits(&mut g, x)?;
        g.output("logits", logits);
        Ok(g)
    }
}
