//! What autoregressive models of pixel values have in common: the levels of a value, how they are shown to the network, and what its
//! logits say of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataSpec, Law, chroma};
use crate::data::{Kind, Scale};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Unary};
use crate::op::{Gaussians, Mixture, Taps};

/// How the values of a pixel are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likelihood {
    /// By logits: of a bit, or of every level.
    #[default]
    Logits,
    /// By a mixture of discretised logistics.
    Mixture,
    /// By a mixture of Gaussians: continuous values of series.
    Gaussian,
}

/// Images of values with a number of levels each, or of continuous ones.
#[derive(Clone, Debug)]
pub struct Levels {
    /// Height, width and colours.
    pub dims: [usize; 3],
    /// What a network says of a pixel.
    pub law: Law,
}

impl Levels {
    /// The levels a recipe asks for (0: 2 for binary data, 256 for other), if they fit the data.
    ///
    /// # Errors
    /// [`Error::Usage`] where they do not, in the words of `model`.
    pub fn new(model: &str, levels: usize, data: &DataSpec) -> Result<Self> {
        if data.kind == Kind::Points {
            return Err(Error::usage(format!("{model} draws pixels, and these data are points; take images")));
        }
        let levels = match levels {
            0 if data.is_binary() => 2,
            0 => 256,
            n => n,
        };
        if !(2..=256).contains(&levels) {
            return Err(Error::usage(format!("{model}: levels must be 2 to 256, not {levels}")));
        }
        if levels > 2 && data.is_binary() {
            return Err(Error::usage(format!(
                "{model}: {levels} levels do not fit binary pixels; leave levels at 2 or take --set binarization=none"
            )));
        }
        if levels == 2 && !data.is_binary() {
            return Err(Error::usage(format!(
                "{model}: levels=2 needs binary pixels; take --set binarization=dynamic, static or threshold"
            )));
        }
        let law = if levels == 2 { Law::Bernoulli } else { Law::Categorical { levels } };
        Ok(Self { dims: data.dims, law })
    }

    /// The chroma of colour images, Cg and Co, each of 511 levels (see [`chroma`]).
    ///
    /// # Errors
    /// [`Error::Usage`] where images have no colours, in the words of `model`.
    pub fn chroma(model: &str, data: &DataSpec) -> Result<Self> {
        let [h, w, c] = data.dims;
        if data.kind != Kind::Pixels || data.is_binary() || c != 3 {
            let have = if c == 3 { "values other than those".into() } else { format!("{c} channel{}", if c == 1 { "" } else { "s" }) };
            return Err(Error::usage(format!("{model}: task=colorize needs images of red, green and blue bytes, and these have {have}")));
        }
        Ok(Self { dims: [h, w, 2], law: Law::Categorical { levels: chroma::LEVELS } })
    }

    /// Continuous values, each told by a mixture of so many Gaussians (unsaid: 5).
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such mixture, in the words of `model`.
    pub fn continuous(model: &str, mixtures: Option<usize>, data: &DataSpec) -> Result<Self> {
        match Gaussians::new(mixtures.unwrap_or(5)) {
            Ok(mixture) => Ok(Self { dims: data.dims, law: Law::Gaussian(mixture) }),
            Err(Error::Usage(reason)) => Err(Error::usage(format!("{model}: {reason}"))),
            Err(other) => Err(other),
        }
    }

