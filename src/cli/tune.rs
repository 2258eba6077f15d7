//! `kiln tune`: measures the kernel variants on this adapter and keeps the fastest. Nothing else ever tunes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::bench::workloads::{WORKLOADS, chosen, no_such};
use super::common::Common;
use super::endings;
use super::output::Output;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tuning};
use crate::graph::Step;
use crate::runtime::{Device, Program, State, Weights};
use crate::shader::{Choices, Variant};
use crate::tensor::Precision;
use crate::train::RunFolder;
use crate::wait::Wait;

/// Arguments of `tune`.
#[derive(Args)]
pub struct TuneArgs {
    /// Run folder, to measure its training step [default: the workloads of kiln bench]
    pub run: Option<PathBuf>,
    /// Workloads whose name holds this
    #[arg(long, default_value = "", value_name = "TEXT", conflicts_with = "run")]
    pub filter: String,
    /// Items a step, instead of the workload's own
    #[arg(long, value_name = "N", conflicts_with = "run")]
    pub batch: Option<usize>,
    /// f32 or mixed, as of kiln train; a run has its own
    #[arg(long, value_name = "PRECISION", conflicts_with = "run")]
    pub precision: Option<Precision>,
    /// Measured runs of each variant; the fastest counts
    #[arg(long, default_value_t = 5, value_name = "N", allow_negative_numbers = true)]
    pub steps: usize,
    /// Write what is tuned for this adapter to a file, and measure nothing
    #[arg(long, value_name = "F.toml", conflicts_with = "run")]
    pub export: Option<PathBuf>,
    /// Take over a file written by --export on an equal adapter, and measure nothing
    #[arg(long, value_name = "F.toml", conflicts_with_all = ["run", "export"])]
    pub import: Option<PathBuf>,
}

/// Runs before the measured ones: the first compiles in some drivers.
const WARMUP: usize = 2;
/// A variant must be so many times faster than the default one to be taken: less is noise.
const FASTER: f64 = 1.03;

/// Seconds of a step's work on a problem, by variant; the default one is marked.
#[derive(Default)]
struct Measured {
    default: Option<Variant>,
    seconds: BTreeMap<Variant, f64>,
}

/// `kiln tune`
pub fn run(args: &TuneArgs, common: &Common, output: &Output) -> Result<()> {
    if let Some(path) = &args.export {
        endings::check(path, "tunings", &["toml"])?;
    }
    let Device::Gpu(gpu) = Device::open(&common.device).wait()? else {
        return Err(Error::usage("kiln tune measures the kernels of a GPU; the CPU executor has none (name an adapter with --device)"));
    };
    if let Some(path) = &args.import {
        let tuning = Tuning::read(path)?;
        tuning.check(&gpu)?;
        let file = keep(&tuning)?;
        return report(&tuning, &file, "imported", Vec::new(), output);
    }
    let kept = Tuning::of(&gpu);
    if let Some(path) = &args.export {
        let tuning = kept.map_err(|e| Error::usage(format!("{e}; run kiln tune again")))?;
        if tuning.variants.is_empty() {
            return Err(Error::usage(format!("nothing is tuned for {} yet; run kiln tune first", tuning.adapter)));
        }
        tuning.write(path)?;
        return report(&tuning, &path.display().to_string(), "exported", Vec::new(), output);
    }
    if args.steps == 0 {
        return Err(Error::usage("--steps must be at least 1"));
    }
    let mut tuning = kept.unwrap_or_else(|e| {
        output.say(&format!("what was tuned is lost: {e}; it is replaced"));
        Tuning::none(&gpu)
    });
    let measured = measure(args, &gpu, output)?;
    let mut rows = Vec::new();
    for (problem, Measured { default, seconds }) in measured {
        let Some(best) = seconds.iter().min_by(|a, b| a.1.total_cmp(b.1)) else { continue };
        let before = default.and_then(|d| seconds.get(&d).map(|s| (d, *s))).unwrap_or((*best.0, *best.1));
        let (variant, took) = if before.1 >= FASTER * best.1 { (*best.0, *best.1) } else { before };
        tuning.variants.insert(problem.to_string(), variant.to_string());
        let all: BTreeMap<String, f64> = seconds.iter().map(|(v, s)| (v.to_string(), *s)).collect();
        rows.push(json!({
            "problem": &*problem, "default": before.0.to_string(), "default_s": before.1, "variant": variant.to_string(), "seconds": took,
            "measured": all,
        }));
    }
    let file = keep(&tuning)?;
    report(&tuning, &file, "kept", rows, output)
}

/// A training step that can be compiled again and again.
type Compile<'a> = Box<dyn Fn(&Device) -> Result<(State, Program, Step)> + 'a>;

