//! `kiln sample --guide`: images of p(x|y) from a model of p(x) and a classifier.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::draw::{self, Order};
use super::measured::{weights, weights_in_words};
use super::output::{Output, as_text};
use super::pictures::Pictures;
use crate::data::{self, find_class};
use crate::error::{Error, Result};
use crate::model::need;
use crate::runtime::Device;
use crate::sample::guided::{Chosen, Guide, Proposes, reject, resample};
use crate::train::Trained;

/// Draws of a rejection for each image that is wanted, at most, and of importance resampling, where nobody says how many.
const DRAWS: [usize; 2] = [1000, 20];

/// Arguments of a draw by a classifier.
#[derive(Args)]
pub struct GuideArgs {
    /// A classifier's run: images of --class, by p(x|y) ∝ p(y|x) p(x), of a model without labels
    #[arg(long, value_name = "RUN")]
    pub guide: Option<PathBuf>,
    /// Images drawn to choose from with --guide [default: as many as rejection needs, at most 1000 an image; by importance 20 an image]
    #[arg(long, value_name = "N", requires = "guide", allow_negative_numbers = true)]
    pub draws: Option<usize>,
    /// How autoregressive models are sampled; with --guide, how images of the class are come by
    #[arg(long, value_enum, default_value_t = MethodArg::Cached)]
    pub method: MethodArg,
}

/// How images are come by.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum MethodArg {
    /// Each node once per position
    Cached,
    /// A whole forward pass for each value
    Naive,
    /// With --guide: an image is kept with probability p(y|x), which is exact
    Rejection,
    /// With --guide: of many images some are taken in proportion to p(y|x)
    Importance,
}

/// What is to be drawn, and where to.
pub struct Asked<'a> {
    /// The classifier's run.
    pub guide: &'a Path,
    /// How, and of how many.
    pub args: &'a GuideArgs,
    /// Class of the images, by its name.
    pub class: Option<&'a str>,
    /// The images, whatever their class.
    pub order: Order,
    /// Where they go.
    pub out: &'a Path,
    /// Whether the pictures of an earlier sample are replaced.
    pub overwrite: bool,
    /// Whether the run is its checkpoint of the best validation score.
    pub best: bool,
}

/// Refuses a classifier that a run's images are not for.
fn check_fits(trained: &Trained, guide: &Trained, shown: &str) -> Result<()> {
    need::judges(guide.model.as_ref()).map_err(|e| Error::usage(format!("--guide takes a classifier: {e}")))?;
    let (own, other) = (&trained.recipe.data, &guide.recipe.data);
    if own.dims != other.dims {
        let [[h, w, c], [oh, ow, oc]] = [own.dims, other.dims];
        let words = "take a classifier of the same data";
        return Err(Error::usage(format!("{shown} tells classes of images of {oh}×{ow}×{oc}, and the run draws {h}×{w}×{c}; {words}")));
    }
    // Built-in sets differ with the seed, and are the same data all the same.
    let base = |source: &str| data::with_split(source, None);
    let same = own.digest == other.digest || (own.source.starts_with("builtin:") && base(&own.source) == base(&other.source));
    if !same {
        let words = "train a classifier on the run's data";
        return Err(Error::usage(format!("{shown} was trained on {}, and the run on {}; {words}", other.source, own.source)));
    }
    let bits = trained.model.raster().map(|r| r.law().levels() == Some(2));
    let told = other.spec().is_binary();
    if bits.is_some_and(|bits| bits != told) {
        let (are, were) = if told { ("grey", "bits") } else { ("bits", "grey") };
        let how = if told { "none".into() } else { own.binarization.to_string() };
        let words = format!("train a classifier with --set binarization={how}");
        return Err(Error::usage(format!("the run's images are {are}, and {shown} was trained on {were}; {words}")));
    }
    Ok(())
}

/// A run and a classifier that judges what it draws.
struct Pair<'a> {
    trained: &'a mut Trained,
    guide: &'a mut Trained,
    judge: Guide,
    device: &'a Device,
    order: Order,
    bar: indicatif::ProgressBar,
}

impl Proposes for Pair<'_> {
    fn propose(&mut self, first: usize, count: usize) -> Result<(Vec<f32>, Vec<f64>)> {
        (self.order.first, self.order.count) = (first, count);
        let images = draw::all(self.trained, self.device, &self.order)?;
        let log_p = self.judge.log_p(&mut self.guide.state, &images)?;
        self.bar.inc(count as u64);
        Ok((images, log_p))
    }
}

