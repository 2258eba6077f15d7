//! Training a model for a few steps on one batch, without files.

use kiln::data::{Binarization, Kind};
use kiln::graph::{Graph, Rule, Step, Update};
use kiln::model::{self, DataSpec, Model};
use kiln::runtime::{Device, Program, State, Weights};
use kiln::wait::Wait;

/// Images of `dims` with ten classes.
pub fn images(dims: [usize; 3], kind: Kind) -> DataSpec {
    DataSpec { dims, classes: 10, kind, binarization: Binarization::None, mean: None }
}

/// A model from its name and hyper-parameters in TOML.
pub fn build(name: &str, hyper: &str, data: &DataSpec) -> kiln::Result<Box<dyn Model>> {
    model::build(name, &toml::from_str(hyper).expect("TOML"), data)
}

/// The refusal of a model that cannot be built.
pub fn refusal(name: &str, hyper: &str, data: &DataSpec) -> String {
    let error = build(name, hyper, data).err().expect("a refusal");
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

pub fn adam(group: usize) -> Update {
    Update::new(group, Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 })
}

/// First values of a model on the CPU.
pub fn initial(model: &dyn Model) -> State {
    State::initial(&Device::CPU, model.state(), 1).expect("state")
}

/// Steps of Adam on one batch; returns each step's value of the metric `watch`.
pub fn train(
    model: &dyn Model,
    state: &mut State,
    inputs: &[(&str, &[f32])],
    batch: usize,
    steps: u32,
    rate: f32,
    watch: &str,
) -> Vec<f32> {
    let graph = model.train_graph(batch, &adam).expect("graph");
    let mut program = Program::new(&Device::CPU, &graph, state, Weights::Current).wait().expect("program");
    inputs.iter().for_each(|(name, values)| program.write(name, values).expect("input"));
    (1..=steps)
        .map(|n| {
            let step = Step { seed: 1, step: n, learning_rate: [rate; 4], updates: [n; 4], ..Step::default() };
            program.run(state, &step).wait().expect("step");
            program.read(state, watch).wait().expect("metric")[0]
        })
        .collect()
}

/// Runs a graph once and returns the named output.
pub fn run(graph: &Graph, state: &mut State, inputs: &[(&str, &[f32])], step: &Step, output: &str) -> Vec<f32> {
    let mut program = Program::new(&Device::CPU, graph, state, Weights::Current).wait().expect("program");
    inputs.iter().for_each(|(name, values)| program.write(name, values).expect("input"));
    program.run(state, step).wait().expect("run");
    program.read(state, output).wait().expect("output")
}

/// `count` images that differ clearly: random blocks of light, a quarter of the image wide.
pub fn blocks(count: usize, [h, w, c]: [usize; 3]) -> Vec<f32> {
    let lit = |n: usize, y: usize, x: usize| kiln::random::word(7, 1, n as u32, (4 * (y * 4 / h) + x * 4 / w) as u64) & 1 == 1;
    let pixel = |n: usize, at: usize| if lit(n, at / c / w, at / c % w) { 1.0 } else { 0.0 };
    (0..count).flat_map(|n| (0..h * w * c).map(move |at| pixel(n, at))).collect()
}

/// One-hot labels of ten classes, in turn.
pub fn labels(count: usize) -> Vec<f32> {
    (0..count).flat_map(|n| (0..10).map(move |k| if k == n % 10 { 1.0 } else { 0.0 })).collect()
}
