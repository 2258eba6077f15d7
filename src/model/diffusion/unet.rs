//! The U-Net of diffusion models (Ho, Jain and Abbeel, 2020, "Denoising diffusion probabilistic models"; with the changes of Nichol and
//! Dhariwal, 2021, "Improved denoising diffusion probabilistic models").
//!
//! Residual blocks at sizes that halve, and up again; every map of the way down is joined to the channels of one on the way up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::block::{Attention, Block, Site, conv, norm};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};
use crate::model::size;
use crate::nn::{Conv2d, GroupNorm2d, Linear, OneHot, Start, TimeWaves, UpsampledConv2d};

/// The size of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct UNetSize {
    /// Channels of the first map, an even number. Four times as many numbers tell the time.
    pub channels: usize,
    /// Channels at each size of the image, in units of `channels`; each size is half the one before.
    pub multipliers: Vec<usize>,
    /// Residual blocks at each size on the way down; there is one more on the way up.
    pub blocks: usize,
    /// Heights of maps, in pixels, at which attention follows each block. It always follows one in the middle.
    pub attention: Vec<usize>,
    /// Heads of attention.
    pub heads: usize,
    /// Channels of a head, where that and not their number is the same everywhere.
    pub head_channels: Option<usize>,
    /// Groups of every normalisation; unsaid: of at least 4 channels, at most 32 of them.
    pub groups: Option<usize>,
    /// Whether blocks are told the time by modulating a normalisation rather than by a sum.
    pub film: bool,
}

impl UNetSize {
    /// Heads of an attention over so many channels.
    fn heads_of(&self, channels: usize) -> Result<usize> {
        match self.head_channels {
            None => Ok(self.heads),
            Some(width) if width > 0 && channels.is_multiple_of(width) => Ok(channels / width),
            Some(width) => {
                let words = format!("{channels} channels do not fall into heads of head_channels={width}");
                Err(Error::usage(format!("diffusion: {words}; take another, or heads=")))
            }
        }
    }
}

/// Named sizes; parameters are of grey images or, from `cifar_small` on, of colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UNetPreset {
    /// 16 channels, 2 sizes, 1 block: 190,369 parameters.
    Tiny,
    /// 32 channels, 3 sizes, 2 blocks: 1,742,881 parameters.
    Small,
    /// 64 channels, 3 sizes, 2 blocks: 6,949,187 parameters.
    CifarSmall,
    /// Ho et al.'s network for CIFAR-10: 35,746,307 parameters.
    Ddpm,
    /// Nichol and Dhariwal's network for CIFAR-10: 52,546,438 parameters with variances.
    Iddpm,
}

impl UNetPreset {
    /// The size for images of this height.
    pub fn size(self, height: usize) -> UNetSize {
        let (channels, multipliers, blocks, levels, heads): (usize, &[usize], usize, &[usize], usize) = match self {
            Self::Tiny => (16, &[1, 2], 1, &[1], 2),
            Self::Small => (32, &[1, 2, 2], 2, &[2], 4),
            Self::CifarSmall => (64, &[1, 2, 2], 2, &[1], 4),
            Self::Ddpm => (128, &[1, 2, 2, 2], 2, &[1], 1),
            Self::Iddpm => (128, &[1, 2, 2, 2], 3, &[1, 2], 4),
        };
        let attention = levels.iter().map(|level| height >> level).collect();
        UNetSize {
            channels,
            multipliers: multipliers.to_vec(),
            blocks,
            attention,
            heads,
            head_channels: None,
            groups: None,
            film: self != Self::Ddpm,
        }
    }
}

/// A block and what follows it at its place.
struct Place {
    block: Block,
    attention: Option<Attention>,
    /// To twice the size.
    upsample: Option<UpsampledConv2d>,
}

impl Place {
    fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, embedding: NodeId) -> Result<NodeId> {
        let mut x = self.block.apply(g, spec, x, embedding)?;
        if let Some(attention) = &self.attention {
            x = attention.apply(g, spec, x)?;
        }
        match &self.upsample {
            Some(upsample) => upsample.apply(g, spec, x),
            None => Ok(x),
        }
    }
}