/// Draws images of a class that a classifier knows.
///
/// # Errors
/// [`Error::Usage`] where the classifier is none for this run, or its class is none; those of the draws.
pub fn run(asked: Asked<'_>, mut trained: Trained, device: &Device, output: &Output) -> Result<()> {
    let Asked { guide: path, args, class, order, out, overwrite, best } = asked;
    if trained.model.conditional() {
        let name = trained.model.name();
        return Err(Error::usage(format!("this {name} draws classes itself; leave --guide out, --class alone is enough")));
    }
    if args.draws == Some(0) {
        return Err(Error::usage("--draws must be at least 1"));
    }
    let mut guide = Trained::load(path, device, false)?;
    check_fits(&trained, &guide, &path.display().to_string())?;
    let names = &guide.recipe.data.class_names;
    let Some(word) = class else {
        return Err(Error::usage(format!("--guide draws images of a class; name it with --class, one of {}", data::listed(names))));
    };
    let class = find_class(names, word)?;
    let (name, classes) = (names[class as usize].clone(), names.len());
    let (count, seed) = (order.count, order.seed);
    draw::check(&trained, &order)?;
    let resamples = match args.method {
        MethodArg::Rejection | MethodArg::Cached => false,
        MethodArg::Importance => true,
        MethodArg::Naive => return Err(Error::usage("--method naive belongs to a draw without --guide; take rejection or importance")),
    };
    let draws = args.draws.unwrap_or(count.saturating_mul(DRAWS[usize::from(resamples)]));
    let dims = trained.recipe.data.dims;
    let kind = (trained.recipe.data.points, &trained.recipe.data.reading.series);
    let mut pictures = Pictures::create(out, count, dims, kind, overwrite)?;
    let judge = Guide::new(device, (guide.model.as_ref(), &guide.state, weights(&guide)), (class, classes), draws)?;
    let bar = output.bar(draws as u64, "draws");
    let start = Instant::now();
    let mut pair = Pair { trained: &mut trained, guide: &mut guide, judge, device, order, bar: bar.clone() };
    let chosen = if resamples { resample(&mut pair, count, draws, seed) } else { reject(&mut pair, count, draws, seed) };
    bar.finish_and_clear();
    let chosen = chosen?;
    pictures.take(&chosen.images)?;
    pictures.finish()?;
    let seconds = start.elapsed().as_secs_f64();
    let words = format!(
        "drew {count} images of {} at step {} ({}), of the class {name} by {}, in {seconds:.2} s\n{}\nseed {seed} · {}",
        trained.recipe.model,
        trained.progress.step,
        weights_in_words(&trained, best),
        path.display(),
        in_words(&chosen, resamples, &name),
        out.display()
    );
    let mut distinct = chosen.numbers.clone();
    distinct.dedup();
    let object = json!({
        "out": as_text(out), "count": count, "seed": seed, "seconds": seconds, "device": device.name(), "step": trained.progress.step,
        "weights": weights_in_words(&trained, best), "guide": as_text(path), "class": name,
        "method": if resamples { "importance" } else { "rejection" }, "drawn": chosen.drawn, "mean_p": chosen.mean_p,
        "acceptance": (!resamples).then(|| chosen.numbers.len() as f64 / chosen.drawn as f64),
        "effective_samples": resamples.then_some(chosen.effective), "distinct": distinct.len(),
    });
    output.result(&words, &object)
}

/// How the images were come by.
fn in_words(chosen: &Chosen, resamples: bool, name: &str) -> String {
    let Chosen { drawn, mean_p, effective, .. } = chosen;
    let kept = chosen.numbers.len();
    if !resamples {
        let share = kept as f64 / *drawn as f64;
        return format!(
            "by rejection, which is exact: {kept} of {drawn} were kept, {share:.4} of them; the mean of p({name}|x) over all that were drawn is {mean_p:.4}"
        );
    }
    let mut distinct = chosen.numbers.clone();
    distinct.dedup();
    format!(
        "by resampling {drawn} draws, which is exact as their number grows: {} different ones among {kept}, {effective:.1} effective; the mean of \
         p({name}|x) is {mean_p:.4}",
        distinct.len()
    )
}
