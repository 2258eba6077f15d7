//! What each pixel of a gated PixelCNN may see: no later one, and of earlier ones the rectangle of the formula without a hole.

#[path = "support/pixels.rs"]
mod pixels;

use std::collections::BTreeSet;

use kiln::Result;
use kiln::graph::{Graph, NodeId, StateSpec};
use kiln::nn::{Conv2d, Start};
use kiln::op::Conv;

use pixels::{Net, early, seen_in_a_pixel};

const SMALL: &str = "layers = 3\nhidden = 6\nhead = 6\nfirst_kernel = 5";

fn gated(dims: [usize; 3], levels: usize, hyper: &str) -> Result<Net> {
    Net::labelled("gated-pixelcnn", dims, levels, hyper)
}

/// The sizes that the masks are tried on: height, width, colours, levels.
const CASES: [([usize; 3], usize); 6] =
    [([5, 7, 1], 2), ([7, 4, 1], 256), ([3, 5, 3], 2), ([4, 3, 3], 256), ([5, 3, 1], 7), ([1, 9, 1], 2)];

/// Pixels that a pixel's logits read, by the taps of the graph's own convolutions.
fn field(graph: &Graph, from: [i32; 2]) -> BTreeSet<[i32; 2]> {
    let (_, logits) = graph.outputs().iter().find(|(name, _)| name == "logits").expect("logits");
    let [_, h, w, _] = *graph.shape(*logits).dims() else { panic!("an image") };
    let mut read: Vec<BTreeSet<[i32; 2]>> = vec![BTreeSet::new(); graph.nodes().len()];
    read[logits.0].insert(from);
    for at in (0..graph.nodes().len()).rev() {
        let (node, here) = (graph.node(NodeId(at)), std::mem::take(&mut read[at]));
        let kiln::graph::Kind::Op(op) = &node.kind else {
            node.inputs.iter().for_each(|i| read[i.0].extend(&here));
            if matches!(&node.kind, kiln::graph::Kind::Input(name) if name == "x") {
                return here;
            }
            continue;
        };
        match op.as_any().downcast_ref::<Conv>() {
            Some(conv) => {
                let reach = here.iter().flat_map(|[y, x]| conv.taps.offsets.iter().map(move |[dy, dx]| [y + dy, x + dx]));
                let inside = reach.filter(|[y, x]| (0..h as i32).contains(y) && (0..w as i32).contains(x)).collect::<Vec<_>>();
                read[node.inputs[0].0].extend(inside);
            }
            None => node.inputs.iter().for_each(|i| read[i.0].extend(&here)),
        }
    }
    BTreeSet::new()
}

/// The rectangle of the formula: rows above within `reach` rows and columns, and the own row as far to the left.
fn rectangle([h, w]: [i32; 2], [y, x]: [i32; 2], reach: i32) -> BTreeSet<[i32; 2]> {
    let above = (y - reach..y).flat_map(|r| (x - reach..=x + reach).map(move |c| [r, c]));
    let left = (x - reach..x).map(|c| [y, c]);
    above.chain(left).filter(|[r, c]| (0..h).contains(r) && (0..w).contains(c)).collect()
}

#[test]
fn no_logit_sees_its_own_value_or_a_later_one() -> Result<()> {
    for (dims, levels) in CASES {
        for more in ["", "conditional = true", "dilations = [2, 1]"] {
            let mut net = gated(dims, levels, &format!("{SMALL}\n{more}"))?;
            let early = early(&mut net)?;
            assert!(early.is_empty(), "{dims:?}, {levels} levels, {more}: values changed the logits of earlier ones: {early:?}");
        }
    }
    Ok(())
}

#[test]
fn a_colour_sees_the_colours_before_it_in_its_own_pixel() -> Result<()> {
    for levels in [2, 256] {
        let mut net = gated([3, 4, 3], levels, SMALL)?;
        assert_eq!(seen_in_a_pixel(&mut net)?, BTreeSet::from([(0, 1), (0, 2), (1, 2)]), "{levels} levels");
    }
    Ok(())
}

