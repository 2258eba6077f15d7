//! `kiln interpolate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::common::Common;
use super::encode::codes;
use super::endings;
use super::latents::decode;
use super::measured::{EvalArgs, Measured, weights_in_words};
use super::output::{Output, as_text};
use super::pictures::check_grid;
use crate::error::{Error, Result};
use crate::model::need;
use crate::report::{self, GridOptions};
use crate::runtime::Device;
use crate::sample::{self, latent};
use crate::train::Trained;

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

/// Refuses more ways than there are pairs of images.
fn check_ends(ways: usize, images: usize, name: &str) -> Result<()> {
    if images >= 2 * ways {
        return Ok(());
    }
    let has = format!("{name} has {images} image{}", if images == 1 { "" } else { "s" });
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
    let (mut trained, device, ends, labels, images) = match &args.data {
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
            let codes = codes(&mut measured, &eval, common, true, output)?;
            (measured.trained, measured.device, codes.mean, codes.labels, codes.images)
        }
        None => {
            let device = Device::open(&common.device)?;
            let trained = Trained::load(&args.run, &device, args.best)?;
            let decoder = need::decodes(trained.model.as_ref())?;
            if !decoder.has_prior() {
                return Err(Error::usage(format!("{} has no prior to draw latents from; take --data", trained.model.name())));
            }
            let length = decoder.latent();
            let classes = trained.recipe.data.classes.max(1);
            let ends = sample::latents(common.seed.unwrap_or(1), 0, 2 * args.count, length);
            let labels = (0..2 * args.count).map(|i| (i / 2 % classes) as u32).collect();
            (trained, device, ends, labels, Vec::new())
        }
    };
    let length = need::decodes(trained.model.as_ref())?.latent();
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
    check_grid(z.len() / length, dims, false)?;
    let made = decode(&mut trained, &device, &z, &classes)?;
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
