//! The models that are measured, on made-up data.

use rand::RngExt;

use crate::data::{Binarization, Kind, Scale, one_hot};
use crate::error::{Error, Result};
use crate::graph::{Graph, Step};
use crate::model::{self, DataSpec, Model};
use crate::random::Draws;
use crate::runtime::{Device, Program, State, Weights};
use crate::train::TrainRecipe;
use crate::wait::Wait;

/// A training workload: a model, its hyper-parameters, and the data it steps on.
pub struct Workload<'a> {
    pub name: &'a str,
    pub(super) model: &'a str,
    /// TOML.
    pub(super) hyper: &'a str,
    pub(super) batch: usize,
    pub(super) dims: [usize; 3],
    pub(super) binary: bool,
}

/// Every workload; those of [`SAMPLED`] are also drawn from.
pub const WORKLOADS: [Workload<'static>; 16] = [
    Workload { name: "pixelcnn-28-b64", model: "pixelcnn", hyper: "preset = 'tiny'", batch: 64, dims: [28, 28, 1], binary: true },
    Workload {
        name: "gated-pixelcnn-28-b32",
        model: "gated-pixelcnn",
        hyper: "preset = 'small'",
        batch: 32,
        dims: [28, 28, 1],
        binary: true,
    },
    Workload {
        name: "pixelrnn-row-28-b16",
        model: "pixelrnn",
        hyper: "layer = 'row'\npreset = 'small'",
        batch: 16,
        dims: [28, 28, 1],
        binary: true,
    },
    Workload {
        name: "pixelrnn-diag-28-b16",
        model: "pixelrnn",
        hyper: "layer = 'diagonal'\npreset = 'small'",
        batch: 16,
        dims: [28, 28, 1],
        binary: true,
    },
    Workload { name: "vae-mlp-28-b128", model: "vae", hyper: "form = 'mlp'", batch: 128, dims: [28, 28, 1], binary: true },
    Workload { name: "vae-conv-28-b128", model: "vae", hyper: "form = 'conv'", batch: 128, dims: [28, 28, 1], binary: true },
    Workload { name: "dcgan-32-b64", model: "dcgan", hyper: "", batch: 64, dims: [32, 32, 1], binary: false },
    Workload { name: "dcgan-64-b32", model: "dcgan", hyper: "", batch: 32, dims: [64, 64, 3], binary: false },
    Workload {
        name: "gated-pixelcnn-scales-28-b32",
        model: "gated-pixelcnn",
        hyper: "preset = 'small'\nscales = 2",
        batch: 32,
        dims: [28, 28, 1],
        binary: true,
    },
    Workload { name: "pixelcnn-pp-32-b16", model: "pixelcnn-pp", hyper: "preset = 'small'", batch: 16, dims: [32, 32, 3], binary: false },
    Workload { name: "wavenet-2048-b4", model: "wavenet", hyper: "", batch: 4, dims: [2048, 1, 1], binary: false },
    Workload { name: "rnn-784-b16", model: "rnn", hyper: "", batch: 16, dims: [784, 1, 1], binary: true },
    Workload { name: "rnn-lstm-784-b16", model: "rnn", hyper: "cell = 'lstm'", batch: 16, dims: [784, 1, 1], binary: true },
    Workload { name: "diffusion-28-b32", model: "diffusion", hyper: "preset = 'small'", batch: 32, dims: [28, 28, 1], binary: false },
    Workload { name: "diffusion-32-b32", model: "diffusion", hyper: "preset = 'cifar_small'", batch: 32, dims: [32, 32, 3], binary: false },
    Workload { name: "ddpm-32-b64", model: "diffusion", hyper: "preset = 'ddpm'", batch: 64, dims: [32, 32, 3], binary: false },
];

