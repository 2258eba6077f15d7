//! `kiln sample`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::denoising::DenoisingArgs;
use super::draw::{self, From, Order};
use super::endings;
use super::given::{Given, Reads};
use super::guided::{self, Asked, GuideArgs, MethodArg};
use super::measured::weights_in_words;
use super::output::{Output, as_text, counted};
use super::part::Part;
use super::pictures::{Classes, Pictures, check_ending};
use super::progress::Progress;
use super::trajectory::Film;
use crate::error::{Error, Result};
use crate::model::need;
use crate::ranks::Ranks;
use crate::report::{self, NpyStream};
use crate::runtime::Device;
use crate::sample::raster::Method;
use crate::train::Trained;

/// Images drawn where the command does not say.
const COUNT: usize = 64;

/// Arguments of `sample`.
#[derive(Args)]
pub struct SampleArgs {
    /// Run folder
    pub run: PathBuf,
    /// Number of images [default: 64, or as many as --z holds]
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub count: Option<usize>,
    /// Where they go: a .png grid, .npy, or a new folder of .png, of classes in a folder each or with F.labels.npy; of series, a .png of lines,
    /// .npy, .csv or .wav
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Below 1, likelier and less varied images
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Draw latents beyond ± this again: fewer surprises, less variety
    #[arg(long, value_name = "LIMIT")]
    pub truncation: Option<f32>,
    #[command(flatten)]
    pub guided: GuideArgs,
    /// Class of the images by its name, for conditional models [default: each in turn]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    #[command(flatten)]
    pub denoising: DenoisingArgs,
    /// Images of these latents, [N, latent] floats, instead of drawn ones
    #[arg(long, value_name = "F.npy", conflicts_with = "truncation")]
    pub z: Option<PathBuf>,
    /// Classes of the images that --z makes, [N] whole numbers, as kiln encode writes them beside it
    #[arg(long, value_name = "F.npy", requires = "z", conflicts_with = "class")]
    pub labels: Option<PathBuf>,
    /// Write the latents that the images were made of, [N, latent]
    #[arg(long, value_name = "F.npy")]
    pub save_z: Option<PathBuf>,
    /// Begin from these images instead of noise: a picture, varied as often as -n says, or a source, an image of it each (diffusion)
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["z", "save_z"])]
    pub from: Option<String>,
    /// How far --from is noised before noise is taken away again, as a share of time: 0 is the image itself, 1 all noise
    #[arg(long, default_value_t = 0.6, value_name = "SHARE", requires = "from", allow_negative_numbers = true)]
    pub strength: f64,
    /// Show how the images come of noise: a .png strip of the first 8, or a .gif or .apng of the first 64 (diffusion)
    #[arg(long, value_name = "FILE")]
    pub trajectory: Option<PathBuf>,
    /// Write log p of each image, in nats (autoregressive models)
    #[arg(long, value_name = "F.npy or F.csv")]
    pub log_p: Option<PathBuf>,
    /// Replace the pictures of an earlier sample in the folder
    #[arg(long)]
    pub overwrite: bool,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// Refuses a file of log p, or of latents, that a run cannot fill.
fn check_side_files(args: &SampleArgs, trained: &Trained) -> Result<()> {
    let name = trained.model.name();
    let raster = trained.model.raster().is_some();
    if args.log_p.is_some() && !raster {
        return Err(Error::usage(format!("a {name} draws images without knowing their log p; leave --log-p out")));
    }
    if (args.z.is_some() || args.save_z.is_some()) && raster {
        return Err(Error::usage(format!("a {name} draws pixel by pixel and has no latents; leave --z and --save-z out")));
    }
    if args.z.is_some() && args.temperature != 1.0 {
        return Err(Error::usage("--z gives the latents themselves; leave --temperature out, or scale them in the file"));
    }
    Ok(())
}

