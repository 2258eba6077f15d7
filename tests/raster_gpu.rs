//! Sampling in raster order on a GPU: the one-kernel sampler draws what whole forward passes draw.

#[path = "support/ladder.rs"]
mod ladder;
mod support;

use kiln::data::{Binarization, Kind};
use kiln::graph::Step;
use kiln::model::{self, DataSpec, Model};
use kiln::runtime::{Program, State, Weights};
use kiln::sample::raster::{Job, Method, RasterSampler};
use kiln::tensor::Arena;
use kiln::wait::Wait;
use ladder::Ladder;
use support::adapter;

/// More images than a workgroup of a CPU adapter draws.
const COUNT: usize = 9;

fn compare(name: &str, dims: [usize; 3], hyper: &str, binary: bool, grouped: bool) -> kiln::Result<()> {
    let (kind, binarization) = if binary { (Kind::Binary, Binarization::Static) } else { (Kind::Pixels, Binarization::None) };
    let data = DataSpec { dims, classes: 2, kind, binarization, mean: None };
    let model = model::build(name, &toml::from_str(hyper).expect("hyper-parameters"), &data)?;
    compare_model(model.as_ref(), dims, &[], grouped)
}

/// Draws images of a model, which may be given a luma each.
fn compare_model(model: &dyn Model, dims: [usize; 3], lumas: &[f32], grouped: bool) -> kiln::Result<()> {
    let Some(device) = adapter() else { return Ok(()) };
    let mut state = State::initial(&device, model.state(), 3)?;
    // Every other image is of the second class.
    let labels: Vec<f32> = (0..2 * COUNT).map(|i| f32::from(u8::from(i / 2 % 2 == i % 2))).collect();
    let inputs: &[(&str, &[f32])] = &[("labels", &labels), ("luma", lumas)];
    let draw = |method, state: &mut State, keep| {
        let mut sampler = RasterSampler::new(&device, model, state, Weights::Current, method).wait()?;
        sampler.sample(model, state, &Job { count: COUNT, seed: 7, first: 2, temperature: 1.0, keep, inputs }).wait()
    };
    let naive = draw(Method::Naive, &mut state, None)?;
    let cached = draw(Method::Cached, &mut state, None)?;
    assert_eq!(cached.images, naive.images);
    support::close(&cached.log_p, &naive.log_p, 1e-5, "log p");
    // Where the adapter is a CPU the kernel has another form; it takes such an adapter's driver long to compile.
    if grouped {
        assert_eq!(draw(Method::Grouped, &mut state, None)?, cached);
    }

    // What is given stays, and what is drawn is the same both ways.
    let item: usize = dims.iter().product();
    let given: Vec<f32> = naive.images.iter().rev().copied().collect();
    let mask: Vec<bool> = (0..item).map(|i| i < item / 2).collect();
    let rest = draw(Method::Cached, &mut state, Some((&given, &mask)))?;
    assert_eq!(rest.images, draw(Method::Naive, &mut state, Some((&given, &mask)))?.images);
    let kept = |images: &[f32]| -> Vec<f32> { images.iter().enumerate().filter(|(i, _)| mask[i % item]).map(|(_, v)| *v).collect() };
    assert_eq!(kept(&rest.images), kept(&given));
    Ok(())
}

#[test]
fn grey_bits() -> kiln::Result<()> {
    compare("pixelcnn", [6, 5, 1], "blocks = 2\nhidden = 4\nhead = 6\nfirst_kernel = 5", true, false)
}

#[test]
fn colour_bits() -> kiln::Result<()> {
    compare("pixelcnn", [3, 4, 3], "blocks = 1\nhidden = 6\nhead = 6\nfirst_kernel = 3", true, false)
}

#[test]
fn categorical_levels() -> kiln::Result<()> {
    compare("pixelcnn", [4, 4, 1], "blocks = 1\nhidden = 4\nhead = 8\nfirst_kernel = 3\nlevels = 9", false, true)
}

#[test]
fn mixtures_of_colours() -> kiln::Result<()> {
    compare(
        "pixelcnn",
        [3, 4, 3],
        "blocks = 1\nhidden = 4\nhead = 6\nfirst_kernel = 3\nlikelihood = \"mixture\"\nmixtures = 3",
        false,
        true,
    )
}

#[test]
fn mixtures_of_grey_levels() -> kiln::Result<()> {
    let hyper = "layers = 2\nhidden = 4\nhead = 4\nfirst_kernel = 3\nlikelihood = \"mixture\"\nmixtures = 2\nlevels = 16";
    compare("gated-pixelcnn", [5, 4, 1], hyper, false, false)
}

