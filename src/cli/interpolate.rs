//! `kiln interpolate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::common::Common;
use super::denoising::DenoisingArgs;
use super::draw::{self, Order};
use super::encode::codes;
use super::endings;
use super::invert;
use super::measured::{EvalArgs, Measured, weights_in_words};
use super::output::{Output, as_text, counted};
use super::pictures::check_grid;
use crate::error::{Error, Result};
use crate::eval::Codes;
use crate::model::Model;
use crate::model::need::{self, Draws};
use crate::report::{self, GridOptions};
use crate::runtime::Device;
use crate::sample::diffusion::{Settings, Solver};
use crate::sample::{self, latent};
use crate::train::Trained;
use crate::wait::Wait;

/// Arguments of `interpolate`.
#[derive(Args)]
pub struct InterpolateArgs {
    /// Run folder
    pub run: PathBuf,
    /// Walk between the codes of these images, in pairs [default: between random latents]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// Number of ways
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N")]
    pub count: usize,
    /// Images of a way, both ends among them
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub steps: usize,
    /// Steps from noise to image (diffusion) [default: as suits the run and the sampler]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub noise_steps: Option<usize>,
    /// ddim, dpm (DPM-Solver++ 2M), heun or euler (diffusion) [default: ddim]
    #[arg(long, value_name = "SAMPLER")]
    pub sampler: Option<Solver>,
    /// How much is made of the label; see kiln sample (diffusion)
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// How to go
    #[arg(long, value_enum, default_value_t = PathArg::Spherical)]
    pub path: PathArg,
    /// The .png to write
    #[arg(long, value_name = "F.png")]
    pub out: PathBuf,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// The way between two latents.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum PathArg {
    /// In a straight line
    Straight,
    /// Along the arc, which keeps to the length of a typical latent
    Spherical,
    /// A row of each
    Both,
}

impl InterpolateArgs {
    /// How noise is taken away, of models that do.
    fn settings(&self, model: &dyn Model) -> Result<Option<Settings>> {
        let args = DenoisingArgs { steps: self.noise_steps, sampler: self.sampler, eta: None, guidance: self.guidance, threshold: None };
        let Some(network) = model.denoises() else { return args.settings(model) };
        let settings = args.settings_of(network, Some((Solver::Ddim, 0.0)))?;
        invert::check_settled("kiln interpolate", &settings)?;
        Ok(Some(settings))
    }
}

/// Length of a latent that may be drawn.
fn latent_length(trained: &Trained) -> Result<usize> {
    match need::draws(trained.model.as_ref()) {
        Ok(Draws::Noise(network)) => Ok(network.dims().iter().product()),
        _ => {
            let decoder = need::decodes(trained.model.as_ref())?;
            if !decoder.has_prior() {
                return Err(Error::usage(format!("{} has no prior to draw latents from; take --data", trained.model.name())));
            }
            Ok(decoder.latent())
        }
    }
}

/// Refuses more ways than there are pairs of images.
fn check_ends(ways: usize, images: usize, name: &str) -> Result<()> {
    if images >= 2 * ways {
        return Ok(());
    }
    let has = format!("{name} has {}", counted(images, "image"));
    Err(Error::usage(match images / 2 {
        0 => format!("a way goes between two images, and {has}; take other --data"),
        most => format!("{ways} ways go between {} images, and {has}; take -n {most}", 2 * ways),
    }))
}

/// `kiln interpolate`
pub fn run(args: &InterpolateArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "pictures", &["png"])?;
    if args.count == 0 || args.steps < 2 {
        return Err(Error::usage("kiln interpolate takes -n of at least 1 and --steps of at least 2"));
    }
    let seed = common.seed.unwrap_or(1);
    let (mut trained, device, codes) = match &args.data {
        Some(data) => {
            let eval = EvalArgs {
                run: args.run.clone(),
                data: Some(data.clone()),
                limit: Some(2 * args.count),
                batch: 64,
                set: Vec::new(),
                best: args.best,
            };
            let mut measured = Measured::open(&eval, common)?;
            check_ends(args.count, measured.source.len(), &measured.source.name())?;
            let settings = args.settings(measured.trained.model.as_ref())?;
            let codes = match &settings {
                Some(settings) => invert::codes(&mut measured, settings, common, output)?,
                None => codes(&mut measured, &eval, common, true, output)?,
            };
            (measured.trained, measured.device, codes)
        }
        None => {
            let device = Device::open(&common.device).wait()?;
            let trained = Trained::load(&args.run, &device, args.best)?;
            let latent = latent_length(&trained)?;
            let classes = trained.recipe.data.classes.max(1);
            let mean = sample::latents(seed, 0, 2 * args.count, latent);
            let labels = (0..2 * args.count).map(|i| (i / 2 % classes) as u32).collect();
            (trained, device, Codes { latent, mean, labels, ..Codes::default() })
        }
    };
    let settings = args.settings(trained.model.as_ref())?;
    let Codes { latent: length, mean: ends, labels, images, .. } = codes;
    if trained.recipe.data.points {
        return Err(Error::usage("kiln interpolate draws pictures of images, and this run was made for points; take kiln sample --z"));
    }
    let paths: &[(latent::Path, &str)] = match args.path {
        PathArg::Straight => &[(latent::Path::Straight, "straight")],
        PathArg::Spherical => &[(latent::Path::Spherical, "spherical")],
        PathArg::Both => &[(latent::Path::Straight, "straight"), (latent::Path::Spherical, "spherical")],
    };
    let pairs = ends.len() / length / 2;
    let (mut z, mut classes, mut captions) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let end = |k: usize| &ends[(2 * pair + k) * length..][..length];
        for (path, name) in paths {
            for step in 0..args.steps {
                z.extend(latent::between(*path, end(0), end(1), step as f64 / (args.steps - 1) as f64));
                // One class along the whole way: labels do not interpolate.
                classes.push(labels.get(2 * pair).copied().unwrap_or(0));
            }
            captions.push((*name).to_string());
        }
    }
    let dims = trained.recipe.data.dims;
    let count = z.len() / length;
    check_grid(count, dims, false)?;
    let order = Order { z: Some(z), labels: Some(classes), denoising: settings, ..Order::plain(count, seed) };
    let made = draw::all_shown(&mut trained, &device, &order, output)?;
    let item: usize = dims.iter().product();
    let mut picture = Vec::new();
    for (row, images_of_row) in made.chunks(args.steps * item).enumerate() {
        let pair = row / paths.len();
        let original = |k: usize| images.get((2 * pair + k) * item..(2 * pair + k + 1) * item).unwrap_or_default();
        picture.extend_from_slice(original(0));
        picture.extend_from_slice(images_of_row);
        picture.extend_from_slice(original(1));
    }
    let columns = args.steps + if images.is_empty() { 0 } else { 2 };
    let mut column_captions = Vec::new();
    if !images.is_empty() {
        column_captions = vec![String::new(); columns];
        column_captions[0] = "image".into();
        column_captions[columns - 1] = "image".into();
    }
    let options = GridOptions { columns, row_captions: captions, column_captions, ..GridOptions::default() };
    report::save_png(&args.out, &report::grid_with(&picture, dims, &options))?;
    let weights = weights_in_words(&trained, args.best);
    let words = format!("{pairs} ways of {} steps, {weights}, to {}", args.steps, args.out.display());
    output.result(&words, &json!({"out": as_text(&args.out), "pairs": pairs, "steps": args.steps, "weights": weights}))
}
