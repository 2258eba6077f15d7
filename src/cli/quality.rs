//! `kiln eval` of samples: how good and how varied they are.

use std::sync::Arc;

use serde_json::{Value, json};

use super::common::Common;
use super::denoising::DenoisingArgs;
use super::draw::{self, Order};
use super::judged::{self, Likeness};
use super::measured::{EvalArgs, Measured, draws_alone, weights_in_words};
use super::output::Output;
use crate::error::{Error, Result};
use crate::eval::quality::{
    Rows, coverage, frechet_distance, kernel_distance, modes_of_ring, nearest, precision_recall, sharpness, two_sample_accuracy,
};
use crate::eval::{self, Judged, linear_accuracy};
use crate::ranks::Ranks;
use crate::sample::diffusion::Settings;
use crate::train::{JUDGE_SEED, Judge, training_data};
use crate::wait::Wait;

/// Samples compared where the command does not say.
const SAMPLES: usize = 2000;
/// Real images that samples are compared with, at most, whatever the number of samples.
const REAL: usize = 10_000;
/// Training images looked through for copies, at most.
const TRAINING: usize = 10_000;

/// Whether samples are to be measured: asked for by `--set quality=true`, or the model has nothing else to measure.
///
/// # Errors
/// [`Error::Usage`] for another value.
pub fn wanted(measured: &mut Measured) -> Result<bool> {
    match measured.settings.remove("quality") {
        Some(toml::Value::Boolean(wanted)) => Ok(wanted),
        Some(other) => Err(Error::usage(format!("quality is true or false, not {other}"))),
        None => Ok(draws_alone(&measured.trained)),
    }
}

fn number(measured: &mut Measured, key: &str, default: u64, least: u64) -> Result<u64> {
    match measured.settings.remove(key) {
        None => Ok(default),
        Some(toml::Value::Integer(n)) if n >= least as i64 => Ok(n as u64),
        Some(other) => Err(Error::usage(format!("{key} is a number of at least {least}, not {other}"))),
    }
}

/// How a diffusion model's samples are drawn: `steps=` and `guidance=`.
fn denoising(measured: &mut Measured) -> Result<Option<Settings>> {
    let guidance = match measured.settings.remove("guidance") {
        Some(toml::Value::Float(scale)) => Some(scale),
        Some(toml::Value::Integer(scale)) => Some(scale as f64),
        Some(other) => return Err(Error::usage(format!("guidance is a number, not {other}"))),
        None => None,
    };
    let steps = measured.steps.take();
    let asked = DenoisingArgs { steps, guidance, ..DenoisingArgs::default() };
    asked.settings(measured.trained.model.as_ref())
}

/// The number of samples, the steps of the classifier, and how a diffusion model draws.
fn settings(measured: &mut Measured) -> Result<(usize, u64, Option<Settings>)> {
    let count = number(measured, "samples", SAMPLES as u64, 2)? as usize;
    let steps = number(measured, "classifier_steps", judged::STEPS, 1)?;
    let denoising = denoising(measured)?;
    let takes = "samples=, classifier_steps=, guidance= and steps= (of diffusion models) and binarization=";
    measured.refuse_settings("the quality of samples", takes)?;
    Ok((count, steps, denoising))
}

/// What a network makes of images, each rank of its share of them.
fn shared(ranks: &Ranks, images: &[f32], item: usize, judge: impl FnOnce(&[f32]) -> Result<Judged>) -> Result<Judged> {
    let own = ranks.share(images.len() / item);
    ranks.agree(judge(&images[own.start * item..own.end * item]))?.join(ranks)
}

/// Figures as lines of words and as a JSON object.
pub struct Told {
    /// One line a figure.
    pub words: String,
    /// The same by name.
    pub object: Value,
}

impl Told {
    fn tell(&mut self, name: &str, key: &str, value: f64, note: &str) {
        self.words += &format!("  {name:<44}{value:>10.4}  {note}\n");
        self.object[key] = json!(value);
    }

    /// A figure that cannot be given, with the reason.
    fn withhold(&mut self, name: &str, key: &str, reason: &str) {
        self.words += &format!("  {name:<44}{:>10}  {reason}\n", "–");
        self.object[key] = Value::Null;
        self.object[format!("{key}_note")] = json!(reason);
    }
}

/// Items of both kinds that are compared, in values as the model makes them.
struct Sets {
    item: usize,
    drawn: Vec<f32>,
    real: Vec<f32>,
    real_labels: Vec<u32>,
}

impl Sets {
    fn drawn(&self) -> Rows<'_> {
        Rows::new(&self.drawn, self.item)
    }

    fn real(&self) -> Rows<'_> {
        Rows::new(&self.real, self.item)
    }

    /// Of how many of each the figures that need sets of one size are.
    fn both(&self) -> usize {
        self.drawn().len().min(self.real().len())
    }
}

