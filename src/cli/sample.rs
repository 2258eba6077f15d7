//! `kiln sample`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::common::Common;
use super::output::Output;
use crate::data::{find_class, one_hot};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::need::{self, Draws};
use crate::report;
use crate::runtime::{Device, Program, Weights};
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::sample::{latents, truncated_latents};
use crate::train::Trained;

/// Arguments of `sample`.
#[derive(Args)]
pub struct SampleArgs {
    /// Run folder
    pub run: PathBuf,
    /// Number of images
    #[arg(short = 'n', long, default_value_t = 64, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// Where they go: a .png grid, .npy, or a folder of .png
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Below 1, likelier and less varied images
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Draw latents beyond ± this again: fewer surprises, less variety
    #[arg(long, value_name = "LIMIT")]
    pub truncation: Option<f32>,
    /// How autoregressive models are sampled
    #[arg(long, value_enum, default_value_t = MethodArg::Cached)]
    pub method: MethodArg,
    /// Class of the images by its name, for conditional models [default: each in turn]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// How autoregressive models are sampled.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum MethodArg {
    /// Each node once per position
    Cached,
    /// A whole forward pass for each value
    Naive,
}

/// Images drawn at a time.
const CHUNK: usize = 256;

/// The averaged weights where the run keeps them.
pub fn weights(trained: &Trained) -> Weights {
    if trained.recipe.train.ema > 0.0 { Weights::Average } else { Weights::Current }
}

/// Refuses what cannot be drawn.
pub fn check_amount(count: usize, temperature: f32) -> Result<()> {
    if count == 0 {
        return Err(Error::usage("at least one image must be drawn; take -n 1 or more"));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::usage(format!("--temperature must be above 0, not {temperature}")));
    }
    Ok(())
}

/// Refuses an ending that images are not written to, before they are drawn.
pub fn check_ending(path: &Path) -> Result<()> {
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
    let class = args.class.as_ref().map(|word| find_class(&trained.recipe.data.class_names, word)).transpose()?;
    if let Some(limit) = args.truncation.filter(|l| !(*l >= 0.01 && l.is_finite())) {
        return Err(Error::usage(format!("--truncation must be at least 0.01, not {limit}")));
    }
    let weights = weights(trained);
    let (mut images, mut log_p) = (Vec::new(), Vec::new());
    if let Draws::Raster(_) = need::draws(trained.model.as_ref())? {
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
    let decoder = need::prior(trained.model.as_ref())?;
    let graph = decoder.decode_graph(chunk)?;
    let mut program = Program::new(device, &graph, &trained.state, weights)?;
    let (latent, classes) = (decoder.latent(), trained.recipe.data.classes);
    let item: usize = trained.recipe.data.dims.iter().product();
    for first in (0..args.count).step_by(chunk) {
        let count = chunk.min(args.count - first);
        let z = match args.truncation {
            Some(limit) => truncated_latents(seed, first, chunk, latent, limit),
            None => latents(seed, first, chunk, latent),
        };
        let z: Vec<f32> = z.into_iter().map(|v| v * args.temperature).collect();
        program.write("z", &z)?;
        let labels: Vec<u32> = (first..first + chunk).map(|i| class.unwrap_or((i % classes.max(1)) as u32)).collect();
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
pub fn run(args: &SampleArgs, common: &Common, output: &Output) -> Result<()> {
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
