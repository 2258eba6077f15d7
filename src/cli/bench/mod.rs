//! `kiln bench`.

mod ceilings;
mod kernels;

use std::time::Instant;

use serde_json::json;

use crate::cli::args::{BenchArgs, BenchWhat, Common};
use crate::cli::output::Output;
use crate::data::{Binarization, Kind, Scale};
use crate::error::{Error, Result};
use crate::eval::one_hot;
use crate::graph::Step;
use crate::model::{self, DataSpec, Model};
use crate::random::Draws;
use crate::runtime::{Device, Program, State, Weights};
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::shader::Choices;
use crate::train::TrainRecipe;

/// A training workload: a model, its hyper-parameters, and the data it steps on.
pub(in crate::cli) struct Workload {
    name: &'static str,
    model: &'static str,
    hyper: &'static str,
    batch: usize,
    dims: [usize; 3],
    binary: bool,
}

const WORKLOADS: [Workload; 5] = [
    Workload { name: "pixelcnn-28-b64", model: "pixelcnn", hyper: "preset = 'tiny'", batch: 64, dims: [28, 28, 1], binary: true },
    Workload { name: "vae-mlp-28-b128", model: "vae", hyper: "form = 'mlp'", batch: 128, dims: [28, 28, 1], binary: true },
    Workload { name: "vae-conv-28-b128", model: "vae", hyper: "form = 'conv'", batch: 128, dims: [28, 28, 1], binary: true },
    Workload { name: "dcgan-32-b64", model: "dcgan", hyper: "", batch: 64, dims: [32, 32, 1], binary: false },
    Workload { name: "dcgan-64-b32", model: "dcgan", hyper: "", batch: 32, dims: [64, 64, 3], binary: false },
];

/// Steps run before timing starts.
const WARMUP: usize = 3;

impl Workload {
    fn build(&self) -> Result<Box<dyn Model>> {
        let hyper = toml::from_str(self.hyper).map_err(|e| Error::usage(e.to_string()))?;
        let (kind, binarization) = if self.binary { (Kind::Binary, Binarization::Static) } else { (Kind::Pixels, Binarization::None) };
        model::build(self.model, &hyper, &DataSpec { dims: self.dims, classes: 10, kind, binarization, mean: None })
    }

    /// Made-up data in the model's scale.
    fn data(&self, model: &dyn Model, batch: usize) -> Vec<f32> {
        let count = batch * model.batches() * self.dims.iter().product::<usize>();
        let mut draws = Draws::new(1, 0, 0);
        let value = |u: f32| match (self.binary, model.scale()) {
            (true, _) => f32::from(u8::from(u < 0.2)),
            (_, Scale::Symmetric) => 2.0 * u - 1.0,
            (_, Scale::Levels) => (u * 256.0).floor(),
            _ => u,
        };
        (0..count).map(|_| value(draws.unit())).collect()
    }
}

/// Minimum, median and maximum.
fn spread(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [times[0], times[times.len() / 2], times[times.len() - 1]]
}

/// `kiln bench`
pub fn run(args: &BenchArgs, common: &Common, output: &Output) -> Result<()> {
    if args.steps == 0 {
        return Err(Error::usage("--steps must be at least 1"));
    }
    let mut device = Device::open(&common.device)?;
    if let Some(forced) = &args.variant {
        device = device.with_choices(Choices { forced: Some(forced.clone()), ..Choices::default() });
    }
    match args.what {
        BenchWhat::Train => train(args, &device, output),
        BenchWhat::Sample => sample(args, &device, output),
        BenchWhat::Kernels => kernels::run(args, &device, output),
    }
}

/// The workloads a filter names.
pub(in crate::cli) fn chosen(filter: &str) -> Result<Vec<&'static Workload>> {
    let chosen: Vec<&Workload> = WORKLOADS.iter().filter(|w| w.name.contains(filter)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = WORKLOADS.iter().map(|w| w.name).collect();
        return Err(Error::usage(format!("no workload's name holds {filter}; there are {}", names.join(", "))));
    }
    Ok(chosen)
}

/// A workload's training step, ready to run on made-up data.
pub(in crate::cli) fn compiled(workload: &Workload, batch: Option<usize>, device: &Device) -> Result<(Box<dyn Model>, State, Program)> {
    let model = workload.build()?;
    let batch = batch.unwrap_or(workload.batch);
    if batch == 0 {
        return Err(Error::usage("--batch must be at least 1"));
    }
    let recipe = TrainRecipe::new(&model.defaults());
    let update = |group| recipe.update(group);
    let mut graph = model.train_graph(batch, &update)?;
    graph.keep_outputs(&["loss"]);
    let state = State::initial(device, model.state(), 1)?;
    let mut program = Program::new(device, &graph, &state, Weights::Current)?;
    program.write("x", &workload.data(model.as_ref(), batch))?;
    let labels: Vec<u32> = (0..batch * model.batches()).map(|i| (i % 10) as u32).collect();
    program.write("labels", &one_hot(&labels, 10, labels.len()))?;
    Ok((model, state, program))
}