/// `kiln eval` of a run's samples.
pub fn run(mut measured: Measured, args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    let told = of_samples(&mut measured, args, common, output)?;
    output.result(&told.words, &told.object)
}

/// Measures a run's samples.
///
/// # Errors
/// [`Error::Usage`] for settings that are none, and data that they cannot be measured beside; errors of the data and the device.
pub fn of_samples(measured: &mut Measured, args: &EvalArgs, common: &Common, output: &Output) -> Result<Told> {
    let ranks = &common.ranks;
    let (count, steps, denoising) = ranks.agree(settings(measured))?;
    let seed = common.seed.unwrap_or(1);
    let likeness = Likeness::of(&measured.trained, measured.binarization, JUDGE_SEED);
    let item: usize = measured.source.dims().iter().product();
    let order = Order { denoising, ranks: ranks.clone(), ..Order::plain(count, seed) };
    let mut drawn = draw::all_shown(&mut measured.trained, &measured.device, &order, output)?;
    likeness.apply_to_samples(&mut drawn, seed);
    let reference = ranks.agree(likeness.images(Arc::clone(&measured.source), REAL))?;
    let sets = Sets { item, drawn, real: reference.values, real_labels: reference.labels };
    let (step, model) = (measured.trained.progress.step, measured.trained.recipe.model.clone());
    let weights = weights_in_words(&measured.trained, args.best);
    let words = format!(
        "{count} samples (seed {seed}) of {model} at step {step}, {weights}, beside {} of {}\n{}\n",
        sets.real().len(),
        reference.name,
        likeness.in_words()
    );
    let object = json!({
        "model": model, "step": step, "weights": weights, "samples": count, "seed": seed, "data": reference.name,
        "real_items": sets.real().len(), "binarization": measured.binarization.to_string(), "likeness": likeness.in_words(),
        "device": measured.device.name(),
    });
    let mut told = Told { words, object };
    let both = sets.both();
    if both < 2 {
        let words = format!("samples are compared with at least 2 items, and {} has {both}", measured.source.name());
        return ranks.agree(Err(Error::usage(words)));
    }
    output.say(&format!("comparing {count} samples with {} items and with the training data", sets.real().len()));
    let accuracy = two_sample_accuracy(sets.real().first(both), sets.drawn().first(both));
    told.tell(
        "1-nearest-neighbour two-sample accuracy",
        "two_sample_accuracy",
        accuracy,
        &format!("½ is best (in the values themselves, {both} of each)"),
    );
    let seen = training_data(&measured.trained.recipe).and_then(|seen| likeness.images(seen, TRAINING));
    let seen = ranks.agree(seen)?;
    let seen_rows = Rows::new(&seen.values, item);
    let mean = |found: &[(usize, f32)]| found.iter().map(|f| f64::from(f.1)).sum::<f64>() / found.len().max(1) as f64;
    let (near, usual) = (mean(&nearest(sets.drawn(), seen_rows)), mean(&nearest(sets.real().first(SAMPLES), seen_rows)));
    told.tell("mean distance to the nearest training item", "nearest_training", near, &format!("{usual:.4} for the held-out items"));
    if measured.trained.recipe.data.points {
        let modes = modes_of_ring(sets.drawn());
        if measured.trained.recipe.data.source.starts_with("builtin:gaussians8") {
            told.tell("modes found, of 8", "modes", modes.found as f64, &format!("{:?}", modes.counts));
            told.tell("share within three deviations of a mode", "within_3_sigma", modes.close, ".989 for the true points");
        }
        return Ok(told);
    }
    let dims = measured.source.dims();
    if dims[0] > 2 && dims[1] > 2 {
        let [own, usual] = [&sets.drawn, &sets.real].map(|images| sharpness(images, dims));
        told.tell("sharpness: variance of the Laplacian, beside the data's", "sharpness", own / usual, "1 is the data's");
    }
    let classes = measured.trained.recipe.data.classes;
    if classes < 2 {
        told.words += "  (no labels, so there is no classifier to compare features by)\n";
        return Ok(told);
    }
    if measured.trained.model.conditional() {
        // Samples are drawn class by class in turn, so they have labels to learn from (Radford et al., 2016, table 3).
        let found = nearest(sets.real(), sets.drawn());
        let wrong = found.iter().zip(&sets.real_labels).filter(|((at, _), label)| (at % classes) as u32 != **label).count();
        let error = wrong as f64 / sets.real_labels.len().max(1) as f64;
        told.tell("error of a 1-NN classifier made of the samples", "one_nn_error", error, "on the held-out items");
    }
    let mut judge = judge_of(ranks, measured, steps, output)?;
    in_features(&mut told, &mut judge, (measured, ranks), &sets)?;
    if measured.trained.model.features().is_some() {
        in_own_features(&mut told, (measured, ranks), &sets, (&seen.values, &seen.labels))?;
    }
    Ok(told)
}

