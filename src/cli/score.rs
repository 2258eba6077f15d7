//! `kiln score`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::measured::{EvalArgs, Measured};
use super::output::Output;
use crate::error::Result;
use crate::report;

/// Arguments of `score`.
#[derive(Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// The .npy file to write
    #[arg(long, value_name = "F.npy")]
    pub out: PathBuf,
    /// log p of every value of every image, [N, H, W, C]
    #[arg(long)]
    pub per_pixel: bool,
}

/// `kiln score`
pub fn run(args: &ScoreArgs, common: &Common, output: &Output) -> Result<()> {
    let mut measured = Measured::open(&args.eval, common)?;
    let scores = measured.score(&args.eval, common, args.per_pixel, output)?;
    let n = scores.nll.len();
    let shape: Vec<usize> = if args.per_pixel {
        let values: Vec<f32> = scores.map.iter().map(|v| -v).collect();
        let shape: Vec<usize> = [n].into_iter().chain(measured.source.dims()).collect();
        report::write_npy_f32(&args.out, &shape, &values)?;
        shape
    } else {
        let values: Vec<f32> = scores.nll.iter().map(|v| -*v as f32).collect();
        report::write_npy_f32(&args.out, &[n], &values)?;
        vec![n]
    };
    let figure = scores.figure(measured.source.dims().iter().product());
    let words = format!("wrote log p of {n} images (mean {:.3} nats) to {}", -figure.nats, args.out.display());
    let object = json!({"out": args.out, "shape": shape, "mean_log_p": -figure.nats, "binarization": measured.binarization.to_string()});
    output.result(&words, &object)
}