/// A step on the way down.
enum Down {
    Place(Box<Place>),
    /// To half the size.
    Downsample(Conv2d),
}

/// The network.
pub struct UNet {
    waves: TimeWaves,
    time: [Linear; 2],
    label: Option<OneHot>,
    input: Conv2d,
    down: Vec<Down>,
    middle: [Place; 2],
    up: Vec<Place>,
    norm: GroupNorm2d,
    output: Conv2d,
}

impl UNet {
    /// Registers a network for images of `[H, W, C]` that makes `outputs` channels; of `classes` labels and none, where they are not 0.
    ///
    /// # Errors
    /// [`Error::Usage`] where sizes and image do not fit.
    pub fn new(
        size: &UNetSize,
        spec: &mut StateSpec,
        group: usize,
        dims @ [h, w, colours]: [usize; 3],
        classes: usize,
        outputs: usize,
    ) -> Result<Self> {
        check(size, dims)?;
        let (channels, embedding, last) = (size.channels, 4 * size.channels, size.multipliers.len() - 1);
        let at = |level: usize| [h >> level, w >> level];
        let attends = |level: usize| size.attention.contains(&(h >> level));
        let waves = TimeWaves::new(spec, group, "waves", channels);
        let time = [("time.0", channels), ("time.2", embedding)]
            .map(|(name, from)| Linear::new(spec, group, name, [from, embedding], Start::FanIn));
        let label = (classes > 0).then(|| OneHot::new(spec, group, "label", [classes + 1, embedding], Start::Normal(1.0)));
        let mut site = Site { spec, group, image: at(0), groups: size.groups };
        let place = |site: &mut Site<'_>, name: &str, [c, d]: [usize; 2], attends: bool| -> Result<Place> {
            let block = Block::new(site, &format!("{name}.block"), [c, d], embedding, size.film)?;
            let attention = attends.then(|| Attention::new(site, &format!("{name}.attention"), d, size.heads_of(d)?)).transpose()?;
            Ok(Place { block, attention, upsample: None })
        };
        let input = conv(&mut site, "input", [colours, channels], 1, Start::FanIn)?;
        let (mut down, mut kept, mut c) = (Vec::new(), vec![channels], channels);
        for (level, multiplier) in size.multipliers.iter().enumerate() {
            site.image = at(level);
            for _ in 0..size.blocks {
                let d = multiplier * channels;
                down.push(Down::Place(Box::new(place(&mut site, &format!("down.{}", down.len()), [c, d], attends(level))?)));
                c = d;
                kept.push(c);
            }
            if level < last {
                down.push(Down::Downsample(conv(&mut site, &format!("down.{}.downsample", down.len()), [c, c], 2, Start::FanIn)?));
                kept.push(c);
            }
        }
        let middle = [place(&mut site, "middle.0", [c, c], true)?, place(&mut site, "middle.1", [c, c], false)?];
        let mut up: Vec<Place> = Vec::new();
        for (level, multiplier) in size.multipliers.iter().enumerate().rev() {
            site.image = at(level);
            for i in 0..=size.blocks {
                let (name, d) = (format!("up.{}", up.len()), multiplier * channels);
                let joined = c + kept.pop().unwrap_or(0);
                let mut place = place(&mut site, &name, [joined, d], attends(level))?;
                if level > 0 && i == size.blocks {
                    let name = format!("{name}.upsample");
                    place.upsample = Some(UpsampledConv2d::new(site.spec, group, &name, site.image, [d, d], Start::FanIn)?);
                }
                up.push(place);
                c = d;
            }
        }
        let norm = norm(&mut site, "norm", c)?;
        let output = conv(&mut site, "output", [c, outputs], 1, Start::Zero)?;
        Ok(Self { waves, time, label, input, down, middle, up, norm, output })
    }

    /// What the network says of images x `[N, H, W, C]` at times `[N]` in 0..1000: `[N, H, W, outputs]`. `labels` `[N, classes + 1]` are
    /// one-hot; the last says that there is none.
    ///
    /// # Errors
    /// [`Error::Shape`] where inputs do not have these shapes.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, time: NodeId, labels: Option<NodeId>) -> Result<NodeId> {
        let (mut h, mut kept, embedding) = self.descend(g, spec, x, time, labels)?;
        for place in &self.up {
            if let Some(beside) = kept.pop() {
                h = g.concat(h, beside, 3)?;
            }
            h = place.apply(g, spec, h, embedding)?;
        }
        let h = self.norm.apply(g, spec, h, true)?;
        self.output.apply(g, spec, h)
    }

    /// The map in the middle, at the smallest size, behind the nonlinearity.
    ///
    /// # Errors
    /// As [`UNet::apply`].
    pub fn middle(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, time: NodeId, labels: Option<NodeId>) -> Result<NodeId> {
        let (middle, ..) = self.descend(g, spec, x, time, labels)?;
        g.silu(middle)
    }

    /// The map in the middle, those of the way down, and what blocks are told of time and label.
    fn descend(
        &self,
        g: &mut Graph,
        spec: &StateSpec,
        x: NodeId,
        time: NodeId,
        labels: Option<NodeId>,
    ) -> Result<(NodeId, Vec<NodeId>, NodeId)> {
        let waves = self.waves.apply(g, spec, time)?;
        let hidden = self.time[0].apply(g, spec, waves)?;
        let hidden = g.silu(hidden)?;
        let mut embedding = self.time[1].apply(g, spec, hidden)?;
        if let (Some(label), Some(labels)) = (&self.label, labels) {
            let vectors = label.apply(g, spec, labels)?;
            embedding = g.add(embedding, vectors)?;
        }
        // Every block reads it activated.
        let embedding = g.silu(embedding)?;
        let mut h = self.input.apply(g, spec, x)?;
        let mut kept = vec![h];
        for step in &self.down {
            h = match step {
                Down::Place(place) => place.apply(g, spec, h, embedding)?,
                Down::Downsample(layer) => layer.apply(g, spec, h)?,
            };
            kept.push(h);
        }
        for place in &self.middle {
            h = place.apply(g, spec, h, embedding)?;
        }
        Ok((h, kept, embedding))
    }
}