/// Refuses what a guided draw has no use for.
fn check_guided(args: &SampleArgs) -> Result<()> {
    let taken = [
        ("--z", args.z.is_some()),
        ("--save-z", args.save_z.is_some()),
        ("--from", args.from.is_some()),
        ("--trajectory", args.trajectory.is_some()),
        ("--log-p", args.log_p.is_some()),
    ];
    match taken.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Error::usage(format!("--guide chooses among images that the run draws itself; leave {flag} out"))),
        None => Ok(()),
    }
}

/// Latents of a file, as many as are wanted or there are.
fn given(path: &Path, count: Option<usize>, latent: usize) -> Result<(usize, Vec<f32>)> {
    let (shape, mut values) = report::read_npy_f32(path)?;
    let shown = path.display();
    let &[rows, width] = shape.as_slice() else {
        return Err(Error::usage(format!("{shown} is of shape {shape:?}; latents are [N, {latent}]")));
    };
    if width != latent || rows == 0 {
        return Err(Error::usage(format!("{shown} is of shape {shape:?}, and latents of this model are [N, {latent}]")));
    }
    let count = count.unwrap_or(rows);
    if count > rows {
        return Err(Error::usage(format!("{shown} holds {rows} latents, fewer than -n {count}")));
    }
    values.truncate(count * latent);
    Ok((count, values))
}

/// Classes of a file, for so many images.
fn given_labels(path: &Path, count: usize, trained: &Trained) -> Result<Vec<u32>> {
    let name = trained.model.name();
    if !trained.model.conditional() {
        return Err(Error::usage(format!("this {name} is not conditional, so --labels choose nothing; leave them out")));
    }
    let (mut labels, classes) = (report::read_npy_classes(path)?, trained.recipe.data.classes);
    let shown = path.display();
    if let Some(foreign) = labels.iter().find(|label| **label as usize >= classes) {
        return Err(Error::usage(format!("{shown} holds the class {foreign}, and the run knows {classes}, from 0")));
    }
    if labels.len() < count {
        return Err(Error::usage(format!(
            "{shown} holds classes of {}, fewer than {}",
            counted(labels.len(), "image"),
            counted(count, "image")
        )));
    }
    labels.truncate(count);
    Ok(labels)
}

/// Writes log p of each image: an array, or a column.
///
/// # Errors
/// Errors of the disk.
pub fn write_log_p(path: &Path, log_p: Vec<f64>) -> Result<()> {
    match endings::of(path).as_str() {
        "csv" => report::write_table(path, &[("log_p".into(), log_p)]),
        _ => report::write_npy_f64(path, &[log_p.len()], &log_p),
    }
}

/// Refuses words that mean nothing together, whatever the run.
fn check_words(args: &SampleArgs) -> Result<()> {
    check_ending(&args.out)?;
    if args.overwrite && !endings::of(&args.out).is_empty() {
        let out = args.out.display();
        return Err(Error::usage(format!("--overwrite replaces the pictures in a folder, and {out} is a file; leave it out")));
    }
    if let Some(path) = &args.log_p {
        endings::check(path, "log p of samples", &["npy", "csv"])?;
    }
    if let Some(path) = &args.save_z {
        endings::check(path, "latents", &["npy"])?;
    }
    if args.guided.guide.is_some() {
        return check_guided(args);
    }
    if !matches!(args.guided.method, MethodArg::Cached | MethodArg::Naive) {
        return Err(Error::usage("that --method chooses by a classifier; name its run with --guide"));
    }
    Ok(())
}

/// Whether ranks can draw images side by side. What a classifier chooses among are all of them, a film is of the first images' whole way, and a
/// whole forward pass may sum otherwise for another number of images.
fn is_shared(args: &SampleArgs) -> bool {
    args.guided.guide.is_none() && args.trajectory.is_none() && args.guided.method == MethodArg::Cached
}

