//! `kiln bench kernels`: every kernel of a workload or of a sweep of sizes, beside the device's own ceilings.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

use super::args::BenchArgs;
use super::ceilings::Ceilings;
use super::earlier::Earlier;
use super::sweep::{self, Case};
use super::trace::Trace;
use super::workloads::{WORKLOADS, Workload, chosen, no_such};
use super::{WARMUP, spread};
use crate::cli::output::Output;
use crate::error::Result;
use crate::graph::Step;
use crate::report::{Roof, Series, roofline, save_png};
use crate::runtime::{Device, Program, State};
use crate::wait::Wait;

/// Equal dispatches of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    operation: &'static str,
    kernel: &'static str,
    variant: String,
    flops: u64,
    bytes: u64,
}

/// Something whose kernels are measured.
enum Subject {
    Training(&'static Workload<'static>),
    Size(Case),
}

impl Subject {
    /// All that the arguments ask for.
    fn all(args: &BenchArgs, device: &Device) -> Result<Vec<Self>> {
        let sizes = if args.sweep { sweep::cases(device, args) } else { Vec::new() };
        let names: Vec<String> = WORKLOADS.iter().map(|w| w.name.to_string()).chain(sizes.iter().map(|c| c.name.clone())).collect();
        let sizes = sizes.into_iter().filter(|c| c.name.contains(&args.filter)).map(Self::Size);
        let all: Vec<Self> = chosen(&args.filter).into_iter().map(Self::Training).chain(sizes).collect();
        if all.is_empty() { Err(no_such(&args.filter, &names)) } else { Ok(all) }
    }

    fn name(&self) -> &str {
        match self {
            Self::Training(workload) => workload.name,
            Self::Size(case) => &case.name,
        }
    }

    /// What a picture gives one colour.
    fn family(&self) -> &'static str {
        match self {
            Self::Training(workload) => workload.name,
            Self::Size(case) => case.family,
        }
    }

    fn compile(&self, args: &BenchArgs, device: &Device) -> Result<(State, Program, Step)> {
        match self {
            Self::Training(workload) => {
                let compiled = workload.compile(args.batch, device)?;
                // The one step is run again and again: weights that stay as they are keep it the same.
                let step = Step { learning_rate: [0.0; 4], ..compiled.prepared.step(1) };
                Ok((compiled.state, compiled.program, step))
            }
            Self::Size(case) => case.compile(args, device),
        }
    }
}

/// `kiln bench kernels`
pub fn run(args: &BenchArgs, device: &Device, output: &Output) -> Result<()> {
    let old = Earlier::asked(args)?;
    let ceilings = Ceilings::measure(device)?;
    let mut words = format!(
        "ceilings of {}: {:.1} GFLOP/s multiply-add · {:.1} GB/s memory · {:.1} µs an empty dispatch\n",
        device.name(),
        ceilings.gflops,
        ceilings.gbps,
        ceilings.dispatch * 1e6
    );
    words += &format!(
        "{:<24}{:<14}{:<20}{:<22}{:>5}{:>11}{:>11}{:>11}{:>10}{:>8}{:>9}{:>8}{:>7}\n",
        "workload", "operation", "kernel", "variant", "×", "median µs", "min µs", "max µs", "GFLOP/s", "of max", "GB/s", "of max", "share"
    );
    let mut rows = Vec::new();
    let subjects = Subject::all(args, device)?;
    let bar = output.bar((subjects.len() * args.steps) as u64, "steps");
    let mut trace = Trace::new(device);
    let mut dots: Vec<Series> = Vec::new();
    for subject in &subjects {
        let kinds = measure(subject, args, device, &mut trace, &bar)?;
        let total: f64 = kinds.values().map(|(count, [_, median, _])| *count as f64 * median).sum();
        let mut sorted: Vec<_> = kinds.into_iter().collect();
        sorted.sort_by(|a, b| (b.1.0 as f64 * b.1.1[1]).total_cmp(&(a.1.0 as f64 * a.1.1[1])));
        for (kind, (count, [least, median, most])) in sorted {
            let (gflops, gbps) = (kind.flops as f64 / median * 1e-9, kind.bytes as f64 / median * 1e-9);
            let share = count as f64 * median / total;
            let row = json!({
                "workload": subject.name(), "operation": kind.operation, "kernel": kind.kernel, "variant": kind.variant, "device": device.name(), "count": count,
                "flops": kind.flops, "bytes": kind.bytes, "median_s": median, "min_s": least, "max_s": most, "gflops": gflops, "gbps": gbps,
                "of_flops_ceiling": gflops / ceilings.gflops, "of_bytes_ceiling": gbps / ceilings.gbps_of(kind.bytes), "share": share,
            });
            words += &format!(
                "{:<24}{:<14}{:<20}{:<22}{count:>5}{:>11.1}{:>11.1}{:>11.1}{gflops:>10.1}{:>7.0}%{gbps:>9.2}{:>7.0}%{:>6.1}%{}\n",
                subject.name(),
                kind.operation,
                kind.kernel,
                kind.variant,
                median * 1e6,
                least * 1e6,
                most * 1e6,
                100.0 * gflops / ceilings.gflops,
                100.0 * gbps / ceilings.gbps_of(kind.bytes),
                100.0 * share,
                old.ratio(&row, &["workload", "operation", "kernel", "variant", "flops", "bytes"], "median_s")
            );
            rows.push(row);
            place(&mut dots, subject.family(), kind.flops, kind.bytes, gflops);
        }
    }
    bar.finish_and_clear();
    if let Some(path) = &args.trace {
        trace.save(path)?;
    }
    if let Some(path) = &args.picture {
        let roof = Roof { gflops: ceilings.gflops, gbps: ceilings.gbps };
        save_png(path, &roofline(&format!("Kernels on {}", device.name()), &roof, &dots))?;
    }
    output.result(&words, &json!({"device": device.name(), "ceilings": ceilings.json(), "rows": rows}))
}

type Times = BTreeMap<Kind, (usize, [f64; 3])>;

/// Adds a kernel to the picture's series of its family; one without arithmetic (a copy) has no place in a roofline.
fn place(dots: &mut Vec<Series>, family: &str, flops: u64, bytes: u64, gflops: f64) {
    if flops == 0 || bytes == 0 {
        return;
    }
    let point = (flops as f64 / bytes as f64, gflops);
    match dots.iter_mut().find(|series| series.name == family) {
        Some(series) => series.points.push(point),
        None => dots.push(Series::new(family, vec![point])),
    }
}

fn measure(subject: &Subject, args: &BenchArgs, device: &Device, trace: &mut Trace, bar: &indicatif::ProgressBar) -> Result<Times> {
    let (mut state, mut program, step) = subject.compile(args, &device.apart())?;
    let process = trace.process(subject.name());
    for _ in 0..WARMUP.min(args.steps) {
        program.run(&mut state, &step).wait()?;
    }
    let mut seen: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    for _ in 0..args.steps {
        let start = Instant::now();
        let stages = program.profile(&mut state, &step).wait()?;
        trace.profiled(process, start, &stages);
        for stage in stages {
            let variant = stage.choice.map(|c| c.variant.to_string()).unwrap_or_default();
            let kind = Kind { operation: stage.name, kernel: stage.kernel, variant, flops: stage.flops, bytes: stage.bytes };
            seen.entry(kind).or_default().push(stage.seconds.max(1e-9));
        }
        bar.inc(1);
    }
    Ok(seen.into_iter().map(|(kind, times)| (kind, (times.len() / args.steps, spread(times)))).collect())
}
