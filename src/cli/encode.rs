//! `kiln encode`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::denoising::DenoisingArgs;
use super::endings;
use super::invert;
use super::measured::{EvalArgs, Measured, weights_in_words};
use super::output::{Output, counted};
use crate::error::Result;
use crate::eval::{self, Codes};
use crate::model::need;
use crate::report;
use crate::sample::diffusion::Solver;
use crate::train::Trained;
use crate::wait::Wait;

/// Arguments of `encode`.
#[derive(Args)]
pub struct EncodeArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    #[command(flatten)]
    pub denoising: DenoisingArgs,
    /// The .npy file of means (of diffusion models, of the noise that images come of) to write; log variances and labels go beside it
    #[arg(long, value_name = "F.npy")]
    pub out: PathBuf,
}

/// Refuses a model that has no encoder, before its data are looked for; labels are used where it is given them.
pub fn encodes(trained: &Trained, _: &toml::Table) -> Result<bool> {
    if trained.model.denoises().is_none() {
        need::encodes(trained.model.as_ref())?;
    }
    Ok(trained.model.conditional())
}

/// Encodes the data that the arguments name.
pub fn codes(measured: &mut Measured, args: &EvalArgs, common: &Common, keep_images: bool, output: &Output) -> Result<Codes> {
    measured.refuse_settings("a command that encodes images", "binarization=")?;
    let options = measured.options(args, common, false);
    let bar = output.bar(measured.source.len() as u64, "images");
    let source = Arc::clone(&measured.source);
    let trained = &mut measured.trained;
    let codes = eval::encode(&measured.device, trained.model.as_ref(), &mut trained.state, source, &options, keep_images, |done| {
        bar.set_position(done as u64);
    })
    .wait();
    bar.finish_and_clear();
    codes
}

/// `name.npy` as `name.PART.npy`.
fn beside(path: &Path, part: &str) -> PathBuf {
    path.with_extension(format!("{part}.npy"))
}

/// `kiln encode`
pub fn run(args: &EncodeArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "codes", &["npy"])?;
    let mut measured = Measured::open_as(&args.eval, common, encodes)?;
    let settings = match measured.trained.model.denoises() {
        Some(network) => Some(args.denoising.settings_of(network, Some((Solver::Ddim, 0.0)))?),
        None => args.denoising.settings(measured.trained.model.as_ref())?,
    };
    let codes = match &settings {
        Some(settings) => invert::codes(&mut measured, settings, common, output)?,
        None => codes(&mut measured, &args.eval, common, false, output)?,
    };
    let back = settings.map(|settings| invert::round_trip(&mut measured, &settings, &codes)).transpose()?;
    let count = codes.mean.len() / codes.latent.max(1);
    let shape = [count, codes.latent];
    report::write_npy_f32(&args.out, &shape, &codes.mean)?;
    let mut files = vec![args.out.clone()];
    if !codes.log_var.is_empty() {
        files.push(beside(&args.out, "log_var"));
        report::write_npy_f32(&files[files.len() - 1], &shape, &codes.log_var)?;
    }
    if !codes.labels.is_empty() {
        files.push(beside(&args.out, "labels"));
        report::write_npy_u32(&files[files.len() - 1], &[codes.labels.len()], &codes.labels)?;
    }
    let shown: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let (name, weights) = (measured.source.name(), weights_in_words(&measured.trained, args.eval.best));
    let mut words =
        format!("encoded {} of {name} to {} numbers each, {weights}: {}", counted(count, "image"), codes.latent, shown.join(", "));
    if let Some((away, again)) = back {
        words += &format!("\nthe first {again}, drawn again of what they became, are off by {away:.4} a value on average");
    }
    let object = json!({
        "files": shown, "images": count, "latent": codes.latent, "data": name, "weights": weights, "round_trip": back.map(|(away, _)| away),
    });
    output.result(&words, &object)
}