fn train(args: &BenchArgs, device: &Device, output: &Output) -> Result<()> {
    let mut rows = Vec::new();
    let mut words = format!(
        "{:<20}{:>7}{:>11}{:>11}{:>11}{:>10}{:>11}{:>12}{:>10}{:>12}\n",
        "workload", "batch", "median s", "min s", "max s", "first s", "images/s", "parameters", "MB", "dispatches"
    );
    let workloads = chosen(&args.filter)?;
    let bar = output.bar((workloads.len() * (args.steps + WARMUP)) as u64, "steps");
    for workload in workloads {
        let begun = Instant::now();
        let (model, mut state, mut program) = compiled(workload, args.batch, device)?;
        let recipe = TrainRecipe::new(&model.defaults());
        let batch = args.batch.unwrap_or(workload.batch);
        let mut times = Vec::new();
        let mut first = 0.0;
        for at in 1..=(WARMUP + args.steps) as u64 {
            let step = Step { seed: 1, step: at as u32, learning_rate: recipe.rates(at), updates: model.updates_at(at), ..Step::default() };
            let start = Instant::now();
            program.run(&mut state, &step)?;
            // Reading the loss waits for the device.
            program.read(&state, "loss")?;
            if at == 1 {
                // Planning and compiling are part of what the first step costs.
                first = begun.elapsed().as_secs_f64();
            }
            if at > WARMUP as u64 {
                times.push(start.elapsed().as_secs_f64());
            }
            bar.inc(1);
        }
        let [least, median, most] = spread(times);
        let parameters = model.state().parameters(true);
        let rate = batch as f64 / median;
        let (dispatches, submits) = program.dispatches().unzip();
        let shown = dispatches.map_or_else(|| "–".into(), |d| d.to_string());
        words += &format!(
            "{:<20}{batch:>7}{median:>11.5}{least:>11.5}{most:>11.5}{first:>10.3}{rate:>11.1}{parameters:>12}{:>10.1}{shown:>12}\n",
            workload.name,
            program.bytes() as f64 * 1e-6
        );
        rows.push(json!({
            "workload": workload.name, "device": device.name(), "batch": batch, "step_s": median, "step_min_s": least, "step_max_s": most,
            "first_step_s": first, "images_per_s": rate, "params": parameters, "peak_bytes": program.bytes(), "peak_rss_bytes": peak_rss(),
            "dispatches": dispatches, "submits": submits,
        }));
    }
    bar.finish_and_clear();
    output.result(&words, &json!({"rows": rows}))
}

/// The most memory the process ever held, in bytes, where the system says so.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Images drawn by the cached sampler, and by the naive one on as many.
const SAMPLES: [(usize, Method, &str); 3] = [(16, Method::Cached, "cached"), (256, Method::Cached, "cached"), (16, Method::Naive, "naive")];

fn sample(args: &BenchArgs, device: &Device, output: &Output) -> Result<()> {
    let model = WORKLOADS[0].build()?;
    let mut state = State::initial(device, model.state(), 1)?;
    let mut rows = Vec::new();
    let mut words = format!("{:<28}{:>8}{:>12}{:>12}{:>12}{:>14}\n", "workload", "images", "median s", "min s", "max s", "images/s");
    for (count, method, what) in SAMPLES {
        let name = format!("pixelcnn-28 {what}");
        if !name.contains(&args.filter) {
            continue;
        }
        let mut sampler = RasterSampler::new(device, model.as_ref(), &state, Weights::Current, method)?;
        let job = Job { count, seed: 1, first: 0, temperature: 1.0, keep: None };
        let repeats = if method == Method::Naive { 1 } else { args.steps };
        let mut times = Vec::new();
        for at in 0..=repeats {
            let start = Instant::now();
            sampler.sample(model.as_ref(), &mut state, &job)?;
            // The first run warms up, but where one takes long it is the only one.
            if at > 0 || method == Method::Naive {
                times.push(start.elapsed().as_secs_f64());
            }
            if method == Method::Naive {
                break;
            }
        }
        let [least, median, most] = spread(times);
        let rate = count as f64 / median;
        words += &format!("{name:<28}{count:>8}{median:>12.4}{least:>12.4}{most:>12.4}{rate:>14.1}\n");
        rows.push(json!({
            "workload": "pixelcnn-28", "method": what, "device": device.name(), "images": count, "seconds": median,
            "min_s": least, "max_s": most, "images_per_s": rate,
        }));
    }
    output.result(&words, &json!({"rows": rows}))
}
