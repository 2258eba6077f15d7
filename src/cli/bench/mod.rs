//! `kiln bench`.

mod args;
mod ceilings;
mod earlier;
mod growth;
mod kernels;
mod ranks;
mod sample;
mod split;
mod sweep;
mod trace;
mod train;
pub(in crate::cli) mod workloads;

use args::Swept;
pub use args::{BenchArgs, BenchWhat};

use crate::cli::common::Common;
use crate::cli::output::Output;
use crate::error::{Error, Result};
use crate::runtime::Device;
use crate::shader::Choices;
use crate::wait::Wait;

/// Steps run before timing starts.
const WARMUP: usize = 3;

/// The device that does nothing, which benches alone take: what is left of a step is what the host does.
const NOOP: &str = "noop";

/// Minimum, median and maximum.
fn spread(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [times[0], times[times.len() / 2], times[times.len() - 1]]
}

/// Refuses words that mean nothing together.
fn check_words(args: &BenchArgs, common: &Common) -> Result<()> {
    if args.steps == 0 {
        return Err(Error::usage("--steps must be at least 1"));
    }
    if matches!(args.what, BenchWhat::Sample | BenchWhat::Sweep) && args.trace.is_some() {
        return Err(Error::usage("--trace draws the steps of bench train or bench kernels; bench sample and bench sweep have none"));
    }
    if args.what != BenchWhat::Kernels && args.sweep {
        return Err(Error::usage("--sweep belongs to bench kernels"));
    }
    if !matches!(args.what, BenchWhat::Kernels | BenchWhat::Sweep) && args.picture.is_some() {
        return Err(Error::usage("--picture belongs to bench kernels and bench sweep"));
    }
    match (args.what, args.swept) {
        (BenchWhat::Sweep, None) => return Err(Error::usage("say what grows: kiln bench sweep train or kiln bench sweep eval")),
        (BenchWhat::Sweep, Some(_)) if args.batch.is_some() => {
            return Err(Error::usage("the batch is one of the sizes that bench sweep lets grow; leave --batch out"));
        }
        (BenchWhat::Sweep, _) | (_, None) => {}
        (_, Some(_)) => return Err(Error::usage("only bench sweep takes a second word, train or eval")),
    }
    if args.swept != Some(Swept::Eval) && args.files.is_some() {
        return Err(Error::usage("--files belongs to bench sweep eval"));
    }
    match (args.what, args.lanes) {
        (BenchWhat::Ranks, _) if args.trace.is_some() => {
            return Err(Error::usage("--trace draws the steps of bench train or bench kernels"));
        }
        (BenchWhat::Ranks, _) | (_, None) => {}
        (_, Some(_)) => return Err(Error::usage("--lanes belongs to bench ranks")),
    }
    if args.what != BenchWhat::Ranks && common.ranks.count() > 1 {
        return Err(Error::usage("several processes do kiln bench ranks; what else kiln bench measures is one process's, without mpirun"));
    }
    Ok(())
}

/// `kiln bench`
pub fn run(args: &BenchArgs, common: &Common, output: &Output) -> Result<()> {
    common.ranks.agree(check_words(args, common))?;
    let mut device = if common.device == NOOP { Device::noop().wait()? } else { common.open_device()? };
    if let Some(forced) = &args.variant {
        if matches!(device, Device::Cpu(_)) {
            return Err(Error::usage("--variant chooses among a GPU's kernels; the CPU executor has none (name an adapter with --device)"));
        }
        device = device.with_choices(Choices::forcing(forced)?);
    }
    let device = device.with_precision(args.precision.unwrap_or_default()).wait()?;
    match args.what {
        BenchWhat::Train => train::run(args, &device, output),
        BenchWhat::Sample => sample::run(args, &device, output),
        BenchWhat::Kernels => kernels::run(args, &device, output),
        BenchWhat::Ranks => ranks::run(args, &device, &common.ranks, output),
        BenchWhat::Sweep => growth::run(args, args.swept.unwrap_or(Swept::Train), &device, output),
    }
}