fn measure(args: &TuneArgs, gpu: &Gpu, output: &Output) -> Result<BTreeMap<Arc<str>, Measured>> {
    let steps: Vec<Compile<'_>> = match &args.run {
        Some(path) => vec![of_run(path)?],
        None => chosen(&args.filter)
            .into_iter()
            .map(|workload| {
                Box::new(move |device: &Device| {
                    let compiled = workload.compile(args.batch, device)?;
                    let step = compiled.prepared.step(1);
                    Ok((compiled.state, compiled.program, step))
                }) as Compile<'_>
            })
            .collect(),
    };
    if steps.is_empty() {
        return Err(no_such(&args.filter, &WORKLOADS.map(|w| w.name.to_string())));
    }
    let precision = match &args.run {
        Some(path) => RunFolder::open(path)?.1.train.precision,
        None => args.precision.unwrap_or_default(),
    };
    let plain = Device::Gpu(gpu.with_choices(Choices::default())).apart().with_precision(precision).wait()?;
    let mut measured: BTreeMap<Arc<str>, Measured> = BTreeMap::new();
    for compile in steps {
        let mut names = BTreeSet::new();
        let (mut state, mut program, step) = compile(&plain)?;
        for stage in program.profile(&mut state, &step).wait()? {
            let Some(choice) = stage.choice else { continue };
            names.extend(choice.candidates.iter().copied());
            measured.entry(Arc::clone(&choice.problem)).or_default().default = Some(choice.variant);
        }
        drop((state, program));
        let bar = output.bar(names.len() as u64, "variants");
        for variant in names {
            bar.set_message(variant.to_string());
            let forced = Choices { forced: Some(variant.to_string()), ..Choices::default() };
            let (mut state, mut program, step) = compile(&plain.with_choices(forced))?;
            for round in 0..WARMUP + args.steps {
                let mut taken: BTreeMap<Arc<str>, f64> = BTreeMap::new();
                for stage in program.profile(&mut state, &step).wait()? {
                    let Some(choice) = stage.choice.filter(|c| c.variant == variant) else { continue };
                    *taken.entry(Arc::clone(&choice.problem)).or_default() += stage.seconds;
                }
                for (problem, seconds) in taken.into_iter().filter(|_| round >= WARMUP) {
                    let least = measured.entry(problem).or_default().seconds.entry(variant).or_insert(f64::INFINITY);
                    *least = least.min(seconds);
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    Ok(measured)
}

/// A run's training step on empty inputs: what is in them changes no time.
fn of_run(path: &Path) -> Result<Compile<'static>> {
    let (_, recipe) = RunFolder::open(path)?;
    let model = crate::model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
    let (spec, extras) = recipe.train.state(model.state());
    let mut graph = model.train_graph(recipe.train.lane(), &|group| recipe.train.pass(group, &extras, true))?;
    graph.keep_outputs(&model.metrics().iter().map(|m| m.0).collect::<Vec<_>>());
    Ok(Box::new(move |device: &Device| {
        let state = State::initial(device, &spec, recipe.seed)?;
        let program = Program::new(device, &graph, &state, Weights::Current).wait()?;
        Ok((state, program, Step { seed: 1, step: 1, updates: model.updates_at(1), ..Step::default() }))
    }))
}

/// Puts a tuning where later runs find it.
fn keep(tuning: &Tuning) -> Result<String> {
    let missing = || Error::usage("there is no folder for caches; set KILN_CACHE, XDG_CACHE_HOME or HOME");
    let file = tuning.file().ok_or_else(missing)?;
    tuning.write(&file)?;
    Ok(file.display().to_string())
}

fn report(tuning: &Tuning, file: &str, what: &str, rows: Vec<serde_json::Value>, output: &Output) -> Result<()> {
    let mut words = String::new();
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_string();
    if !rows.is_empty() {
        words += &format!("{:<66}{:<22}{:>11}  {:<22}{:>11}{:>8}\n", "problem", "default", "µs a step", "taken", "µs a step", "ratio");
    }
    for row in &rows {
        let [before, now] = ["default_s", "seconds"].map(|key| row[key].as_f64().unwrap_or(f64::NAN));
        words += &format!(
            "{:<66}{:<22}{:>11.1}  {:<22}{:>11.1}{:>7.2}×\n",
            text(row, "problem"),
            text(row, "default"),
            before * 1e6,
            text(row, "variant"),
            now * 1e6,
            before / now
        );
    }
    words += &format!("{what}: {} variants for {} in {file}", tuning.variants.len(), tuning.adapter);
    output.result(
        &words,
        &json!({"adapter": tuning.adapter, "driver": tuning.driver, "variants": tuning.variants, "file": file, "rows": rows}),
    )
}