/// The judge of a run's data. The first rank has it before the others, which find it in the cache where that is theirs too, and else make the same.
fn judge_of(ranks: &Ranks, measured: &Measured, steps: u64, output: &Output) -> Result<Judge> {
    let open = || judged::open(&measured.trained.recipe, &measured.device, steps, output);
    let first = ranks.agree(ranks.is_first().then(open).transpose())?;
    ranks.agree(first.map_or_else(open, Ok))
}

/// What the judge's features say.
fn in_features(told: &mut Told, judge: &mut Judge, (measured, ranks): (&Measured, &Ranks), sets: &Sets) -> Result<()> {
    let classes = measured.trained.recipe.data.classes;
    let mut judged = |images: &[f32]| shared(ranks, images, sets.item, |images| judge.judge(&measured.device, images).wait());
    let [of_real, of_drawn] = [judged(&sets.real)?, judged(&sets.drawn)?];
    told.words += &format!("  {}\n", judged::in_words(judge));
    told.object["judge"] = judged::as_json(judge);
    let hits = of_real.labels.iter().zip(&sets.real_labels).filter(|(a, b)| a == b).count();
    let right = hits as f64 / sets.real_labels.len().max(1) as f64;
    told.tell("accuracy of the classifier that judges", "classifier_accuracy", right, "on the items compared, as they are compared");
    let rows = |judged: &'_ Judged| (judged.width, judged.features.len() / judged.width.max(1));
    let ((width, real), (_, drawn)) = (rows(&of_real), rows(&of_drawn));
    let (a, b) = (Rows::new(&of_real.features, width), Rows::new(&of_drawn.features, width));
    let both = sets.both();
    // A covariance of n items has rank n − 1 at most.
    let least = width + 1;
    if real.min(drawn) < least {
        let few = format!("{drawn} samples and {real} items are too few for {width} features; at least {least} of each are needed");
        told.withhold("Fréchet distance in its features (no FID)", "frechet", &few);
    } else {
        let note = format!("0 is best; of {drawn} samples and {real} items, and larger the fewer they are");
        told.tell("Fréchet distance in its features (no FID)", "frechet", frechet_distance(a, b), &note);
    }
    let note = format!("0 is best; unbiased, {both} of each");
    told.tell("kernel distance in its features (no KID)", "kernel", kernel_distance(a.first(both), b.first(both)), &note);
    let found = precision_recall(a.first(both), b.first(both));
    told.tell("precision in its features", "precision", found.precision, &format!("share of samples among the data, {both} of each"));
    told.tell("recall in its features", "recall", found.recall, &format!("share of data among the samples, {both} of each"));
    let accuracy = two_sample_accuracy(a.first(both), b.first(both));
    told.tell("two-sample accuracy in its features", "two_sample_accuracy_features", accuracy, "½ is best");
    let confidences = [&of_real, &of_drawn].map(Judged::confidence);
    told.tell("how sure it is of samples", "judge_confidence", confidences[1], &format!("{:.4} of the data", confidences[0]));
    let doubt = judged::doubt(confidences, accuracy);
    told.object["doubt"] = json!(doubt);
    told.words += &doubt.map(|words| format!("  {words}\n")).unwrap_or_default();
    let (covered, counts) = coverage(&of_drawn.labels, classes, 0.1 / classes as f64);
    told.tell("classes covered", "classes_covered", covered as f64, &format!("of {classes}: {counts:?}"));
    Ok(())
}

/// What a linear classifier makes of the discriminator's own features.
fn in_own_features(
    told: &mut Told,
    (measured, ranks): (&mut Measured, &Ranks),
    sets: &Sets,
    (seen, labels): (&[f32], &[u32]),
) -> Result<()> {
    let classes = measured.trained.recipe.data.classes;
    let own = measured.trained.model.as_ref();
    // D sees data in its own scale.
    let scaled = |values: &[f32]| match own.scale() {
        crate::data::Scale::Symmetric => values.iter().map(|v| 2.0 * v - 1.0).collect::<Vec<f32>>(),
        _ => values.to_vec(),
    };
    let state = &mut measured.trained.state;
    let mut judged = |images: &[f32]| {
        shared(ranks, images, sets.item, |images| eval::judge(&measured.device, own, state, &scaled(images), sets.item, classes).wait())
    };
    let [fit, test] = [judged(seen)?, judged(&sets.real)?];
    let accuracy = linear_accuracy(&measured.device, (&fit, labels), (&test, &sets.real_labels), classes, 1000).wait()?;
    let note = format!("fitted on {} items", labels.len());
    told.tell("accuracy of a linear classifier of D's features", "linear_accuracy", accuracy, &note);
    Ok(())
}
