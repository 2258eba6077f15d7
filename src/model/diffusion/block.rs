//! What the network is made of: residual blocks that are told the time, and attention.

use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Conv2d, GroupNorm2d, Linear, Start};

/// Most groups of a normalisation, and the fewest channels of one.
const GROUPS: usize = 32;
const LEAST: usize = 4;

/// Where layers are registered, and at what size of the image.
pub struct Site<'a> {
    pub spec: &'a mut StateSpec,
    pub group: usize,
    /// Height and width.
    pub image: [usize; 2],
    /// Groups of every normalisation; unsaid: of at least 4 channels, at most 32 of them.
    pub groups: Option<usize>,
}

/// A normalisation in groups.
pub fn norm(site: &mut Site<'_>, name: &str, channels: usize) -> Result<GroupNorm2d> {
    let groups = site.groups.unwrap_or((channels / LEAST).clamp(1, GROUPS)).max(1);
    if !channels.is_multiple_of(groups) {
        let words = format!("{channels} channels do not fall into {groups} groups to be normalised in");
        let way = match site.groups {
            Some(_) => "take other groups= or filters=".to_string(),
            None => format!("take filters= that is a multiple of {GROUPS}, or a power of 2"),
        };
        return Err(Error::usage(format!("diffusion: {words}; {way}")));
    }
    Ok(GroupNorm2d::new(site.spec, site.group, name, channels, groups))
}

/// A 3×3 convolution that keeps the size of the image (`stride` 1) or halves it (2).
pub fn conv(site: &mut Site<'_>, name: &str, channels: [usize; 2], stride: usize, start: Start) -> Result<Conv2d> {
    Conv2d::dense(site.spec, site.group, name, site.image, channels, (3, stride, 1), true, start)
}

fn pixelwise(site: &mut Site<'_>, name: &str, channels: [usize; 2], start: Start) -> Result<Conv2d> {
    Conv2d::dense(site.spec, site.group, name, site.image, channels, (1, 1, 0), true, start)
}

/// A residual block: x (through a 1×1 convolution where the channels change) plus two normalised, activated 3×3 convolutions, of which the
/// second starts at zero. What it is told of the time, and of the label, is added to what the first makes, or modulates its normalisation
/// (Ho et al., 2020, appendix B; Nichol and Dhariwal, 2021, section 3.2).
pub struct Block {
    norms: [GroupNorm2d; 2],
    convs: [Conv2d; 2],
    told: Linear,
    film: bool,
    skip: Option<Conv2d>,
}

impl Block {
    /// A block from `c` to `d` channels that is told `embedding` numbers.
    pub fn new(site: &mut Site<'_>, name: &str, [c, d]: [usize; 2], embedding: usize, film: bool) -> Result<Self> {
        let name = |part: &str| format!("{name}.{part}");
        let norms = [norm(site, &name("norm1"), c)?, norm(site, &name("norm2"), d)?];
        let convs = [conv(site, &name("conv1"), [c, d], 1, Start::FanIn)?, conv(site, &name("conv2"), [d, d], 1, Start::Zero)?];
        let width = if film { 2 * d } else { d };
        let told = Linear::new(site.spec, site.group, &name("embed"), [embedding, width], Start::FanIn);
        let skip = (c != d).then(|| pixelwise(site, &name("skip"), [c, d], Start::FanIn)).transpose()?;
        Ok(Self { norms, convs, told, film, skip })
    }

    /// The block's map of x `[N, H, W, C]`, told `embedding` `[N, E]`, which is activated already.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId, embedding: NodeId) -> Result<NodeId> {
        let h = self.norms[0].apply(g, spec, x, true)?;
        let h = self.convs[0].apply(g, spec, h)?;
        let told = self.told.apply_wide(g, spec, embedding)?;
        let h = if self.film {
            self.norms[1].modulated(g, spec, h, told, true)?
        } else {
            let h = g.add(h, told)?;
            self.norms[1].apply(g, spec, h, true)?
        };
        let h = g.dropout(h)?;
        let h = self.convs[1].apply(g, spec, h)?;
        let x = match &self.skip {
            Some(skip) => skip.apply(g, spec, x)?,
            None => x,
        };
        g.add(x, h)
    }
}

/// Self-attention among an image's positions, added to the image; what is added starts at zero (Ho et al., 2020, appendix B).
pub struct Attention {
    norm: GroupNorm2d,
    heads: usize,
    qkv: Conv2d,
    out: Conv2d,
}

impl Attention {
    /// Attention of so many heads over `channels` channels.
    pub fn new(site: &mut Site<'_>, name: &str, channels: usize, heads: usize) -> Result<Self> {
        if heads == 0 || !channels.is_multiple_of(4 * heads) {
            let words = format!("attention of heads={heads} takes a multiple of {} channels, and there are {channels}", 4 * heads.max(1));
            return Err(Error::usage(format!("diffusion: {words}; take other heads= or filters=")));
        }
        let name = |part: &str| format!("{name}.{part}");
        Ok(Self {
            norm: norm(site, &name("norm"), channels)?,
            heads,
            qkv: pixelwise(site, &name("qkv"), [channels, 3 * channels], Start::FanIn)?,
            out: pixelwise(site, &name("out"), [channels, channels], Start::Zero)?,
        })
    }

    /// x `[N, H, W, C]` and what attention adds to it.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let h = self.norm.apply(g, spec, x, false)?;
        let h = self.qkv.apply(g, spec, h)?;
        let h = g.attention(h, self.heads)?;
        let h = self.out.apply(g, spec, h)?;
        g.add(x, h)
    }
}
