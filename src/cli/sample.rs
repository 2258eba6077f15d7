//! `kiln sample` and `kiln complete`.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::args::{Common, CompleteArgs, MethodArg, SampleArgs};
use super::output::Output;
use crate::data::{self, OpenOptions, Scale, Split};
use crate::error::{Error, Result};
use crate::eval::one_hot;
use crate::graph::Step;
use crate::report;
use crate::runtime::{Device, Program, Weights};
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::sample::{latents, truncated_latents};
use crate::train::Trained;

/// Images drawn at a time.
const CHUNK: usize = 256;

fn weights(trained: &Trained) -> Weights {
    if trained.recipe.train.ema > 0.0 { Weights::Average } else { Weights::Current }
}

/// Refuses what cannot be drawn.
fn check_amount(count: usize, temperature: f32) -> Result<()> {
    if count == 0 {
        return Err(Error::usage("at least one image must be drawn; take -n 1 or more"));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::usage(format!("--temperature must be above 0, not {temperature}")));
    }
    Ok(())
}

/// Refuses an ending that images are not written to, before they are drawn.
fn check_ending(path: &Path) -> Result<()> {
    match path.extension().and_then(|e| e.to_str()) {
        None | Some("npy" | "png") => Ok(()),
        Some(other) => Err(Error::usage(format!("images are written as .png, .npy or into a folder, not as .{other}"))),
    }
}

/// Draws images in 0..1 (or points), `[count, H, W, C]`, with ln p of each where the model knows it.
pub fn draw(trained: &mut Trained, device: &Device, args: &SampleArgs, seed: u64, tick: &dyn Fn(usize)) -> Result<(Vec<f32>, Vec<f64>)> {
    check_amount(args.count, args.temperature)?;
    if args.class.is_some() && !trained.model.conditional() {
        return Err(Error::usage(format!("{} is not conditional, so --class chooses nothing; leave it out", trained.model.name())));
    }
    if let Some(limit) = args.truncation.filter(|l| !(*l >= 0.01 && l.is_finite())) {
        return Err(Error::usage(format!("--truncation must be at least 0.01, not {limit}")));
    }
    let weights = weights(trained);
    let (mut images, mut log_p) = (Vec::new(), Vec::new());
    if trained.model.raster(1)?.is_some() {
        let method = if args.method == MethodArg::Naive { Method::Naive } else { Method::Cached };
        let model = trained.model.as_ref();
        let mut sampler = RasterSampler::new(device, model, &trained.state, weights, method)?;
        let top = (sampler.levels() - 1) as f32;
        for first in (0..args.count).step_by(CHUNK) {
            let count = CHUNK.min(args.count - first);
            let job = Job { count, seed, first, temperature: args.temperature, keep: None };
            let drawn = sampler.sample(model, &mut trained.state, &job)?;
            images.extend(drawn.images.into_iter().map(|v| v / top));
            log_p.extend(drawn.log_p);
            tick(images.len());
        }
        return Ok((images, log_p));
    }
    let chunk = CHUNK.min(args.count);
    if trained.model.latent().is_some() && !trained.model.has_prior() {
        let reason = "has no distribution over its latents to draw from; take a vae, or kiln interpolate between images";
        return Err(Error::usage(format!("{} {reason}", trained.model.name())));
    }
    let graph = trained.model.decode_graph(chunk)?;
    let graph = graph.ok_or_else(|| Error::usage(format!("{} draws no images", trained.model.name())))?;
    let mut program = Program::new(device, &graph, &trained.state, weights)?;
    let (latent, classes) = (trained.model.latent().unwrap_or(0), trained.recipe.data.classes);
    if let Some(class) = args.class.filter(|c| *c as usize >= classes) {
        return Err(Error::usage(format!("there is no class {class}; the data has {classes}")));
    }
    let item: usize = trained.recipe.data.dims.iter().product();
    for first in (0..args.count).step_by(chunk) {
        let count = chunk.min(args.count - first);
        let z = match args.truncation {
            Some(limit) => truncated_latents(seed, first, chunk, latent, limit),
            None => latents(seed, first, chunk, latent),
        };
        let z: Vec<f32> = z.into_iter().map(|v| v * args.temperature).collect();
        program.write("z", &z)?;
        let labels: Vec<u32> = (first..first + chunk).map(|i| args.class.unwrap_or((i % classes.max(1)) as u32)).collect();
        program.write("labels", &one_hot(&labels, classes, chunk))?;
        program.run(&mut trained.state, &Step { seed, first_item: first as u32, ..Step::default() })?;
        images.extend_from_slice(&program.read(&trained.state, "x")?[..count * item]);
        tick(images.len());
    }
    Ok((images, log_p))
}

/// Writes images as the ending of the path asks: a grid, an array, or a folder of files.
pub fn write_images(path: &Path, images: &[f32], dims: [usize; 3], points: bool) -> Result<()> {
    let item: usize = dims.iter().product();
    let count = images.len() / item;
    match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => {
            let shape: Vec<usize> = [count].into_iter().chain(dims).collect();
            report::write_npy_f32(path, &shape, images)
        }
        Some("png") if points => report::save_png(path, &report::scatter("samples", &[report::PointSet::from_values("samples", images)])),
        Some("png") => report::save_png(path, &report::grid(images, dims, columns(count))),
        _ => {
            for (i, image) in images.chunks(item).enumerate() {
                report::save_png(&path.join(format!("{i:05}.png")), &report::image(image, dims))?;
            }
            Ok(())
        }
    }
}

/// Columns of a roughly square grid.
fn columns(count: usize) -> usize {
    (1..).find(|c| c * c >= count).unwrap_or(1)
}

/// `kiln sample`
pub fn sample(args: &SampleArgs, common: &Common, output: &Output) -> Result<()> {
    check_ending(&args.out)?;
    let device = Device::open(&common.device)?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let seed = common.seed.unwrap_or(1);
    let bar = output.bar(args.count as u64, "images");
    let start = Instant::now();
    let drawn = draw(&mut trained, &device, args, seed, &|values| bar.set_position((values / item) as u64));
    bar.finish_and_clear();
    let (images, log_p) = drawn?;
    let seconds = start.elapsed().as_secs_f64();
    write_images(&args.out, &images, dims, trained.recipe.data.points)?;
    let mean = (!log_p.is_empty()).then(|| log_p.iter().sum::<f64>() / log_p.len() as f64);
    let likelihood = mean.map(|m| format!(" · mean log p {m:.2} nats")).unwrap_or_default();
    let words = format!(
        "drew {} images of {} at step {} in {seconds:.2} s{likelihood} · seed {seed} · {}",
        args.count,
        trained.recipe.model,
        trained.progress.step,
        args.out.display()
    );
    let object = json!({
        "out": args.out, "count": args.count, "seed": seed, "seconds": seconds, "mean_log_p": mean, "device": device.name(),
        "step": trained.progress.step,
    });
    output.result(&words, &object)
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
pub fn complete(args: &CompleteArgs, common: &Common, output: &Output) -> Result<()> {
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
            let options =
                OpenOptions { seed: trained.recipe.seed, limit: None, resize: trained.recipe.data.resize, ..OpenOptions::default() };
            let source = data::open(source, Split::Test, &options)?;
            crate::eval::check_data(trained.model.as_ref(), dims, source.as_ref())?;
            let count = args.count.min(source.len());
            let source = data::first(source, count)?;
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