#[test]
fn gated_stacks() -> kiln::Result<()> {
    let hyper = "layers = 3\nhidden = 4\nhead = 4\nfirst_kernel = 5\ndilations = [2, 1]";
    compare("gated-pixelcnn", [6, 5, 1], hyper, true, false)
}

#[test]
fn gated_stacks_of_colours_given_a_label() -> kiln::Result<()> {
    let hyper = "layers = 2\nhidden = 3\nhead = 3\nfirst_kernel = 3\nlevels = 4\nconditional = true";
    compare("gated-pixelcnn", [4, 3, 3], hyper, false, false)
}

#[test]
fn two_scales_of_gated_stacks_given_a_label() -> kiln::Result<()> {
    let hyper = "layers = 1\nhidden = 2\nhead = 2\nfirst_kernel = 3\nscales = 2\nconditional = true";
    compare("gated-pixelcnn", [4, 6, 1], hyper, true, false)
}

#[test]
fn recurrences_over_rows() -> kiln::Result<()> {
    compare("pixelrnn", [5, 4, 1], "layer = 'row'\nhidden = 4\nhead = 4\nfirst_kernel = 3\nlayers = 2", true, true)
}

#[test]
fn recurrences_over_diagonals_of_colours_given_a_label() -> kiln::Result<()> {
    let hyper = "layer = 'diagonal'\nhidden = 3\nhead = 3\nfirst_kernel = 3\nlayers = 2\nlevels = 3\nconditional = true";
    compare("pixelrnn", [3, 4, 3], hyper, false, true)
}

#[test]
fn mixtures_come_as_often_as_the_model_says() -> kiln::Result<()> {
    let Some(device) = adapter() else { return Ok(()) };
    let data = DataSpec { dims: [1, 1, 3], classes: 0, kind: Kind::Pixels, binarization: Binarization::None, mean: None };
    let hyper = "blocks = 1\nhidden = 1\nhead = 2\nfirst_kernel = 3\nlevels = 4\nlikelihood = 'mixture'\nmixtures = 3";
    let model = model::build("pixelcnn", &toml::from_str(hyper).expect("hyper-parameters"), &data)?;
    let mut state = State::initial(&device, model.state(), 3)?;
    let spec = model.state().clone();
    for id in spec.ids().into_iter().filter(|id| spec.spec(*id).name.starts_with("head.1")) {
        let stronger: Vec<f32> = state.read(id, Arena::Value).wait()?.iter().map(|v| 2.0 * v).collect();
        state.write(id, Arena::Value, &stronger)?;
    }
    // Every pixel of four levels and three colours, in the bytes that stand for them.
    let pixels: Vec<[usize; 3]> = (0..64).map(|cell| [cell / 16, cell / 4 % 4, cell % 4]).collect();
    let graph = model.scores().expect("a likelihood").likelihood_graph(64)?;
    let mut program = Program::new(&device, &graph, &state, Weights::Current).wait()?;
    program.write("x", &pixels.iter().flatten().map(|level| 64.0 * *level as f32).collect::<Vec<_>>())?;
    program.run(&mut state, &Step::default()).wait()?;
    let p: Vec<f64> = program.read(&state, "nll").wait()?.iter().map(|nll| (-f64::from(*nll)).exp()).collect();
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-4);

    let count = 16_000;
    let mut sampler = RasterSampler::new(&device, model.as_ref(), &state, Weights::Current, Method::Cached).wait()?;
    let job = Job { count, seed: 5, first: 0, temperature: 1.0, keep: None, inputs: &[] };
    let drawn = sampler.sample(model.as_ref(), &mut state, &job).wait()?;
    let mut seen = [0.0; 64];
    for (pixel, log_p) in drawn.images.chunks(3).zip(&drawn.log_p) {
        let cell = pixel.iter().fold(0, |cell, value| 4 * cell + *value as usize);
        seen[cell] += 1.0;
        assert!((log_p - p[cell].ln()).abs() < 1e-4, "{pixel:?}: {log_p} is not {}", p[cell].ln());
    }
    let chi: f64 = seen.iter().zip(&p).map(|(seen, p)| (seen - p * count as f64).powi(2) / (p * count as f64)).sum();
    // 63 degrees of freedom: above 103.4 one time in a thousand.
    assert!(chi < 103.4, "χ² = {chi}");
    Ok(())
}

#[test]
fn streams_at_several_sizes() -> kiln::Result<()> {
    compare_model(&Ladder::new(ladder::Kind::Streams, [5, 6, 1], 2)?, [5, 6, 1], &[], false)
}

