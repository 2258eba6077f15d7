//! `kiln demo`: the main job, without arguments.

mod dcgan;
mod gated;
mod vae;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::compare::CompareArgs;
use super::output::{Output, as_text};
use super::train::TrainArgs;
use crate::error::Result;
use crate::report::Page;
use crate::runtime::Device;
use crate::train::{RunFolder, Trained, Trainer};

/// Samples and test digits that the runs are compared by.
const COMPARED: usize = 300;

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
    gated::run(&args.out, common, &device, output, &mut page, &mut made)?;
    vae::run(&args.out, common, &device, output, &mut page, &mut made)?;
    dcgan::run(&args.out, common, &device, output, &mut page, &mut made)?;
    side_by_side(&args.out, common, output, &mut page, &mut made)?;
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

/// Measures what was trained, and adds the table to the page.
fn side_by_side(out: &Path, common: &Common, output: &Output, page: &mut Page, made: &mut Made) -> Result<()> {
    let runs = ["gated-pixelcnn", "vae", "dcgan"].map(|name| out.join(name));
    let asked =
        CompareArgs { samples: COMPARED, limit: Some(COMPARED), set: vec!["classifier_steps=200".into()], ..CompareArgs::default() };
    let folder = out.join("compare");
    let (words, _) = super::compare::write(&runs, "builtin:digits:test", (&folder, &asked), common, output)?;
    page.section("Side by side");
    page.text("The three on the same test digits. What each figure is, and how to read it, stands on the page of the comparison, compare/index.html.");
    page.code(words.rsplit_once('\n').map_or(words.as_str(), |(table, _)| table));
    made.push(("the three side by side".into(), folder.join("index.html")));
    Ok(())
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