#[test]
fn the_receptive_field_is_the_rectangle_without_a_hole() -> Result<()> {
    // Rows and columns that each network reaches: half its kernels, times the dilations.
    for (dims, hyper, reach) in [
        ([9, 15, 1], "layers = 3\nfirst_kernel = 5", 2 + 2),
        ([11, 13, 1], "layers = 1\nfirst_kernel = 7", 3),
        ([13, 13, 1], "layers = 3\nfirst_kernel = 3\nkernel = 5", 1 + 4),
        ([14, 15, 1], "layers = 4\nfirst_kernel = 5\ndilations = [1, 2, 3]", 2 + 6),
        ([5, 4, 1], "layers = 8", 3 + 7),
    ] {
        let net = gated(dims, 2, &format!("hidden = 2\nhead = 2\n{hyper}"))?;
        let graph = net.model.raster().expect("autoregressive").raster_graph(1)?;
        let [h, w] = [dims[0] as i32, dims[1] as i32];
        for from in [[h / 2, w / 2], [h - 1, 0], [h - 1, w - 1], [1, 1], [0, 0], [0, w - 1]] {
            assert_eq!(field(&graph, from), rectangle([h, w], from, reach), "{hyper}: {from:?}");
        }
    }
    Ok(())
}

#[test]
fn what_the_taps_may_reach_is_what_changes_the_logits() -> Result<()> {
    let (h, w) = (6, 11);
    let mut net = gated([h as usize, w as usize, 1], 2, "layers = 3\nhidden = 12\nhead = 12\nfirst_kernel = 3")?;
    let mut seen: Vec<BTreeSet<[i32; 2]>> = vec![BTreeSet::new(); (h * w) as usize];
    for stream in 0..6 {
        let base = net.noise(1, stream);
        for (j, changed) in net.influence(&base)?.iter().enumerate() {
            for &v in changed {
                seen[v].insert([j as i32 / w, j as i32 % w]);
            }
        }
    }
    for (at, seen) in seen.iter().enumerate() {
        let from = [at as i32 / w, at as i32 % w];
        assert_eq!(*seen, rectangle([h, w], from, 3), "pixel {from:?}");
    }
    Ok(())
}

#[test]
fn the_whole_preset_sees_every_earlier_pixel_of_28_by_28() -> Result<()> {
    let net = gated([28, 28, 1], 2, "preset = 'whole'")?;
    let graph = net.model.raster().expect("autoregressive").raster_graph(1)?;
    for at in [0, 5, 27, 28, 400, 419, 783] {
        let want: BTreeSet<[i32; 2]> = (0..at).map(|i| [i / 28, i % 28]).collect();
        assert_eq!(field(&graph, [at / 28, at % 28]), want, "pixel {at}");
    }
    // The benchmarks' network, of eight layers, does not: its rectangle ends ten columns away.
    let small = gated([28, 28, 1], 2, "preset = 'small'")?;
    let graph = small.model.raster().expect("autoregressive").raster_graph(1)?;
    assert_eq!(field(&graph, [20, 14]), rectangle([28, 28], [20, 14], 10));
    Ok(())
}

/// The form that is often published: every vertical convolution reads strictly above, and its own row comes through a 1×1 beside it.
#[test]
fn vertical_layers_that_read_strictly_above_leave_a_wedge_unseen() -> Result<()> {
    let (h, w, first) = (12, 25, 3);
    let mut spec = StateSpec::default();
    let group = spec.group("");
    let mut g = Graph::new();
    let mut v = g.input("x", [1, h, w, 1]);
    for layer in 0..8 {
        let (size, channels) = if layer == 0 { (2 * first + 1, 1) } else { (3, 2) };
        let half = size / 2;
        let name = |part: &str| format!("{layer}.{part}");
        let geometry = ([half, size], [half, half], 1);
        let above = Conv2d::rectangle(&mut spec, group, &name("above"), [h, w], [channels, 2], geometry, None, Start::FanIn);
        let mut next = above.apply(&mut g, &spec, v)?;
        if layer > 0 {
            let own = Conv2d::rectangle(&mut spec, group, &name("own"), [h, w], [2, 2], ([1, 1], [0, 0], 1), None, Start::FanIn);
            let own = own.apply(&mut g, &spec, v)?;
            next = g.add(next, own)?;
        }
        v = next;
    }
    g.output("logits", v);
    let from = [11, 12];
    let seen = field(&g, from);
    // Row r − 1 ends three columns away however deep the stack is, and each row further up adds one.
    for up in 1..=7 {
        let farthest = (0..w as i32).filter(|x| seen.contains(&[from[0] - up, *x])).max();
        assert_eq!(farthest, Some(from[1] + first as i32 + (up - 1)), "{up} rows up");
    }
    assert!(rectangle([h as i32, w as i32], from, 10).is_superset(&seen));
    assert!(!seen.contains(&[10, 16]));
    Ok(())
}
