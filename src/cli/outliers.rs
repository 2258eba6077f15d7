//! `kiln outliers`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::measured::{EvalArgs, Measured};
use super::output::Output;
use crate::data::{self, Source};
use crate::error::{Error, Result};
use crate::eval;
use crate::report::{self, GridOptions};
use crate::train::{DataRequest, open_data};

/// Arguments of `outliers`.
#[derive(Args)]
pub struct OutliersArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// The other data
    #[arg(long, value_name = "SOURCE")]
    pub against: String,
    /// A .png of the likeliest and unlikeliest images of both
    #[arg(long, value_name = "F.png")]
    pub out: Option<PathBuf>,
}

/// Images of a row of the picture.
const COLUMNS: usize = 12;

/// What every figure of this command must be read with.
const CAVEAT: &str = "A likelihood is no measure of kinship: a model can find images it never saw, if they are smoother or emptier, likelier \
than its own (Nalisnick et al., 2019). An AUROC near or below 0.5 is that effect, and no error of the run.";

/// `kiln outliers`
pub fn run(args: &OutliersArgs, common: &Common, output: &Output) -> Result<()> {
    let mut measured = Measured::open(&args.eval, common)?;
    if let Some(key) = measured.settings.keys().next() {
        return Err(Error::usage(format!("kiln outliers takes no setting {key}")));
    }
    let recipe = &measured.trained.recipe;
    let request = DataRequest {
        source: Some(&args.against),
        limit: args.eval.limit,
        binarization: measured.asked,
        labels: measured.trained.model.conditional(),
    };
    let against = open_data(recipe, &request)?;
    let inliers = Arc::clone(&measured.source);
    let mut score = |source: &Arc<dyn Source>| -> Result<Vec<f64>> {
        let options = measured.options(&args.eval, common, false);
        let bar = output.bar(source.len() as u64, "images");
        let trained = &mut measured.trained;
        let scores = eval::score(&measured.device, trained.model.as_ref(), &mut trained.state, Arc::clone(source), &options, |done| {
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        Ok(scores?.nll)
    };
    let own = score(&inliers)?;
    let other = score(&against)?;
    let area = eval::auroc(&own, &other);
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (own_mean, other_mean) = (mean(&own), mean(&other));
    let mut words = format!(
        "AUROC {area:.4}: an image of {} scores worse than one of {} that often\nmean −log p: {own_mean:.2} nats of its own, \
         {other_mean:.2} of the others, over {} and {} images\n{CAVEAT}",
        against.name(),
        inliers.name(),
        own.len(),
        other.len(),
    );
    if let Some(path) = &args.out {
        let mut picture = Vec::new();
        for (source, nll) in [(&inliers, &own), (&against, &other)] {
            let order = ranked(nll);
            let worst = order.iter().rev().take(COLUMNS);
            for rows in [order.iter().take(COLUMNS).collect::<Vec<_>>(), worst.collect()] {
                picture.extend(read(source, &rows)?);
            }
        }
        let captions = ["its own, likeliest", "unlikeliest", "others, likeliest", "unlikeliest"].map(String::from).to_vec();
        let columns = COLUMNS.min(own.len()).min(other.len());
        let options = GridOptions { columns, row_captions: captions, ..GridOptions::default() };
        report::save_png(path, &report::grid_with(&picture, inliers.dims(), &options))?;
        words += &format!("\n{}", path.display());
    }
    let object = json!({
        "auroc": area, "model": measured.trained.recipe.model, "data": inliers.name(), "against": against.name(),
        "nats": own_mean, "nats_against": other_mean, "images": own.len(), "images_against": other.len(), "out": args.out,
        "caveat": CAVEAT,
    });
    output.result(&words, &object)
}

/// Indices from the least −log p to the largest.
fn ranked(nll: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nll.len()).collect();
    order.sort_by(|a, b| nll[*a].total_cmp(&nll[*b]));
    order
}

/// Images in 0..1.
fn read(source: &Arc<dyn Source>, indices: &[&usize]) -> Result<Vec<f32>> {
    let item = data::item_len(source.dims());
    let mut values = vec![0.0; indices.len() * item];
    for (out, index) in values.chunks_mut(item).zip(indices) {
        source.read(**index, out)?;
    }
    values.iter_mut().for_each(|v| *v /= 255.0);
    Ok(values)
}
