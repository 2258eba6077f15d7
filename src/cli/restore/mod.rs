//! `kiln colorize` and `kiln upscale`: images drawn from what a run is shown of them.

mod artist;
mod figures;
mod given;
mod sight;
mod written;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::denoising::DenoisingArgs;
use super::draw::chosen_class;
use super::measured::weights_in_words;
use super::output::{Output, as_text, counted};
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::model::Task;
use crate::runtime::Device;
use crate::train::Trained;
use crate::wait::Wait;

use artist::{Artist, Asked};
use figures::{Figures, enlarged};
use given::Given;

/// Arguments of both commands.
#[derive(Args)]
pub struct RestoreArgs {
    /// Run folder
    pub run: PathBuf,
    /// The picture to draw from: grey, or small; or a folder of such pictures
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub image: Option<PathBuf>,
    /// Whole images, from which a grey or small one is made, so that what is drawn stands beside the truth; of a folder in which all pictures are grey, or
    /// small, these [default: the test split of the training data]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// Whole images of the source, a seeded random part [default: 8]
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub count: Option<usize>,
    /// Samples of each image
    #[arg(short = 'k', long, default_value_t = 3, value_name = "K", allow_negative_numbers = true)]
    pub samples: usize,
    /// The .png to write, a row an image: what is given, a simple rule's answer, the samples, and the truth where it is known; an .npy
    /// of the samples [images, samples, H, W, C]; or a new folder, for a .png a sample
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub denoising: DenoisingArgs,
    /// Class of the images, for conditional models [default: of --data, its own; of --image, each in turn]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// `kiln colorize`
pub fn colorize(args: &RestoreArgs, common: &Common, output: &Output) -> Result<()> {
    run(Task::Colorize, args, common, output)
}

/// `kiln upscale`
pub fn upscale(args: &RestoreArgs, common: &Common, output: &Output) -> Result<()> {
    run(Task::Upscale, args, common, output)
}

fn run(task: Task, args: &RestoreArgs, common: &Common, output: &Output) -> Result<()> {
    written::check(&args.out)?;
    if args.image.is_some() {
        given::check_count(args.count)?;
    }
    for (flag, number) in [("-n", args.count.unwrap_or(1)), ("-k", args.samples)] {
        if number == 0 {
            return Err(Error::usage(format!("{flag} must be at least 1")));
        }
    }
    let device = Device::open(&common.device).wait()?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let mut artist = Artist::new(task, &trained, &device, &args.denoising, args.samples)?;
    let class = chosen_class(&trained, args.class.as_deref())?;
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let given = match &args.image {
        Some(path) => Given::pictures(path, artist.sight().shown(), &trained)?,
        None => Given::data(args.data.as_deref(), args.count, artist.sight(), &trained)?,
    };
    written::check_room(&args.out, &given, args.samples, dims)?;
    let part = given.shown.len() / given.count;
    let seed = common.seed.unwrap_or(1);
    let classes = trained.recipe.data.classes;
    let (mut drawn, mut rules) = (Vec::with_capacity(given.count * args.samples * item), Vec::with_capacity(given.count * item));
    let mut progress = Progress::new(output, &trained, given.count * args.samples, None);
    for (number, shown) in given.shown.chunks(part).enumerate() {
        let label = class.or_else(|| given.labels.get(number).copied()).unwrap_or((number % classes.max(1)) as u32);
        let asked = Asked { shown, label, seed, first: number * args.samples, count: args.samples };
        drawn.extend(artist.draw(&mut trained, &asked, &mut progress)?);
        // Passes through a network are counted as they come, images that are drawn value by value when all of one picture are there.
        if let Some(bar) = progress.of_images() {
            bar.inc(args.samples as u64);
        }
        rules.extend(enlarged(artist.sight().shown(), shown, dims));
    }
    progress.finish();
    let figures = given.truth.as_ref().map(|truth| Figures::of(artist.sight(), (truth, &rules, &drawn), dims));
    written::write(&args.out, args.samples, artist.sight().shown(), &given, (&rules, &drawn), dims)?;
    let weights = weights_in_words(&trained, args.best);
    let what = if task == Task::Colorize { "coloured" } else { "enlarged" };
    let mut words = format!(
        "{what} {} of {}, {} each · {} · {weights} · seed {seed} · {}",
        counted(given.count, "image"),
        given.name,
        counted(args.samples, "time"),
        artist.how(),
        args.out.display()
    );
    if let Some(figures) = &figures {
        words += &format!("\n{}", figures.words());
    }
    let object = json!({
        "out": as_text(&args.out), "images": given.count, "samples": args.samples, "data": given.name, "how": artist.how(), "seed": seed,
        "weights": weights, "step": trained.progress.step, "figures": figures.map(|figures| figures.object()),
    });
    output.result(&words, &object)
}
