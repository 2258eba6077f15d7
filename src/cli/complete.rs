//! `kiln complete`.

mod painter;
mod places;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::denoising::DenoisingArgs;
use super::draw::{check_amount, chosen_class};
use super::endings;
use super::given::{Given, Reads};
use super::measured::weights_in_words;
use super::output::{Output, as_text};
use super::pictures::check_grid;
use super::progress::Progress;
use super::sample::write_log_p;
use super::sequences::Sequences;
use crate::error::{Error, Result};
use crate::model::Denoises;
use crate::model::need::{self, Completes};
use crate::report::{self, GridOptions, NpyStream};
use crate::runtime::Device;
use crate::sample::diffusion::Solver;
use crate::sample::raster;
use crate::train::Trained;
use painter::{Painter, Part, labels_of};

/// How often a step is gone around what is kept, where the command does not say.
const RESAMPLE: usize = 4;

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
    /// What is given: top:N rows, which of series are steps; of diffusion models or with --teacher-forced also bottom:N, left:N or right:N. A
    /// model of several scales draws coarse pixels first, which what is kept between them does not guide
    #[arg(long, value_name = "PART", required_unless_present = "mask")]
    pub keep: Option<String>,
    /// What is given, anywhere (diffusion): white in this picture of the images' size; what is black is drawn
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    pub mask: Option<PathBuf>,
    /// Draw each pixel given what stands before it alone, so that what is kept behind it does not guide it: an approximation
    #[arg(long)]
    pub teacher_forced: bool,
    /// Go each step so many times, with its noise put back in between, so that what is drawn comes to agree with what is kept (RePaint); 1 only
    /// puts in place what is kept (diffusion) [default: 4, or 1 where the sampler keeps its answers from step to step]
    #[arg(long, value_name = "TIMES", allow_negative_numbers = true)]
    pub resample: Option<usize>,
    #[command(flatten)]
    pub denoising: DenoisingArgs,
    /// Completions of the image, or images of the source
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// The .png grid (or .npy) to write; of series, a .png of lines, .npy, .csv or .wav
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write log p of each image's rest given what is kept, in nats (autoregressive models)
    #[arg(long, value_name = "F.npy or F.csv")]
    pub log_p: Option<PathBuf>,
    /// Below 1, likelier and less varied images (autoregressive models)
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Class of the images, for conditional models [default: of --data, its own; of --image, each in turn]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

impl CompleteArgs {
    /// Which places are kept, and how that is said.
    fn kept(&self, dims: [usize; 3]) -> Result<(Vec<bool>, String)> {
        match (&self.keep, &self.mask) {
            (Some(part), _) => Ok((places::side(part, dims)?, part.clone())),
            (None, Some(path)) => Ok((places::white(path, dims)?, format!("what is white in {}", path.display()))),
            (None, None) => Err(Error::usage("kiln complete takes --keep or --mask")),
        }
    }
}

/// What is known of a completion before it is drawn.
struct Plan {
    painter: Painter,
    reads: Reads,
    /// What log p is a mean of; nothing where there is none.
    figure: Option<&'static str>,
    /// Whether what is drawn follows p(rest | kept) exactly.
    exact: bool,
    /// What must be known to read the result.
    note: String,
}

