//! What the tests share: random tensors, the `f64` oracle, and finite differences.
#![allow(dead_code)] // each test binary uses its part

pub mod models;
pub mod normal;

use kiln::Result;
use kiln::cpu::{Arena, CpuProgram, CpuState, Number};
use kiln::graph::{Graph, Init, Layout, NodeId, Plan, Shape, StateId, StateSpec, Step};
use kiln::op::Taps;
use kiln::random::Draws;
use kiln::runtime::Device;
use kiln::wait::Wait;

/// Normal draws for a tensor.
pub fn normals(count: usize, stream: u32) -> Vec<f64> {
    let mut draws = Draws::new(11, stream, 0);
    (0..count).map(|_| f64::from(draws.normal())).collect()
}

/// An adapter of any kind; none is a failure where `KILN_REQUIRE_GPU` is set, and else the end of the test.
pub fn adapter() -> Option<Device> {
    match Device::open("gpu").wait() {
        Ok(device) => Some(device),
        Err(reason) => {
            assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none(), "{reason}");
            eprintln!("skipped: {reason}");
            None
        }
    }
}

/// A graph under test whose leaves are persistent tensors, so that they can be perturbed and differentiated by.
#[derive(Default)]
pub struct Bench {
    pub graph: Graph,
    pub spec: StateSpec,
    pub leaves: Vec<(StateId, NodeId)>,
    values: Vec<Vec<f64>>,
}

impl Bench {
    pub fn new() -> Self {
        let mut bench = Self::default();
        bench.spec.group("");
        bench
    }

    /// A leaf of standard normals.
    pub fn leaf(&mut self, shape: impl Into<Shape>) -> NodeId {
        let shape = shape.into();
        let values = normals(shape.len(), self.leaves.len() as u32 + 1);
        self.leaf_of(shape, values)
    }

    pub fn leaf_of(&mut self, shape: impl Into<Shape>, values: Vec<f64>) -> NodeId {
        let shape = shape.into();
        assert_eq!(values.len(), shape.len());
        let name = format!("leaf{}", self.leaves.len());
        let id = self.spec.tensor(0, &name, shape, Init::Constant(0.0), Layout::Plain, true);
        let node = self.graph.state(&self.spec, id);
        self.leaves.push((id, node));
        self.values.push(values);
        node
    }

    /// A convolution between a relu and a bias, `y`, with the gradients `dx` and `dw` that a random one of `y` brings.
    pub fn convolution(images: usize, taps: &Taps, [c, d]: [usize; 2]) -> Result<Self> {
        let ([h, w], [to_h, to_w]) = (taps.input, taps.output);
        let mut b = Self::new();
        let (x, g) = (b.leaf([images, h, w, c]), b.leaf([images, to_h, to_w, d]));
        let (weights, bias) = (b.leaf([taps.offsets.len(), c, d]), b.leaf([d]));
        let positive = b.graph.relu(x)?;
        let mut y = b.graph.conv(positive, weights, taps.clone())?;
        y = b.graph.add(y, bias)?;
        let dot = b.graph.mul(y, g)?;
        let loss = b.graph.sum_all(dot)?;
        for (name, wrt) in [("dx", x), ("dw", weights)] {
            let gradient = b.graph.gradients(loss, &[wrt])?[0];
            b.graph.output(name, gradient);
        }
        b.graph.output("y", y);
        Ok(b)
    }

    pub fn state<T: Number>(&self) -> CpuState<T> {
        let mut state = CpuState::new(&self.spec);
        for ((id, _), values) in self.leaves.iter().zip(&self.values) {
            let target: &mut [T] = state.tensor_mut(*id, Arena::Value);
            target.iter_mut().zip(values).for_each(|(t, v)| *t = T::of(*v));
        }
        state
    }

    /// Runs the graph and returns the named output.
    pub fn run<T: Number>(&self, fusion: bool, output: &str) -> Vec<f64> {
        let mut state = self.state::<T>();
        let mut program = CpuProgram::<T>::new(Plan::new(&self.graph, &self.spec, fusion), Arena::Value);
        program.run(&mut state, &step());
        program.read(&state, output).expect("output").iter().map(|v| v.wide()).collect()
    }

    /// Checks that `f32`, fused, agrees with `f64`, unfused, on every output.
    pub fn check_executors(&self, tolerance: f64) {
        for (name, _) in self.graph.outputs() {
            let want = self.run::<f64>(false, name);
            close(&self.run::<f64>(true, name), &want, 1e-10, &format!("{name}: fused f64"));
            close(&self.run::<f32>(false, name), &want, tolerance, &format!("{name}: f32"));
            close(&self.run::<f32>(true, name), &want, tolerance, &format!("{name}: fused f32"));
        }
    }

    /// Reduces `y` to one number with fixed random weights (so that it stands in mid-graph), differentiates by every leaf, and compares
    /// each with central differences in `f64`. Outputs are named `grad0`, `grad1`, …; executors are compared too.
    pub fn check_gradients(&mut self, y: NodeId, tolerance: f64) {
        let shape = self.graph.shape(y).clone();
        let weights = self.leaf(shape);
        let weighted = self.graph.mul(y, weights).expect("weights fit");
        let squashed = self.graph.tanh(weighted).expect("tanh");
        let loss = self.graph.sum_all(squashed).expect("sum");
        self.check_loss(loss, tolerance);
    }

    pub fn check_loss(&mut self, loss: NodeId, tolerance: f64) {
        let wrt: Vec<NodeId> = self.leaves.iter().map(|l| l.1).collect();
        let gradients = self.graph.gradients(loss, &wrt).expect("gradients");
        self.graph.output("loss", loss);
        for (k, g) in gradients.iter().enumerate() {
            self.graph.output(&format!("grad{k}"), *g);
        }
        self.check_executors(1e-4);
        let plan = Plan::new(&self.graph, &self.spec, false);
        let mut program = CpuProgram::<f64>::new(plan, Arena::Value);
        let mut state = self.state::<f64>();
        program.run(&mut state, &step());
        let analytic: Vec<Vec<f64>> =
            (0..wrt.len()).map(|k| program.read(&state, &format!("grad{k}")).expect("gradient").to_vec()).collect();
        for (k, (id, _)) in self.leaves.iter().enumerate() {
            let count = self.values[k].len();
            for at in (0..count).step_by(count.div_ceil(12).max(1)) {
                let h = 1e-5;
                let mut at_offset = |offset: f64| {
                    let mut state = self.state::<f64>();
                    state.tensor_mut(*id, Arena::Value)[at] += offset;
                    program.run(&mut state, &step());
                    program.read(&state, "loss").expect("loss")[0]
                };
                let numeric = (at_offset(h) - at_offset(-h)) / (2.0 * h);
                let got = analytic[k][at];
                assert!((got - numeric).abs() <= tolerance * numeric.abs().max(1.0), "leaf {k}[{at}]: {got} against {numeric}");
            }
        }
    }
}

pub fn step() -> Step {
    Step { seed: 5, step: 3, ..Step::default() }
}

/// Asserts |got − want| ≤ tolerance · (1 + the largest |want|).
pub fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let scale = 1.0 + want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * scale, "{what}: element {i} is {g}, not {w}");
    }
}