/// `kiln sample`
pub fn run(args: &SampleArgs, common: &Common, output: &Output) -> Result<()> {
    common.ranks.agree(check_words(args))?;
    let device = common.open_device()?;
    let trained = Trained::hand_out(&common.ranks, &args.run, &device, args.best)?;
    if is_shared(args) {
        return draw_plainly(args, trained, &device, (common, &common.ranks), output);
    }
    common.ranks.by_first(|| match &args.guided.guide {
        Some(guide) => draw_guided(args, guide, trained, &device, common, output),
        None => draw_plainly(args, trained, &device, (common, &Ranks::alone()), output),
    })
}

/// Images that a classifier chooses.
fn draw_guided(args: &SampleArgs, guide: &Path, trained: Trained, device: &Device, common: &Common, output: &Output) -> Result<()> {
    // That of a classifier's slope is no matter of the network.
    let guidance = args.denoising.guidance.filter(|_| trained.model.denoises().is_some());
    let own = DenoisingArgs { guidance: args.denoising.guidance.filter(|_| guidance.is_none()), ..args.denoising };
    let denoising = own.settings(trained.model.as_ref())?;
    let plain = Order::plain(args.count.unwrap_or(COUNT), common.seed.unwrap_or(1));
    let order = Order { temperature: args.temperature, truncation: args.truncation, denoising, ..plain };
    let (class, out) = (args.class.as_deref(), &args.out);
    let asked = Asked { guide, args: &args.guided, class, order, out, overwrite: args.overwrite, best: args.best, guidance };
    guided::run(asked, trained, device, output)
}

/// What a run is asked to draw.
fn order_of(args: &SampleArgs, trained: &Trained, seed: u64, ranks: &Ranks) -> Result<Order> {
    check_side_files(args, trained)?;
    if args.guided.method == MethodArg::Naive && trained.model.raster().is_none() {
        let name = trained.model.name();
        return Err(Error::usage(format!("--method naive is of models that draw pixel by pixel, and a {name} does not; leave it out")));
    }
    let class = draw::chosen_class(trained, args.class.as_deref())?;
    let (mut count, mut z, mut labels, mut from) = (args.count.unwrap_or(COUNT), None, None, None);
    if let Some(path) = &args.z {
        let (rows, given) = given(path, args.count, latent_of(trained))?;
        (count, z) = (rows, Some(given));
        labels = args.labels.as_deref().map(|path| given_labels(path, count, trained)).transpose()?;
    } else if let Some(source) = &args.from {
        need::denoises(trained.model.as_ref())?;
        let given = Given::to_vary(source, args.count, COUNT, trained, Reads::signed(trained))?;
        let (images, own) = given.all(trained, seed)?;
        (count, from) = (given.count, Some(From { images, strength: args.strength }));
        labels = (class.is_none() && own.len() == count).then_some(own);
    }
    let order = Order {
        count,
        seed,
        first: 0,
        temperature: args.temperature,
        truncation: args.truncation,
        method: if args.guided.method == MethodArg::Naive { Method::Naive } else { Method::Cached },
        class,
        z,
        labels,
        from,
        denoising: args.denoising.settings(trained.model.as_ref())?,
        ranks: ranks.clone(),
    };
    draw::check(trained, &order)?;
    Ok(order)
}

/// Values of what an image is made of, where it is made of anything.
fn latent_of(trained: &Trained) -> usize {
    let noise = trained.model.denoises().map(|network| network.dims().iter().product());
    trained.model.decodes().map_or(noise.unwrap_or(0), |d| d.latent())
}

/// Where images and what is told of them go; of several ranks the first alone has one.
struct Sink {
    pictures: Pictures,
    z: Option<NpyStream>,
}

