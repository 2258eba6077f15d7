//! `kiln outliers`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::endings;
use super::measured::{EvalArgs, Measured, weights_in_words};
use super::oddness::{self, CAVEAT, Odd, Oddness, OddnessArgs};
use super::output::{Output, as_text};
use crate::data::{self, Binarization, Scale, Source};
use crate::error::{Error, Result};
use crate::eval::{self, Scores};
use crate::report::{self, GridOptions};
use crate::train::{DataRequest, open_data};
use crate::wait::Wait;

/// Arguments of `outliers`.
#[derive(Args)]
pub struct OutliersArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// The other data
    #[arg(long, value_name = "SOURCE")]
    pub against: String,
    #[command(flatten)]
    pub oddness: OddnessArgs,
    /// A .png of the likeliest and unlikeliest images of both
    #[arg(long, value_name = "F.png")]
    pub out: Option<PathBuf>,
}

/// Images of a row of the picture.
const COLUMNS: usize = 12;

/// `kiln outliers`
pub fn run(args: &OutliersArgs, common: &Common, output: &Output) -> Result<()> {
    if let Some(path) = &args.out {
        endings::check(path, "pictures", &["png"])?;
    }
    let mut measured = Measured::open(&args.eval, common)?;
    measured.refuse_settings("kiln outliers", "binarization=")?;
    let recipe = &measured.trained.recipe;
    if args.out.is_some() && recipe.data.points {
        return Err(Error::usage("kiln outliers draws pictures of images, and this model was made for points; leave --out out"));
    }
    let request = DataRequest {
        source: Some(&args.against),
        limit: args.eval.limit,
        binarization: measured.asked,
        labels: measured.trained.model.conditional(),
    };
    let against = open_data(recipe, &request)?;
    let inliers = Arc::clone(&measured.source);
    let options = measured.options(&args.eval, common, false);
    let mut odd = Odd::open(&args.oddness, &measured.trained, &measured.device)?;
    let held_out = if odd.learns() {
        let labels = measured.trained.model.conditional();
        Some(oddness::held_out(&measured.trained, labels, args.eval.limit, "what is typical")?)
    } else {
        None
    };
    let mut score = |source: &Arc<dyn Source>| -> Result<Scores> {
        let bar = output.bar(source.len() as u64, "images");
        let trained = &mut measured.trained;
        let scores = eval::score(&measured.device, trained.model.as_ref(), &mut trained.state, Arc::clone(source), &options, |done| {
            bar.set_position(done as u64);
        })
        .wait();
        bar.finish_and_clear();
        scores
    };
    if let Some(held_out) = &held_out {
        odd.learn(&score(held_out)?.nll);
    }
    let (of_own, of_other) = (score(&inliers)?.nll, score(&against)?.nll);
    let own = odd.of(&of_own, &inliers, &measured.device, &options, output)?;
    let other = odd.of(&of_other, &against, &measured.device, &options, output)?;
    let kind = args.oddness.score;
    let what = kind.in_words(oddness::is_exact(&measured.trained)?);
    let weights = weights_in_words(&measured.trained, args.eval.best);
    let area = eval::auroc(&own, &other);
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (own_mean, other_mean) = (mean(&own), mean(&other));
    let mut words = format!(
        "AUROC {area:.4}: an image of {} scores worse than one of {} that often\nmean {what}: {own_mean:.2} nats of its own, \
         {other_mean:.2} of the others, over {} and {} images\nbinarization {} · {weights}",
        against.name(),
        inliers.name(),
        own.len(),
        other.len(),
        measured.binarization,
    );
    let caveat = (kind == Oddness::Likelihood).then_some(CAVEAT);
    if let Some(caveat) = caveat {
        words += &format!("\n{caveat}");
    }
    if let Some(path) = &args.out {
        // A row of each kind, all as long as the shortest, so that captions stand beside their own images.
        let columns = COLUMNS.min(own.len()).min(other.len());
        let mut picture = Vec::new();
        for (source, nll) in [(&inliers, &own), (&against, &other)] {
            let order = ranked(nll);
            let likeliest = order.iter().take(columns);
            let shown: Vec<usize> = likeliest.chain(order.iter().rev().take(columns)).copied().collect();
            picture.extend(as_scored(source, &shown, measured.binarization, options.seed)?);
        }
        let ends = if kind == Oddness::Likelihood { ["likeliest", "unlikeliest"] } else { ["least odd", "oddest"] };
        let captions = ["its own", "others"].map(|whose| ends.map(|end| format!("{whose}, {end}"))).concat();
        let options = GridOptions { columns, row_captions: captions, ..GridOptions::default() };
        report::save_png(path, &report::grid_with(&picture, inliers.dims(), &options))?;
        words += &format!("\n{}", path.display());
    }
    let object = json!({
        "auroc": area, "model": measured.trained.recipe.model, "data": inliers.name(), "against": against.name(),
        "score": what, "weights": weights, "binarization": measured.binarization.to_string(),
        "nats": own_mean, "nats_against": other_mean, "images": own.len(), "images_against": other.len(), "out": args.out.as_deref().map(as_text),
        "caveat": caveat, "by": kind.word(),
    });
    output.result(&words, &object)
}

/// Indices from the least −log p to the largest.
fn ranked(nll: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nll.len()).collect();
    order.sort_by(|a, b| nll[*a].total_cmp(&nll[*b]));
    order
}

/// Images in 0..1, binarized as they were scored.
fn as_scored(source: &Arc<dyn Source>, indices: &[usize], binarization: Binarization, seed: u64) -> Result<Vec<f32>> {
    let item = data::item_len(source.dims());
    let mut values = vec![0.0; indices.len() * item];
    for batch in data::sequential(Arc::clone(source), 250, seed, binarization, Scale::Unit) {
        let batch = batch?;
        for (image, index) in batch.values.chunks(item).zip(&batch.indices) {
            let places = indices.iter().enumerate().filter(|(_, wanted)| **wanted == *index as usize);
            places.for_each(|(place, _)| values[place * item..(place + 1) * item].copy_from_slice(image));
        }
    }
    Ok(values)
}