/// Completion in raster order.
fn in_order(args: &CompleteArgs, trained: &Trained, device: &Device, mask: &[bool]) -> Result<Plan> {
    args.denoising.settings(trained.model.as_ref())?;
    if args.resample.is_some() {
        let name = trained.model.name();
        return Err(Error::usage(format!("--resample is of diffusion models, and a {name} takes no noise away; leave it out")));
    }
    let painter = Painter::raster(trained, device, args.temperature)?;
    let network = need::raster(trained.model.as_ref())?;
    let scales = raster::scales(network);
    let drawn: Vec<bool> = raster::order(trained.recipe.data.dims, scales).into_iter().map(|place| mask[place]).collect();
    let (in_raster_order, exact) = (places::is_exact(mask), places::is_exact(&drawn));
    if !in_raster_order && !args.teacher_forced {
        let what = args.keep.as_ref().map_or("--mask".to_string(), |part| format!("--keep {part}"));
        return Err(Error::usage(format!(
            "{what}: pixels are drawn from the top, each row from the left, so none can be drawn given what is kept below it or to its \
             right; keep top:N, take --teacher-forced for an approximation that draws each given what stands before it alone, or train a \
             model that draws around anything: {}",
            need::complete_any_part()
        )));
    }
    let mut note = String::new();
    if !exact && scales > 1 {
        note += "\nan approximation: pixels are drawn scale by scale, and what is kept off the grid of a coarser scale did not guide it";
    }
    if !in_raster_order {
        note += "\nan approximation: what is kept below or to the right of a pixel did not guide it";
    }
    let figure =
        if exact { "mean log p of the rest given what is kept" } else { "mean log p of what is drawn, each value given those before it" };
    Ok(Plan { painter, reads: Reads::of(&network.law()), figure: Some(figure), exact, note })
}

/// Completion from noise.
fn from_noise(args: &CompleteArgs, network: &dyn Denoises, trained: &Trained, device: &Device) -> Result<Plan> {
    let name = trained.model.name();
    let foreign = [
        (args.log_p.is_some(), "--log-p", "draws images without knowing their log p"),
        (args.temperature != 1.0, "--temperature", "has no temperature"),
        (args.teacher_forced, "--teacher-forced", "lets all that is kept guide all that is drawn"),
    ];
    if let Some((_, flag, reason)) = foreign.into_iter().find(|(given, ..)| *given) {
        return Err(Error::usage(format!("a {name} {reason}; leave {flag} out")));
    }
    if trained.recipe.data.points {
        return Err(Error::usage("kiln complete draws the rest of images, and this run was made for points; take kiln sample"));
    }
    // Steps with fresh noise, each of which can be gone again.
    let settings = args.denoising.settings_of(network, Some((Solver::Ddim, 1.0)))?;
    let solver = settings.way.solver;
    let again = [Solver::Ddpm, Solver::Ddim, Solver::Euler].contains(&solver);
    let times = args.resample.unwrap_or(if again { RESAMPLE } else { 1 });
    let painter = Painter::noise(trained, device, &settings, times, args.count)?;
    let passes = painter.passes().unwrap_or(0);
    let how = format!("by {} in {passes} passes, each step gone {times} times", solver.name());
    let note = format!("\n{how}: an approximation of p(rest | kept)");
    Ok(Plan { painter, reads: Reads::signed(trained), figure: None, exact: false, note })
}

/// What was completed, and where it goes.
enum Made {
    Array(NpyStream),
    Series(Sequences),
    /// Rows of a picture: images, what is kept of them, and what they became.
    Rows([Vec<f32>; 3]),
}

impl Made {
    /// Prepares for so many.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file that they do not go to; errors of the disk.
    fn new(path: &Path, count: usize, trained: &Trained) -> Result<Self> {
        let (dims, cut) = (trained.recipe.data.dims, &trained.recipe.data.reading.series);
        if cut.is_settled() {
            return Ok(Self::Series(Sequences::new(path, count, dims, cut)?));
        }
        endings::check(path, "completed images", &["png", "npy"])?;
        if endings::of(path) == "png" {
            check_grid(3 * count, dims, false)?;
            return Ok(Self::Rows(Default::default()));
        }
        let shape: Vec<usize> = [count].into_iter().chain(dims).collect();
        Ok(Self::Array(NpyStream::create(path, &shape)?))
    }

    fn take(&mut self, images: &[f32], mask: &[bool], completed: Vec<f32>) -> Result<()> {
        match self {
            Self::Array(array) => array.extend(&completed)?,
            Self::Series(series) => series.take(&completed),
            Self::Rows([whole, seen, rest]) => {
                whole.extend_from_slice(images);
                seen.extend(images.iter().enumerate().map(|(i, v)| if mask[i % mask.len()] { *v } else { 0.5 }));
                rest.extend(completed);
            }
        }
        Ok(())
    }

