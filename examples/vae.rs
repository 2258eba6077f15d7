//! A variational autoencoder from the library: train it on drawn digits, score it, draw from it.
//!
//! `cargo run --release --example vae`

use std::path::Path;

use kiln::data::{self, Augment, Binarization, Loader, LoaderOptions, OpenOptions, Split};
use kiln::eval::{self, LikelihoodOptions};
use kiln::graph::{Rule, Step, Update};
use kiln::model::{DataSpec, Model, Vae, vae};
use kiln::report;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::{latent, latents};
use kiln::wait::Wait;

const BATCH: usize = 128;
const STEPS: u32 = 1_000;
const SEED: u64 = 1;
const LATENT: usize = 10;

fn main() -> kiln::Result<()> {
    let device = Device::open("auto").wait()?;
    let digits = data::open("builtin:digits", Split::Train, &OpenOptions::default())?;
    let binarization = Binarization::Dynamic;
    let about = DataSpec { dims: digits.dims(), classes: digits.classes(), kind: digits.kind(), binarization, mean: None };
    let model = Vae::new(vae::Config { latent: LATENT, ..vae::Config::default() }, &about)?;
    println!("{} parameters on {}", model.state().parameters(true), device.name());

    // One training step is one graph: forward, backward and Adam.
    let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let adam = |group| Update::new(group, rule);
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
        program.write("x", &loader.next()?.values)?;
        let step = Step { seed: SEED, step: at, learning_rate: [1e-3; 4], updates: [at; 4], ..Step::default() };
        program.run(&mut state, &step).wait()?;
        if at % 200 == 0 {
            let mut metric = |name: &str| -> kiln::Result<f32> { Ok(program.read(&state, name).wait()?[0]) };
            let [recon, kl] = [metric("recon")?, metric("kl")?];
            println!("step {at}: −ELBO {:.2} nats = reconstruction {recon:.2} + KL {kl:.2}", recon + kl);
        }
    }

    let test = data::open("builtin:digits", Split::Test, &OpenOptions { limit: Some(500), ..OpenOptions::default() })?;
    let scoring = LikelihoodOptions { batch: 100, seed: SEED, binarization, ..LikelihoodOptions::default() };
    let values = about.len();
    let elbo = eval::score(&device, &model, &mut state, test.clone(), &scoring, |_| {}).wait()?.figure(values);
    let bound = eval::importance_bound(&device, &model, &mut state, test, &scoring, 128, |_| {}).wait()?.figure(values);
    println!("test: −ELBO {:.2} ± {:.2} nats; −log p ≤ {:.2} with 128 importance samples", elbo.nats, elbo.error, bound.bound.nats);

    let z = latents(SEED, 0, 64, LATENT);
    let images = latent::decode(&device, &model, &mut state, Weights::Current, &z, (&[], 0)).wait()?;
    report::save_png(Path::new("vae-digits.png"), &report::grid(&images, about.dims, 8))?;
    println!("64 new digits: vae-digits.png");
    Ok(())
}
