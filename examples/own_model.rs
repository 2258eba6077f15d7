//! Training in a program of one's own: data that it makes, and a model that it defines, which learns to take noise out of pictures of rings.

use std::{path::Path, sync::Arc};

use kiln::data::{Augment, Binarization, Kind, Loader, LoaderOptions, Scale, Source};
use kiln::graph::{Distribution, Graph, Rule, StateSpec, Step, Update};
use kiln::nn::{Conv2d, Start};
use kiln::runtime::{Device, Program, State, Weights};
use kiln::train::checkpoint::{self, Numbers};
use kiln::wait::Wait;
use kiln::{Result, report};

const SIDE: usize = 24;
const BATCH: usize = 32;
/// Pictures of a ring each.
struct Rings;

impl Source for Rings {
    fn len(&self) -> usize {
        4096
    }
    fn dims(&self) -> [usize; 3] {
        [SIDE, SIDE, 1]
    }
    fn kind(&self) -> Kind {
        Kind::Pixels
    }
    fn name(&self) -> String {
        "rings".into()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let [x, y, radius] = [8 + index % 8, 8 + index / 8 % 8, 3 + index / 64 % 5].map(|v| v as f32);
        for (at, value) in out.iter_mut().enumerate() {
            let distance = ((at % SIDE) as f32 - x).hypot((at / SIDE) as f32 - y);
            *value = 255.0 * (1.0 - (distance - radius).abs()).max(0.0);
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    // The model: three convolutions, and the mean square of what they miss.
    let (mut spec, mut g) = (StateSpec::default(), Graph::new());
    let group = spec.group("");
    let x = g.input("x", [BATCH, SIDE, SIDE, 1]);
    let noise = g.random(Distribution::Normal, 0, [BATCH, SIDE, SIDE, 1])?;
    let noise = g.scale(noise, 0.3)?;
    let noised = g.add(x, noise)?;
    let mut made = noised;
    for (name, channels) in [("first", [1, 16]), ("second", [16, 16]), ("last", [16, 1])] {
        let layer = Conv2d::dense(&mut spec, group, name, [SIDE, SIDE], channels, (5, 1, 2), true, Start::FanIn)?;
        made = if name == "first" { made } else { g.relu(made)? };
        made = layer.apply(&mut g, &spec, made)?;
    }
    let missed = g.sub(made, x)?;
    let squares = g.mul(missed, missed)?;
    let loss = g.mean_all(squares)?;
    [("noised", noised), ("made", made), ("loss", loss)].into_iter().for_each(|(name, node)| g.output(name, node));
    // A step of training is the same graph, with the gradients and Adam behind it.
    let adam = Update::new(group, Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
    let gradients = g.group_gradients(loss, &spec, &adam)?;
    g.update(&spec, adam, &gradients)?;
    let device = Device::open("auto").wait()?;
    let mut state = State::initial(&device, &spec, 1)?;
    let mut program = Program::new(&device, &g, &state, Weights::Current).wait()?;
    let (binarization, scale, augment) = (Binarization::None, Scale::Unit, Augment::default());
    let options = LoaderOptions { batch: BATCH, seed: 1, start_step: 0, binarization, scale, augment, prefetch: 4 };
    let mut loader = Loader::new(Arc::new(Rings), options)?;
    for at in 1..=1000 {
        program.write("x", &loader.next()?.values)?;
        let step = Step { seed: 1, step: at, learning_rate: [2e-3; 4], updates: [at; 4], ..Step::default() };
        program.run(&mut state, &step).wait()?;
    }
    println!("mean square of what is missed: {:.4}", program.read(&state, "loss").wait()?[0]);
    let rows = program.read_all(&state, &["noised", "made"]).wait()?;
    let shown: Vec<f32> = rows.iter().flat_map(|row| &row[..8 * SIDE * SIDE]).copied().collect();
    report::save_png(Path::new("own-model.png"), &report::grid(&shown, [SIDE, SIDE, 1], 8))?;
    checkpoint::export(Path::new("own-model.safetensors"), &state, false, Numbers::F32).wait()
}
