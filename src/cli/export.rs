//! `kiln export`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::endings;
use super::output::{Output, as_text};
use crate::error::{Error, Result};
use crate::runtime::Device;
use crate::train::Trained;
use crate::train::checkpoint::{self, Numbers};
use crate::wait::Wait;

/// Arguments of `export`.
#[derive(Args)]
pub struct ExportArgs {
    /// Run folder
    pub run: PathBuf,
    /// The .safetensors file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The averaged weights, where the run keeps them
    #[arg(long)]
    pub average: bool,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// `kiln export`
pub fn run(args: &ExportArgs, _common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "weights", &["safetensors"])?;
    let trained = Trained::load(&args.run, &Device::CPU, args.best)?;
    if args.average && trained.recipe.train.ema == 0.0 {
        let shown = args.run.display();
        return Err(Error::usage(format!("{shown} keeps no averaged weights; leave --average out, or train with --set ema=0.999")));
    }
    checkpoint::export(&args.out, &trained.state, args.average, Numbers::F32).wait()?;
    let count = trained.model.state().parameters(true);
    let words = format!("wrote {count} parameters of {} at step {} to {}", trained.recipe.model, trained.progress.step, args.out.display());
    output.result(
        &words,
        &json!({"out": as_text(&args.out), "model": trained.recipe.model, "step": trained.progress.step, "parameters": count}),
    )
}
