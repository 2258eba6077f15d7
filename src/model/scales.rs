//! Several scales: p(x) = p(x′) · p(x | x′) with x′ every second pixel of x, over and over (van den Oord, Kalchbrenner and Kavukcuoglu, 2016,
//! "Pixel recurrent neural networks", section 3.6, with the pixels of x′ left out of what the finer network tells: exact, and nothing
//! is told twice).

use std::ops::RangeInclusive;

use super::chroma::LumaMap;
use super::levels::Levels;
use super::size;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec};
use crate::nn::{Conv2d, ConvTransposed2d, Start};

/// Most channels of the map that a coarser image comes to.
const WIDEST: RangeInclusive<usize> = 1..=8192;
/// Kernel of the convolution over the coarser image, and of the transposed one to the finer size.
const KERNELS: [usize; 2] = [7, 4];
/// Smallest side of the coarsest image.
const SMALLEST: usize = 2;

/// What a network is given besides the values before the one that it tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// One-hot labels `[N, classes]`, where it is conditional.
    pub labels: Option<NodeId>,
    /// The scale whose pixels are told, the coarsest first; 0 where there is one.
    pub scale: usize,
    /// The pixels of the next coarser scale, `[N, H/2, W/2, C]`, as [`Levels::shown`] shows them, where there is one.
    pub coarse: Option<NodeId>,
    /// The luma of the image whose colours are told, `[N, H, W, 1]` from 0 to 255, where they are.
    pub luma: Option<NodeId>,
}

/// How many scales there are, and what a finer one is told of the coarser.
#[derive(Clone, Copy, Debug)]
pub struct Scales {
    /// Scales; 1 where every pixel is of one.
    pub count: usize,
    /// Channels of the map that the coarser image comes to.
    pub channels: usize,
}

impl Scales {
    /// The scales that a recipe asks for, for images of these dims; unsaid: one, and `channels`.
    ///
    /// # Errors
    /// [`Error::Usage`] where they do not fit the images, in the words of `model`.
    pub fn new(model: &str, [scales, said]: [Option<usize>; 2], channels: usize, [h, w, _]: [usize; 3]) -> Result<Self> {
        let refuse = |reason: String| Err(Error::usage(format!("{model}: {reason}")));
        let count = scales.unwrap_or(1);
        if count == 0 {
            return refuse("scales must be at least 1, not 0".into());
        }
        if count == 1 && said.is_some() {
            return refuse("scale_channels= is for what a finer scale is told of a coarser; take scales=2 or more, or leave it out".into());
        }
        let fits = |count: usize| {
            let factor = u32::try_from(count - 1).ok().and_then(|halvings| 2usize.checked_pow(halvings));
            factor.is_some_and(|f| [h, w].iter().all(|side| side % f == 0 && side / f >= SMALLEST))
        };
        if count > 1 && !fits(count) {
            let most = (1..count).take_while(|count| fits(*count)).last().unwrap_or(1);
            return refuse(format!(
                "scales={count} halves both sides of an image {} times, down to {SMALLEST} pixels at least, and {h}×{w} can be halved {} \
                 times; take scales={most}, or resize=",
                count - 1,
                most - 1
            ));
        }
        let channels = said.unwrap_or(channels);
        if count == 1 {
            return Ok(Self { count, channels });
        }
        size::within(model, &[("scale_channels", channels, WIDEST)])?;
        Ok(Self { count, channels })
    }

    /// Weights of all scales, where one scale has so many and its layers take `told` numbers of the map: about.
    pub fn weights(&self, each: u64, told: u64, colours: usize) -> u64 {
        let [count, k, colours] = [self.count, self.channels, colours].map(|v| v as u64);
        let [over, up] = KERNELS.map(|kernel| (kernel * kernel) as u64);
        let more = over.saturating_mul(colours * k).saturating_add(up.saturating_mul(k * k)).saturating_add(k.saturating_mul(told));
        each.saturating_mul(count).saturating_add(more.saturating_mul(count - 1))
    }
}

/// Height, width and colours of an image's every second pixel, so many times over.
pub fn halved([h, w, c]: [usize; 3], times: usize) -> [usize; 3] {
    [h >> times, w >> times, c]
}

