//! One layer of the two stacks.

use super::Config;
use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec};
use crate::model::levels::{Mask, colour_mask};
use crate::model::scales::{Place, Told, from_map, told};
use crate::nn::{Conv2d, OneHot, Start};
use crate::op::Taps;

/// A layer: its convolutions, the vectors of the classes, and what it takes of a map of the whole image.
///
/// The vertical map of a row depends on the rows above alone: the first layer reads those, later ones the own row too, to both sides. The
/// horizontal stack therefore takes what it is told of them at the pixel itself, with no shift, before the vertical gate.
pub struct Layer {
    vertical: Conv2d,
    horizontal: Conv2d,
    link: Conv2d,
    residual: Conv2d,
    skip: Conv2d,
    classes: Option<OneHot>,
    map: [Option<Conv2d>; 2],
    hidden: usize,
    first: bool,
}

/// What flows from layer to layer: the maps of the two stacks, and the sum of what the layers hand to the head.
#[derive(Clone, Copy)]
pub struct Flow {
    pub vertical: NodeId,
    pub horizontal: NodeId,
    pub skip: Option<NodeId>,
}

impl Layer {
    /// Registers layer `at` of the network of a scale.
    pub fn new(spec: &mut StateSpec, group: usize, config: &Config, at: usize, place: &Place<'_>, classes: usize) -> Self {
        let ([h, w, colours], ordered) = (place.dims, place.ordered);
        let name = |part: &str| format!("{}layers.{at}.{part}", place.prefix);
        let first = at == 0;
        let [c, _] = config.channels();
        let inputs = if first { colours } else { c };
        let size = if first { config.first_kernel } else { config.kernel };
        let half = size / 2;
        let dilation = config.dilation(at);
        let mut conv = |part: &str, channels: [usize; 2], kernel: [usize; 2], origin: [usize; 2], mask: Option<(Mask, usize)>| {
            let masked =
                mask.filter(|_| ordered > 1).map(|(mask, parts)| move |taps: &Taps| colour_mask(taps, channels, ordered, mask, parts));
            let mask = masked.as_ref().map(|m| m as &dyn Fn(&Taps) -> Vec<f32>);
            let geometry = (kernel, origin, dilation);
            Conv2d::rectangle(spec, group, &name(part), [h, w], channels, geometry, mask, Start::FanIn)
        };
        // The pixel itself: only its earlier colours are known to the first layer.
        let own = usize::from(!first || ordered > 1);
        let kind = if first { Mask::A } else { Mask::B };
        let vertical = conv("v", [inputs, 2 * c], [half + usize::from(!first), size], [half, half], None);
        let horizontal = conv("h", [inputs, 2 * c], [1, half + own], [0, half], Some((kind, 2)));
        let link = conv("link", [2 * c, 2 * c], [1, 1], [0, 0], None);
        let residual = conv("res", [c, c], [1, 1], [0, 0], Some((Mask::B, 1)));
        let skip = conv("skip", [c, c], [1, 1], [0, 0], Some((Mask::B, 1)));
        let classes = (classes > 0).then(|| OneHot::new(spec, group, &name("cond"), [classes, 4 * c], Start::Normal(1.0)));
        let map = ["v", "h"].map(|stack| from_map(spec, group, &name(&format!("{}.{stack}", place.of)), place, 2 * c));
        Self { vertical, horizontal, link, residual, skip, classes, map, hidden: c, first }
    }

    /// The maps behind this layer.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, flow: Flow, Told { labels, map }: Told) -> Result<Flow> {
        let mut vertical = self.vertical.apply(g, spec, flow.vertical)?;
        let mut horizontal = self.horizontal.apply(g, spec, flow.horizontal)?;
        let above = self.link.apply(g, spec, vertical)?;
        horizontal = g.add(horizontal, above)?;
        if let (Some(classes), Some(labels)) = (&self.classes, labels) {
            let wide = 2 * self.hidden;
            let vectors = classes.apply(g, spec, labels)?;
            let batch = g.shape(vectors).dims()[0];
            for (map, start) in [(&mut vertical, 0), (&mut horizontal, wide)] {
                let part = g.slice(vectors, 1, start, wide)?;
                let part = g.reshape(part, [batch, 1, 1, wide])?;
                *map = g.add(*map, part)?;
            }
        }
        vertical = told(g, spec, vertical, &self.map[0], map)?;
        horizontal = told(g, spec, horizontal, &self.map[1], map)?;
        let out = g.gate(horizontal)?;
        let out = g.dropout(out)?;
        let skip = self.skip.apply(g, spec, out)?;
        let residual = self.residual.apply(g, spec, out)?;
        Ok(Flow {
            vertical: g.gate(vertical)?,
            horizontal: if self.first { residual } else { g.add(residual, flow.horizontal)? },
            skip: Some(match flow.skip {
                Some(sum) => g.add(skip, sum)?,
                None => skip,
            }),
        })
    }
}
