//! The demo's autoregressive model.

use std::path::Path;
use std::time::Instant;

use super::{Lesson, Made, fresh};
use crate::cli::common::Common;
use crate::cli::draw::{self, Order};
use crate::cli::output::Output;
use crate::data::{self, OpenOptions, Scale, Split, one_hot};
use crate::error::Result;
use crate::report::{self, Page};
use crate::runtime::{Device, Weights};
use crate::sample::raster::{Job, Method, RasterSampler};

/// Test digits that are completed.
const COMPLETED: usize = 10;

/// Trains one and shows what it draws of each class and how it goes on where a half is given.
pub fn run(out: &Path, common: &Common, device: &Device, output: &Output, page: &mut Page, made: &mut Made) -> Result<()> {
    output.say("gated PixelCNN: every pixel given those before it and the digit's name, on drawn digits");
    let folder = out.join("gated-pixelcnn");
    let lesson = Lesson {
        model: "gated-pixelcnn",
        steps: 900,
        set: &[
            "binarization=dynamic",
            "conditional=true",
            "layers=7",
            "hidden=16",
            "head=32",
            "dilations=[1,2,1,4,1,2,1]",
            "learning_rate=0.005",
            "rate_decay=0.998",
            "valid_every=400",
            "sample_every=400",
        ],
    };
    let mut trained = fresh(&folder, &lesson, common, device, output)?;
    let (dims, classes) = (trained.recipe.data.dims, trained.recipe.data.classes);
    let grid = out.join("gated-pixelcnn-samples.png");
    let start = Instant::now();
    let count = 6 * classes;
    let images = draw::all(&mut trained, device, &Order::plain(count, common.seed.unwrap_or(1)))?;
    let seconds = start.elapsed().as_secs_f64();
    let samples = report::grid(&images, dims, classes);
    report::save_png(&grid, &samples)?;

    let rest = out.join("gated-pixelcnn-completions.png");
    let source = data::open("builtin:digits", Split::Test, &OpenOptions { seed: trained.recipe.seed, ..OpenOptions::default() })?;
    let (mut given, mut labels) = (Vec::new(), Vec::new());
    let batches = data::sequential(data::subset(source, COMPLETED)?, COMPLETED, 1, trained.recipe.data.binarization, Scale::Unit);
    for batch in batches {
        let batch = batch?;
        given.extend(batch.values);
        labels.extend(batch.labels);
    }
    let item: usize = dims.iter().product();
    let mask: Vec<bool> = (0..item).map(|i| i < item / 2).collect();
    let hot = one_hot(&labels, classes, COMPLETED);
    let model = trained.model.as_ref();
    let mut sampler = RasterSampler::new(device, model, &trained.state, Weights::Current, Method::Cached)?;
    let seen: Vec<f32> = given.iter().enumerate().map(|(i, v)| if mask[i % item] { *v } else { 0.5 }).collect();
    let mut picture: Vec<f32> = given.iter().copied().chain(seen).collect();
    for seed in 1..4 {
        let inputs = [("labels", &hot[..])];
        let job = Job { count: COMPLETED, seed, first: 0, temperature: 1.0, keep: Some((&given, &mask)), inputs: &inputs };
        picture.extend(sampler.sample(model, &mut trained.state, &job)?.images);
    }
    let completions = report::grid(&picture, dims, COMPLETED);
    report::save_png(&rest, &completions)?;

    page.section("Gated PixelCNN");
    page.text(&format!(
        "{} parameters, {} steps. {count} images drawn in {seconds:.2} s: each pixel is drawn given the pixels above it and to its left, and the \
         digit that it is to be.",
        model.state().parameters(true),
        trained.progress.step
    ));
    page.image("New digits, a column for each", &samples)?;
    page.image("Test digits; what is kept of them; three ways the model goes on", &completions)?;
    page.image_link("Training", "gated-pixelcnn/curves.png");
    let set = lesson.set[..8].iter().map(|pair| format!(" --set {pair}")).collect::<String>();
    page.code(&format!(
        "kiln train gated-pixelcnn --data builtin:digits{set} --steps {} --out runs/digits\nkiln sample runs/digits -n {count} --out \
         digits.png\nkiln sample runs/digits -n 64 --class 7 --out sevens.png",
        lesson.steps
    ));
    made.push(("new digits".into(), grid));
    made.push(("halves completed".into(), rest));
    Ok(())
}
