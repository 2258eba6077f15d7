//! `kiln complete`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::output::Output;
use super::sample::{check_amount, check_ending, weights, write_images};
use crate::data::{self, Scale};
use crate::error::{Error, Result};
use crate::report;
use crate::runtime::Device;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::train::{DataRequest, Trained, open_data};

/// Arguments of `complete`.
#[derive(Args)]
pub struct CompleteArgs {
    /// Run folder
    pub run: PathBuf,
    /// An image to complete
    #[arg(long, value_name = "FILE", required_unless_present = "data")]
    pub image: Option<PathBuf>,
    /// Images to complete, instead of one
    #[arg(long, value_name = "SOURCE", conflicts_with = "image")]
    pub data: Option<String>,
    /// What is given: top:N, bottom:N, left:N or right:N rows or columns
    #[arg(long, value_name = "PART")]
    pub keep: String,
    /// Completions of the image, or images of the source
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// The .png grid (or .npy) to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Below 1, likelier and less varied images
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// Which places of an image `top:N`, `bottom:N`, `left:N` or `right:N` gives.
fn kept(part: &str, [h, w, c]: [usize; 3]) -> Result<Vec<bool>> {
    let bad = || {
        Error::usage(format!("--keep takes top:N, bottom:N, left:N or right:N with N up to the size of the image ({h}×{w}), not {part}"))
    };
    let (side, count) = part.split_once(':').ok_or_else(bad)?;
    let count: usize = count.parse().map_err(|_| bad())?;
    let most = if matches!(side, "top" | "bottom") { h } else { w };
    if count > most {
        return Err(bad());
    }
    let inside: fn(usize, usize, usize, usize, usize) -> bool = match side {
        "top" => |y, _, n, _, _| y < n,
        "bottom" => |y, _, n, h, _| y + n >= h,
        "left" => |_, x, n, _, _| x < n,
        "right" => |_, x, n, _, w| x + n >= w,
        _ => return Err(bad()),
    };
    Ok((0..h * w * c).map(|i| inside(i / c / w, i / c % w, count, h, w)).collect())
}

/// `kiln complete`
pub fn run(args: &CompleteArgs, common: &Common, output: &Output) -> Result<()> {
    let device = Device::open(&common.device)?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let seed = common.seed.unwrap_or(1);
    let mask = kept(&args.keep, dims)?;
    check_amount(args.count, args.temperature)?;
    check_ending(&args.out)?;
    let weights = weights(&trained);
    let mut sampler = RasterSampler::new(&device, trained.model.as_ref(), &trained.state, weights, Method::Cached)?;
    let (levels, top) = (sampler.levels(), (sampler.levels() - 1) as f32);
    let given = match (&args.image, &args.data) {
        (Some(path), _) => image_levels(path, dims, levels)?.repeat(args.count),
        (None, Some(source)) => {
            let request =
                DataRequest { source: Some(source), limit: Some(args.count), binarization: None, labels: trained.model.conditional() };
            let source = open_data(&trained.recipe, &request)?;
            let count = source.len();
            let binarization = trained.recipe.data.binarization;
            let mut values = Vec::new();
            for batch in data::sequential(source, count, seed, binarization, Scale::Levels) {
                values.extend(batch?.values.into_iter().map(|byte| level(byte, levels)));
            }
            values
        }
        (None, None) => return Err(Error::usage("kiln complete takes --image or --data")),
    };
    let count = given.len() / item;
    let job = Job { count, seed, first: 0, temperature: args.temperature, keep: Some((&given, &mask)) };
    let drawn = sampler.sample(trained.model.as_ref(), &mut trained.state, &job)?;
    let rest: Vec<f32> = drawn.images.iter().map(|v| v / top).collect();
    if args.out.extension().is_some_and(|e| e == "npy") {
        write_images(&args.out, &rest, dims, false)?;
    } else {
        // Three rows: the image, what is given of it, and what the model makes of that.
        let whole: Vec<f32> = given.iter().map(|v| v / top).collect();
        let seen = whole.iter().enumerate().map(|(i, v)| if mask[i % item] { *v } else { 0.5 });
        let picture: Vec<f32> = whole.iter().copied().chain(seen).chain(rest.iter().copied()).collect();
        report::save_png(&args.out, &report::grid(&picture, dims, count))?;
    }
    let mean = drawn.log_p.iter().sum::<f64>() / count as f64;
    let words = format!("completed {count} images (kept {}) · mean log p of the rest {mean:.2} nats · {}", args.keep, args.out.display());
    output.result(&words, &json!({"out": args.out, "count": count, "keep": args.keep, "mean_log_p": mean}))
}

/// The level of a byte: bits are rounded, more levels are cut as they are in training.
fn level(byte: f32, levels: usize) -> f32 {
    if levels == 2 { (byte / 255.0).round() } else { (byte * levels as f32 / 256.0).floor() }
}

/// An image file at a model's size, in levels.
fn image_levels(path: &Path, [h, w, c]: [usize; 3], levels: usize) -> Result<Vec<f32>> {
    if !path.is_file() {
        return Err(Error::format(path, "is no file; name an image to complete"));
    }
    let picture = image::open(path).map_err(|e| Error::format(path, format!("is no image that can be read: {e}")))?;
    if [picture.height() as usize, picture.width() as usize] != [h, w] {
        let reason = format!("is {}×{}, and the model draws {h}×{w}; scale it first", picture.height(), picture.width());
        return Err(Error::format(path, reason));
    }
    let bytes = if c == 1 { picture.to_luma8().into_raw() } else { picture.to_rgb8().into_raw() };
    Ok(bytes.into_iter().map(|b| level(f32::from(b), levels)).collect())
}
