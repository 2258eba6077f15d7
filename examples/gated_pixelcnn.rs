//! A gated PixelCNN from the library, given what digit to draw: train it, score it, draw from it, complete a half.
//!
//! `cargo run --release --example gated_pixelcnn`

use std::path::Path;

use kiln::data::{self, Augment, Binarization, Loader, LoaderOptions, OpenOptions, Split};
use kiln::eval::{self, LikelihoodOptions};
use kiln::graph::{Rule, Step, Update};
use kiln::model::{self, DataSpec};
use kiln::report;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::raster::{Job, Method, RasterSampler};
use kiln::wait::Wait;

const BATCH: usize = 32;
const STEPS: u32 = 400;
const SEED: u64 = 1;

fn main() -> kiln::Result<()> {
    let device = Device::open("auto").wait()?;
    let digits = data::open("builtin:digits", Split::Train, &OpenOptions::default())?;
    let binarization = Binarization::Dynamic;
    let about = DataSpec { dims: digits.dims(), classes: digits.classes(), kind: digits.kind(), binarization, mean: None };
    let hyper = toml::toml! {
        layers = 7
        hidden = 16
        head = 32
        dilations = [1, 2, 1, 4, 1, 2, 1]
        conditional = true
    };
    let model = model::build("gated-pixelcnn", &hyper, &about)?;
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
        let batch = loader.next()?;
        program.write("x", &batch.values)?;
        program.write("labels", &data::one_hot(&batch.labels, about.classes, BATCH))?;
        let step = Step { seed: SEED, step: at, learning_rate: [4e-3; 4], updates: [at; 4], ..Step::default() };
        program.run(&mut state, &step).wait()?;
        if at % 100 == 0 {
            println!("step {at}: {:.2} nats", program.read(&state, "loss").wait()?[0]);
        }
    }

    let test = data::open("builtin:digits", Split::Test, &OpenOptions { limit: Some(500), ..OpenOptions::default() })?;
    let scoring = LikelihoodOptions { batch: 100, seed: SEED, binarization, ..LikelihoodOptions::default() };
    let figure = eval::score(&device, model.as_ref(), &mut state, test, &scoring, |_| {}).wait()?.figure(about.len());
    println!("test: {:.2} ± {:.2} nats, {:.4} bits/dim", figure.nats, figure.error, figure.bits_per_dim);

    // The cached sampler evaluates each layer once a pixel, not the whole network.
    let mut sampler = RasterSampler::new(&device, model.as_ref(), &state, Weights::Current, Method::Cached).wait()?;
    let labels: Vec<u32> = (0..40).map(|i| i % about.classes as u32).collect();
    let wanted = data::one_hot(&labels, about.classes, labels.len());
    let inputs = [("labels", &wanted[..])];
    let job = Job { count: labels.len(), seed: SEED, first: 0, temperature: 1.0, keep: None, inputs: &inputs };
    let drawn = sampler.sample(model.as_ref(), &mut state, &job).wait()?;
    let top_half: Vec<bool> = (0..about.len()).map(|i| i < about.len() / 2).collect();
    let again = Job { seed: SEED + 1, keep: Some((&drawn.images, &top_half)), ..job };
    let completed = sampler.sample(model.as_ref(), &mut state, &again).wait()?;
    let both = [drawn.images, completed.images].concat();
    report::save_png(Path::new("gated-pixelcnn-digits.png"), &report::grid(&both, about.dims, about.classes))?;
    println!("four new digits of each class, and other lower halves for the same upper ones: gated-pixelcnn-digits.png");
    Ok(())
}
