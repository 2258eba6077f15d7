//! `kiln bench sample`: images drawn, cached and naively, and where the time goes.

use std::time::Instant;

use serde_json::json;

use super::args::BenchArgs;
use super::earlier::Earlier;
use super::split::Split;
use super::workloads::{DENOISED, SAMPLED};
use crate::cli::output::Output;
use crate::error::Result;
use crate::model::need;
use crate::runtime::{Device, State, Weights};
use crate::sample::diffusion::{Drawer, Settings, Solver, Unwatched};
use crate::sample::latents;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::wait::Wait;

/// Images drawn by the cached sampler, and by the naive one on as many.
const SAMPLES: [(usize, Method, &str); 3] = [(16, Method::Cached, "cached"), (256, Method::Cached, "cached"), (16, Method::Naive, "naive")];

/// Images drawn by taking noise away, and the steps of each.
const NOISED: usize = 16;
const STEPS: usize = 50;

/// A run longer than this, in seconds, needs no other to be believed.
const LONG: f64 = 10.0;

/// `kiln bench sample`
pub fn run(args: &BenchArgs, device: &Device, output: &Output) -> Result<()> {
    let old = Earlier::asked(args)?;
    let alike = ["workload", "method", "images"];
    let mut rows = Vec::new();
    let mut words = format!("{:<28}{:>8}{:>12}{:>12}{:>12}{:>14}\n", "workload", "images", "median s", "min s", "max s", "images/s");
    for (workload, made) in SAMPLED {
        let asked = |method: Method, what: &str| {
            format!("{workload} {what}").contains(&args.filter) && (method != Method::Naive || !made.is_long())
        };
        let chosen = SAMPLES.into_iter().filter(|(_, method, what)| asked(*method, what)).collect::<Vec<_>>();
        if chosen.is_empty() {
            continue;
        }
        let model = made.build()?;
        let mut state = State::initial(device, model.state(), 1)?;
        for (count, method, what) in chosen {
            let mut sampler = RasterSampler::new(device, model.as_ref(), &state, Weights::Current, method).wait()?;
            let job = Job { count, seed: 1, first: 0, temperature: 1.0, keep: None, inputs: &[] };
            let repeats = if method == Method::Naive { 1 } else { args.steps };
            let mut runs = Vec::new();
            for at in 0..=repeats {
                let start = Instant::now();
                sampler.sample(model.as_ref(), &mut state, &job).wait()?;
                let took = start.elapsed().as_secs_f64();
                // The first run warms up, but where one takes long it is the only one.
                let long = method == Method::Naive || took > LONG;
                if at > 0 || long {
                    runs.push((took, sampler.spent()));
                }
                if long {
                    break;
                }
            }
            runs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (median, spent) = runs[runs.len() / 2];
            let (least, most) = (runs[0].0, runs[runs.len() - 1].0);
            let rate = count as f64 / median;
            let split = Split::of_job(median, spent, device);
            let name = format!("{workload} {what}");
            let row = json!({
                "workload": workload, "method": what, "device": device.name(), "images": count, "seconds": median,
                "min_s": least, "max_s": most, "images_per_s": rate, "time": split.json(),
            });
            let ratio = old.ratio(&row, &alike, "seconds");
            words += &format!("{name:<28}{count:>8}{median:>12.4}{least:>12.4}{most:>12.4}{rate:>14.1}{ratio}\n{}", split.words());
            rows.push(row);
        }
    }
    if DENOISED.0.contains(&args.filter) {
        let (line, row) = denoised(args, device)?;
        words += &format!("{line}{}\n", old.ratio(&row, &alike, "seconds"));
        rows.push(row);
    }
    output.result(&words, &json!({"rows": rows}))
}

/// Images by DDIM, all steps on the device.
fn denoised(args: &BenchArgs, device: &Device) -> Result<(String, serde_json::Value)> {
    let (name, made) = DENOISED;
    let model = made.build()?;
    let network = need::denoises(model.as_ref())?;
    let mut state = State::initial(device, model.state(), 1)?;
    let settings = Settings::of(network, Some(Solver::Ddim), Some(STEPS));
    let mut drawer = Drawer::new(device, model.as_ref(), &state, Weights::Current, &settings, NOISED).wait()?;
    let z = latents(1, 0, NOISED, network.dims().iter().product());
    let mut runs = Vec::new();
    for at in 0..=args.steps {
        let start = Instant::now();
        drawer.draw(&mut state, &z, &[], (1, 0), &mut Unwatched).wait()?;
        // The first run warms up.
        if at > 0 {
            runs.push(start.elapsed().as_secs_f64());
        }
    }
    let [least, median, most] = super::spread(runs);
    let rate = NOISED as f64 / median;
    let line = format!("{name:<28}{NOISED:>8}{median:>12.4}{least:>12.4}{most:>12.4}{rate:>14.1}");
    let row = json!({
        "workload": name, "method": "ddim", "steps": STEPS, "device": device.name(), "images": NOISED, "seconds": median,
        "min_s": least, "max_s": most, "images_per_s": rate,
    });
    Ok((line, row))
}
