//! Gated PixelCNN: its size, what each pixel may see, that its probabilities are probabilities, and that its samplers draw from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln::data::{Binarization, Kind, Source};
use kiln::eval::{self, LikelihoodOptions, Scores};
use kiln::graph::{Graph, NodeId, StateSpec, Step};
use kiln::model::{self, DataSpec, Model};
use kiln::nn::{Conv2d, Start};
use kiln::op::Conv;
use kiln::random::Draws;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::raster::{Drawn, Job, Method, RasterSampler};
use kiln::{Error, Result};

const SMALL: &str = "layers = 3\nhidden = 6\nhead = 6\nfirst_kernel = 5";
const CLASSES: usize = 3;

fn data(dims: [usize; 3], levels: usize) -> DataSpec {
    let (kind, binarization) = if levels == 2 { (Kind::Binary, Binarization::Static) } else { (Kind::Pixels, Binarization::None) };
    DataSpec { dims, classes: CLASSES, kind, binarization, mean: None }
}

/// A network with its first weights.
struct Net {
    device: Device,
    model: Box<dyn Model>,
    state: State,
    dims: [usize; 3],
    levels: usize,
}

impl Net {
    fn new(dims: [usize; 3], levels: usize, hyper: &str) -> Result<Self> {
        let hyper = toml::from_str(&format!("levels = {levels}\n{hyper}")).expect("hyper-parameters");
        let model = model::build("gated-pixelcnn", &hyper, &data(dims, levels))?;
        let device = Device::open("cpu")?;
        let state = State::initial(&device, model.state(), 3)?;
        Ok(Self { device, model, state, dims, levels })
    }

    fn item(&self) -> usize {
        self.dims.iter().product()
    }

    /// Images of random levels.
    fn noise(&self, count: usize, stream: u32) -> Vec<f32> {
        let mut draws = Draws::new(23, stream, 0);
        (0..count * self.item()).map(|_| draws.below(self.levels) as f32).collect()
    }

    /// `[N, values, per value]` logits of images given in levels, all of one class.
    fn logits(&mut self, images: &[f32], class: usize) -> Result<Vec<f32>> {
        let count = images.len() / self.item();
        let raster = self.model.raster().expect("autoregressive").raster_graph(count)?;
        let mut program = Program::new(&self.device, &raster, &self.state, Weights::Current)?;
        program.write("x", images)?;
        program.write("labels", &labels(count, class))?;
        program.run(&mut self.state, &Step::default())?;
        program.read(&self.state, "logits")
    }

    /// For each value j of `base`: which values' logits change by a bit when j alone is changed.
    fn influence(&mut self, base: &[f32]) -> Result<Vec<BTreeSet<usize>>> {
        let (item, levels) = (self.item(), self.levels as f32);
        let mut images = base.to_vec();
        for j in 0..item {
            let mut changed = base.to_vec();
            changed[j] = (changed[j] + (levels / 2.0).floor()) % levels;
            images.extend(changed);
        }
        let logits = self.logits(&images, 0)?;
        let per = logits.len() / images.len();
        let bits = |image: usize, v: usize| logits[(image * item + v) * per..][..per].iter().map(|l| l.to_bits()).collect::<Vec<_>>();
        Ok((0..item).map(|j| (0..item).filter(|&v| bits(j + 1, v) != bits(0, v)).collect()).collect())
    }

    fn score(&mut self, images: &[f32], batch: usize, class: usize) -> Result<Scores> {
        let source = Arc::new(Memory { dims: self.dims, levels: self.levels, images: images.to_vec(), class: class as u32 });
        let options = LikelihoodOptions { batch, seed: 1, binarization: Binarization::None, weights: Weights::Current, per_pixel: true };
        eval::score(&self.device, self.model.as_ref(), &mut self.state, source, &options, |_| {})
    }

