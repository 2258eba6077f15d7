//! Sizes beside those of the workloads: one small graph for each family of kernels and size.

use super::args::BenchArgs;
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, Layout, Rule, Shape, StateSpec, Step, Update};
use crate::op::{ConvWeight, Reduction, Taps};
use crate::random::Draws;
use crate::runtime::{Device, Program, State, Weights};
use crate::wait::Wait;

/// Images of a convolution.
const IMAGES: usize = 16;
/// Extent of its taps, rows and columns.
const TAPS: usize = 3;
const CHANNELS: [usize; 5] = [16, 32, 64, 128, 256];
const SIDES: [usize; 3] = [8, 16, 32];
const MATRICES: [usize; 5] = [64, 128, 256, 512, 1024];
/// Elements, as powers of two.
const ELEMENTS: [u32; 6] = [12, 14, 16, 18, 20, 22];

/// Most floating-point operations of a case on a software driver, and on the CPU executor, so that a sweep takes less than a minute.
const MOST_ON_DRIVER: u64 = 400_000_000;
const MOST_ON_CPU: u64 = 2_500_000_000;

#[derive(Clone, Copy, Debug)]
enum Form {
    /// Forward, adjoint and weight gradient.
    Conv {
        channels: usize,
        side: usize,
    },
    Matmul(usize),
    Map(usize),
    Reduce(usize),
    Update(usize),
}

/// One size of a family.
#[derive(Clone, Debug)]
pub struct Case {
    /// What rows call it.
    pub name: String,
    /// What the sizes of a family have in common.
    pub family: &'static str,
    form: Form,
}

/// Every case that the device takes in fair time.
pub fn cases(device: &Device, args: &BenchArgs) -> Vec<Case> {
    let convs = CHANNELS.iter().flat_map(|&channels| SIDES.map(|side| Form::Conv { channels, side }));
    let flat = |form: fn(usize) -> Form| ELEMENTS.iter().map(move |power| form(1 << power));
    let forms = convs.chain(MATRICES.map(Form::Matmul)).chain(flat(Form::Map)).chain(flat(Form::Reduce)).chain(flat(Form::Update));
    let most = match device {
        Device::Cpu(_) => MOST_ON_CPU,
        Device::Gpu(gpu) if gpu.target().is_cpu() => MOST_ON_DRIVER,
        Device::Gpu(_) => u64::MAX,
    };
    forms.filter(|form| form.flops(images(args)) <= most).map(Form::named).collect()
}

fn images(args: &BenchArgs) -> usize {
    args.batch.unwrap_or(IMAGES)
}

impl Form {
    fn named(self) -> Case {
        let (family, size) = match self {
            Self::Conv { channels, side } => ("sweep-conv", format!("{channels}-{side}x{side}")),
            Self::Matmul(n) => ("sweep-matmul", n.to_string()),
            Self::Map(n) => ("sweep-map", n.to_string()),
            Self::Reduce(n) => ("sweep-reduce", n.to_string()),
            Self::Update(n) => ("sweep-update", n.to_string()),
        };
        Case { name: format!("{family}-{size}"), family, form: self }
    }

    /// Floating-point operations, about: what bounds the time.
    fn flops(self, images: usize) -> u64 {
        let count = match self {
            Self::Conv { channels, side } => 3 * 2 * images * side * side * TAPS * TAPS * channels * channels,
            Self::Matmul(n) => 2 * n * n * n,
            Self::Map(n) | Self::Reduce(n) => n,
            Self::Update(n) => 10 * n,
        };
        count as u64
    }
}

impl Case {
    /// Compiles the case for a device and writes its inputs.
    ///
    /// # Errors
    /// [`Error::Usage`] for a batch of 0; those of the device.
    pub fn compile(&self, args: &BenchArgs, device: &Device) -> Result<(State, Program, Step)> {
        let images = images(args);
        if images == 0 {
            return Err(Error::usage("--batch must be at least 1"));
        }
        let mut spec = StateSpec::default();
        let mut graph = Graph::new();
        let inputs = self.build(&mut graph, &mut spec, images)?;
        let state = State::initial(device, &spec, 1)?;
        let mut program = Program::new(device, &graph, &state, Weights::Current).wait()?;
        for (stream, (name, shape)) in (0u32..).zip(inputs) {
            let mut draws = Draws::new(1, stream, 0);
            program.write(name, &(0..shape.len()).map(|_| draws.range(-1.0, 1.0)).collect::<Vec<_>>())?;
        }
        Ok((state, program, Step { seed: 1, step: 1, updates: [1; 4], ..Step::default() }))
    }

    /// Adds the case to a graph; returns the inputs.
    fn build(&self, graph: &mut Graph, spec: &mut StateSpec, images: usize) -> Result<Vec<(&'static str, Shape)>> {
        let shapes: Vec<(&'static str, Shape)> = match self.form {
            Form::Conv { channels: c, side } => {
                let image = Shape::from([images, side, side, c]);
                vec![("x", image.clone()), ("g", image), ("w", Shape::from([TAPS * TAPS, c, c]))]
            }
            Form::Matmul(n) => vec![("x", Shape::from([n, n])), ("g", Shape::from([n, n]))],
            Form::Map(n) => vec![("x", Shape::from([n])), ("g", Shape::from([n]))],
            Form::Reduce(n) | Form::Update(n) => vec![("x", Shape::from([n]))],
        };
        let nodes: Vec<_> = shapes.iter().map(|(name, shape)| graph.input(name, shape.clone())).collect();
        let results = match self.form {
            Form::Conv { side, .. } => {
                let taps = Taps::dense([TAPS; 2], 1, TAPS / 2, [side; 2])?;
                let y = graph.conv(nodes[0], nodes[2], taps.clone())?;
                let dx = graph.conv_transposed(nodes[1], nodes[2], taps.clone())?;
                vec![y, dx, graph.op(ConvWeight::new(taps), &[nodes[0], nodes[1]])?]
            }
            Form::Matmul(_) => vec![graph.matmul(nodes[0], nodes[1])?],
            Form::Map(_) => vec![graph.add(nodes[0], nodes[1])?],
            Form::Reduce(_) => vec![graph.reduce(Reduction::Sum, nodes[0], 0..1)?],
            Form::Update(n) => {
                let group = spec.group("sweep");
                spec.tensor(group, "weights", [n], Init::Normal(1.0), Layout::Plain, true);
                // A gradient is computed by something: the cheapest program.
                let gradient = graph.scale(nodes[0], 0.5)?;
                let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
                graph.update(spec, Update::new(group, rule), &[gradient])?;
                Vec::new()
            }
        };
        for (at, result) in results.into_iter().enumerate() {
            graph.output(&format!("out{at}"), result);
        }
        Ok(shapes)
    }
}