/// What a coarser image comes to at the size of the finer one: a convolution over it, a fractional-strided one to twice its size, each with
/// ReLU. Nothing is masked: it may see all of the coarser image.
struct Upscaling {
    over: Conv2d,
    up: ConvTransposed2d,
}

impl Upscaling {
    fn new(spec: &mut StateSpec, group: usize, prefix: &str, [h, w, c]: [usize; 3], channels: usize) -> Result<Self> {
        let [over, up] = KERNELS;
        let name = |part: &str| format!("{prefix}upscaling.{part}");
        let over = Conv2d::dense(spec, group, &name("0"), [h, w], [c, channels], (over, 1, over / 2), true, Start::FanIn)?;
        let up = ConvTransposed2d::new(spec, group, &name("1"), [h, w], [channels; 2], (up, 2, 1), true, Start::FanIn)?;
        Ok(Self { over, up })
    }

    fn apply(&self, g: &mut Graph, spec: &StateSpec, coarse: NodeId) -> Result<NodeId> {
        let over = self.over.apply(g, spec, coarse)?;
        let over = g.relu(over)?;
        let up = self.up.apply(g, spec, over)?;
        g.relu(up)
    }
}

/// What the layers of one scale are told besides the image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// One-hot labels `[N, classes]`.
    pub labels: Option<NodeId>,
    /// What the coarser image, or the luma, comes to, `[N, H, W, K]`.
    pub map: Option<NodeId>,
}

/// What a network of one scale is made for.
pub struct Place<'a> {
    /// First part of its tensors' names: empty where there is one scale.
    pub prefix: &'a str,
    /// Height, width and colours of its images.
    pub dims: [usize; 3],
    /// Colours that its masks keep in order.
    pub ordered: usize,
    /// Channels of the map that its layers are told; 0 where there is none.
    pub map: usize,
    /// What the map is of, as tensors are named.
    pub of: &'static str,
}

/// What a map of the whole image is made of, for a network that tells it value by value.
enum Beforehand {
    Nothing,
    Coarser(Upscaling),
    Luma(LumaMap),
}

/// A network for each scale, from coarse to fine.
pub struct Pyramid<T> {
    nets: Vec<(Beforehand, T)>,
}