    /// The same pixels as a recipe wants them told: by a mixture of so many logistics (unsaid: 10), or by logits.
    ///
    /// # Errors
    /// [`Error::Usage`] where they cannot be, in the words of `model`.
    pub fn told_by(self, model: &str, likelihood: Likelihood, mixtures: Option<usize>) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::usage(format!("{model}: {reason}")));
        match (likelihood, mixtures) {
            (Likelihood::Logits, None) => Ok(self),
            (Likelihood::Gaussian, _) => refuse(
                "a mixture of Gaussians is for continuous values of series, and these are levels; take quantize=none, or leave it out",
            ),
            (Likelihood::Logits, Some(_)) => refuse("mixtures needs a mixture to count; take likelihood=mixture as well, or leave it out"),
            (Likelihood::Mixture, _) if self.levels() == 2 => refuse(
                "a mixture of logistics is for grey or colour values, and these are bits; take binarization=none or likelihood=logits",
            ),
            (Likelihood::Mixture, mixtures) => match Mixture::new(mixtures.unwrap_or(10), self.dims[2], self.levels()) {
                Ok(mixture) => Ok(Self { law: Law::Mixture(mixture), ..self }),
                Err(Error::Usage(reason)) => refuse(&reason),
                Err(other) => Err(other),
            },
        }
    }

    /// Colours that masks must keep in order: one where the law couples those of a pixel itself.
    pub fn ordered(&self) -> usize {
        if self.law.is_of_pixels() { 1 } else { self.dims[2] }
    }

    /// Levels of a value: 2 to 256, and 0 where values are continuous.
    pub fn levels(&self) -> usize {
        self.law.levels().unwrap_or(0)
    }

    /// Outputs of a pixel.
    pub fn outputs(&self) -> usize {
        self.law.outputs(self.dims[2])
    }

    /// The scale of the data.
    pub fn scale(&self) -> Scale {
        match self.levels() {
            0 => Scale::Raw,
            2 => Scale::Unit,
            _ => Scale::Levels,
        }
    }

    /// The input at the model's levels, whole numbers from 0; continuous values as they are.
    pub fn input(&self, g: &mut Graph, batch: usize) -> Result<NodeId> {
        let [h, w, c] = self.dims;
        let x = g.input("x", [batch, h, w, c]);
        if [0, 2, 256].contains(&self.levels()) {
            return Ok(x);
        }
        let levels = self.levels() as f64;
        g.map(&[x], |b, v| {
            let scaled = b.scale(v[0], levels / 256.0);
            b.unary(Unary::Floor, scaled)
        })
    }

    /// Levels of values in 0..1, as those of bytes are cut.
    pub fn of_shares(&self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        let levels = self.levels();
        if levels == 2 {
            return Ok(x);
        }
        g.map(&[x], |b, v| {
            let bytes = b.scale(v[0], 255.0);
            // Half a byte more, so that no rounding takes it to the one below.
            let bytes = b.offset(bytes, 0.5);
            let bytes = b.unary(Unary::Floor, bytes);
            if levels == 256 {
                return bytes;
            }
            let scaled = b.scale(bytes, levels as f64 / 256.0);
            b.unary(Unary::Floor, scaled)
        })
    }

    /// Levels as a network sees them: bits (and continuous values) as they are, more levels in [−1, 1].
    pub fn shown(&self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        if [0, 2].contains(&self.levels()) {
            return Ok(x);
        }
        let half = (self.levels() as f64 - 1.0) / 2.0;
        g.map(&[x], |b, v| {
            let scaled = b.scale(v[0], 1.0 / half);
            b.offset(scaled, -1.0)
        })
    }

    /// −ln p of every value, `[N, H, W, C]`, given the outputs.
    pub fn nll_map(&self, g: &mut Graph, logits: NodeId, x: NodeId) -> Result<NodeId> {
        match self.law {
            Law::Bernoulli => g.bernoulli_nll(logits, x),
            Law::Categorical { levels } => {
                let [h, w, c] = self.dims;
                let batch = g.shape(x).dims()[0];
                let logits = g.reshape(logits, [batch, h, w * c, levels])?;
                let target = g.reshape(x, [batch, h, w * c, 1])?;
                let nll = g.categorical_nll(logits, target)?;
                g.reshape(nll, [batch, h, w, c])
            }
            Law::Mixture(mixture) => g.mixture_nll(logits, x, mixture),
            Law::Gaussian(mixture) => g.gaussian_nll(logits, x, mixture),
        }
    }
}

/// Which features a masked channel may see: those of earlier colours, or also of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Earlier colours.
    A,
    /// Earlier colours and its own.
    B,
}

/// The 0/1 mask of a convolution of colour images: at the centre tap, outputs of one colour see inputs of colours before it (A), or up to
/// it (B); elsewhere everything. Channels are dealt to the colours in equal contiguous parts, those of the output in each of `parts`
/// parts by itself (a gate's halves are two).
pub fn colour_mask(taps: &Taps, [c, d]: [usize; 2], colours: usize, mask: Mask, parts: usize) -> Vec<f32> {
    let each = d / parts;
    let sees = |tap: [i32; 2], i: usize, o: usize| {
        let (from, to) = (i * colours / c, o % each * colours / each);
        tap != [0, 0] || from < to || (mask == Mask::B && from == to)
    };
    let cells = taps.offsets.iter().flat_map(|&tap| (0..c).flat_map(move |i| (0..d).map(move |o| (tap, i, o))));
    cells.map(|(tap, i, o)| f32::from(u8::from(sees(tap, i, o)))).collect()
}