    fn draw(&mut self, method: Method, job: &Job<'_>) -> Result<Drawn> {
        let mut sampler = RasterSampler::new(&self.device, self.model.as_ref(), &self.state, Weights::Current, method)?;
        sampler.sample(self.model.as_ref(), &mut self.state, job)
    }
}

/// One-hot labels of `count` images of a class.
fn labels(count: usize, class: usize) -> Vec<f32> {
    (0..count * CLASSES).map(|i| f32::from(u8::from(i % CLASSES == class))).collect()
}

/// Images in memory, given in levels, all of one class.
struct Memory {
    dims: [usize; 3],
    levels: usize,
    images: Vec<f32>,
    class: u32,
}

impl Source for Memory {
    fn len(&self) -> usize {
        self.images.len() / self.dims.iter().product::<usize>()
    }
    fn dims(&self) -> [usize; 3] {
        self.dims
    }
    fn kind(&self) -> Kind {
        if self.levels == 2 { Kind::Binary } else { Kind::Pixels }
    }
    fn classes(&self) -> usize {
        CLASSES
    }
    fn label(&self, _index: usize) -> Option<u32> {
        Some(self.class)
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let levels = self.levels as f32;
        // The least byte of a level.
        let byte = |level: f32| if levels == 2.0 { 255.0 * level } else { (level * 256.0 / levels).ceil() };
        let item = out.len();
        out.iter_mut().zip(&self.images[index * item..]).for_each(|(o, v)| *o = byte(*v));
        Ok(())
    }
    fn name(&self) -> String {
        "memory".into()
    }
}

/// Every image of `values` values of `levels` levels.
fn domain(values: usize, levels: usize) -> Vec<f32> {
    let count = levels.pow(values as u32);
    (0..count).flat_map(|code| (0..values).map(move |v| (code / levels.pow(v as u32) % levels) as f32)).collect()
}

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

fn job(count: usize, first: usize) -> Job<'static> {
    Job { count, seed: 17, first, temperature: 1.0, keep: None, inputs: &[] }
}

/// The sizes that the sampler and the masks are tried on: height, width, colours, levels.
const CASES: [([usize; 3], usize); 6] =
    [([5, 7, 1], 2), ([7, 4, 1], 256), ([3, 5, 3], 2), ([4, 3, 3], 256), ([5, 3, 1], 7), ([1, 9, 1], 2)];

#[test]
fn the_sizes_have_the_parameters_of_the_reference() -> Result<()> {
    for (preset, plain, with_labels) in [("tiny", 69_953, 75_713), ("small", 666_753, 687_233), ("k5", 312_961, 323_201)] {
        let count = |conditional: bool| -> Result<usize> {
            let hyper = toml::from_str(&format!("preset = '{preset}'\nconditional = {conditional}")).expect("hyper-parameters");
            let data = DataSpec { classes: 10, ..data([28, 28, 1], 2) };
            Ok(model::build("gated-pixelcnn", &hyper, &data)?.state().parameters(true))
        };
        assert_eq!([count(false)?, count(true)?], [plain, with_labels], "{preset}");
    }
    Ok(())
}

