//! `kiln sample --guide`: images of p(x|y) from a model of p(x) and a classifier.

mod ways;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::draw::{self, Order};
use super::measured::{weights, weights_in_words};
use super::output::{Output, as_text, counted};
use super::pictures::Pictures;
use crate::data::{self, find_class};
use crate::error::{Error, Result};
use crate::model::need;
use crate::runtime::Device;
use crate::sample::guided::{Chosen, Guide, reject, resample};
use crate::sample::twisted::Grown;
use crate::sample::walker::Walked;
use crate::train::Trained;
use crate::wait::Wait;
use ways::{Pair, along_slopes, by_chains, by_rows};

/// Draws of a rejection for each image that is wanted, at most, of importance resampling and of sequential Monte Carlo, where nobody says how many.
const DRAWS: [usize; 3] = [1000, 20, 4];
/// Values of draws that are kept all at once, at most: a GiB of them.
const MOST_VALUES: usize = 1 << 28;
/// Steps of a chain where nobody says how many.
const WALK: usize = 300;

/// Arguments of a draw by a classifier.
#[derive(Args)]
pub struct GuideArgs {
    /// A classifier's run: images of --class, by p(x|y) ∝ p(y|x) p(x), of a model without labels
    #[arg(long, value_name = "RUN")]
    pub guide: Option<PathBuf>,
    /// Images drawn to choose from with --guide [default: as many as rejection needs, at most 1000 an image; by importance 20 an image]
    #[arg(long, value_name = "N", requires = "guide", allow_negative_numbers = true)]
    pub draws: Option<usize>,
    /// Steps of each chain of --method mala [default: 300]
    #[arg(long, value_name = "N", requires = "guide", allow_negative_numbers = true)]
    pub walk: Option<usize>,
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
    /// With --guide: rows are drawn a few at a time, and what a classifier trained with --set rows=true finds promising goes on (autoregressive)
    Smc,
    /// With --guide: latents walk by Langevin's steps, each accepted or refused (models with latents)
    Mala,
    /// With --guide: diffusion follows the slope of ln p(y|x), --guidance times, of a classifier trained with --set noised=true
    Gradient,
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
    /// How much a slope counts, where one is followed.
    pub guidance: Option<f64>,
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

/// Draws images of a class that a classifier knows.
///
/// # Errors
/// [`Error::Usage`] where the classifier is none for this run, or its class is none; those of the draws.
pub fn run(asked: Asked<'_>, mut trained: Trained, device: &Device, output: &Output) -> Result<()> {
    let Asked { guide: path, args, class, order, out, overwrite, best, guidance } = asked;
    need::draws(trained.model.as_ref())?;
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
    let method = chosen_method(args.method, &trained, &guide, &path.display().to_string())?;
    check_method(method, args, &order, guidance)?;
    let resamples = method == MethodArg::Importance;
    let each = match method {
        MethodArg::Importance => DRAWS[1],
        MethodArg::Smc => DRAWS[2],
        _ => DRAWS[0],
    };
    let draws = args.draws.unwrap_or(count.saturating_mul(each));
    let dims = trained.recipe.data.dims;
    let (item, kept) = (dims.iter().product::<usize>(), matches!(method, MethodArg::Importance | MethodArg::Smc));
    if kept && draws.saturating_mul(item) > MOST_VALUES {
        let most = MOST_VALUES / item.max(1);
        return Err(Error::usage(format!(
            "{draws} draws are kept all at once, and at most {most} of this size are; take fewer --draws or -n"
        )));
    }
    let kind = (trained.recipe.data.points, &trained.recipe.data.reading.series);
    let mut pictures = Pictures::create(out, count, dims, kind, None, overwrite)?;
    let judge = Guide::new(device, (guide.model.as_ref(), &guide.state, weights(&guide)), (class, classes), draws).wait()?;
    let start = Instant::now();
    let (images, told, mut object) = if matches!(method, MethodArg::Gradient | MethodArg::Mala) {
        let mut judge = judge;
        let (scale, steps) = (guidance.unwrap_or(1.0), args.walk.unwrap_or(WALK));
        let (images, way, mut object) = if method == MethodArg::Gradient {
            let bar = output.bar(count as u64, "images");
            let images = along_slopes(&mut trained, &mut guide, device, &order, (class, scale), &bar);
            bar.finish_and_clear();
            (images?, format!("along the slope of the classifier, {scale} times"), json!({"method": "gradient", "guidance": scale}))
        } else {
            let bar = output.bar(steps as u64, "steps");
            let walked = by_chains(&mut trained, &mut guide, device, (count, steps, seed), class, &bar);
            bar.finish_and_clear();
            let Walked { images, acceptance, .. } = walked?;
            let way = format!("by a chain of {steps} steps for each, {acceptance:.3} of them accepted in its second half");
            (images, way, json!({"method": "mala", "steps": steps, "acceptance": acceptance}))
        };
        let log_p = judge.log_p(&mut guide.state, &images).wait()?;
        let mean = log_p.iter().map(|l| l.exp()).sum::<f64>() / count as f64;
        object["mean_p"] = json!(mean);
        (images, format!("{way}; the mean of p({name}|x) over them, as the classifier says itself, is {mean:.4}"), object)
    } else if method == MethodArg::Smc {
        let grown = by_rows(&mut trained, &mut guide, judge, device, (&order, draws), output)?;
        let Grown { copied, log_p_y, effective, ancestors, .. } = grown;
        let p_y = log_p_y.exp();
        let words = format!(
            "by sequential Monte Carlo, which is exact as draws grow: {draws} side by side, copied {copied} times, {effective:.1} effective in the end; \
             {ancestors} different beginnings among {count} images; p({name}) is about {p_y:.4}"
        );
        let object = json!({
            "method": "smc", "drawn": draws, "copied": copied, "mean_p": p_y, "effective_samples": effective, "ancestors": ancestors,
        });
        (grown.images, words, object)
    } else {
        let bar = output.bar(draws as u64, "draws");
        let mut pair = Pair { trained: &mut trained, guide: &mut guide, judge, device, order, bar: bar.clone() };
        let chosen = if resamples { resample(&mut pair, count, draws, seed) } else { reject(&mut pair, count, draws, seed) };
        bar.finish_and_clear();
        let chosen = chosen?;
        let words = in_words(&chosen, resamples, &name);
        let object = as_object(&chosen, resamples);
        (chosen.images, words, object)
    };
    pictures.take(&images)?;
    pictures.finish()?;
    let seconds = start.elapsed().as_secs_f64();
    let weights = weights_in_words(&trained, best);
    let words = format!(
        "drew {} of {} at step {} ({weights}), of the class {name} by {}, in {seconds:.2} s\n{told}\nseed {seed} · {}",
        counted(count, "image"),
        trained.recipe.model,
        trained.progress.step,
        path.display(),
        out.display()
    );
    for (key, value) in [
        ("out", json!(as_text(out))),
        ("count", json!(count)),
        ("seed", json!(seed)),
        ("seconds", json!(seconds)),
        ("device", json!(device.name())),
        ("step", json!(trained.progress.step)),
        ("weights", json!(weights)),
        ("guide", json!(as_text(path))),
        ("class", json!(name)),
    ] {
        object[key] = value;
    }
    output.result(&words, &object)
}

/// The way that is asked for, or that suits the two.
fn chosen_method(asked: MethodArg, trained: &Trained, guide: &Trained, shown: &str) -> Result<MethodArg> {
    let denoises = trained.model.denoises().is_some();
    let noised = need::judges(guide.model.as_ref())?.noised();
    match asked {
        MethodArg::Cached => Ok(if denoises && noised { MethodArg::Gradient } else { MethodArg::Rejection }),
        MethodArg::Naive => Err(Error::usage("--method naive belongs to a draw without --guide; take rejection or importance")),
        MethodArg::Smc => {
            let raster = need::raster(trained.model.as_ref())?;
            if raster.coarser().is_some() {
                let words =
                    "--method smc draws from the first row to the last, and this run draws coarse pixels first; take --method rejection";
                return Err(Error::usage(words));
            }
            if !need::judges(guide.model.as_ref())?.reads_rows() {
                let words = "train it with --set rows=true, or take --method rejection";
                return Err(Error::usage(format!("--method smc asks of the first rows of images, and {shown} knows whole ones; {words}")));
            }
            Ok(asked)
        }
        MethodArg::Mala => need::prior(trained.model.as_ref()).map(|_| asked),
        MethodArg::Gradient if !denoises => need::denoises(trained.model.as_ref()).map(|_| asked),
        MethodArg::Gradient if !noised => {
            let words = "train it with --set noised=true, or take --method rejection";
            Err(Error::usage(format!("--method gradient asks of noised images, and {shown} knows none; {words}")))
        }
        _ => Ok(asked),
    }
}

/// Refuses what a method has no use for.
fn check_method(method: MethodArg, args: &GuideArgs, order: &Order, guidance: Option<f64>) -> Result<()> {
    let chooses = matches!(method, MethodArg::Rejection | MethodArg::Importance | MethodArg::Smc);
    let refused = if !chooses && args.draws.is_some() {
        Some("--draws is of rejection, importance and smc; the other methods draw as many images as are wanted")
    } else if method == MethodArg::Smc && args.draws.is_some_and(|draws| draws < order.count) {
        Some("--draws of --method smc must be as many as the images that are wanted, or more")
    } else if method != MethodArg::Gradient && guidance.is_some() {
        Some("--guidance is of --method gradient; leave it out")
    } else if method != MethodArg::Mala && args.walk.is_some() {
        Some("--walk is of --method mala; leave it out")
    } else if args.walk.is_some_and(|steps| steps < 2) {
        Some("--walk must be at least 2: half of the steps find how long steps are")
    } else if method == MethodArg::Mala && (order.temperature != 1.0 || order.truncation.is_some()) {
        Some("--method mala goes by the prior of the latents; leave --temperature and --truncation out")
    } else {
        None
    };
    refused.map_or(Ok(()), |words| Err(Error::usage(words)))
}

/// What is known of how the images were come by.
fn as_object(chosen: &Chosen, resamples: bool) -> serde_json::Value {
    let mut distinct = chosen.numbers.clone();
    distinct.dedup();
    json!({
        "method": if resamples { "importance" } else { "rejection" }, "drawn": chosen.drawn, "mean_p": chosen.mean_p,
        "acceptance": (!resamples).then(|| chosen.numbers.len() as f64 / chosen.drawn as f64),
        "effective_samples": resamples.then_some(chosen.effective), "distinct": distinct.len(),
    })
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
