//! `kiln latents`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::encode::codes;
use super::measured::{EvalArgs, Measured, weights_in_words};
use super::output::{Output, as_text, counted};
use super::pictures::check_grid;
use crate::data;
use crate::error::{Error, Result};
use crate::eval::Codes;
use crate::model::need;
use crate::random;
use crate::report::{self, GridOptions, Mark, PointSet};
use crate::runtime::Device;
use crate::sample::latent;
use crate::train::Trained;
use crate::wait::Wait;

/// Arguments of `latents`.
#[derive(Args)]
pub struct LatentsArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// Images set beside their reconstructions
    #[arg(short = 'n', long, default_value_t = 32, value_name = "N")]
    pub count: usize,
    /// The folder of pictures to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// A latent dimension is in use where it tells at least this much of an image, in nats.
pub const IN_USE: f64 = 0.1;
/// Most rows of a traversal.
const ROWS: usize = 20;
/// Steps of a traversal, from −3 to 3.
const STEPS: usize = 11;
/// Side of the sheet of a 2-D latent.
const SHEET: usize = 20;

/// Images of latents, each of a class.
pub fn decode(trained: &mut Trained, device: &Device, z: &[f32], labels: &[u32]) -> Result<Vec<f32>> {
    let weights = if trained.recipe.train.ema > 0.0 { crate::runtime::Weights::Average } else { crate::runtime::Weights::Current };
    let labels = (labels, trained.recipe.data.classes);
    latent::decode(device, trained.model.as_ref(), &mut trained.state, weights, z, labels).wait()
}

/// `kiln latents`
pub fn run(args: &LatentsArgs, common: &Common, output: &Output) -> Result<()> {
    if args.count == 0 {
        return Err(Error::usage("at least one image is set beside its reconstruction; take -n 1 or more"));
    }
    let mut measured = Measured::open_as(&args.eval, common, |trained, _| {
        need::encodes(trained.model.as_ref())?;
        Ok(trained.model.conditional())
    })?;
    check_grid(2 * args.count, measured.trained.recipe.data.dims, false)?;
    let name = measured.source.name();
    let of_all = codes(&mut measured, &args.eval, common, false, output)?;
    measured.source = data::subset(Arc::clone(&measured.source), args.count)?;
    let shown = codes(&mut measured, &args.eval, common, true, output)?;
    let kl = of_all.kl_by_dimension();
    let mut order: Vec<usize> = (0..of_all.latent).collect();
    if !kl.is_empty() {
        order.sort_by(|a, b| kl[*b].total_cmp(&kl[*a]));
    }
    let dims = measured.trained.recipe.data.dims;
    let points = measured.trained.recipe.data.points;
    let (trained, device) = (&mut measured.trained, &measured.device);
    let mut files = Vec::new();
    let mut save = |name: &str, picture: &image::RgbImage| -> Result<()> {
        let path = args.out.join(name);
        report::save_png(&path, picture)?;
        files.push(path);
        Ok(())
    };
    if points {
        return Err(Error::usage("kiln latents draws pictures of images, and this model was made for points; take kiln encode"));
    }
    save("reconstructions.png", &reconstructions(trained, device, &shown, args.count)?)?;
    save("traversals.png", &traversals(trained, device, &shown, &order, &kl)?)?;
    if of_all.latent == 2 {
        let label = shown.labels.first().copied().unwrap_or(0);
        let images = decode(trained, device, &sheet(), &vec![label; SHEET * SHEET])?;
        save("sheet.png", &report::grid_with(&images, dims, &GridOptions { columns: SHEET, scale: Some(1), ..GridOptions::default() }))?;
        save("codes.png", &report::scatter("codes of the data", &by_class(&of_all, &measured.source.class_names())))?;
    }
    let in_use = kl.iter().filter(|k| **k > IN_USE).count();
    let mut words = String::new();
    if !kl.is_empty() {
        let total: f64 = kl.iter().sum();
        words +=
            &format!("{in_use} of {} latent dimensions in use (mean KL above {IN_USE} nats); KL {total:.3} nats in all\n", of_all.latent);
        for j in &order {
            words += &format!("  z{j:<4}{:>8.3} nats\n", kl[*j]);
        }
    }
    let weights = weights_in_words(trained, args.eval.best);
    words += &format!("{} of {name}, {weights}\n", counted(of_all.mean.len() / of_all.latent.max(1), "image"));
    let files: Vec<String> = files.iter().map(|file| as_text(file)).collect();
    for file in &files {
        words += &format!("{file}\n");
    }
    output.result(&words, &json!({"files": files, "kl": kl, "in_use": in_use, "latent": of_all.latent, "data": name, "weights": weights}))
}

