//! `kiln eval` of samples: how good and how varied they are.

use std::sync::Arc;

use serde_json::json;

use super::common::Common;
use super::measured::{EvalArgs, Measured, draws_alone};
use super::output::Output;
use super::sample::{self, MethodArg, SampleArgs};
use crate::data::{self, Binarization, Scale, Source};
use crate::error::{Error, Result};
use crate::eval::quality::{
    Rows, coverage, frechet_distance, kernel_distance, modes_of_ring, nearest, precision_recall, two_sample_accuracy,
};
use crate::eval::{judge, linear_accuracy};
use crate::train::{self, Silent, training_data};

/// Samples compared where the command does not say.
const SAMPLES: usize = 2000;
/// Training images that samples are compared with.
const TRAINING: usize = 10_000;
/// Steps of the classifier.
const CLASSIFIER_STEPS: u64 = 1000;

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

/// Images of a source in 0..1 (points as they are), with their labels.
pub fn images(source: Arc<dyn Source>, count: usize) -> Result<(Vec<f32>, Vec<u32>)> {
    let scale = if source.kind() == data::Kind::Points { Scale::Raw } else { Scale::Unit };
    let count = count.min(source.len());
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for batch in data::sequential(data::subset(source, count)?, 250, 0, Binarization::None, scale) {
        let batch = batch?;
        values.extend(batch.values);
        labels.extend(batch.labels);
    }
    Ok((values, labels))
}

/// Draws samples of a run as `kiln sample` does.
pub fn samples(measured: &mut Measured, args: &EvalArgs, count: usize, seed: u64) -> Result<Vec<f32>> {
    let draw = SampleArgs {
        run: args.run.clone(),
        count,
        out: Default::default(),
        temperature: 1.0,
        truncation: None,
        method: MethodArg::Cached,
        class: None,
        best: args.best,
    };
    Ok(sample::draw(&mut measured.trained, &measured.device, &draw, seed, &|_| {})?.0)
}

fn number(measured: &mut Measured, key: &str, default: u64) -> Result<u64> {
    match measured.settings.remove(key) {
        None => Ok(default),
        Some(toml::Value::Integer(n)) if n > 0 => Ok(n as u64),
        Some(other) => Err(Error::usage(format!("{key} is a number above 0, not {other}"))),
    }
}

