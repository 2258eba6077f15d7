//! `kiln neighbors`: each sample beside the training images nearest to it, so that copies would be seen (Goodfellow et al., 2014, figure 2).

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::draw::{self, Order};
use super::endings;
use super::judged::{self, Likeness};
use super::measured::weights_in_words;
use super::output::{Output, as_text};
use super::pictures::check_grid;
use crate::error::{Error, Result};
use crate::eval::quality::{Rows, nearest};
use crate::report::{self, GridOptions};
use crate::runtime::Device;
use crate::train::{JUDGE_SEED, Trained, training_data};
use crate::wait::Wait;

/// Arguments of `neighbors`.
#[derive(Args)]
pub struct NeighborsArgs {
    /// Run folder
    pub run: PathBuf,
    /// Number of samples
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub count: usize,
    /// Training images looked through
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub limit: usize,
    /// Steps of the classifier whose features are compared
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub classifier_steps: u64,
    /// The .png to write
    #[arg(long, value_name = "F.png")]
    pub out: PathBuf,
}

/// `kiln neighbors`
pub fn run(args: &NeighborsArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "pictures", &["png"])?;
    if args.count == 0 || args.limit == 0 {
        return Err(Error::usage("kiln neighbors takes -n and --limit of at least 1"));
    }
    let device = Device::open(&common.device).wait()?;
    let mut trained = Trained::load(&args.run, &device, false)?;
    if trained.recipe.data.points {
        return Err(Error::usage("kiln neighbors draws pictures of images, and this model was made for points; take kiln eval"));
    }
    check_grid(3 * args.count, trained.recipe.data.dims, false)?;
    let seed = common.seed.unwrap_or(1);
    let likeness = Likeness::of(&trained, trained.recipe.data.binarization, JUDGE_SEED);
    let mut drawn = draw::all_shown(&mut trained, &device, &Order::plain(args.count, seed), output)?;
    likeness.apply_to_samples(&mut drawn, seed);
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let training = likeness.images(training_data(&trained.recipe)?, args.limit)?;
    let seen = training.values;
    let in_pixels = nearest(Rows::new(&drawn, item), Rows::new(&seen, item));
    let classes = trained.recipe.data.classes;
    let mut picture = drawn.clone();
    let mut row = |found: &[(usize, f32)]| found.iter().for_each(|(at, _)| picture.extend_from_slice(&seen[at * item..(at + 1) * item]));
    row(&in_pixels);
    let mut captions = vec!["sample".to_string(), "nearest in pixels".to_string()];
    let mut by = (String::new(), serde_json::Value::Null);
    if classes > 1 {
        let mut judge = judged::open(&trained.recipe, &device, args.classifier_steps, output)?;
        let (of_seen, of_drawn) = (judge.judge(&device, &seen).wait()?, judge.judge(&device, &drawn).wait()?);
        by = (format!("\n{}", judged::in_words(&judge)), judged::as_json(&judge));
        row(&nearest(Rows::new(&of_drawn.features, of_drawn.width), Rows::new(&of_seen.features, of_seen.width)));
        captions.push("nearest in features".into());
    }
    let options = GridOptions { columns: args.count, row_captions: captions, ..GridOptions::default() };
    report::save_png(&args.out, &report::grid_with(&picture, dims, &options))?;
    let mean = in_pixels.iter().map(|f| f64::from(f.1)).sum::<f64>() / args.count as f64;
    let weights = weights_in_words(&trained, false);
    let words = format!(
        "{} samples (seed {seed}, {weights}) beside their nearest of {} training images, {} (mean distance {mean:.3}), {} · {}{}",
        args.count,
        seen.len() / item,
        training.name,
        likeness.in_words(),
        args.out.display(),
        by.0
    );
    let object = json!({
        "out": as_text(&args.out), "samples": args.count, "seed": seed, "weights": weights, "training": seen.len() / item, "data": training.name,
        "mean_distance": mean, "likeness": likeness.in_words(), "judge": by.1,
    });
    output.result(&words, &object)
}
