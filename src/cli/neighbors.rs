//! `kiln neighbors`: each sample beside the training images nearest to it, so that copies would be seen (Goodfellow et al., 2014, figure 2).

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::measured::{EvalArgs, Measured};
use super::output::Output;
use super::quality::{images, samples};
use crate::error::{Error, Result};
use crate::eval::judge;
use crate::eval::quality::{Rows, nearest};
use crate::report::{self, GridOptions};
use crate::train::{self, Silent, training_data};

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
    if args.count == 0 || args.limit == 0 {
        return Err(Error::usage("kiln neighbors takes -n and --limit of at least 1"));
    }
    let eval = EvalArgs { run: args.run.clone(), data: None, limit: None, batch: 64, set: Vec::new(), best: false };
    let mut measured = Measured::open(&eval, common)?;
    if measured.trained.recipe.data.points {
        return Err(Error::usage("kiln neighbors draws pictures of images, and this model was made for points; take kiln eval"));
    }
    let drawn = samples(&mut measured, &eval, args.count, common.seed.unwrap_or(1))?;
    let dims = measured.trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let training = training_data(&measured.trained.recipe)?;
    let (seen, _) = images(training, args.limit)?;
    let in_pixels = nearest(Rows::new(&drawn, item), Rows::new(&seen, item));
    let classes = measured.trained.recipe.data.classes;
    let mut picture = drawn.clone();
    let mut row = |found: &[(usize, f32)]| found.iter().for_each(|(at, _)| picture.extend_from_slice(&seen[at * item..(at + 1) * item]));
    row(&in_pixels);
    let mut captions = vec!["sample".to_string(), "nearest in pixels".to_string()];
    if classes > 1 {
        let mut classifier = train::classifier(&measured.trained, &measured.device, args.classifier_steps, &mut Silent)?;
        let net = classifier.model.as_ref();
        let of_seen = judge(&measured.device, net, &mut classifier.state, &seen, item, classes)?;
        let of_drawn = judge(&measured.device, net, &mut classifier.state, &drawn, item, classes)?;
        row(&nearest(Rows::new(&of_drawn.features, of_drawn.width), Rows::new(&of_seen.features, of_seen.width)));
        captions.push("nearest in features".into());
    }
    let options = GridOptions { columns: args.count, row_captions: captions, ..GridOptions::default() };
    report::save_png(&args.out, &report::grid_with(&picture, dims, &options))?;
    let mean = in_pixels.iter().map(|f| f64::from(f.1)).sum::<f64>() / args.count as f64;
    let words = format!(
        "{} samples beside their nearest of {} training images (mean distance {mean:.3}) · {}",
        args.count,
        seen.len() / item,
        args.out.display()
    );
    output.result(&words, &json!({"out": args.out, "samples": args.count, "training": seen.len() / item, "mean_distance": mean}))
}
