//! A diffusion model from the library: train it on drawn digits by their labels, draw each class with guidance, tell its bound.
//!
//! `cargo run --release --example diffusion`

use std::path::Path;

use kiln::data::{self, Augment, Binarization, Loader, LoaderOptions, OpenOptions, Split, one_hot};
use kiln::eval::{self, LikelihoodOptions};
use kiln::graph::{Rule, Step, Update};
use kiln::model::{DataSpec, Diffusion, Model, diffusion, need};
use kiln::report;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::diffusion::{Drawer, Settings, Unwatched};
use kiln::sample::latents;
use kiln::wait::Wait;

const BATCH: usize = 32;
const STEPS: u32 = 600;
const SEED: u64 = 1;
const COUNT: usize = 40;

fn main() -> kiln::Result<()> {
    let device = Device::open("auto").wait()?;
    let digits = data::open("builtin:digits", Split::Train, &OpenOptions::default())?;
    let (binarization, classes) = (Binarization::None, digits.classes());
    let about = DataSpec { dims: digits.dims(), classes, kind: digits.kind(), binarization, mean: None };
    let config = diffusion::Config { preset: Some(diffusion::UNetPreset::Tiny), conditional: true, ..diffusion::Config::default() };
    let model = Diffusion::new(config, &about)?;
    println!("{} parameters on {}", model.state().parameters(true), device.name());

    // One training step is one graph: times and noise are drawn in it, on the device.
    let rule = Rule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
    let adam = |group| Update { clip_norm: Some(1.0), average: true, ..Update::new(group, rule) };
    let mut state = State::initial(&device, model.state(), SEED)?;
    let mut program = Program::new(&device, &model.train_graph(BATCH, &adam)?, &state, Weights::Current).wait()?;
    let options = LoaderOptions {
        batch: BATCH,
        seed: SEED,
        start_step: 0,
        binarization,
        scale: model.scale(),
        augment: Augment::default(),
        prefetch: 4,
    };
    let mut loader = Loader::new(digits, options)?;
    for at in 1..=STEPS {
        let batch = loader.next()?;
        program.write("x", &batch.values)?;
        program.write("labels", &one_hot(&batch.labels, classes, BATCH))?;
        let rate = 2e-3 * (at as f32 / 100.0).min(1.0);
        let ema_decay = (1.0 + at as f32) / (10.0 + at as f32);
        let step = Step { seed: SEED, step: at, learning_rate: [rate; 4], updates: [at; 4], ema_decay, ..Step::default() };
        program.run(&mut state, &step).wait()?;
        if at % 100 == 0 {
            println!("step {at}: mean square of what is asked for, less what is said: {:.4}", program.read(&state, "loss").wait()?[0]);
        }
    }

    let test = data::open("builtin:digits", Split::Test, &OpenOptions { limit: Some(64), ..OpenOptions::default() })?;
    let weights = Weights::Average;
    let scoring = LikelihoodOptions { batch: 64, seed: SEED, binarization, weights, steps: Some(50), ..LikelihoodOptions::default() };
    let bound = eval::score(&device, &model, &mut state, test, &scoring, |_| {}).wait()?.figure(about.len());
    println!("test: at most {:.3} bits a pixel, by a chain of 50 steps", bound.bits_per_dim);

    // Twenty steps of DPM-Solver++ from noise, labels counting double.
    let settings = Settings { guidance: 2.0, ..Settings::of(need::denoises(&model)?, None, Some(20)) };
    let mut drawer = Drawer::new(&device, &model, &state, weights, &settings, COUNT).wait()?;
    let labels: Vec<u32> = (0..COUNT as u32).map(|i| i % classes as u32).collect();
    let z = latents(SEED, 0, COUNT, about.len());
    let images = drawer.draw(&mut state, &z, &labels, (SEED, 0), &mut Unwatched).wait()?;
    report::save_png(Path::new("diffusion-digits.png"), &report::grid(&images, about.dims, 10))?;
    println!("{COUNT} new digits, a column a class: diffusion-digits.png");
    Ok(())
}
