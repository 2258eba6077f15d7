//! Diffusion models: what is trained, on which times, and how items are drawn.

mod support;

use kiln::data::Kind;
use kiln::graph::Step;
use kiln::model::{Model, need};
use kiln::runtime::{Device, Weights};
use kiln::sample::diffusion::{DiffusionSampler, Job, Options, Solver, Threshold, Unwatched, Way};
use kiln::wait::Wait;
use support::models::{blocks, build, images, initial, labels, refusal, run, train};

const TINY: &str = "filters = 8\nmultipliers = [1, 2]\nblocks = 1\nheads = 2";

fn tiny(more: &str) -> Box<dyn Model> {
    build("diffusion", &format!("{TINY}\n{more}"), &images([8, 8, 1], Kind::Pixels)).expect("a model")
}

fn symmetric(values: Vec<f32>) -> Vec<f32> {
    values.into_iter().map(|v| 2.0 * v - 1.0).collect()
}

#[test]
fn a_new_network_says_nothing_so_that_the_loss_is_the_size_of_what_is_asked() {
    let x = symmetric(blocks(64, [8, 8, 1]));
    for (hyper, expected) in
        [("target = 'eps'", 1.0), ("noise = 'linear'\ntarget = 'v'", 1.0), ("target = 'x0'", 1.0), ("noise = 'flow'", 2.0)]
    {
        let model = tiny(hyper);
        let mut state = initial(model.as_ref());
        let graph = model.train_graph(64, &support::models::adam).expect("graph");
        let loss = run(&graph, &mut state, &[("x", &x)], &Step { seed: 3, step: 1, updates: [1; 4], ..Step::default() }, "loss")[0];
        assert!((loss - expected).abs() < 0.12, "{hyper}: {loss}");
    }
}

