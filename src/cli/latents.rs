//! `kiln encode`, `kiln interpolate` and `kiln latents`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::{Common, EncodeArgs, EvalArgs, InterpolateArgs, LatentsArgs, PathArg};
use super::eval::Measured;
use super::output::Output;
use crate::error::{Error, Result};
use crate::eval::{self, Codes};
use crate::random;
use crate::report::{self, GridOptions, PointSet};
use crate::runtime::Device;
use crate::sample::{self, latent};
use crate::train::Trained;

/// A latent dimension is in use where it tells at least this much of an image, in nats.
const IN_USE: f64 = 0.01;
/// Most rows of a traversal.
const ROWS: usize = 20;
/// Steps of a traversal, from −3 to 3.
const STEPS: usize = 11;
/// Side of the sheet of a 2-D latent.
const SHEET: usize = 20;

/// Encodes the data that the arguments name.
fn codes(measured: &mut Measured, args: &EvalArgs, common: &Common, keep_images: bool, output: &Output) -> Result<Codes> {
    if let Some(key) = measured.settings.keys().next() {
        return Err(Error::usage(format!("kiln encodes images with binarization alone, not with {key}")));
    }
    let options = measured.options(args, common, false);
    let bar = output.bar(measured.source.len() as u64, "images");
    let source = Arc::clone(&measured.source);
    let trained = &mut measured.trained;
    let codes = eval::encode(&measured.device, trained.model.as_ref(), &mut trained.state, source, &options, keep_images, |done| {
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    codes
}

/// Images of latents, each of a class.
fn decode(trained: &mut Trained, device: &Device, z: &[f32], labels: &[u32]) -> Result<Vec<f32>> {
    let weights = if trained.recipe.train.ema > 0.0 { crate::runtime::Weights::Average } else { crate::runtime::Weights::Current };
    let labels = (labels, trained.recipe.data.classes);
    latent::decode(device, trained.model.as_ref(), &mut trained.state, weights, z, labels)
}

/// `name.npy` as `name.PART.npy`.
fn beside(path: &Path, part: &str) -> PathBuf {
    path.with_extension(format!("{part}.npy"))
}

/// `kiln encode`
pub fn encode(args: &EncodeArgs, common: &Common, output: &Output) -> Result<()> {
    if args.out.extension().is_none_or(|e| e != "npy") {
        return Err(Error::usage(format!("codes are written as .npy, not to {}", args.out.display())));
    }
    let mut measured = Measured::open(&args.eval, common)?;
    let codes = codes(&mut measured, &args.eval, common, false, output)?;
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
    let words = format!("encoded {count} images to {} numbers each: {}", codes.latent, shown.join(", "));
    output.result(&words, &json!({"files": files, "images": count, "latent": codes.latent}))
}

/// `kiln interpolate`
pub fn interpolate(args: &InterpolateArgs, common: &Common, output: &Output) -> Result<()> {
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
            let codes = codes(&mut measured, &eval, common, true, output)?;
            (measured.trained, measured.device, codes.mean, codes.labels, codes.images)
        }
        None => {
            let device = Device::open(&common.device)?;
            let trained = Trained::load(&args.run, &device, args.best)?;
            let none = || Error::usage(format!("{} has no latents to walk between", trained.model.name()));
            let length = trained.model.latent().ok_or_else(none)?;
            if !trained.model.has_prior() {
                return Err(Error::usage(format!("{} has no prior to draw latents from; take --data", trained.model.name())));
            }
            let classes = trained.recipe.data.classes.max(1);
            let ends = sample::latents(common.seed.unwrap_or(1), 0, 2 * args.count, length);
            let labels = (0..2 * args.count).map(|i| (i / 2 % classes) as u32).collect();
            (trained, device, ends, labels, Vec::new())
        }
    };
    let length = trained.model.latent().unwrap_or(0).max(1);
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
    let made = decode(&mut trained, &device, &z, &classes)?;
    let dims = trained.recipe.data.dims;
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
    let mut column_captions = vec![String::new(); columns];
    if !images.is_empty() {
        column_captions[0] = "image".into();
        column_captions[columns - 1] = "image".into();
    }
    let options = GridOptions { columns, row_captions: captions, column_captions, ..GridOptions::default() };
    report::save_png(&args.out, &report::grid_with(&picture, dims, &options))?;
    let words = format!("{pairs} ways of {} steps to {}", args.steps, args.out.display());
    output.result(&words, &json!({"out": args.out, "pairs": pairs, "steps": args.steps}))
}

/// `kiln latents`
pub fn latents(args: &LatentsArgs, common: &Common, output: &Output) -> Result<()> {
    let mut measured = Measured::open(&args.eval, common)?;
    let codes = codes(&mut measured, &args.eval, common, true, output)?;
    let kl = codes.kl_by_dimension();
    let mut order: Vec<usize> = (0..codes.latent).collect();
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
    save("reconstructions.png", &reconstructions(trained, device, &codes, args.count)?)?;
    save("traversals.png", &traversals(trained, device, &codes, &order, &kl)?)?;
    if codes.latent == 2 {
        let label = codes.labels.first().copied().unwrap_or(0);
        let images = decode(trained, device, &sheet(), &vec![label; SHEET * SHEET])?;
        save("sheet.png", &report::grid_with(&images, dims, &GridOptions { columns: SHEET, scale: Some(1), ..GridOptions::default() }))?;
        save("codes.png", &report::scatter("codes of the data", &by_class(&codes, &measured.source.class_names())))?;
    }
    let in_use = kl.iter().filter(|k| **k > IN_USE).count();
    let mut words = String::new();
    if !kl.is_empty() {
        let total: f64 = kl.iter().sum();
        words +=
            &format!("{in_use} of {} latent dimensions in use (mean KL above {IN_USE} nats); KL {total:.3} nats in all\n", codes.latent);
        for j in &order {
            words += &format!("  z{j:<4}{:>8.3} nats\n", kl[*j]);
        }
    }
    for file in &files {
        words += &format!("{}\n", file.display());
    }
    output.result(&words, &json!({"files": files, "kl": kl, "in_use": in_use, "latent": codes.latent}))
}

/// Rows of images and, below each, what comes back of them.
pub fn reconstructions(trained: &mut Trained, device: &Device, codes: &Codes, count: usize) -> Result<image::RgbImage> {
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let count = count.max(1).min(codes.mean.len() / codes.latent.max(1));
    let labels = codes.labels.get(..count).unwrap_or_default();
    let back = decode(trained, device, &codes.mean[..count * codes.latent], labels)?;
    let columns = count.min(16);
    let (mut picture, mut captions) = (Vec::new(), Vec::new());
    for (images, back) in codes.images[..count * item].chunks(columns * item).zip(back.chunks(columns * item)) {
        for (part, caption) in [(images, "images"), (back, "back")] {
            picture.extend_from_slice(part);
            // A last row that is not full is filled with black.
            picture.resize(picture.len().next_multiple_of(columns * item), 0.0);
            captions.push(caption.to_string());
        }
    }
    Ok(report::grid_with(&picture, dims, &GridOptions { columns, row_captions: captions, ..GridOptions::default() }))
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
