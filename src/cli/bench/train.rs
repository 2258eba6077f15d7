//! `kiln bench train`: whole training steps, and where their time goes.

use std::time::Instant;

use serde_json::json;

use super::args::BenchArgs;
use super::ceilings::Ceilings;
use super::earlier::Earlier;
use super::split::Split;
use super::trace::Trace;
use super::workloads::{Compiled, WORKLOADS, Workload, chosen, no_such};
use super::{NOOP, WARMUP, spread};
use crate::cli::output::Output;
use crate::error::Result;
use crate::runtime::Device;
use crate::wait::Wait;

/// What the timed steps of a workload took, in seconds.
struct Timed {
    compiled: Compiled,
    /// From before planning to the end of the first step.
    first: f64,
    /// Least, median and most.
    steps: [f64; 3],
    /// The most memory the process held by then.
    peak_rss: Option<u64>,
}

/// `kiln bench train`
pub fn run(args: &BenchArgs, device: &Device, output: &Output) -> Result<()> {
    let old = Earlier::asked(args)?;
    let mut rows = Vec::new();
    let mut words = format!(
        "{:<20}{:>7}{:>11}{:>11}{:>11}{:>10}{:>11}{:>9}{:>12}{:>12}{:>10}{:>12}\n",
        "workload", "batch", "median s", "min s", "max s", "first s", "images/s", "GFLOP/s", "of ceiling", "parameters", "MB", "dispatches"
    );
    let workloads = chosen(&args.filter);
    if workloads.is_empty() {
        return Err(no_such(&args.filter, &WORKLOADS.map(|w| w.name.to_string())));
    }
    let bar = output.bar((workloads.len() * (2 * args.steps + WARMUP)) as u64, "steps");
    let mut trace = Trace::new(device);
    let ceiling = if device.name() == NOOP { None } else { Some(Ceilings::multiply_adds(device)?) };
    for workload in workloads {
        let Timed { mut compiled, first, steps: [least, median, most], peak_rss } = time(workload, args, device, &bar)?;
        let process = trace.process(workload.name);
        // Of a device that does nothing all is the host's.
        let split = (device.name() != NOOP)
            .then(|| Split::measure(&mut compiled, args.steps, (WARMUP + args.steps) as u64, &mut trace, process))
            .transpose()?;
        bar.inc(args.steps as u64);
        let (program, batch) = (&compiled.program, compiled.prepared.batch);
        let parameters = compiled.prepared.model.state().parameters(true);
        let rate = batch as f64 / median;
        let (dispatches, submits) = program.dispatches().unzip();
        let shown = dispatches.map_or_else(|| "–".into(), |d| d.to_string());
        let gflops = compiled.flops as f64 / median * 1e-9;
        let share = ceiling.map(|ceiling| gflops / ceiling);
        let row = json!({
            "workload": workload.name, "device": device.name(), "batch": batch, "step_s": median, "step_min_s": least, "step_max_s": most,
            "first_step_s": first, "images_per_s": rate, "flops": compiled.flops, "gflops": gflops, "ceiling_gflops": ceiling, "ceiling_share": share, "params": parameters, "peak_bytes": program.bytes(), "peak_rss_bytes": peak_rss,
            "dispatches": dispatches, "submits": submits, "time": split.as_ref().map(Split::json),
        });
        words += &format!(
            "{:<20}{batch:>7}{median:>11.5}{least:>11.5}{most:>11.5}{first:>10.3}{rate:>11.1}{gflops:>9.1}{:>12}{parameters:>12}{:>10.1}{shown:>12}{}\n{}",
            workload.name,
            share.map_or_else(|| "–".into(), |share| format!("{:.0}%", 100.0 * share)),
            program.bytes() as f64 * 1e-6,
            old.ratio(&row, &["workload", "batch"], "step_s"),
            split.map(|split| split.words()).unwrap_or_default()
        );
        rows.push(row);
    }
    bar.finish_and_clear();
    if let Some(path) = &args.trace {
        trace.save(path)?;
    }
    output.result(&words, &json!({"rows": rows}))
}

/// Times a workload's steps, the inputs already on the device.
fn time(workload: &Workload<'_>, args: &BenchArgs, device: &Device, bar: &indicatif::ProgressBar) -> Result<Timed> {
    let begun = Instant::now();
    let mut compiled = workload.compile(args.batch, device)?;
    let mut times = Vec::new();
    let mut first = 0.0;
    for at in 1..=(WARMUP + args.steps) as u64 {
        let step = compiled.prepared.step(at);
        let start = Instant::now();
        compiled.program.run(&mut compiled.state, &step).wait()?;
        // Reading the loss waits for the device.
        compiled.program.read(&compiled.state, "loss").wait()?;
        if at == 1 {
            // Planning and compiling are part of what the first step costs.
            first = begun.elapsed().as_secs_f64();
        }
        if at > WARMUP as u64 {
            times.push(start.elapsed().as_secs_f64());
        }
        bar.inc(1);
    }
    Ok(Timed { compiled, first, steps: spread(times), peak_rss: peak_rss() })
}

/// The most memory the process ever held, in bytes, where the system says so.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