impl<T> Pyramid<T> {
    /// Registers the networks of all scales, as `make` makes one, and what leads from each to the next. Names begin with `scales.{i}`
    /// where there are several.
    ///
    /// # Errors
    /// [`Error::Shape`] where a geometry cannot be.
    pub fn new(
        spec: &mut StateSpec,
        group: usize,
        scales: Scales,
        pixels: &Levels,
        mut make: impl FnMut(&mut StateSpec, usize, Place<'_>) -> T,
    ) -> Result<Self> {
        let (dims, ordered) = (pixels.dims, pixels.ordered());
        let mut nets = Vec::with_capacity(scales.count);
        for scale in 0..scales.count {
            let prefix = if scales.count == 1 { String::new() } else { format!("scales.{scale}.") };
            let finer = scales.count - 1 - scale;
            let upscaling = match scale {
                0 => Beforehand::Nothing,
                _ => Beforehand::Coarser(Upscaling::new(spec, group, &prefix, halved(dims, finer + 1), scales.channels)?),
            };
            let map = if scale > 0 { scales.channels } else { 0 };
            nets.push((upscaling, make(spec, group, Place { prefix: &prefix, dims: halved(dims, finer), ordered, map, of: "coarser" })));
        }
        Ok(Self { nets })
    }

    /// Registers one network, of the colours of images whose luma is given, and what the luma comes to in `channels`.
    ///
    /// # Errors
    /// [`Error::Shape`] where a geometry cannot be.
    pub fn of_colours(
        spec: &mut StateSpec,
        group: usize,
        channels: usize,
        pixels: &Levels,
        make: impl FnOnce(&mut StateSpec, usize, Place<'_>) -> T,
    ) -> Result<Self> {
        let dims @ [h, w, _] = pixels.dims;
        let luma = LumaMap::new(spec, group, [h, w], channels)?;
        let net = make(spec, group, Place { prefix: "", dims, ordered: pixels.ordered(), map: channels, of: "luma" });
        Ok(Self { nets: vec![(Beforehand::Luma(luma), net)] })
    }

    /// How many scales there are.
    pub fn len(&self) -> usize {
        self.nets.len()
    }

    /// The network of the scale that is given, and what its layers are told.
    ///
    /// # Errors
    /// [`Error::Shape`] where the coarser image does not fit, or is missing.
    pub fn at(&self, g: &mut Graph, spec: &StateSpec, given: Given) -> Result<(&T, Told)> {
        let (beforehand, net) = self.nets.get(given.scale).ok_or_else(|| Error::Shape(format!("there is no scale {}", given.scale)))?;
        let map = match (beforehand, given.coarse, given.luma) {
            (Beforehand::Nothing, ..) => None,
            (Beforehand::Coarser(upscaling), Some(coarse), _) => Some(upscaling.apply(g, spec, coarse)?),
            (Beforehand::Coarser(_), None, _) => return Err(Error::Shape("a finer scale needs the coarser image".into())),
            (Beforehand::Luma(map), _, Some(luma)) => Some(map.apply(g, spec, luma)?),
            (Beforehand::Luma(_), _, None) => return Err(Error::Shape("colours need the luma of their image".into())),
        };
        Ok((net, Told { labels: given.labels, map }))
    }
}

/// An unmasked 1×1 convolution of the map, for what a layer makes of the image: `[K, D]`, none where there is no map.
pub fn from_map(spec: &mut StateSpec, group: usize, name: &str, place: &Place<'_>, width: usize) -> Option<Conv2d> {
    let [h, w, _] = place.dims;
    (place.map > 0).then(|| Conv2d::pointwise(spec, group, name, [h, w], [place.map, width]))
}

/// `x` with what a layer is told of the map added.
///
/// # Errors
/// [`Error::Shape`] where they do not fit.
pub fn told(g: &mut Graph, spec: &StateSpec, x: NodeId, layer: &Option<Conv2d>, map: Option<NodeId>) -> Result<NodeId> {
    match (layer, map) {
        (Some(layer), Some(map)) => {
            let more = layer.apply(g, spec, map)?;
            // The product of the map comes first, so that it takes up the sum: a sampler then keeps the map alone, which is narrower.
            g.add(more, x)
        }
        _ => Ok(x),
    }
}

/// The pixels of even rows and columns: `[N, H, W, C] → [N, H/2, W/2, C]`.
///
/// # Errors
/// [`Error::Shape`] where there is no half.
pub fn every_second(g: &mut Graph, x: NodeId) -> Result<NodeId> {
    let &[n, h, w, c] = g.shape(x).dims() else { return Err(Error::Shape("pixels are those of images".into())) };
    let rows = g.reshape(x, [n, h / 2, 2, w * c])?;
    let even = g.slice(rows, 2, 0, 1)?;
    let pairs = g.reshape(even, [n, h / 2, w / 2, 2 * c])?;
    g.slice(pairs, 3, 0, c)
}

/// What [`every_second`] leaves out: the odd columns of even rows, `[N, H/2, W/2, C]`, and the odd rows, `[N, H/2, 1, W·C]`.
///
/// # Errors
/// [`Error::Shape`] where there is no half.
pub fn the_rest(g: &mut Graph, x: NodeId) -> Result<[NodeId; 2]> {
    let &[n, h, w, c] = g.shape(x).dims() else { return Err(Error::Shape("pixels are those of images".into())) };
    let rows = g.reshape(x, [n, h / 2, 2, w * c])?;
    let even = g.slice(rows, 2, 0, 1)?;
    let pairs = g.reshape(even, [n, h / 2, w / 2, 2 * c])?;
    Ok([g.slice(pairs, 3, c, c)?, g.slice(rows, 2, 1, 1)?])
}

/// The image whose every second pixels and whose rest these are.
///
/// # Errors
/// [`Error::Shape`] where they are not of one image.
pub fn put_together(g: &mut Graph, coarse: NodeId, [columns, rows]: [NodeId; 2]) -> Result<NodeId> {
    let &[n, h, w, c] = g.shape(coarse).dims() else { return Err(Error::Shape("pixels are those of images".into())) };
    let even = g.concat(coarse, columns, 3)?;
    let even = g.reshape(even, [n, h, 1, 2 * w * c])?;
    let both = g.concat(even, rows, 2)?;
    g.reshape(both, [n, 2 * h, 2 * w, c])
}
