//! `kiln colorize` and `kiln upscale`: images drawn from what a run is shown of them.

mod artist;
mod figures;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::denoising::DenoisingArgs;
use super::draw::chosen_class;
use super::endings;
use super::measured::weights_in_words;
use super::output::{Output, as_text};
use super::pictures::check_grid;
use super::progress::Progress;
use crate::data::{self, Binarization, Scale, Source};
use crate::error::{Error, Result};
use crate::model::{Shown, Task};
use crate::report::{self, GridOptions};
use crate::runtime::Device;
use crate::train::{DataRequest, Trained, open_data};

use artist::{Artist, Asked};
use figures::{Figures, enlarged};

/// Arguments of both commands.
#[derive(Args)]
pub struct RestoreArgs {
    /// Run folder
    pub run: PathBuf,
    /// The image to draw from: grey, or small
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub image: Option<PathBuf>,
    /// Whole images, from which a grey or small one is made, so that what is drawn stands beside the truth [default: the test split of the training data]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// Images of the source, a seeded random part
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// Samples of each image
    #[arg(short = 'k', long, default_value_t = 3, value_name = "K", allow_negative_numbers = true)]
    pub samples: usize,
    /// The .png to write, a row an image: what is given, a simple rule's answer, the samples, and the truth where it is known; or an .npy
    /// of the samples [images, samples, H, W, C]
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

/// What is given of each image, in 0..1, and the whole images where they are known.
struct Given {
    shown: Vec<f32>,
    truth: Option<Vec<f32>>,
    labels: Vec<u32>,
    count: usize,
    name: String,
}

fn run(task: Task, args: &RestoreArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "images", &["png", "npy"])?;
    for (flag, number) in [("-n", args.count), ("-k", args.samples)] {
        if number == 0 {
            return Err(Error::usage(format!("{flag} must be at least 1")));
        }
    }
    let device = Device::open(&common.device)?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let mut artist = Artist::new(task, &trained, &device, &args.denoising, args.samples)?;
    let class = chosen_class(&trained, args.class.as_deref())?;
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let given = match &args.image {
        Some(path) => of_file(path, artist.shown(), &trained)?,
        None => of_data(args, artist.shown(), artist.decimates(), &trained)?,
    };
    let columns = 2 + args.samples + usize::from(given.truth.is_some());
    if endings::of(&args.out) == "png" {
        check_grid(given.count * columns, dims, false)?;
    }
    let part = given.shown.len() / given.count;
    let seed = common.seed.unwrap_or(1);
    let classes = trained.recipe.data.classes;
    let (mut drawn, mut rules) = (Vec::with_capacity(given.count * args.samples * item), Vec::with_capacity(given.count * item));
    let mut progress = Progress::new(output, &trained, given.count * args.samples, None);
    for (number, shown) in given.shown.chunks(part).enumerate() {
        let label = class.or_else(|| given.labels.get(number).copied()).unwrap_or((number % classes.max(1)) as u32);
        let asked = Asked { shown, label, seed, first: number * args.samples, count: args.samples };
        drawn.extend(artist.draw(&mut trained, &asked, &mut progress)?);
        rules.extend(enlarged(artist.shown(), shown, dims));
    }
    progress.finish();
    let figures = given.truth.as_ref().map(|truth| Figures::of(artist.shown(), artist.decimates(), (truth, &rules, &drawn), dims));
    write(args, artist.shown(), &given, (&rules, &drawn), dims)?;
    let weights = weights_in_words(&trained, args.best);
    let what = if task == Task::Colorize { "coloured" } else { "enlarged" };
    let mut words = format!(
        "{what} {} images of {}, {} times each · {} · {weights} · seed {seed} · {}",
        given.count,
        given.name,
        args.samples,
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

/// One picture of the size that the run is shown.
fn of_file(path: &Path, shown: Shown, trained: &Trained) -> Result<Given> {
    let [h, w, c] = shown.dims(trained.recipe.data.dims);
    let bytes = super::given::bytes_of(path, [h, w, c])?;
    Ok(Given {
        shown: bytes.into_iter().map(|byte| byte / 255.0).collect(),
        truth: None,
        labels: Vec::new(),
        count: 1,
        name: path.display().to_string(),
    })
}

/// Whole images, and what the run is shown of them.
fn of_data(args: &RestoreArgs, shown: Shown, decimates: bool, trained: &Trained) -> Result<Given> {
    let request = DataRequest { source: args.data.as_deref(), labels: trained.model.conditional(), ..DataRequest::default() };
    let source: Arc<dyn Source> = data::subset(open_data(&trained.recipe, &request)?, args.count)?;
    let (dims, name, count) = (source.dims(), source.name(), source.len());
    let mut given = Given { shown: Vec::new(), truth: None, labels: Vec::new(), count, name };
    let mut truth = Vec::new();
    for batch in data::sequential(source, 64, 0, Binarization::None, Scale::Unit) {
        let batch = batch?;
        truth.extend(batch.values);
        given.labels.extend(batch.labels);
    }
    for image in truth.chunks(dims.iter().product::<usize>()) {
        given.shown.extend(if decimates { figures::every_second(image, dims) } else { shown.of_image(image, dims) });
    }
    given.truth = Some(truth);
    Ok(given)
}

fn write(args: &RestoreArgs, shown: Shown, given: &Given, (rules, drawn): (&[f32], &[f32]), dims: [usize; 3]) -> Result<()> {
    let [h, w, c] = dims;
    let item = h * w * c;
    if endings::of(&args.out) == "npy" {
        return report::write_npy_f32(&args.out, &[given.count, args.samples, h, w, c], drawn);
    }
    let part = given.shown.len() / given.count;
    let mut images = Vec::new();
    for number in 0..given.count {
        images.extend(figures::spread(shown, &given.shown[number * part..][..part], dims));
        images.extend_from_slice(&rules[number * item..][..item]);
        images.extend_from_slice(&drawn[number * args.samples * item..][..args.samples * item]);
        if let Some(truth) = &given.truth {
            images.extend_from_slice(&truth[number * item..][..item]);
        }
    }
    let rule = if shown == Shown::Luma { "grey" } else { "bicubic" };
    let captions = ["given", rule].into_iter().map(String::from);
    let captions = captions.chain((1..=args.samples).map(|k| format!("sample {k}"))).chain(given.truth.as_ref().map(|_| "truth".into()));
    let column_captions: Vec<String> = captions.collect();
    let options = GridOptions { columns: column_captions.len(), column_captions, ..GridOptions::default() };
    report::save_png(&args.out, &report::grid_with(&images, dims, &options))
}