/// Measures a run's samples.
pub fn run(mut measured: Measured, args: &EvalArgs, common: &Common, output: &Output) -> Result<()> {
    let count = number(&mut measured, "samples", SAMPLES as u64)? as usize;
    let steps = number(&mut measured, "classifier_steps", CLASSIFIER_STEPS)?;
    if let Some(key) = measured.settings.keys().next() {
        return Err(Error::usage(format!("the quality of samples takes samples=, classifier_steps= and binarization=, not {key}")));
    }
    let seed = common.seed.unwrap_or(1);
    let drawn = samples(&mut measured, args, count, seed)?;
    let item: usize = measured.source.dims().iter().product();
    let (real, real_labels) = images(Arc::clone(&measured.source), count)?;
    let both = count.min(real.len() / item);
    let (generated, held) = (Rows::new(&drawn, item), Rows::new(&real, item));
    let step = measured.trained.progress.step;
    let model = measured.trained.recipe.model.clone();
    let mut words = format!("{count} samples of {model} at step {step} beside {} items of {}\n", held.len(), measured.source.name());
    let mut object =
        json!({"model": model, "step": step, "samples": count, "data": measured.source.name(), "device": measured.device.name()});
    let mut tell = |name: &str, key: &str, value: f64, note: &str| {
        words += &format!("  {name:<44}{value:>10.4}  {note}\n");
        object[key] = json!(value);
    };
    let accuracy = two_sample_accuracy(held.first(both), generated.first(both));
    tell("1-nearest-neighbour two-sample accuracy", "two_sample_accuracy", accuracy, "½ is best (in the values themselves)");
    let training = training_data(&measured.trained.recipe)?;
    let (seen, seen_labels) = images(training, TRAINING)?;
    let seen_rows = Rows::new(&seen, item);
    let mean = |found: &[(usize, f32)]| found.iter().map(|f| f64::from(f.1)).sum::<f64>() / found.len().max(1) as f64;
    let (near, usual) = (mean(&nearest(generated, seen_rows)), mean(&nearest(held, seen_rows)));
    tell("mean distance to the nearest training item", "nearest_training", near, &format!("{usual:.4} for the held-out items"));
    if measured.trained.recipe.data.points {
        let modes = modes_of_ring(generated);
        if measured.trained.recipe.data.source.starts_with("builtin:gaussians8") {
            tell("modes found, of 8", "modes", modes.found as f64, &format!("{:?}", modes.counts));
            tell("share within three deviations of a mode", "within_3_sigma", modes.close, ".989 for the true points");
        }
        return output.result(&words, &object);
    }
    let classes = measured.trained.recipe.data.classes;
    if classes < 2 {
        words += "  (no labels, so there is no classifier to compare features by)\n";
        return output.result(&words, &object);
    }
    if measured.trained.model.conditional() {
        // Samples are drawn class by class in turn, so they have labels to learn from (Radford et al., 2016, table 3).
        let found = nearest(held, generated);
        let wrong = found.iter().zip(&real_labels).filter(|((at, _), label)| (at % classes) as u32 != **label).count();
        let error = wrong as f64 / real_labels.len().max(1) as f64;
        tell("error of a 1-NN classifier made of the samples", "one_nn_error", error, "on the held-out items");
    }
    let bar = output.bar(0, "steps");
    bar.set_message("training the classifier that judges");
    let mut classifier = train::classifier(&measured.trained, &measured.device, steps, &mut Silent)?;
    bar.finish_and_clear();
    let net = classifier.model.as_ref();
    let of_real = judge(&measured.device, net, &mut classifier.state, &real, item, classes)?;
    let of_drawn = judge(&measured.device, net, &mut classifier.state, &drawn, item, classes)?;
    let right = of_real.labels.iter().zip(&real_labels).filter(|(a, b)| a == b).count() as f64 / real_labels.len().max(1) as f64;
    let (a, b) = (Rows::new(&of_real.features, of_real.width), Rows::new(&of_drawn.features, of_drawn.width));
    tell("accuracy of the classifier that judges", "classifier_accuracy", right, &format!("{steps} steps on the same training data"));
    tell("Fréchet distance in its features (no FID)", "frechet", frechet_distance(a, b), "0 is best");
    tell("kernel distance in its features (no KID)", "kernel", kernel_distance(a, b), "0 is best");
    let found = precision_recall(a.first(both), b.first(both));
    tell("precision in its features", "precision", found.precision, "share of samples among the data");
    tell("recall in its features", "recall", found.recall, "share of data among the samples");
    tell(
        "two-sample accuracy in its features",
        "two_sample_accuracy_features",
        two_sample_accuracy(a.first(both), b.first(both)),
        "½ is best",
    );
    let (covered, counts) = coverage(&of_drawn.labels, classes, 0.1 / classes as f64);
    tell("classes covered", "classes_covered", covered as f64, &format!("of {classes}: {counts:?}"));
    let own = measured.trained.model.as_ref();
    if own.features().is_some() {
        // D sees data in its own scale.
        let scaled = |values: &[f32]| match own.scale() {
            Scale::Symmetric => values.iter().map(|v| 2.0 * v - 1.0).collect::<Vec<f32>>(),
            _ => values.to_vec(),
        };
        let state = &mut measured.trained.state;
        let fit = judge(&measured.device, own, state, &scaled(&seen), item, classes)?;
        let test = judge(&measured.device, own, state, &scaled(&real), item, classes)?;
        let accuracy = linear_accuracy(&measured.device, (&fit, &seen_labels), (&test, &real_labels), classes, 1000)?;
        tell(
            "accuracy of a linear classifier of D's features",
            "linear_accuracy",
            accuracy,
            &format!("fitted on {} items", seen_labels.len()),
        );
    }
    output.result(&words, &object)
}
