//! `kiln bench kernels`: every kernel a workload runs, beside the device's own ceilings.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ceilings::Ceilings;
use super::{WARMUP, Workload, chosen, compiled, spread};
use crate::cli::args::BenchArgs;
use crate::cli::output::Output;
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::runtime::Device;

/// Equal dispatches of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    operation: &'static str,
    kernel: &'static str,
    variant: String,
    flops: u64,
    bytes: u64,
}

/// `kiln bench kernels`
pub fn run(args: &BenchArgs, device: &Device, output: &Output) -> Result<()> {
    let old = args.compare.as_ref().map(|path| rows_of(path)).transpose()?;
    let ceilings = Ceilings::measure(device)?;
    let mut words = format!(
        "ceilings of {}: {:.1} GFLOP/s multiply-add · {:.1} GB/s copy · {:.1} µs an empty dispatch\n",
        device.name(),
        ceilings.gflops,
        ceilings.gbps,
        ceilings.dispatch * 1e6
    );
    words += &format!(
        "{:<20}{:<14}{:<20}{:<22}{:>5}{:>11}{:>11}{:>11}{:>10}{:>8}{:>9}{:>8}{:>7}\n",
        "workload", "operation", "kernel", "variant", "×", "median µs", "min µs", "max µs", "GFLOP/s", "of max", "GB/s", "of max", "share"
    );
    let mut rows = Vec::new();
    let workloads = chosen(&args.filter)?;
    let bar = output.bar((workloads.len() * args.steps) as u64, "steps");
    for workload in workloads {
        let kinds = measure(workload, args, device, &bar)?;
        let total: f64 = kinds.values().map(|(count, [_, median, _])| *count as f64 * median).sum();
        let mut sorted: Vec<_> = kinds.into_iter().collect();
        sorted.sort_by(|a, b| (b.1.0 as f64 * b.1.1[1]).total_cmp(&(a.1.0 as f64 * a.1.1[1])));
        for (kind, (count, [least, median, most])) in sorted {
            let (gflops, gbps) = (kind.flops as f64 / median * 1e-9, kind.bytes as f64 / median * 1e-9);
            let share = count as f64 * median / total;
            let row = json!({
                "workload": workload.name, "operation": kind.operation, "kernel": kind.kernel, "variant": kind.variant, "device": device.name(), "count": count,
                "flops": kind.flops, "bytes": kind.bytes, "median_s": median, "min_s": least, "max_s": most, "gflops": gflops, "gbps": gbps,
                "of_flops_ceiling": gflops / ceilings.gflops, "of_bytes_ceiling": gbps / ceilings.gbps, "share": share,
            });
            words += &format!(
                "{:<20}{:<14}{:<20}{:<22}{count:>5}{:>11.1}{:>11.1}{:>11.1}{gflops:>10.1}{:>7.0}%{gbps:>9.2}{:>7.0}%{:>6.1}%{}\n",
                workload.name,
                kind.operation,
                kind.kernel,
                kind.variant,
                median * 1e6,
                least * 1e6,
                most * 1e6,
                100.0 * gflops / ceilings.gflops,
                100.0 * gbps / ceilings.gbps,
                100.0 * share,
                ratio(&row, old.as_deref())
            );
            rows.push(row);
        }
    }
    bar.finish_and_clear();
    output.result(&words, &json!({"device": device.name(), "ceilings": ceilings.json(), "rows": rows}))
}

type Times = BTreeMap<Kind, (usize, [f64; 3])>;

fn measure(workload: &Workload, args: &BenchArgs, device: &Device, bar: &indicatif::ProgressBar) -> Result<Times> {
    let (model, mut state, mut program) = compiled(workload, args.batch, device)?;
    let step = Step { seed: 1, step: 1, updates: model.updates_at(1), ..Step::default() };
    for _ in 0..WARMUP.min(args.steps) {
        program.run(&mut state, &step)?;
    }
    let mut seen: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    for _ in 0..args.steps {
        for stage in program.profile(&mut state, &step)? {
            let variant = stage.choice.map(|c| c.variant.to_string()).unwrap_or_default();
            let kind = Kind { operation: stage.name, kernel: stage.kernel, variant, flops: stage.flops, bytes: stage.bytes };
            seen.entry(kind).or_default().push(stage.seconds.max(1e-9));
        }
        bar.inc(1);
    }
    Ok(seen.into_iter().map(|(kind, times)| (kind, (times.len() / args.steps, spread(times)))).collect())
}

fn rows_of(path: &std::path::Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let parsed: Value = serde_json::from_str(&text).map_err(|e| Error::format(path, format!("is not JSON: {e}")))?;
    let rows = parsed["rows"].as_array().cloned();
    rows.ok_or_else(|| Error::format(path, "is no result of kiln bench --json (it has no rows)"))
}

/// How much faster a row is than its like in an earlier result.
fn ratio(row: &Value, old: Option<&[Value]>) -> String {
    let same = |other: &&Value| ["workload", "operation", "kernel", "variant", "flops", "bytes"].iter().all(|key| other[*key] == row[*key]);
    let before = old.and_then(|rows| rows.iter().find(same)).and_then(|r| r["median_s"].as_f64());
    match (before, row["median_s"].as_f64()) {
        (Some(before), Some(now)) => format!("  {:.2}× as fast", before / now),
        _ => String::new(),
    }
}
