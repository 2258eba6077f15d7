//! A small graph by hand: fit a curve with a two-layer network, without any model of the library.
//!
//! Nodes are added to a [`Graph`]; gradients and the optimiser are nodes of the same graph; a [`Program`] plans, fuses and runs it.
//!
//! `cargo run --release --example graph`

use kiln::graph::{Graph, Rule, StateSpec, Step, Update};
use kiln::nn::{Linear, Start};
use kiln::random::Draws;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::wait::Wait;

const POINTS: usize = 256;
const HIDDEN: usize = 32;

fn main() -> kiln::Result<()> {
    // What persists from step to step: two layers' weights, in one optimiser group.
    let mut spec = StateSpec::default();
    let group = spec.group("");
    let hidden = Linear::new(&mut spec, group, "hidden", [1, HIDDEN], Start::FanIn);
    let output = Linear::new(&mut spec, group, "output", [HIDDEN, 1], Start::FanIn);

    // One training step: forward, loss, backward, update.
    let mut g = Graph::new();
    let x = g.input("x", [POINTS, 1]);
    let target = g.input("target", [POINTS, 1]);
    let h = hidden.apply(&mut g, &spec, x)?;
    let h = g.tanh(h)?;
    let y = output.apply(&mut g, &spec, h)?;
    // A pointwise program: differentiated symbolically, fused with its neighbours, run as WGSL or on the CPU.
    let errors = g.map(&[y, target], |b, v| {
        let error = b.sub(v[0], v[1]);
        b.mul(error, error)
    })?;
    let loss = g.mean_all(errors)?;
    g.output("loss", loss);
    let adam = Update::new(group, Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
    let gradients = g.group_gradients(loss, &spec, &adam)?;
    g.update(&spec, adam, &gradients)?;

    let device = Device::open("auto").wait()?;
    let mut state = State::initial(&device, &spec, 1)?;
    let mut program = Program::new(&device, &g, &state, Weights::Current).wait()?;
    for at in 1..=2000 {
        let mut draws = Draws::new(1, 0, at);
        let xs: Vec<f32> = (0..POINTS).map(|_| draws.range(-3.0, 3.0)).collect();
        let targets: Vec<f32> = xs.iter().map(|x| (2.0 * x).sin()).collect();
        program.write("x", &xs)?;
        program.write("target", &targets)?;
        program.run(&mut state, &Step { step: at, learning_rate: [1e-2; 4], updates: [at; 4], ..Step::default() }).wait()?;
        if at % 500 == 0 {
            println!("step {at}: mean squared error {:.6}", program.read(&state, "loss").wait()?[0]);
        }
    }
    Ok(())
}