/// Workloads whose models are drawn from, by their names without the batch.
pub const SAMPLED: [(&str, &Workload<'static>); 8] = [
    ("pixelcnn-28", &WORKLOADS[0]),
    ("gated-pixelcnn-28", &WORKLOADS[1]),
    ("gated-pixelcnn-scales-28", &WORKLOADS[8]),
    ("pixelrnn-row-28", &WORKLOADS[2]),
    ("pixelrnn-diag-28", &WORKLOADS[3]),
    ("pixelcnn-pp-32", &WORKLOADS[9]),
    ("wavenet-2048", &WORKLOADS[10]),
    ("rnn-784", &WORKLOADS[11]),
];

/// The workload that items are drawn of by taking noise away.
pub const DENOISED: (&str, &Workload<'static>) = ("diffusion-sample-28", &WORKLOADS[13]);

/// What a workload's training step takes besides a program.
pub struct Prepared {
    pub model: Box<dyn Model>,
    /// Items of a step.
    pub batch: usize,
    images: Vec<f32>,
    labels: Vec<f32>,
    recipe: TrainRecipe,
}

/// A workload's training step, ready to run.
pub struct Compiled {
    pub prepared: Prepared,
    pub state: State,
    pub program: Program,
    /// Floating-point operations of a step as its graph is written: minimal filtering does some of them with fewer.
    pub flops: u64,
}

impl Workload<'_> {
    /// The model, with its first weights still to be drawn.
    pub fn build(&self) -> Result<Box<dyn Model>> {
        let hyper = toml::from_str(self.hyper).map_err(|e| Error::usage(e.to_string()))?;
        let (kind, binarization) = if self.binary { (Kind::Binary, Binarization::Static) } else { (Kind::Pixels, Binarization::None) };
        model::build(self.model, &hyper, &DataSpec { dims: self.dims, classes: 10, kind, binarization, mean: None })
    }

    /// Whether whole passes, one a place, would take too long to be timed.
    pub fn is_long(&self) -> bool {
        self.dims[0] * self.dims[1] > 1024
    }

    /// Made-up data in the model's scale.
    fn data(&self, model: &dyn Model, batch: usize) -> Vec<f32> {
        let count = batch * model.batches() * self.dims.iter().product::<usize>();
        let draws = Draws::new(1, 0, 0);
        let value = |u: f32| match (self.binary, model.scale()) {
            (true, _) => f32::from(u8::from(u < 0.2)),
            (_, Scale::Symmetric) => 2.0 * u - 1.0,
            (_, Scale::Levels) => (u * 256.0).floor(),
            _ => u,
        };
        draws.random_iter().take(count).map(value).collect()
    }

    /// Compiles the training step for a device and writes its inputs.
    ///
    /// # Errors
    /// [`Error::Usage`] for a batch of 0; those of the device.
    pub fn compile(&self, batch: Option<usize>, device: &Device) -> Result<Compiled> {
        let (prepared, state, graph) = self.prepare(batch.unwrap_or(self.batch), device)?;
        let program = Program::new(device, &graph, &state, Weights::Current).wait()?;
        let mut compiled = Compiled { prepared, state, program, flops: graph.flops() };
        compiled.write()?;
        Ok(compiled)
    }

    /// A step of so many items, its first weights, and its graph.
    ///
    /// # Errors
    /// As [`Workload::compile`].
    pub fn prepare(&self, batch: usize, device: &Device) -> Result<(Prepared, State, Graph)> {
        let model = self.build()?;
        if batch == 0 {
            return Err(Error::usage("--batch must be at least 1"));
        }
        let recipe = TrainRecipe { precision: device.precision(), ..TrainRecipe::new(&model.defaults()) };
        let (spec, extras) = recipe.state(model.state());
        let update = |group| recipe.pass(group, &extras, true);
        let mut graph = model.train_graph(batch, &update)?;
        graph.keep_outputs(&["loss"]);
        let state = State::initial(device, &spec, 1)?;
        let images = self.data(model.as_ref(), batch);
        let labels: Vec<u32> = (0..batch * model.batches()).map(|i| (i % 10) as u32).collect();
        let labels = one_hot(&labels, 10, labels.len());
        Ok((Prepared { model, batch, images, labels, recipe }, state, graph))
    }

    /// Items of a step where nothing else is asked for.
    pub fn batch(&self) -> usize {
        self.batch
    }
}

impl Prepared {
    /// Writes the inputs, as each step of a training run does.
    ///
    /// # Errors
    /// Those of the device.
    pub fn write(&self, program: &mut Program) -> Result<()> {
        program.write("x", &self.images)?;
        program.write("labels", &self.labels)
    }

    /// The counters of a step.
    pub fn step(&self, at: u64) -> Step {
        Step { seed: 1, step: at as u32, learning_rate: self.recipe.rates(at), updates: self.model.updates_at(at), ..Step::default() }
    }
}

impl Compiled {
    /// Writes the inputs, as each step of a training run does.
    ///
    /// # Errors
    /// Those of the device.
    pub fn write(&mut self) -> Result<()> {
        self.prepared.write(&mut self.program)
    }
}

/// The workloads whose name holds a filter; none may.
pub fn chosen(filter: &str) -> Vec<&'static Workload<'static>> {
    WORKLOADS.iter().filter(|w| w.name.contains(filter)).collect()
}

/// The error of a filter that names nothing there is.
pub fn no_such(filter: &str, names: &[String]) -> Error {
    Error::usage(format!("no workload's name holds {filter}; there are {}", names.join(", ")))
}
