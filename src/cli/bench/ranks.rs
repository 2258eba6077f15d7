//! `kiln bench ranks`: what a training step in lanes takes on one rank and shared by several, and what the exchange takes of it.

use std::time::Instant;

use serde_json::json;

use super::args::BenchArgs;
use super::earlier::Earlier;
use super::workloads::{Prepared, WORKLOADS, Workload, chosen, no_such};
use super::{WARMUP, spread};
use crate::cli::output::{Output, counted};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::lanes::Lanes;
use crate::ranks::Ranks;
use crate::runtime::{Device, Program, State};
use crate::wait::Wait;

/// Workloads that are measured where no filter is given: one of each family whose step is short.
const USUAL: [&str; 4] = ["pixelcnn-28-b64", "vae-mlp-28-b128", "dcgan-32-b64", "diffusion-28-b32"];

/// Least, median and most seconds of the same step done in several ways.
struct Times {
    /// By the first rank, all lanes.
    alone: [f64; 3],
    /// By each rank its own lanes, as if the exchange took no time.
    apart: [f64; 3],
    /// By all ranks.
    together: [f64; 3],
    /// The exchange of as many numbers as there are weights, by itself; of one rank there is none.
    exchange: Option<[f64; 3]>,
}

/// `kiln bench ranks`
pub fn run(args: &BenchArgs, device: &Device, ranks: &Ranks, output: &Output) -> Result<()> {
    let old = ranks.agree(Earlier::asked(args))?;
    let count = ranks.count();
    let lanes = args.lanes.unwrap_or(count);
    let workloads = ranks.agree(planned(args, count, lanes))?;
    let mut rows = Vec::new();
    let mut words = format!(
        "{}, {}, seconds a step (medians of {})\n{:<22}{:>7}{:>9}{:>11}{:>11}{:>11}{:>11}{:>9}{:>10}{:>12}\n",
        counted(count, "rank"),
        counted(lanes, "lane"),
        args.steps,
        "workload",
        "batch",
        "MB",
        "one rank",
        "apart",
        "together",
        "exchange",
        "hidden",
        "speed-up",
        "efficiency"
    );
    let ways = if count > 1 { 4 } else { 3 };
    let bar = output.bar((workloads.len() * ways * (args.steps + WARMUP)) as u64, "steps");
    for (workload, batch) in workloads {
        let (times, numbers) = time(workload, (batch, lanes), args.steps, (device, ranks), &bar)?;
        let [alone, apart, together] = [times.alone, times.apart, times.together].map(|[_, median, _]| median);
        let exchange = times.exchange.map(|[_, median, _]| median);
        // What of the exchange did not lengthen the step.
        let hidden = exchange.map(|exchange| (1.0 - (together - apart) / exchange).clamp(0.0, 1.0));
        let (speed_up, shown) = (alone / together, |v: Option<f64>, scale: f64, places: usize, unit: &str| {
            v.map_or_else(|| "–".to_string(), |v| format!("{:.places$}{unit}", v * scale))
        });
        let row = json!({
            "workload": workload.name, "device": device.name(), "ranks": count, "lanes": lanes, "batch": batch, "exchanged_bytes": 4 * numbers,
            "one_rank_s": alone, "apart_s": apart, "together_s": together, "exchange_s": exchange, "hidden": hidden,
            "speed_up": speed_up, "efficiency": speed_up / count as f64,
            "spread": {"one_rank_s": times.alone, "apart_s": times.apart, "together_s": times.together, "exchange_s": times.exchange},
        });
        words += &format!(
            "{:<22}{batch:>7}{:>9.1}{alone:>11.5}{apart:>11.5}{together:>11.5}{:>11}{:>9}{speed_up:>10.2}{:>12}{}\n",
            workload.name,
            4.0 * numbers as f64 * 1e-6,
            shown(exchange, 1.0, 5, ""),
            shown(hidden, 100.0, 0, "%"),
            format!("{:.0}%", 100.0 * speed_up / count as f64),
            old.ratio(&row, &["workload", "batch", "ranks", "lanes"], "together_s")
        );
        rows.push(row);
    }
    bar.finish_and_clear();
    output.result(&words, &json!({"rows": rows}))
}