    fn finish(self, path: &Path, dims: [usize; 3], kept: &str) -> Result<()> {
        match self {
            Self::Array(array) => array.finish(),
            Self::Series(series) => series.finish(&format!("series from their beginning on, kept {kept}")),
            Self::Rows(rows) => {
                let count = rows[0].len() / dims.iter().product::<usize>();
                let captions = ["image", "what is kept", "completed"].map(String::from).to_vec();
                let options = GridOptions { columns: count, row_captions: captions, ..GridOptions::default() };
                report::save_png(path, &report::grid_with(&rows.concat(), dims, &options))
            }
        }
    }
}

/// `kiln complete`
pub fn run(args: &CompleteArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "completed images", &["png", "npy", "csv", "wav"])?;
    if let Some(path) = &args.log_p {
        endings::check(path, "log p", &["npy", "csv"])?;
    }
    let device = Device::open(&common.device)?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let seed = common.seed.unwrap_or(1);
    let way = need::completes(trained.model.as_ref())?;
    check_amount(args.count, args.temperature)?;
    let (mask, kept) = args.kept(dims)?;
    let Plan { mut painter, reads, figure, exact, note } = match way {
        Completes::Raster(_) => in_order(args, &trained, &device, &mask)?,
        Completes::Noise(network) => from_noise(args, network, &trained, &device)?,
    };
    let class = chosen_class(&trained, args.class.as_deref())?;
    let classes = trained.recipe.data.classes;
    let given = match (&args.image, &args.data) {
        (Some(path), _) => Given::image(path, args.count, &trained, reads)?,
        (None, Some(source)) => Given::data(source, args.count, &trained, reads)?,
        (None, None) => return Err(Error::usage("kiln complete takes --image or --data")),
    };
    let count = given.count;
    let mut made = Made::new(&args.out, count, &trained)?;
    let (mut log_p, mut first) = (Vec::new(), 0);
    let mut progress = Progress::new(output, &trained, count, None);
    for part in given.parts(&trained, seed) {
        let (part, own) = part?;
        let here = part.len() / item;
        let labels = labels_of(own, here, (class, classes), first);
        let asked = Part { images: &part, mask: &mask, labels: &labels, first, seed };
        let (mut drawn, known) = painter.paint(&mut trained, &asked, &mut progress)?;
        let shown: Vec<f32> = part.iter().map(|v| reads.shown(*v)).collect();
        // What is kept comes out as it came in, to the last bit.
        drawn.iter_mut().zip(&shown).enumerate().filter(|(i, _)| mask[i % item]).for_each(|(_, (drawn, given))| *drawn = *given);
        made.take(&shown, &mask, drawn)?;
        log_p.extend(known);
        first += here;
    }
    progress.finish();
    made.finish(&args.out, dims, &kept)?;
    let mean = figure.map(|_| log_p.iter().sum::<f64>() / count as f64);
    if let Some(path) = &args.log_p {
        write_log_p(path, log_p)?;
    }
    let weights = weights_in_words(&trained, args.best);
    let under = if args.temperature == 1.0 { String::new() } else { format!(" under temperature {}", args.temperature) };
    let likelihood = figure.zip(mean).map(|(figure, mean)| format!(", {figure}{under} {mean:.2} nats")).unwrap_or_default();
    let words = format!("completed {count} images (kept {kept}){likelihood} · {weights} · seed {seed} · {}{note}", args.out.display());
    let object = json!({
        "out": as_text(&args.out), "count": count, "keep": kept, "exact": exact, "mean_log_p": mean, "figure": figure, "weights": weights,
        "seed": seed, "temperature": args.temperature, "step": trained.progress.step, "log_p": args.log_p.as_deref().map(as_text),
        "passes": painter.passes(),
    });
    output.result(&words, &object)
}