#[test]
fn recurrences_at_half_the_size() -> kiln::Result<()> {
    compare_model(&Ladder::new(ladder::Kind::Recurrent, [5, 6, 1], 2)?, [5, 6, 1], &[], false)
}

#[test]
fn what_depends_on_the_last_colour_of_a_position_is_computed_late() -> kiln::Result<()> {
    compare_model(&Ladder::new(ladder::Kind::Late, [4, 5, 2], 3)?, [4, 5, 2], &[], true)
}

#[test]
fn two_streams_with_a_label() -> kiln::Result<()> {
    compare("pixelcnn-pp", [4, 4, 1], "filters = 2\nblocks = 1\nstages = 2\nconditional = true", true, false)
}

#[test]
fn dilated_layers_of_levels() -> kiln::Result<()> {
    compare("wavenet", [12, 1, 1], "residual = 4\nskip = 4\nhead = 4\ndepth = 2\nstacks = 1\nlevels = 5\nconditional = true", false, false)
}

#[test]
fn dilated_layers_of_several_channels() -> kiln::Result<()> {
    compare("wavenet", [6, 1, 2], "residual = 4\nskip = 4\nhead = 4\ndepth = 2\nstacks = 1\nlevels = 5", false, false)
}

#[test]
fn stacked_grus_and_lstms() -> kiln::Result<()> {
    compare("rnn", [8, 1, 1], "hidden = 5\nlayers = 2\nlevels = 7\nconditional = true", false, true)?;
    compare("rnn", [6, 1, 2], "hidden = 4\ncell = 'gru'\nlevels = 4", false, false)?;
    compare("rnn", [8, 1, 1], "hidden = 3\ncell = 'lstm'\nlikelihood = 'mixture'\nmixtures = 2\nlevels = 16", false, false)
}

/// lavapipe ends the loops of an invocation after 65,535 rounds: a position of these takes more.
#[test]
fn networks_of_many_rounds() -> kiln::Result<()> {
    compare("gated-pixelcnn", [5, 5, 1], "preset = 'small'", true, false)?;
    compare("gated-pixelcnn", [3, 4, 3], "preset = 'tiny'\nlevels = 256", false, false)?;
    compare("pixelrnn", [4, 4, 1], "layer = 'row'\nlayers = 2\nhidden = 64", true, false)
}

#[test]
fn colours_of_a_luma() -> kiln::Result<()> {
    let hyper = "task = 'colorize'\nlayers = 2\nhidden = 4\nhead = 6\nfirst_kernel = 3\nconditional = true";
    let data = DataSpec { dims: [4, 5, 3], classes: 2, kind: Kind::Pixels, binarization: Binarization::None, mean: None };
    let model = model::build("gated-pixelcnn", &toml::from_str(hyper).expect("hyper-parameters"), &data)?;
    let lumas: Vec<f32> = (0..COUNT * 20).map(|i| (i * 37 % 256) as f32).collect();
    compare_model(model.as_ref(), [4, 5, 2], &lumas, true)
}

#[test]
fn continuous_values_are_those_of_whole_passes_to_rounding() -> kiln::Result<()> {
    let Some(device) = adapter() else { return Ok(()) };
    for (name, hyper) in [
        ("rnn", "hidden = 6\nmixtures = 3\ndifference = true"),
        ("wavenet", "residual = 4\nskip = 4\nhead = 6\ndepth = 2\nstacks = 1\nmixtures = 2"),
    ] {
        let data = DataSpec { dims: [8, 1, 2], classes: 0, kind: Kind::Points, binarization: Binarization::None, mean: None };
        let model = model::build(name, &toml::from_str(hyper).expect("hyper-parameters"), &data)?;
        let mut state = State::initial(&device, model.state(), 3)?;
        // What the host draws from whole passes it works out in double precision.
        for temperature in [1.0, 0.5] {
            let mut draw = |method| {
                let mut sampler = RasterSampler::new(&device, model.as_ref(), &state, Weights::Current, method).wait()?;
                let job = Job { count: COUNT, seed: 7, first: 2, temperature, keep: None, inputs: &[] };
                sampler.sample(model.as_ref(), &mut state, &job).wait()
            };
            let [cached, naive] = [draw(Method::Cached)?, draw(Method::Naive)?];
            let far = cached.images.iter().zip(&naive.images).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-3, "{name}: {far}");
            support::close(&cached.log_p, &naive.log_p, 1e-3, "log p");
        }
    }
    Ok(())
}