/// Refuses sizes that are none, and those that do not fit an image.
fn check(of: &UNetSize, [h, w, _]: [usize; 3]) -> Result<()> {
    let refuse = |reason: String| Err(Error::usage(format!("diffusion: {reason}")));
    let sizes = of.multipliers.len();
    // A size may come of no `Config`, whose keys have these ranges.
    size::within("diffusion", &[("filters", of.channels, 4..=8192), ("blocks", of.blocks, 1..=1000)])?;
    if !of.channels.is_multiple_of(2) {
        return refuse(format!(
            "filters={} is odd, and half of them tell cosines of the time, half sines; take an even number",
            of.channels
        ));
    }
    if sizes == 0 || sizes > 16 || of.multipliers.iter().any(|m| !(1..=1024).contains(m)) {
        return refuse("multipliers are 1 to 16 numbers from 1 to 1024, one for each size of the image".into());
    }
    let halvings = h.trailing_zeros().min(w.trailing_zeros()) as usize;
    if sizes > halvings + 1 {
        let words = format!("{sizes} multipliers halve images {} times, and {h}×{w} can be halved {halvings} times", sizes - 1);
        return refuse(format!("{words}; take {} of them, or images of another size by resize=", halvings + 1));
    }
    let heights: Vec<usize> = (0..sizes).map(|level| h >> level).collect();
    if let Some(height) = of.attention.iter().find(|height| !heights.contains(height)) {
        let there = heights.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        return refuse(format!("attention={height} is no height that the network works at; there are {there}"));
    }
    Ok(())
}