impl Sink {
    fn create(args: &SampleArgs, trained: &Trained, order: &Order) -> Result<Self> {
        let data = &trained.recipe.data;
        let count = order.count;
        let classes =
            trained.model.conditional().then(|| Classes { names: data.class_names.clone(), labels: order.labels(data.classes, 0, count) });
        // A column for each class, where each is drawn in turn.
        let in_turn = trained.model.conditional() && order.class.is_none() && order.labels.is_none();
        let columns = if in_turn && count >= data.classes { data.classes } else { 0 };
        let kind = (data.points, &data.reading.series);
        let pictures = Pictures::create(&args.out, count, data.dims, kind, classes, args.overwrite)?.in_columns(columns);
        let z = args.save_z.as_ref().map(|path| NpyStream::create(path, &[count, latent_of(trained)])).transpose()?;
        Ok(Self { pictures, z })
    }

    fn take(&mut self, part: &Part) -> Result<()> {
        self.pictures.take(&part.images)?;
        self.z.as_mut().map_or(Ok(()), |stream| stream.extend(&part.z))
    }

    fn finish(self) -> Result<()> {
        self.pictures.finish()?;
        self.z.map_or(Ok(()), NpyStream::finish)
    }
}

/// Images of the model itself, by `ranks`.
fn draw_plainly(
    args: &SampleArgs,
    mut trained: Trained,
    device: &Device,
    (common, ranks): (&Common, &Ranks),
    output: &Output,
) -> Result<()> {
    let seed = common.seed.unwrap_or(1);
    let order = ranks.agree(order_of(args, &trained, seed, ranks))?;
    let count = order.count;
    let film = args.trajectory.as_deref().map(|path| Film::new(path, count, &trained)).transpose()?;
    let mut sink = ranks.agree(ranks.is_first().then(|| Sink::create(args, &trained, &order)).transpose())?;
    let mut log_p = Vec::new();
    let mut progress = Progress::new(output, &trained, count, film).shared(ranks);
    let bar = progress.of_images();
    let start = Instant::now();
    let item: usize = trained.recipe.data.dims.iter().product();
    let drawn = draw::draw(&mut trained, device, &order, &mut progress, &mut |part| {
        ranks.by_first(|| sink.as_mut().map_or(Ok(()), |sink| sink.take(&part)))?;
        log_p.extend_from_slice(&part.log_p);
        if let Some(bar) = &bar {
            bar.inc((part.images.len() / item) as u64);
        }
        Ok(())
    });
    let film = progress.finish();
    drawn?;
    let seconds = start.elapsed().as_secs_f64();
    let mean = (!log_p.is_empty()).then(|| log_p.iter().sum::<f64>() / log_p.len() as f64);
    ranks.by_first(|| {
        sink.map_or(Ok(()), Sink::finish)?;
        args.log_p.as_ref().map_or(Ok(()), |path| write_log_p(path, log_p))?;
        film.map_or(Ok(()), |film| film.save())
    })?;
    let under = if args.temperature == 1.0 { String::new() } else { format!(" under temperature {}", args.temperature) };
    let likelihood = mean.map(|m| format!(" · mean log p{under} {m:.2} nats")).unwrap_or_default();
    let weights = weights_in_words(&trained, args.best);
    let source = match (&args.z, &args.from) {
        (Some(path), _) => format!("latents of {}", path.display()),
        (None, Some(from)) => format!("from {from} at strength {} · seed {seed}", args.strength),
        (None, None) => format!("seed {seed}"),
    };
    let words = format!(
        "drew {} of {} at step {} ({weights}) in {seconds:.2} s{likelihood} · {source} · {}",
        counted(count, "image"),
        trained.recipe.model,
        trained.progress.step,
        args.out.display()
    );
    let seed = args.z.is_none().then_some(seed);
    let object = json!({
        "out": as_text(&args.out), "count": count, "seed": seed, "seconds": seconds, "mean_log_p": mean, "device": device.name(),
        "step": trained.progress.step, "weights": weights, "temperature": args.temperature, "z": args.z.as_deref().map(as_text), "save_z": args.save_z.as_deref().map(as_text),
        "log_p": args.log_p.as_deref().map(as_text), "from": args.from, "strength": args.from.as_ref().map(|_| args.strength),
        "trajectory": args.trajectory.as_deref().map(as_text),
    });
    output.result(&words, &object)
}