#[test]
fn no_logit_sees_its_own_value_or_a_later_one() -> Result<()> {
    for (dims, levels) in CASES {
        for more in ["", "conditional = true", "dilations = [2, 1]"] {
            let mut net = Net::new(dims, levels, &format!("{SMALL}\n{more}"))?;
            let base = net.noise(1, 1);
            for (j, changed) in net.influence(&base)?.iter().enumerate() {
                let early: Vec<_> = changed.range(..=j).collect();
                assert!(early.is_empty(), "{dims:?}, {levels} levels, {more}: value {j} changed the logits of {early:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_colour_sees_the_colours_before_it_in_its_own_pixel() -> Result<()> {
    for levels in [2, 256] {
        let mut net = Net::new([3, 4, 3], levels, SMALL)?;
        let mut seen = BTreeSet::new();
        for stream in 0..4 {
            let base = net.noise(1, stream);
            for (j, changed) in net.influence(&base)?.iter().enumerate() {
                seen.extend(changed.iter().filter(|&&v| v / 3 == j / 3).map(|&v| (j % 3, v % 3)));
            }
        }
        assert_eq!(seen, BTreeSet::from([(0, 1), (0, 2), (1, 2)]), "{levels} levels");
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
        let net = Net::new(dims, 2, &format!("hidden = 2\nhead = 2\n{hyper}"))?;
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
    let mut net = Net::new([h as usize, w as usize, 1], 2, "layers = 3\nhidden = 12\nhead = 12\nfirst_kernel = 3")?;
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
    let net = Net::new([28, 28, 1], 2, "preset = 'whole'")?;
    let graph = net.model.raster().expect("autoregressive").raster_graph(1)?;
    for at in [0, 5, 27, 28, 400, 419, 783] {
        let want: BTreeSet<[i32; 2]> = (0..at).map(|i| [i / 28, i % 28]).collect();
        assert_eq!(field(&graph, [at / 28, at % 28]), want, "pixel {at}");
    }
    // The benchmarks' network, of eight layers, does not: its rectangle ends ten columns away.
    let small = Net::new([28, 28, 1], 2, "preset = 'small'")?;
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

#[test]
fn probabilities_of_every_image_sum_to_one_for_each_label() -> Result<()> {
    for (dims, levels) in [([3, 3, 1], 2), ([2, 2, 3], 2), ([1, 2, 1], 256), ([2, 3, 1], 3), ([1, 1, 3], 5)] {
        for conditional in [false, true] {
            let mut net = Net::new(dims, levels, &format!("{SMALL}\nconditional = {conditional}"))?;
            let images = domain(net.item(), levels);
            let mut first = Vec::new();
            for class in 0..if conditional { CLASSES } else { 1 } {
                let scores = net.score(&images, 256, class)?;
                let total: f64 = scores.nll.iter().map(|nll| (-nll).exp()).sum();
                assert_eq!(scores.nll.len(), levels.pow(net.item() as u32));
                assert!((total - 1.0).abs() < 2e-5, "{dims:?}, {levels} levels, class {class}: {total}");
                assert_ne!(scores.nll, first, "class {class} is another distribution");
                first = scores.nll;
            }
        }
    }
    Ok(())
}

#[test]
fn cached_sampling_is_naive_sampling_bit_for_bit() -> Result<()> {
    for (dims, levels) in CASES {
        for more in ["", "conditional = true", "dilations = [2, 1]\nkernel = 5", "layers = 1"] {
            let hyper: String = format!("{SMALL}\n{more}")
                .lines()
                .filter(|l| !more.contains("layers") || *l != "layers = 3")
                .collect::<Vec<_>>()
                .join("\n");
            let mut net = Net::new(dims, levels, &hyper)?;
            // More images than are drawn side by side.
            let hot = [labels(7, 1), labels(4, 2)].concat();
            let inputs = [("labels", &hot[..])];
            let job = Job { temperature: 0.9, inputs: if more.contains("conditional") { &inputs } else { &[] }, ..job(11, 5) };
            let cached = net.draw(Method::Cached, &job)?;
            assert_eq!(cached, net.draw(Method::Naive, &job)?, "{dims:?}, {levels} levels, {more}");
            assert!(cached.images.iter().all(|v| v.fract() == 0.0 && (0.0..levels as f32).contains(v)));
        }
    }
    Ok(())
}

#[test]
fn the_samplers_log_p_is_the_scorers_given_the_label() -> Result<()> {
    for (dims, levels) in CASES {
        let mut net = Net::new(dims, levels, &format!("{SMALL}\nconditional = true"))?;
        for class in 0..2 {
            let hot = labels(9, class);
            let drawn = net.draw(Method::Cached, &Job { inputs: &[("labels", &hot)], ..job(9, 0) })?;
            let scores = net.score(&drawn.images, 4, class)?;
            for (image, (log_p, nll)) in drawn.log_p.iter().zip(&scores.nll).enumerate() {
                assert!((log_p + nll).abs() <= 4e-6 * nll, "{dims:?}, {levels} levels, image {image}: {log_p} against {}", -nll);
            }
        }
    }
    Ok(())
}

#[test]
fn images_do_not_depend_on_how_a_job_is_split() -> Result<()> {
    let mut net = Net::new([4, 5, 1], 2, &format!("{SMALL}\nconditional = true"))?;
    let hot = [labels(12, 0), labels(11, 2)].concat();
    let whole = net.draw(Method::Cached, &Job { inputs: &[("labels", &hot)], ..job(23, 0) })?;
    let mut parts = Drawn { images: Vec::new(), log_p: Vec::new() };
    for (first, count) in [(0, 1), (1, 9), (10, 13)] {
        let hot = &hot[first * CLASSES..][..count * CLASSES];
        let part = net.draw(Method::Cached, &Job { inputs: &[("labels", hot)], ..job(count, first) })?;
        parts.images.extend(part.images);
        parts.log_p.extend(part.log_p);
    }
    assert_eq!(whole, parts);
    Ok(())
}

#[test]
fn completion_keeps_what_is_given_and_draws_the_rest_given_the_label() -> Result<()> {
    for (dims, levels) in CASES {
        let mut net = Net::new(dims, levels, &format!("{SMALL}\nconditional = true"))?;
        let (item, count) = (net.item(), 6);
        let given = net.noise(count, 8);
        let hot = labels(count, 2);
        for kept in [(0..item).map(|i| i < item / 2).collect::<Vec<_>>(), (0..item).map(|i| i * 7 % 5 < 2).collect()] {
            let job = Job { keep: Some((&given, &kept)), inputs: &[("labels", &hot)], ..job(count, 0) };
            let drawn = net.draw(Method::Cached, &job)?;
            assert_eq!(drawn, net.draw(Method::Naive, &job)?, "{dims:?}, {levels} levels");
            for (i, value) in drawn.images.iter().enumerate().filter(|(i, _)| kept[i % item]) {
                assert_eq!(*value, given[i], "{dims:?}, {levels} levels: place {i} was given");
            }
            let map = net.score(&drawn.images, count, 2)?.map;
            for (image, log_p) in drawn.log_p.iter().enumerate() {
                let rest: f64 = (0..item).filter(|&v| !kept[v]).map(|v| f64::from(map[image * item + v])).sum();
                assert!((log_p + rest).abs() <= 1e-5 * rest, "{dims:?}, {levels} levels, image {image}: {log_p} against {}", -rest);
            }
        }
    }
    Ok(())
}

#[test]
fn samples_come_as_often_as_the_model_says() -> Result<()> {
    let mut net = Net::new([2, 2, 1], 2, &format!("{SMALL}\nconditional = true"))?;
    let images = domain(4, 2);
    let scores = net.score(&images, 16, 1)?;
    let count = 20_000;
    let hot = labels(count, 1);
    let drawn = net.draw(Method::Cached, &Job { inputs: &[("labels", &hot)], ..job(count, 0) })?;
    let mut seen = [0.0f64; 16];
    for image in drawn.images.chunks(4) {
        seen[image.iter().enumerate().map(|(v, bit)| (*bit as usize) << v).sum::<usize>()] += 1.0;
    }
    let want = scores.nll.iter().map(|nll| (-nll).exp() * count as f64);
    let chi: f64 = seen.iter().zip(want).map(|(seen, want)| (seen - want).powi(2) / want).sum();
    // 15 degrees of freedom: above 37.7 one time in a thousand.
    assert!(chi < 37.7, "χ² = {chi}");
    Ok(())
}

#[test]
fn a_job_without_the_labels_it_needs_is_refused() -> Result<()> {
    let mut net = Net::new([3, 3, 1], 2, &format!("{SMALL}\nconditional = true"))?;
    let short = labels(3, 0);
    for inputs in [&[][..], &[("labels", &short[..])]] {
        for method in [Method::Cached, Method::Naive] {
            let Err(Error::Usage(said)) = net.draw(method, &Job { inputs, ..job(4, 0) }) else { panic!("drawn without labels") };
            assert!(said.contains("labels"), "{said}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |dims: [usize; 3], hyper: &str| match Net::new(dims, 2, hyper) {
        Err(Error::Usage(said)) => said,
        Err(other) => panic!("{hyper}: {other}"),
        Ok(_) => panic!("{hyper} was taken"),
    };
    for (hyper, word) in [
        ("kernel = 4", "odd"),
        ("first_kernel = 6", "odd"),
        ("first_kernel = 1", "first_kernel"),
        ("layers = 0", "layers"),
        ("hidden = 0", "hidden"),
        ("dilations = [1, 0]", "dilations"),
        ("hidden = 100000", "hidden"),
        ("width = 3", "width"),
    ] {
        assert!(refusal([4, 4, 1], hyper).contains(word), "{hyper}");
    }
    assert!(refusal([4, 4, 3], "hidden = 8").contains("3 colours"));
    assert!(refusal([4, 4, 3], "hidden = 9\nhead = 4").contains("3 colours"));
    // Unless they are asked for, sizes go with the colours.
    for preset in ["tiny", "small", "k5", "custom"] {
        let hyper = toml::from_str(&format!("preset = '{preset}'")).expect("hyper-parameters");
        assert!(model::build("gated-pixelcnn", &hyper, &data([4, 4, 3], 256)).is_ok(), "{preset}");
    }
    let unlabelled = DataSpec { classes: 0, ..data([4, 4, 1], 2) };
    let hyper = toml::from_str("conditional = true").expect("hyper-parameters");
    let Err(Error::Usage(said)) = model::build("gated-pixelcnn", &hyper, &unlabelled) else { panic!("labels of data without any") };
    assert!(said.contains("labels"), "{said}");
}

/// A network of PyTorch's weights says of images what PyTorch says: `tests/fixtures/gated_pixelcnn.py` wrote both.
#[test]
fn pytorchs_weights_give_pytorchs_probabilities() -> Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gated_pixelcnn.safetensors");
    let bytes = std::fs::read(&path).expect("the fixture");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let values = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).expect("a tensor of the fixture").data();
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let (x, classes) = (values("x"), values("classes"));
    let count = classes.len();
    let hot: Vec<f32> = classes.iter().flat_map(|class| (0..CLASSES).map(move |c| f32::from(u8::from(c as f32 == *class)))).collect();
    for (prefix, conditional) in [("plain", false), ("labelled", true)] {
        let mut net = Net::new([6, 9, 1], 2, &format!("layers = 3\nhidden = 6\nhead = 5\nconditional = {conditional}"))?;
        for id in net.model.state().ids() {
            let name = format!("{prefix}.{}", net.model.state().spec(id).name);
            kiln::train::checkpoint::read_tensor(&path, &file, &name, &mut net.state, id, kiln::cpu::Arena::Value)?;
        }
        let graph = net.model.scores().expect("a likelihood").likelihood_graph(count)?;
        let raster = net.model.raster().expect("autoregressive").raster_graph(count)?;
        for (graph, output, want) in [(graph, "nll", "nats"), (raster, "logits", "logits")] {
            let mut program = Program::new(&net.device, &graph, &net.state, Weights::Current)?;
            program.write("x", &x)?;
            program.write("labels", &hot)?;
            program.run(&mut net.state, &Step::default())?;
            let got = program.read(&net.state, output)?;
            for (got, want) in got.iter().zip(values(&format!("{prefix}.{want}"))) {
                assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{prefix} {output}: {got}, PyTorch {want}");
            }
        }
    }
    Ok(())
}
