//! PixelCNN++: its size, its start, that its weights have a direction and a length, that it says what PyTorch says, and that its
//! probabilities are probabilities.

mod support;

use kiln::cpu::Arena;
use kiln::data::{Binarization, Kind};
use kiln::graph::{Graph, Rule, StateId, Step, Update};
use kiln::model::{DataSpec, Model};
use kiln::nn::{NormedSpec, Pass, Shift, WeightNorm};
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::raster::{Job, Method, RasterSampler};
use kiln::wait::Wait;
use kiln::{Error, Result};
use support::models;

const TINY: &str = "filters = 3\nblocks = 1\nstages = 2";

fn bits(dims: [usize; 3]) -> DataSpec {
    DataSpec { dims, classes: 10, kind: Kind::Binary, binarization: Binarization::Static, mean: None }
}

/// Tensors by the last part of their names.
fn parts(model: &dyn Model, part: &str) -> Vec<StateId> {
    let ends = |id: &StateId| model.state().spec(*id).name.rsplit('.').next() == Some(part);
    model.state().ids().into_iter().filter(ends).collect()
}

fn parameters(model: &dyn Model) -> usize {
    model.state().groups.iter().flat_map(|g| &g.tensors).filter(|t| t.trained).map(|t| t.shape.len()).sum()
}

/// Sets the first weights from a batch of bits.
fn start(model: &dyn Model, state: &mut State, images: &[f32], batch: usize) -> Vec<f32> {
    let graph = model.starts().expect("a start").start_graph(batch).expect("a graph");
    let labels = models::labels(batch);
    models::run(&graph, state, &[("x", images), ("labels", &labels)], &Step { seed: 1, step: 1, ..Step::default() }, "logits")
}

fn nats(model: &dyn Model, state: &mut State, images: &[f32], batch: usize) -> Vec<f32> {
    let graph = model.scores().expect("a likelihood").likelihood_graph(batch).expect("a graph");
    let labels = models::labels(batch);
    models::run(&graph, state, &[("x", images), ("labels", &labels)], &Step::default(), "nll")
}

#[test]
fn probabilities_sum_to_one_and_the_start_sets_every_layer() -> Result<()> {
    for (dims, hyper) in [([2, 4, 1], TINY), ([2, 2, 2], "filters = 2\nblocks = 2\nstages = 1"), ([4, 2, 1], "filters = 2\nstages = 2")] {
        let model = models::build("pixelcnn-pp", hyper, &bits(dims))?;
        let mut state = models::initial(model.as_ref());
        let values = dims.iter().product::<usize>();
        let domain: Vec<f32> = (0..1usize << values).flat_map(|code| (0..values).map(move |v| (code >> v & 1) as f32)).collect();
        for started in [false, true] {
            if started {
                start(model.as_ref(), &mut state, &domain, 1 << values);
            }
            let total: f64 = nats(model.as_ref(), &mut state, &domain, 1 << values).iter().map(|nll| (-f64::from(*nll)).exp()).sum();
            assert!((total - 1.0).abs() < 2e-5, "{dims:?}: {total}");
        }
        for id in parts(model.as_ref(), "g") {
            let gains = state.read(id, Arena::Value).wait()?;
            assert!(gains.iter().all(|g| g.is_finite() && *g != 1.0), "{}: {gains:?}", model.state().spec(id).name);
        }
    }
    Ok(())
}