#[test]
fn every_objective_learns_a_few_images() {
    let x = symmetric(blocks(16, [8, 8, 1]));
    let hot = labels(16);
    for hyper in [
        "",
        "target = 'eps'\nnoise = 'linear'",
        "target = 'x0'",
        "noise = 'edm'",
        "noise = 'flow'\nimportance = true",
        "variance = 'learnt'\nimportance = true",
        "conditional = true\ndropout = 0.1",
    ] {
        let model = tiny(hyper);
        let mut state = initial(model.as_ref());
        let seen = train(model.as_ref(), &mut state, &[("x", &x), ("labels", &hot)], 16, 60, 3e-3, "loss");
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        let (first, last) = (mean(&seen[..8]), mean(&seen[52..]));
        assert!(last.is_finite() && last < 0.85 * first, "{hyper}: {first} to {last}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let data = images([28, 28, 1], Kind::Pixels);
    for (hyper, word) in [
        ("noise = 'edm'\ntarget = 'eps'", "target"),
        ("noise = 'flow'\ntimesteps = 100", "timesteps"),
        ("noise = 'edm'\npreset = 'iddpm'", "iddpm"),
        ("noise = 'edm'\nimportance = true", "importance"),
        ("label_dropout = 0.1", "label_dropout"),
        ("conditional = true\nlabel_dropout = 1.0", "label_dropout"),
        ("preset = 'tiny'\nblocks = 2", "blocks"),
        ("hidden = 8", "hidden"),
        ("attention = [9]", "attention=9"),
        ("multipliers = [1, 1, 1, 1]", "28"),
        ("timesteps = 1", "timesteps"),
        ("preset = 'vast'", "vast"),
        ("dropout = 1.0", "dropout"),
    ] {
        let said = refusal("diffusion", hyper, &data);
        assert!(said.contains(word), "{hyper}: {said}");
    }
    let points = images([1, 1, 2], Kind::Points);
    assert!(refusal("diffusion", "filters = 8", &points).contains("filters"));
}

/// Points of all noise at the first level.
fn starts(network: &dyn kiln::model::Denoises, way: &Way, z: &[f32]) -> Vec<f32> {
    let sigma = way.levels(network.process())[0].sigma as f32;
    z.iter().map(|v| v * sigma).collect()
}

/// What a sampler draws of two items and a third, in one batch or apart.
fn drawn(model: &dyn Model, options: &Options, way: Way, split: bool) -> Vec<f32> {
    let mut state = initial(model);
    let network = need::denoises(model).expect("a network");
    let len = network.dims().iter().product::<usize>();
    let z = kiln::sample::latents(5, 0, 3, len);
    let start = starts(network, &way, &z);
    let moves = way.moves(network.process(), network.variance());
    let mut sampler = DiffusionSampler::new(&Device::CPU, model, &state, Weights::Current, options, 3).wait().expect("sampler");
    let mut part = |first: usize, count: usize| {
        let labels: Vec<u32> = (first..first + count).map(|i| i as u32).collect();
        let start = &start[first * len..(first + count) * len];
        let job = Job { start, moves: &moves, labels: &labels, shown: &[], seed: 9, first, region: None };
        sampler.draw(&mut state, &job, &mut Unwatched).wait().expect("items")
    };
    if split { [part(0, 2), part(2, 1)].concat() } else { part(0, 3) }
}

#[test]
fn what_is_drawn_depends_on_seed_and_item_alone() {
    let model = tiny("conditional = true\nvariance = 'learnt'");
    for solver in [Solver::Ddpm, Solver::Ddim, Solver::Dpm, Solver::Heun] {
        let way = Way { solver, steps: 5, eta: if solver == Solver::Ddim { 0.7 } else { 0.0 } };
        let options = Options { guidance: 2.0, threshold: Threshold::Dynamic(0.9), ..Options::PLAIN };
        let whole = drawn(model.as_ref(), &options, way, false);
        assert!(whole.iter().all(|v| v.is_finite()));
        assert_eq!(whole, drawn(model.as_ref(), &options, way, true), "{solver:?}");
    }
}

#[test]
fn guidance_of_one_is_the_models_own_and_of_none_forgets_the_label() {
    let model = tiny("conditional = true");
    let mut state = initial(model.as_ref());
    let x = symmetric(blocks(16, [8, 8, 1]));
    train(model.as_ref(), &mut state, &[("x", &x), ("labels", &labels(16))], 16, 20, 3e-3, "loss");
    let network = need::denoises(model.as_ref()).expect("a network");
    let way = Way { solver: Solver::Ddim, steps: 4, eta: 0.0 };
    let moves = way.moves(network.process(), network.variance());
    let start = starts(network, &way, &kiln::sample::latents(5, 0, 2, 64));
    let mut draw = |guidance: f64, labels: [u32; 2]| {
        let options = Options { guidance, ..Options::PLAIN };
        let mut sampler =
            DiffusionSampler::new(&Device::CPU, model.as_ref(), &state, Weights::Current, &options, 2).wait().expect("sampler");
        let job = Job { start: &start, moves: &moves, labels: &labels, shown: &[], seed: 1, first: 0, region: None };
        sampler.draw(&mut state, &job, &mut Unwatched).wait().expect("items")
    };
    assert_eq!(draw(0.0, [3, 4]), draw(0.0, [7, 8]), "no label is told");
    assert_eq!(draw(0.0, [3, 4]), draw(1.0, [10, 10]), "the label that says there is none");
    assert_ne!(draw(1.0, [3, 4]), draw(1.0, [7, 8]));
    assert_ne!(draw(1.0, [3, 4]), draw(3.0, [3, 4]));
}

#[test]
fn given_values_are_kept_and_the_rest_is_drawn() {
    let model = tiny("");
    let mut state = initial(model.as_ref());
    let network = need::denoises(model.as_ref()).expect("a network");
    let way = Way { solver: Solver::Ddim, steps: 6, eta: 0.0 };
    let moves = way.moves(network.process(), network.variance());
    let start = starts(network, &way, &kiln::sample::latents(5, 0, 2, 64));
    let mask: Vec<f32> = (0..128).map(|i| f32::from(u8::from(i % 64 < 20))).collect();
    let given = symmetric(blocks(2, [8, 8, 1]));
    let options = Options { region: true, ..Options::PLAIN };
    let mut sampler = DiffusionSampler::new(&Device::CPU, model.as_ref(), &state, Weights::Current, &options, 2).wait().expect("sampler");
    let region = kiln::sample::diffusion::Region { mask: &mask, given: &given };
    let job = Job { start: &start, moves: &moves, labels: &[], shown: &[], seed: 1, first: 0, region: Some(region) };
    let found = sampler.draw(&mut state, &job, &mut Unwatched).wait().expect("items");
    for i in 0..128 {
        assert!(mask[i] == 0.0 || found[i] == given[i], "value {i} was given");
    }
    assert!((0..128).any(|i| mask[i] == 0.0 && found[i] != given[i]));
}
