//! A DCGAN on drawn digits through the library: one graph an iteration, pictures at the end.
//!
//! `cargo run --release --example dcgan` writes `dcgan.png`.

use std::path::Path;
use std::sync::Arc;

use kiln::data::{self, Augment, Binarization, Kind, Loader, LoaderOptions, OpenOptions, Split};
use kiln::graph::Step;
use kiln::model::{self, DataSpec};
use kiln::report;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::latents;
use kiln::train::TrainRecipe;
use kiln::wait::Wait;

const BATCH: usize = 64;
const STEPS: u64 = 400;

fn main() -> kiln::Result<()> {
    let device = Device::open("auto").wait()?;
    let source = data::open("builtin:digits", Split::Train, &OpenOptions::default())?;
    let dims = source.dims();
    let spec = DataSpec { dims, classes: source.classes(), kind: Kind::Pixels, binarization: Binarization::None, mean: None };
    let mut hyper = toml::Table::new();
    hyper.insert("filters".into(), 32.into());
    let model = model::build("dcgan", &hyper, &spec)?;

    // k discriminator steps and a generator step, with both optimisers, are one graph and one plan.
    let recipe = TrainRecipe::new(&model.defaults());
    let graph = model.train_graph(BATCH, &|group| recipe.update(group))?;
    let mut state = State::initial(&device, model.state(), 1)?;
    let mut iteration = Program::new(&device, &graph, &state, Weights::Current).wait()?;
    let options = LoaderOptions {
        batch: BATCH * model.batches(),
        seed: 1,
        start_step: 0,
        binarization: Binarization::None,
        scale: model.scale(),
        augment: Augment::default(),
        prefetch: 4,
    };
    let mut loader = Loader::new(Arc::clone(&source), options)?;
    for at in 1..=STEPS {
        iteration.write("x", &loader.next()?.values)?;
        let step = Step { seed: 1, step: at as u32, learning_rate: recipe.rates(at), updates: model.updates_at(at), ..Step::default() };
        iteration.run(&mut state, &step).wait()?;
        if at % 100 == 0 {
            let mut read = |name: &str| iteration.read(&state, name).wait().map(|v| v[0]);
            println!("step {at}: D(x) {:.3}, D(G(z)) {:.3}", read("d_real")?, read("d_fake")?);
        }
    }

    let Some(decoder) = model.decodes() else { return Ok(()) };
    let graph = decoder.decode_graph(64)?;
    let mut generator = Program::new(&device, &graph, &state, Weights::Current).wait()?;
    generator.write("z", &latents(1, 0, 64, decoder.latent()))?;
    generator.run(&mut state, &Step::default()).wait()?;
    report::save_png(Path::new("dcgan.png"), &report::grid(&generator.read(&state, "x").wait()?, dims, 8))
}