/// A layer that was set has outputs of mean 0 and its standard deviation, is the same when it is used, and is set alike again.
#[test]
fn a_layer_that_was_set_has_the_mean_and_deviation_it_should() -> Result<()> {
    let plain = NormedSpec {
        kernel: [2, 3],
        origin: [1, 1],
        stride: 1,
        transposed: false,
        shift: Shift::None,
        image: [4, 6],
        channels: [5, 4],
        deviation: 0.1,
    };
    let layers = [
        plain.clone(),
        NormedSpec { shift: Shift::Down, ..plain.clone() },
        NormedSpec { stride: 2, ..plain.clone() },
        NormedSpec { stride: 2, origin: [0, 1], transposed: true, deviation: 1.0, ..plain.clone() },
        NormedSpec { kernel: [2, 1], origin: [1, 0], shift: Shift::Right, ..plain },
    ];
    for spec in layers {
        let (shift, deviation) = (spec.shift, spec.deviation);
        let input = if spec.transposed { spec.image } else { spec.image.map(|side| side * spec.stride) };
        let mut tensors = kiln::graph::StateSpec::default();
        let group = tensors.group("");
        let layer = WeightNorm::new(&mut tensors, group, "layer", spec);
        let mut state = State::initial(&Device::CPU, &tensors, 5)?;
        let x: Vec<f32> = support::normals(3 * input[0] * input[1] * 5, 9).into_iter().map(|v| 2.0 + v as f32).collect();
        let mut run = |pass: Pass| -> Result<(Vec<f32>, Vec<f32>, [usize; 3])> {
            let mut g = Graph::new();
            let image = g.input("x", [3, input[0], input[1], 5]);
            let y = layer.apply(&mut g, &tensors, &[image], pass)?;
            g.output("y", y);
            let &[_, h, w, c] = g.shape(y).dims() else { panic!("an image") };
            let out = models::run(&g, &mut state, &[("x", &x)], &Step::default(), "y");
            let gains = tensors.ids().into_iter().find(|id| tensors.spec(*id).name == "layer.g").expect("gains");
            Ok((out, state.read(gains, Arena::Value).wait()?, [h, w, c]))
        };
        let (set, gains, [h, w, c]) = run(Pass::Start)?;
        let (used, _, _) = run(Pass::Use)?;
        let (again, same, _) = run(Pass::Start)?;
        assert_eq!((&set, &gains), (&again, &same));
        assert!(set.iter().zip(&used).all(|(a, b)| (a - b).abs() < 1e-5), "{shift:?}");
        // What a shift lets in is zero, bias or not; what it pushes out was counted.
        let zero = |at: usize| match shift {
            Shift::None => false,
            Shift::Down => (at / c / w).is_multiple_of(h),
            Shift::Right => (at / c).is_multiple_of(w),
        };
        assert!((0..set.len()).all(|at| (used[at] == 0.0) == zero(at)), "{shift:?}");
        if shift == Shift::None {
            for channel in 0..c {
                let values: Vec<f64> = used.iter().skip(channel).step_by(c).map(|v| f64::from(*v)).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
                assert!(mean.abs() < 1e-5 && (spread - deviation).abs() < 1e-5, "mean {mean}, deviation {spread} for {deviation}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_direction_has_no_length_and_no_gradient_along_itself() -> Result<()> {
    let model = models::build("pixelcnn-pp", "filters = 4\nblocks = 1\nstages = 3\nconditional = true", &bits([8, 4, 1]))?;
    let mut state = models::initial(model.as_ref());
    let (images, labels) = (models::blocks(4, [8, 4, 1]), models::labels(4));
    start(model.as_ref(), &mut state, &images, 4);
    let before = nats(model.as_ref(), &mut state, &images, 4);
    let directions = parts(model.as_ref(), "v");
    let old: Vec<Vec<f32>> = directions.iter().map(|id| state.read(*id, Arena::Value).wait()).collect::<Result<_>>()?;
    // A step of plain descent by 1 is the gradient itself.
    let graph = model.train_graph(4, &|group| Update::new(group, Rule::Sgd { momentum: 0.0 }))?;
    let step = Step { seed: 1, step: 1, learning_rate: [1.0; 4], ..Step::default() };
    models::run(&graph, &mut state, &[("x", &images), ("labels", &labels)], &step, "loss");
    let mut moved = 0;
    for (id, old) in directions.iter().zip(&old) {
        let new = state.read(*id, Arena::Value).wait()?;
        let gradient: Vec<f64> = old.iter().zip(&new).map(|(o, n)| f64::from(o - n)).collect();
        let along: f64 = gradient.iter().zip(old).map(|(g, v)| g * f64::from(*v)).sum();
        let [size, length] = [gradient.iter().map(|g| g * g).sum::<f64>(), old.iter().map(|v| f64::from(v * v)).sum()].map(f64::sqrt);
        moved += usize::from(size > 1e-3);
        assert!(along.abs() <= 1e-4 * (size * length).max(1e-2), "{}: {along} of {size}·{length}", model.state().spec(*id).name);
    }
    assert!(moved > directions.len() / 2, "{moved} of {} have a gradient", directions.len());

    let mut state = models::initial(model.as_ref());
    start(model.as_ref(), &mut state, &images, 4);
    for (k, id) in directions.iter().enumerate() {
        let factor = [3.0, 0.25, 7.0][k % 3];
        let scaled: Vec<f32> = state.read(*id, Arena::Value).wait()?.iter().map(|v| v * factor).collect();
        state.write(*id, Arena::Value, &scaled)?;
    }
    let after = nats(model.as_ref(), &mut state, &images, 4);
    assert!(before.iter().zip(&after).all(|(b, a)| (b - a).abs() < 1e-4 * b), "{before:?} {after:?}");
    Ok(())
}

/// Networks of PyTorch's directions are set as PyTorch sets them, and say of images what PyTorch says: `tests/fixtures/pixelcnn_pp.py`
/// wrote both.
#[test]
fn pytorchs_directions_give_pytorchs_start_and_probabilities() -> Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pixelcnn_pp.safetensors");
    let bytes = std::fs::read(&path).expect("the fixture");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let values = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).expect("a tensor of the fixture").data();
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    // Channels come last here.
    let placed = |name: &str| -> Vec<f32> {
        let (values, shape) = (values(name), file.tensor(name).expect("a tensor").shape().to_vec());
        let [n, c, h, w] = shape[..] else { return values };
        let at = |i: usize| (i / (h * w * c) * c + i % c) * h * w + i / c % (h * w);
        (0..n * c * h * w).map(|i| values[at(i)]).collect()
    };
    let classes = values("classes");
    let count = classes.len();
    let hot: Vec<f32> = classes.iter().flat_map(|class| (0..3).map(move |c| f32::from(u8::from(c as f32 == *class)))).collect();
    let colour = DataSpec { kind: Kind::Pixels, binarization: Binarization::None, ..bits([4, 6, 3]) };
    for (prefix, images, hyper, data) in [
        ("plain", "x", "blocks = 2\nstages = 2", bits([8, 12, 1])),
        ("labelled", "x", "blocks = 1\nconditional = true", bits([8, 12, 1])),
        ("colour", "levels", "blocks = 1\nstages = 2\nmixtures = 2", colour),
    ] {
        let model = models::build("pixelcnn-pp", &format!("filters = 3\n{hyper}"), &DataSpec { classes: 3, ..data })?;
        let x = placed(images);
        let mut state = models::initial(model.as_ref());
        let mut given = Vec::new();
        for id in model.state().ids().into_iter().filter(|id| model.state().spec(*id).trained) {
            let name = format!("{prefix}.{}", model.state().spec(id).name);
            kiln::train::checkpoint::read_tensor(&path, &file, &name, &mut state, id, Arena::Value)?;
            if name.ends_with(".g") || name.ends_with(".b") {
                given.push((name, id, state.read(id, Arena::Value).wait()?));
            }
        }
        let close = |name: &str, got: &[f32], want: &[f32]| {
            let worst = got.iter().zip(want).map(|(g, w)| (g - w).abs() / w.abs().max(1.0)).fold(0.0, f32::max);
            assert!(worst <= 2e-5, "{name}: {worst}");
        };
        let graphs = |model: &dyn Model| -> Result<[(Graph, &str, &str); 2]> {
            let likelihood = model.scores().expect("a likelihood").likelihood_graph(count)?;
            Ok([(likelihood, "nll", "nats"), (model.raster().expect("autoregressive").raster_graph(count)?, "logits", "logits")])
        };
        for (graph, output, want) in graphs(model.as_ref())? {
            let got = models::run(&graph, &mut state, &[("x", &x), ("labels", &hot)], &Step::default(), output);
            close(&format!("{prefix} {want}"), &got, &placed(&format!("{prefix}.{want}")));
        }
        // What the start sets does not depend on what stood there.
        for (_, id, values) in &given {
            state.write(*id, Arena::Value, &vec![0.5; values.len()])?;
        }
        let graph = model.starts().expect("a start").start_graph(count)?;
        let logits = models::run(&graph, &mut state, &[("x", &x), ("labels", &hot)], &Step::default(), "logits");
        close(&format!("{prefix} start"), &logits, &placed(&format!("{prefix}.logits")));
        for (name, id, want) in &given {
            close(name, &state.read(*id, Arena::Value).wait()?, want);
        }
    }
    Ok(())
}

#[test]
fn it_learns_a_batch_with_dropout_and_scores_without() -> Result<()> {
    let model = models::build("pixelcnn-pp", "filters = 6\nblocks = 1\nstages = 2\ndropout = 0.3", &bits([8, 8, 1]))?;
    let mut state = models::initial(model.as_ref());
    let images = models::blocks(4, [8, 8, 1]);
    start(model.as_ref(), &mut state, &images, 4);
    assert_eq!(nats(model.as_ref(), &mut state, &images, 4), nats(model.as_ref(), &mut state, &images, 4));
    // Two steps at a rate of zero differ by what they drop alone.
    let still = models::train(model.as_ref(), &mut state, &[("x", &images)], 4, 2, 0.0, "loss");
    assert_ne!(still[0], still[1]);
    let losses = models::train(model.as_ref(), &mut state, &[("x", &images)], 4, 120, 0.01, "loss");
    assert!(losses[119] < 0.4 * losses[0], "{} to {}", losses[0], losses[119]);
    let mean = nats(model.as_ref(), &mut state, &images, 4).iter().sum::<f32>() / 4.0;
    assert!(mean < losses[119], "{mean} without dropout, {} with", losses[119]);
    Ok(())
}

#[test]
fn dropout_is_for_training_alone_in_every_family() -> Result<()> {
    let families = [
        ("pixelcnn", "blocks = 2\nhidden = 6\nhead = 6"),
        ("gated-pixelcnn", "layers = 2\nhidden = 6\nhead = 6"),
        ("pixelrnn", "layers = 2\nhidden = 4\nhead = 6"),
        ("pixelcnn-pp", "filters = 4\nblocks = 1\nstages = 2"),
    ];
    let images = models::blocks(3, [8, 8, 1]);
    for (name, hyper) in families {
        let losses = |rate: f64| -> Result<(Vec<f32>, f32)> {
            let model = models::build(name, &format!("{hyper}\ndropout = {rate:?}"), &bits([8, 8, 1]))?;
            let mut state = models::initial(model.as_ref());
            let losses = models::train(model.as_ref(), &mut state, &[("x", &images)], 3, 2, 0.0, "loss");
            let scored = nats(model.as_ref(), &mut state, &images, 3).iter().sum::<f32>() / 3.0;
            Ok((losses, scored))
        };
        let ((without, scored), (with, same)) = (losses(0.0)?, losses(0.4)?);
        assert!(without[0] == without[1] && (without[0] - scored).abs() < 1e-3, "{name}: {without:?}, scored {scored}");
        assert!(with[0] != with[1] && with[0] != without[0] && scored == same, "{name}: {with:?}, scored {same}");
        for rate in ["1.0", "-0.1", "nan"] {
            let said = models::refusal(name, &format!("dropout = {rate}"), &bits([8, 8, 1]));
            assert!(said.starts_with(name) && said.contains("dropout must be at least 0 and below 1"), "{said}");
        }
    }
    let preset = models::build("pixelcnn", "preset = 'tiny'\ndropout = 0.1", &bits([8, 8, 1]));
    assert!(preset.is_ok(), "a preset settles no dropout");
    Ok(())
}

/// Images are drawn of one size and of several, bits and mixtures in colour, and what was given stays.
#[test]
fn images_are_drawn_and_their_probabilities_are_those_that_are_scored() -> Result<()> {
    let colour = DataSpec { kind: Kind::Pixels, binarization: Binarization::None, ..bits([4, 4, 3]) };
    for (hyper, data) in [("stages = 1", bits([4, 6, 1])), ("stages = 2", bits([4, 6, 1])), ("stages = 2\nmixtures = 2", colour)] {
        let model = models::build("pixelcnn-pp", &format!("filters = 3\nblocks = 1\n{hyper}"), &data)?;
        let mut state = models::initial(model.as_ref());
        let item = data.len();
        let levels = if data.is_binary() { 2.0 } else { 256.0 };
        let batch: Vec<f32> = support::normals(4 * item, 3).into_iter().map(|v| ((v as f32 + 3.0) / 6.0).clamp(0.0, 0.999)).collect();
        let batch: Vec<f32> = batch.into_iter().map(|v| (v * levels).floor()).collect();
        start(model.as_ref(), &mut state, &batch, 4);
        let job = Job { count: 3, seed: 5, first: 0, temperature: 1.0, keep: None, inputs: &[] };
        let mut sampler = RasterSampler::new(&Device::CPU, model.as_ref(), &state, Weights::Current, Method::Cached).wait()?;
        let drawn = sampler.sample(model.as_ref(), &mut state, &job).wait()?;
        let mut naive = RasterSampler::new(&Device::CPU, model.as_ref(), &state, Weights::Current, Method::Naive).wait()?;
        assert_eq!(drawn, naive.sample(model.as_ref(), &mut state, &job).wait()?, "{hyper}");
        assert!(drawn.images.iter().all(|v| v.fract() == 0.0 && (0.0..levels).contains(v)), "{hyper}");
        for (log_p, nll) in drawn.log_p.iter().zip(nats(model.as_ref(), &mut state, &drawn.images, 3)) {
            assert!((log_p + f64::from(nll)).abs() < 1e-4 * f64::from(nll).max(1.0), "{hyper}: {log_p}, scored {nll}");
        }
    }
    Ok(())
}

#[test]
fn what_makes_no_network_is_refused() {
    let refusal = |hyper: &str, data: &DataSpec| models::refusal("pixelcnn-pp", hyper, data);
    let (image, odd, bytes) = (bits([28, 28, 1]), bits([7, 8, 1]), models::images([28, 28, 1], Kind::Pixels));
    for (hyper, data, words) in [
        ("stages = 4", &image, ["stages=4 halves images 3 times", "take stages=3"]),
        ("", &odd, ["7×8 can be halved 0 times", "resize="]),
        ("stages = 0", &image, ["stages", "at least 1"]),
        ("filters = 0", &image, ["filters", "at least 1"]),
        ("blocks = 0", &image, ["blocks", "at least 1"]),
        ("preset = 'tiny'\nfilters = 9", &image, ["preset", "filters"]),
        ("mixtures = 4", &image, ["bits", "binarization=none"]),
        ("mixtures = 65", &bytes, ["65", "at most 64"]),
        ("conditional = true", &DataSpec { classes: 0, ..bits([28, 28, 1]) }, ["labels", "leave it out"]),
        ("", &DataSpec { kind: Kind::Points, binarization: Binarization::None, ..bits([1, 1, 2]) }, ["pixels", "points"]),
    ] {
        let said = refusal(hyper, data);
        assert!(said.starts_with("pixelcnn-pp") && words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn an_adapter_sets_first_weights_as_the_cpu_does() -> Result<()> {
    let gpu = match Device::open("gpu").wait() {
        Ok(gpu) => gpu,
        Err(Error::Device(reason)) => {
            assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none(), "{reason}");
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    let model = models::build("pixelcnn-pp", TINY, &bits([8, 8, 1]))?;
    let images = models::blocks(3, [8, 8, 1]);
    let graph = model.starts().expect("a start").start_graph(3)?;
    let mut found = Vec::new();
    for device in [Device::CPU, gpu] {
        let mut state = State::initial(&device, model.state(), 1)?;
        let mut program = Program::new(&device, &graph, &state, Weights::Current).wait()?;
        program.write("x", &images)?;
        program.run(&mut state, &Step::default()).wait()?;
        let tensors = [parts(model.as_ref(), "g"), parts(model.as_ref(), "b")].concat();
        let read: Vec<f32> = tensors.iter().map(|id| state.read(*id, Arena::Value).wait()).collect::<Result<Vec<_>>>()?.concat();
        found.push(read.into_iter().map(f64::from).collect::<Vec<f64>>());
    }
    support::close(&found[1], &found[0], 1e-3, "first weights");
    Ok(())
}

#[test]
fn presets_have_the_sizes_they_say() -> Result<()> {
    // As the PyTorch module counts its own.
    let bytes = |dims: [usize; 3]| models::images(dims, Kind::Pixels);
    for (hyper, data, count) in [
        ("preset = 'tiny'", bits([28, 28, 1]), 89_362),
        ("preset = 'tiny'", bytes([28, 28, 1]), 89_506),
        ("preset = 'small'", bytes([32, 32, 3]), 973_156),
        ("conditional = true", bytes([32, 32, 3]), 991_076),
        ("preset = 'repo'", bytes([32, 32, 3]), 53_659_080),
    ] {
        let model = models::build("pixelcnn-pp", hyper, &data)?;
        assert_eq!(parameters(model.as_ref()), count, "{hyper}");
    }
    Ok(())
}
