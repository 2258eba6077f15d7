//! `kiln demo`: the main job, without arguments.

mod dcgan;
mod vae;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::draw::{self, Order};
use super::output::{Output, as_text};
use super::train::TrainArgs;
use crate::data::{self, OpenOptions, Scale, Split};
use crate::error::Result;
use crate::report::{self, Page};
use crate::runtime::{Device, Weights};
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::train::{RunFolder, Trained, Trainer};

/// Arguments of `demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Folder that the page and its runs go to
    #[arg(long, default_value = "kiln-demo")]
    pub out: PathBuf,
}

/// `kiln demo`
pub fn run(args: &DemoArgs, common: &Common, output: &Output) -> Result<()> {
    let device = Device::open(&common.device)?;
    let start = Instant::now();
    std::fs::create_dir_all(&args.out).map_err(|e| crate::Error::io(&args.out, e))?;
    let mut page = Page::new("What kiln made");
    page.text(&format!(
        "Models trained just now, on {}, on data that kiln draws itself. Everything here can be repeated with the commands shown.",
        device.name()
    ));
    let mut made = Vec::new();
    pixelcnn(&args.out, common, &device, output, &mut page, &mut made)?;
    vae::run(&args.out, common, &device, output, &mut page, &mut made)?;
    dcgan::run(&args.out, common, &device, output, &mut page, &mut made)?;
    let path = args.out.join("index.html");
    page.save(&path)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut words = format!("done in {seconds:.0} s · open {}\n", path.display());
    for (what, file) in &made {
        words += &format!("  {what}: {}\n", file.display());
    }
    let files: Vec<_> = made.iter().map(|(what, file)| json!({"what": what, "file": as_text(file)})).collect();
    output.result(&words, &json!({"page": as_text(&path), "seconds": seconds, "device": device.name(), "files": files}))
}

type Made = Vec<(String, std::path::PathBuf)>;

/// A training that the demo shows.
struct Lesson<'a> {
    model: &'a str,
    steps: u64,
    set: &'a [&'a str],
}

/// Trains a model on drawn digits in a fresh folder.
fn fresh(folder: &Path, lesson: &Lesson<'_>, common: &Common, device: &Device, output: &Output) -> Result<Trained> {
    let args = TrainArgs {
        model: Some(lesson.model.into()),
        data: Some("builtin:digits".into()),
        steps: Some(lesson.steps),
        set: lesson.set.iter().map(|s| s.to_string()).collect(),
        ..TrainArgs::default()
    };
    if folder.exists() {
        RunFolder::remove(folder)?;
    }
    let recipe = super::train::make_recipe(&args, common, device)?;
    let mut trainer = Trainer::start(device, recipe, RunFolder::create(folder)?)?;
    super::train::watched(&mut trainer, &AtomicBool::new(false), output)?;
    Trained::load(folder, device, false)
}

fn pixelcnn(out: &Path, common: &Common, device: &Device, output: &Output, page: &mut Page, made: &mut Made) -> Result<()> {
    output.say("PixelCNN: every pixel given those before it, on drawn digits");
    let folder = out.join("pixelcnn");
    let lesson = Lesson {
        model: "pixelcnn",
        steps: 900,
        set: &["preset=tiny", "learning_rate=0.003", "rate_decay=0.998", "valid_every=400", "sample_every=400"],
    };
    let mut trained = fresh(&folder, &lesson, common, device, output)?;
    let dims = trained.recipe.data.dims;
    let grid = out.join("pixelcnn-samples.png");
    let start = Instant::now();
    let images = draw::all(&mut trained, device, &Order::plain(64, common.seed.unwrap_or(1)))?;
    let seconds = start.elapsed().as_secs_f64();
    let samples = report::grid(&images, dims, 8);
    report::save_png(&grid, &samples)?;

    let rest = out.join("pixelcnn-completions.png");
    let source = data::open("builtin:digits", Split::Test, &OpenOptions { seed: trained.recipe.seed, ..OpenOptions::default() })?;
    let count = 10;
    let mut given = Vec::new();
    for batch in data::sequential(data::subset(source, count)?, count, 1, trained.recipe.data.binarization, Scale::Unit) {
        given.extend(batch?.values);
    }
    let item: usize = dims.iter().product();
    let mask: Vec<bool> = (0..item).map(|i| i < item / 2).collect();
    let model = trained.model.as_ref();
    let mut sampler = RasterSampler::new(device, model, &trained.state, Weights::Current, Method::Cached)?;
    let seen: Vec<f32> = given.iter().enumerate().map(|(i, v)| if mask[i % item] { *v } else { 0.5 }).collect();
    let mut picture: Vec<f32> = given.iter().copied().chain(seen).collect();
    for seed in 1..4 {
        let job = Job { count, seed, first: 0, temperature: 1.0, keep: Some((&given, &mask)), inputs: &[] };
        picture.extend(sampler.sample(model, &mut trained.state, &job)?.images);
    }
    let completions = report::grid(&picture, dims, count);
    report::save_png(&rest, &completions)?;

    page.section("PixelCNN");
    page.text(&format!(
        "{} parameters, {} steps. 64 images drawn in {seconds:.2} s: each pixel is drawn given the pixels above it and to its left.",
        model.state().parameters(true),
        trained.progress.step
    ));
    page.image("New digits", &samples)?;
    page.image("Test digits; what is kept of them; three ways the model goes on", &completions)?;
    page.image_link("Training", "pixelcnn/curves.png");
    page.code(
        "kiln train pixelcnn --data builtin:digits --set preset=tiny --out runs/digits\nkiln sample runs/digits -n 64 --out digits.png",
    );
    made.push(("new digits".into(), grid));
    made.push(("halves completed".into(), rest));
    Ok(())
}