/// Rows of images and, below each, what comes back of them.
pub fn reconstructions(trained: &mut Trained, device: &Device, codes: &Codes, count: usize) -> Result<image::RgbImage> {
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let count = count.max(1).min(codes.mean.len() / codes.latent.max(1));
    let labels = codes.labels.get(..count).unwrap_or_default();
    let back = decode(trained, device, &codes.mean[..count * codes.latent], labels)?;
    let columns = count.min(16);
    let (mut picture, mut captions, mut marks) = (Vec::new(), Vec::new(), Vec::new());
    for (images, back) in codes.images[..count * item].chunks(columns * item).zip(back.chunks(columns * item)) {
        for (part, caption) in [(images, "images"), (back, "back")] {
            picture.extend_from_slice(part);
            // A last row may not be full.
            picture.resize(picture.len().next_multiple_of(columns * item), 0.0);
            marks.resize(marks.len() + part.len() / item, Mark::Plain);
            marks.resize(picture.len() / item, Mark::Hole);
            captions.push(caption.to_string());
        }
    }
    Ok(report::grid_with(&picture, dims, &GridOptions { columns, row_captions: captions, marks, ..GridOptions::default() }))
}

/// One row a dimension, the most used first: the first image's code with that coordinate going from −3 to 3 (for a deterministic
/// encoder, over the range that the data's codes take).
fn traversals(trained: &mut Trained, device: &Device, codes: &Codes, order: &[usize], kl: &[f64]) -> Result<image::RgbImage> {
    let start = &codes.mean[..codes.latent];
    let (mut z, mut captions) = (Vec::new(), Vec::new());
    for &j in order.iter().take(ROWS) {
        let [low, high] = if kl.is_empty() { range(codes, j) } else { [-3.0, 3.0] };
        for step in 0..STEPS {
            let mut here = start.to_vec();
            here[j] = low + (high - low) * step as f32 / (STEPS - 1) as f32;
            z.extend(here);
        }
        captions.push(kl.get(j).map_or_else(|| format!("z{j}"), |k| format!("z{j}: {k:.2}")));
    }
    let labels = vec![codes.labels.first().copied().unwrap_or(0); z.len() / codes.latent];
    let images = decode(trained, device, &z, &labels)?;
    let options = GridOptions { columns: STEPS, row_captions: captions, ..GridOptions::default() };
    Ok(report::grid_with(&images, trained.recipe.data.dims, &options))
}

/// Least and largest coordinate `j` of the codes.
fn range(codes: &Codes, j: usize) -> [f32; 2] {
    let values = || codes.mean.iter().skip(j).step_by(codes.latent);
    [values().copied().fold(f32::INFINITY, f32::min), values().copied().fold(f32::NEG_INFINITY, f32::max)]
}

/// The unit square through the normal quantiles (Kingma and Welling, 2014, figure 4): every cell is as likely as any other.
fn sheet() -> Vec<f32> {
    let quantile = |i: usize| random::normal((((i as f64 + 0.5) / SHEET as f64) * 4_294_967_296.0) as u32);
    // Up is up: the first row has the largest second coordinate.
    (0..SHEET).flat_map(|y| (0..SHEET).flat_map(move |x| [quantile(x), quantile(SHEET - 1 - y)])).collect()
}

/// 2-D codes as one set of points a class.
fn by_class(codes: &Codes, names: &[String]) -> Vec<PointSet> {
    if codes.labels.is_empty() {
        return vec![PointSet::from_values("codes", &codes.mean)];
    }
    let of = |class: usize| -> Vec<f32> {
        let kept = codes.mean.chunks(2).zip(&codes.labels).filter(|(_, label)| **label as usize == class);
        kept.flat_map(|(z, _)| z.to_vec()).collect()
    };
    names.iter().enumerate().map(|(class, name)| PointSet::from_values(name.clone(), &of(class))).collect()
}
