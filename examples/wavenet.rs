//! A WaveNet from the library, on waves whose entropy is known: train it, compare what it tells with the least there is to tell, go on from
//! a beginning.
//!
//! `cargo run --release --example wavenet`

use std::path::Path;

use kiln::data::series::Cut;
use kiln::data::{self, Augment, Binarization, Loader, LoaderOptions, OpenOptions, Reading, Split};
use kiln::eval::{self, LikelihoodOptions};
use kiln::graph::{Rule, Step, Update};
use kiln::model::{self, DataSpec};
use kiln::report;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::raster::{Job, Method, RasterSampler};
use kiln::wait::Wait;

const BATCH: usize = 8;
const STEPS: u32 = 400;
const SEED: u64 = 1;
const WINDOW: usize = 256;
const LEVELS: usize = 32;
/// Steps that are given, of those of a window.
const GIVEN: usize = 128;

fn main() -> kiln::Result<()> {
    let device = Device::open("auto").wait()?;
    let cut = Cut { window: Some(WINDOW), levels: Some(LEVELS), ..Cut::default() };
    let options = OpenOptions { reading: Reading { series: cut, ..Reading::default() }, ..OpenOptions::default() };
    let waves = data::open("builtin:waves", Split::Train, &options)?;
    let about = DataSpec { dims: waves.dims(), classes: 0, kind: waves.kind(), binarization: Binarization::None, mean: None };
    let hyper = toml::toml! {
        levels = 32
        residual = 16
        skip = 48
        head = 48
        depth = 6
        stacks = 1
    };
    let model = model::build("wavenet", &hyper, &about)?;
    println!("{} parameters on {}", model.state().parameters(true), device.name());

    // One training step is one graph: forward, backward and Adam.
    let adam = |group| Update::new(group, Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
    let mut state = State::initial(&device, model.state(), SEED)?;
    let mut program = Program::new(&device, &model.train_graph(BATCH, &adam)?, &state, Weights::Current).wait()?;
    let loading = LoaderOptions {
        batch: BATCH,
        seed: SEED,
        start_step: 0,
        binarization: Binarization::None,
        scale: model.scale(),
        augment: Augment::default(),
        prefetch: 4,
    };
    let mut loader = Loader::new(waves, loading)?;
    for at in 1..=STEPS {
        program.write("x", &loader.next()?.values)?;
        let rate = 4e-3 * (1.0 - f32::from(at as u16) / f32::from(STEPS as u16 + 1));
        let step = Step { seed: SEED, step: at, learning_rate: [rate; 4], updates: [at; 4], ..Step::default() };
        program.run(&mut state, &step).wait()?;
        if at % 100 == 0 {
            println!("step {at}: {:.4} nats a step of a wave", program.read(&state, "loss").wait()?[0] / WINDOW as f32);
        }
    }

    let test = data::open("builtin:waves", Split::Test, &OpenOptions { limit: Some(100), ..options })?;
    let scoring = LikelihoodOptions { batch: 20, seed: SEED, ..LikelihoodOptions::default() };
    let scores = eval::score(&device, model.as_ref(), &mut state, test.clone(), &scoring, |_| {}).wait()?;
    let nats = scores.nll.iter().sum::<f64>() / (scores.nll.len() * WINDOW) as f64;
    // The noise has 1.5 bits a step; a phase of 64 is told once.
    let least = 1.5 * 2f64.ln();
    println!("test: {nats:.4} nats a step, {:.4} above the entropy of the noise", nats - least);

    let mut item = vec![0.0; WINDOW];
    test.read(0, &mut item)?;
    let begun: Vec<f32> = item.iter().map(|byte| (byte * LEVELS as f32 / 256.0).floor()).collect();
    let kept: Vec<bool> = (0..WINDOW).map(|at| at < GIVEN).collect();
    let mut sampler = RasterSampler::new(&device, model.as_ref(), &state, Weights::Current, Method::Cached).wait()?;
    let given = begun.repeat(3);
    let job = Job { count: 3, seed: SEED, first: 0, temperature: 1.0, keep: Some((&given, &kept)), inputs: &[] };
    let drawn = sampler.sample(model.as_ref(), &mut state, &job).wait()?;
    let all: Vec<f64> = begun.iter().chain(&drawn.images).map(|level| f64::from(*level)).collect();
    let picture = report::sequences("a wave, and three ways on from its half", &all, WINDOW, &["level".to_string()]);
    report::save_png(Path::new("wavenet.png"), &picture)?;
    println!("wrote wavenet.png");
    Ok(())
}
