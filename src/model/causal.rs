//! The proof that a model which draws value by value never looks ahead, taken anew from its graph whenever one is built.

use super::{Model, Raster};
use crate::error::{Error, Result};
use crate::graph::{Graph, Link, Reaches};
use crate::tensor::StateSpec;

/// Links of a path that are named; of a longer one, the first and the last.
const NAMED: usize = 8;

/// Refuses a model whose logits of a value read that value or a later one, with the way by which they do.
///
/// # Errors
/// [`Error::Usage`] where the model is not causal; [`Error::Shape`] where its graph cannot be built.
pub(super) fn check(model: &dyn Model) -> Result<()> {
    match model.raster().or(model.colours()) {
        Some(raster) => check_scales(model, raster),
        None => Ok(()),
    }
}

/// The same of each scale: what it is given of coarser ones is known before its first value, and is no part of its image.
fn check_scales(model: &dyn Model, raster: &dyn Raster) -> Result<()> {
    let looks = looks_ahead(raster, &raster.raster_graph(1)?, model.state())?;
    if let Some(words) = looks {
        return Err(Error::usage(format!("{}: {words}", model.name())));
    }
    raster.coarser().map_or(Ok(()), |coarser| check_scales(model, coarser.as_ref()))
}

/// In words, how the logits of a graph look ahead, if they do.
fn looks_ahead(raster: &dyn Raster, graph: &Graph, spec: &StateSpec) -> Result<Option<String>> {
    let unfit = |what: &str| Error::Shape(format!("pixels are drawn of images by their logits, and the graph has no {what}"));
    let x = *graph.inputs().get("x").ok_or_else(|| unfit("input x"))?;
    let logits = graph.outputs().iter().find(|(name, _)| name == "logits").ok_or_else(|| unfit("output logits"))?.1;
    let &[_, h, w, colours] = graph.shape(x).dims() else { return Err(unfit("image x")) };
    let channels = match *graph.shape(logits).dims() {
        [_, lh, lw, channels] if [lh, lw] == [h, w] => channels,
        _ => return Err(unfit("logits at each pixel")),
    };
    let mut reaches = Reaches::new(graph, spec, "x", logits);
    let Some(reach) = reaches.of(logits) else { return Ok(None) };
    let ahead = (0..h * w).flat_map(|at| (0..channels).map(move |channel| (at, channel))).find(|&(at, channel)| {
        let value = at * colours + raster.law().colour(channel, [channels, colours]);
        reach.at(at, channel) > value as u32
    });
    let Some((at, channel)) = ahead else { return Ok(None) };
    let colour = raster.law().colour(channel, [channels, colours]);
    let read = reach.at(at, channel) as usize - 1;
    let path = reaches.path(logits, at, channel);
    let value = |pixel: usize, colour: usize| {
        let place = format!("row {}, column {}", pixel / w, pixel % w);
        if colours == 1 { place } else { format!("{place}, colour {colour}") }
    };
    let (own, other) = (value(at, colour), value(read / colours, read % colours));
    let what = if own == other { "itself".into() } else { format!("the value at {other}, which comes later") };
    Ok(Some(format!("it would not be a likelihood: the value at {own} reads {what}, through {}", way(&path))))
}

/// The path from the image to the logits.
fn way(path: &[Link]) -> String {
    let named = |link: &Link| match link.tap {
        Some([dy, dx]) => format!("{} (tap {dy}, {dx})", link.name),
        None => link.name.clone(),
    };
    let mut words: Vec<String> = path.iter().rev().map(named).collect();
    if words.len() > NAMED {
        words.splice(NAMED / 2..words.len() - NAMED / 2, ["…".to_string()]);
    }
    words.join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::NodeId;
    use crate::model::Law;
    use crate::nn::{Conv2d, ConvSpec, Start};
    use crate::op::Taps;

    struct Plain;

    impl Raster for Plain {
        fn law(&self) -> Law {
            Law::Bernoulli
        }

        fn raster_graph(&self, _batch: usize) -> Result<Graph> {
            Ok(Graph::new())
        }
    }

    /// Layers by their names and taps, then whatever `more` adds, on a 5×6 grey image.
    fn said(layers: &[(&str, Taps)], more: impl Fn(&mut Graph, NodeId) -> Result<NodeId>) -> Result<Option<String>> {
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let mut g = Graph::new();
        let mut h = g.input("x", [1, 5, 6, 1]);
        let mut c = 1;
        for (name, taps) in layers {
            let conv = ConvSpec { taps: taps.clone(), kernel: 7, centre: 3, channels: [c, 4], bias: true, start: Start::FanIn };
            h = Conv2d::new(&mut spec, group, name, conv).apply(&mut g, &spec, h)?;
            h = g.relu(h)?;
            c = 4;
        }
        let logits = more(&mut g, h)?;
        g.output("logits", logits);
        looks_ahead(&Plain, &g, &spec)
    }

    fn taps(offsets: &[[i32; 2]]) -> Taps {
        Taps { offsets: offsets.to_vec(), stride: 1, input: [5, 6], output: [5, 6] }
    }

    #[test]
    fn ways_around_the_order_are_found_and_causal_ways_are_not() -> Result<()> {
        let first = |g: &mut Graph, h: NodeId| g.slice(h, 3, 0, 1);
        // Up and to the right, then down: the value to the right.
        let around = said(&[("up", taps(&[[-1, 1]])), ("down", taps(&[[1, 0]]))], first)?.unwrap_or_default();
        assert!(around.contains("row 0, column 0 reads the value at row 0, column 1"), "{around}");
        assert!(around.ends_with("through up (tap -1, 1) → down (tap 1, 0) → slice (tap 0, 0)"), "{around}");
        assert_eq!(said(&[("up", taps(&[[-1, 1]])), ("right", taps(&[[0, 3]]))], first)?, None);
        assert_eq!(said(&[("up", taps(&[[-2, 1]])), ("down", taps(&[[1, 0]]))], first)?, None);
        let own = said(&[("a", taps(&[[-1, 0], [0, -1]])), ("b", taps(&[[0, 0], [0, 1]]))], first)?.unwrap_or_default();
        assert!(own.contains("reads itself, through a (tap 0, -1) → b (tap 0, 1)"), "{own}");
        Ok(())
    }

    #[test]
    fn shifts_by_slices_and_sums_over_pixels_are_followed() -> Result<()> {
        // Down a row: what a kernel over whole rows makes is then known.
        let shifted = |g: &mut Graph, h: NodeId| {
            let top = g.slice(h, 1, 0, 4)?;
            let blank = g.slice(h, 1, 0, 1)?;
            let blank = g.scale(blank, 0.0)?;
            let down = g.concat(blank, top, 1)?;
            g.slice(down, 3, 0, 1)
        };
        let row: Vec<[i32; 2]> = (-3..=3).map(|dx| [0, dx]).collect();
        assert_eq!(said(&[("row", taps(&row))], shifted)?, None);
        assert!(said(&[("row", taps(&row))], |g, h| g.slice(h, 3, 0, 1))?.is_some_and(|s| s.contains("column 0 reads")));
        let mean = |g: &mut Graph, h: NodeId| {
            let sum = g.reduce(crate::tensor::Reduction::Sum, h, 1..3)?;
            let both = g.add(h, sum)?;
            g.slice(both, 3, 0, 1)
        };
        assert!(said(&[("a", taps(&[[-1, 0]]))], mean)?.is_some_and(|s| s.contains("reduce")));
        Ok(())
    }
}