/// What is measured, and with how many items a step.
fn planned(args: &BenchArgs, count: usize, lanes: usize) -> Result<Vec<(&'static Workload<'static>, usize)>> {
    if !lanes.is_power_of_two() || !lanes.is_multiple_of(count) {
        let ranks = counted(count, "rank");
        return Err(Error::usage(format!("--lanes is a power of two, and as many for each of {ranks}, not {lanes}")));
    }
    let usual = |w: &&Workload<'_>| !args.filter.is_empty() || USUAL.contains(&w.name);
    let workloads: Vec<&Workload<'_>> = chosen(&args.filter).into_iter().filter(usual).collect();
    if workloads.is_empty() {
        return Err(no_such(&args.filter, &WORKLOADS.map(|w| w.name.to_string())));
    }
    let batches = workloads.into_iter().map(|workload| match args.batch.unwrap_or(workload.batch()) {
        batch if batch == 0 || !batch.is_multiple_of(lanes) => {
            Err(Error::usage(format!("a batch of {batch} cannot be {lanes} equal lanes; take another --batch or --lanes")))
        }
        batch => Ok((workload, batch)),
    });
    batches.collect()
}

/// Times a workload's step in lanes, and counts the numbers that are exchanged in it.
fn time(
    workload: &Workload<'_>,
    (batch, lanes): (usize, usize),
    steps: usize,
    (device, ranks): (&Device, &Ranks),
    bar: &indicatif::ProgressBar,
) -> Result<(Times, usize)> {
    let (prepared, mut state, graph) = workload.prepare(batch / lanes, device)?;
    let numbers = prepared.model.state().parameters(false);
    let mut measure = |who: &Ranks, works: bool| -> Result<[f64; 3]> {
        let mut taken = Lanes::new(device, &graph, &state, lanes, who).wait()?;
        timed(steps, ranks, bar, &mut |at| if works { step(&mut taken, (&prepared, &mut state), at) } else { Ok(()) })
    };
    let alone = measure(&Ranks::alone(), ranks.is_first())?;
    let apart = measure(&ranks.unconnected(), true)?;
    let together = measure(ranks, true)?;
    let exchange = if ranks.count() > 1 {
        let mut values = vec![0.0; numbers];
        let mut exchange = || -> Result<()> {
            values = ranks.sum(std::mem::take(&mut values))?.wait()?;
            Ok(())
        };
        Some(timed(steps, ranks, bar, &mut |_| exchange())?)
    } else {
        None
    };
    Ok((Times { alone, apart, together, exchange }, numbers))
}

/// Times work that all ranks begin together.
fn timed(steps: usize, ranks: &Ranks, bar: &indicatif::ProgressBar, work: &mut dyn FnMut(u64) -> Result<()>) -> Result<[f64; 3]> {
    let mut times = Vec::with_capacity(steps);
    for at in 1..=(WARMUP + steps) as u64 {
        ranks.gather(Vec::new())?;
        let start = Instant::now();
        work(at)?;
        if at > WARMUP as u64 {
            times.push(start.elapsed().as_secs_f64());
        }
        bar.inc(1);
    }
    Ok(spread(times))
}

/// One step, to its end.
fn step(lanes: &mut Lanes, (prepared, state): (&Prepared, &mut State), at: u64) -> Result<()> {
    let fill = |program: &mut Program, lane: usize| {
        prepared.write(program)?;
        Ok(Step { first_item: (lane * prepared.batch) as u32, ..prepared.step(at) })
    };
    let told = lanes.run(state, fill, &["loss"], false).wait()?;
    if told.values.is_none() {
        // Reading the loss waits for the device.
        lanes.program().read(state, "loss").wait()?;
    }
    Ok(())
}
