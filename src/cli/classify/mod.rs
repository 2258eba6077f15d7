//! `kiln classify`.

mod reject;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::common::Common;
use super::endings;
use super::measured::{EvalArgs, Measured, weights_in_words};
use super::oddness::{self, Oddness, OddnessArgs};
use super::output::{Output, as_text, counted};
use crate::data::{self, Source};
use crate::error::{Error, Result};
use crate::eval::{self, ClassScores, LikelihoodOptions, Posterior};
use crate::model::need;
use crate::report;
use crate::train::{Trained, training_data, validation_data};
use crate::wait::Wait;
use reject::Rejection;

/// Most classes whose confusion is written out.
const WRITTEN: usize = 16;

/// Arguments of `classify`.
#[derive(Args)]
pub struct ClassifyArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// How frequent the classes are: uniform, data (as in the training data), or a number for each, such as 3,1,1
    #[arg(long, value_name = "PRIOR", default_value = "uniform", allow_hyphen_values = true)]
    pub prior: String,
    /// Write each image's class, log p(y|x) of every class and log p(x); then the images need no labels
    #[arg(long, value_name = "F.csv or F.npy")]
    pub predictions: Option<PathBuf>,
    /// A .png of what is taken for what
    #[arg(long, value_name = "F.png")]
    pub out: Option<PathBuf>,
    /// Refuse what is odder than all but this share of the validation images, 0.01 say
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub reject: Option<f64>,
    #[command(flatten)]
    pub oddness: OddnessArgs,
    /// Other data, which should be refused
    #[arg(long, value_name = "SOURCE", requires = "reject")]
    pub against: Option<String>,
    /// A run on that other data, to tell the two apart the other way round too
    #[arg(long, value_name = "RUN", requires = "against")]
    pub against_run: Option<PathBuf>,
}

/// What one way of scoring images needs.
struct Scoring<'a> {
    measured: &'a mut Measured,
    options: LikelihoodOptions,
    output: &'a Output,
}

impl Scoring<'_> {
    fn of(&mut self, source: &Arc<dyn Source>) -> Result<ClassScores> {
        let bar = self.output.bar(source.len() as u64, "images");
        let (device, trained) = (&self.measured.device, &mut self.measured.trained);
        let data = (Arc::clone(source), trained.recipe.data.classes);
        let scores = eval::class_scores(device, trained.model.as_ref(), &mut trained.state, data, &self.options, |done| {
            bar.set_position(done as u64);
        })
        .wait();
        bar.finish_and_clear();
        scores
    }
}

/// Refuses arguments that contradict each other, before anything is opened.
fn check(args: &ClassifyArgs) -> Result<()> {
    if let Some(path) = &args.out {
        endings::check(path, "pictures", &["png"])?;
    }
    if let Some(path) = &args.predictions {
        endings::check(path, "predictions", &["csv", "npy"])?;
    }
    if let Some(share) = args.reject.filter(|share| !(*share > 0.0 && *share < 1.0)) {
        return Err(Error::usage(format!("--reject is a share of the validation images, above 0 and below 1, not {share}")));
    }
    if args.reject.is_none() && (args.oddness.score != Oddness::Likelihood || args.oddness.background.is_some()) {
        return Err(Error::usage("--score and --background tell what is refused; take --reject 0.01 as well, or leave them out"));
    }
    Ok(())
}

/// ln p(y) as the arguments ask for it.
fn prior(asked: &str, trained: &Trained) -> Result<Vec<f64>> {
    let classes = trained.recipe.data.classes;
    match asked {
        "uniform" => eval::log_prior(&vec![1.0; classes], classes),
        "data" => {
            let source = training_data(&trained.recipe)?;
            let mut counts = vec![0.0; classes];
            (0..source.len()).filter_map(|at| source.label(at)).for_each(|label| counts[label as usize] += 1.0);
            eval::log_prior(&counts, classes)
        }
        list => {
            let number = |word: &str| {
                let wrong = || Error::usage(format!("--prior is uniform, data or a number for each class, and {word} is no number"));
                word.trim().parse::<f64>().map_err(|_| wrong())
            };
            eval::log_prior(&list.split(',').map(number).collect::<Result<Vec<f64>>>()?, classes)
        }
    }
}

/// Words and an object that say the same.
#[derive(Default)]
struct Told {
    words: String,
    object: serde_json::Map<String, Value>,
}

impl Told {
    fn say(&mut self, line: &str) {
        self.words += line;
        self.words.push('\n');
    }

    fn hold(&mut self, key: &str, value: Value) {
        self.object.insert(key.into(), value);
    }
}

/// `kiln classify`
pub fn run(args: &ClassifyArgs, common: &Common, output: &Output) -> Result<()> {
    check(args)?;
    let mut measured = Measured::open_as(&args.eval, common, |trained, _| {
        need::class_scores(trained.model.as_ref())?;
        Ok(args.predictions.is_none())
    })?;
    measured.refuse_settings("kiln classify", "binarization= and steps= (of a diffusion model's bound)")?;
    let log_prior = prior(&args.prior, &measured.trained)?;
    let limit = args.eval.limit;
    let mut rejection = args.reject.map(|share| Rejection::open(share, args, &measured)).transpose()?;
    // What the temperature is fitted on, and a threshold found.
    let valid = validation_data(&measured.trained.recipe, true)?;
    let valid = valid.map(|valid| limit.map_or(Ok(Arc::clone(&valid)), |limit| data::subset(valid, limit))).transpose()?;
    let source = Arc::clone(&measured.source);
    measured.source.notes().iter().for_each(|note| output.say(note));
    let options = measured.options(&args.eval, common, false);
    let exact = oddness::is_exact(&measured.trained)?;
    let mut scoring = Scoring { measured: &mut measured, options, output };
    let found = scoring.of(&source)?;
    let of_valid = valid.as_ref().map(|valid| scoring.of(valid)).transpose()?;
    let posterior = found.posterior(&log_prior, 1.0);
    let mut told = Told::default();
    let labelled = found.labels.len() == found.len();
    let names = &scoring.measured.trained.recipe.data.class_names.clone();
    let what = if exact { "exact log p(x|y)" } else { "bounds of log p(x|y)" };
    told.hold(
        "likelihood",
        json!(if exact { "log p(x|y), exact" } else { "the ELBO, a lower bound of log p(x|y), the noise of all classes the same" }),
    );
    if labelled {
        let truth = (&found, &posterior);
        tell_verdict(&mut told, truth, &log_prior, (of_valid.as_ref(), valid.as_ref().map(|v| v.name())), (what, &source.name()));
        tell_confusion(&mut told, names, &posterior.verdict(&found.labels).confusion);
    } else {
        tell_counts(&mut told, names, &posterior, &source.name());
    }
    if let Some(rejection) = &mut rejection {
        let of_valid = of_valid.as_ref().map(|scores| scores.posterior(&log_prior, 1.0));
        rejection.judge((&source, &posterior), valid.as_ref().zip(of_valid.as_ref()), &mut scoring, &log_prior)?;
        rejection.tell(&mut told, labelled.then(|| hits(&found, &posterior)).as_deref());
    }
    let trained = &scoring.measured.trained;
    let (recipe, weights) = (&trained.recipe, weights_in_words(trained, args.eval.best));
    told.say(&format!(
        "{} at step {}, {weights} · prior {} · binarization {} · device {}",
        recipe.model,
        trained.progress.step,
        args.prior,
        scoring.measured.binarization,
        scoring.measured.device.name()
    ));
    if let Some(path) = &args.predictions {
        write_predictions(path, names, &found, &posterior, rejection.as_ref())?;
        told.say(&format!("wrote what each of {} is taken for to {}", counted(found.len(), "image"), path.display()));
    }
    if let (Some(path), true) = (&args.out, labelled) {
        let verdict = posterior.verdict(&found.labels);
        let title = format!("{}: {:.2}% right", recipe.model, 100.0 * verdict.accuracy);
        report::save_png(path, &report::confusion(&title, names, &verdict.confusion))?;
        told.say(&path.display().to_string());
    }
    for (key, value) in [
        ("model", json!(recipe.model)),
        ("step", json!(trained.progress.step)),
        ("weights", json!(weights)),
        ("data", json!(source.name())),
        ("images", json!(found.len())),
        ("prior", json!(log_prior.iter().map(|p| p.exp()).collect::<Vec<_>>())),
        ("classes", json!(names)),
        ("binarization", json!(scoring.measured.binarization.to_string())),
        ("device", json!(scoring.measured.device.name())),
        ("predictions", json!(args.predictions.as_deref().map(as_text))),
        ("out", json!(args.out.as_deref().filter(|_| labelled).map(as_text))),
    ] {
        told.hold(key, value);
    }
    output.result(&told.words, &Value::Object(told.object))
}

/// Whether each image is taken for what it is.
fn hits(found: &ClassScores, posterior: &Posterior) -> Vec<bool> {
    posterior.predictions().iter().zip(&found.labels).map(|(taken, label)| taken == label).collect()
}

/// Accuracy, likelihood of the labels, calibration and what labels say of images.
fn tell_verdict(
    told: &mut Told,
    (found, posterior): (&ClassScores, &Posterior),
    log_prior: &[f64],
    (valid, valid_name): (Option<&ClassScores>, Option<String>),
    (what, name): (&str, &str),
) {
    let verdict = posterior.verdict(&found.labels);
    told.say(&format!(
        "accuracy {:.4} ± {:.4} ({:.2}% wrong), by Bayes' rule from {what}, over {} of {name}",
        verdict.accuracy,
        verdict.error,
        100.0 * (1.0 - verdict.accuracy),
        counted(found.len(), "image")
    ));
    told.say(&format!("−log p(y|x) {:.4} ± {:.4} nats, ECE {:.4}", verdict.nll, verdict.nll_error, verdict.ece));
    for (key, value) in [
        ("accuracy", json!(verdict.accuracy)),
        ("standard_error", json!(verdict.error)),
        ("nll", json!(verdict.nll)),
        ("nll_error", json!(verdict.nll_error)),
        ("ece", json!(verdict.ece)),
        ("confusion", json!(verdict.confusion.chunks(found.classes.max(1)).collect::<Vec<_>>())),
    ] {
        told.hold(key, value);
    }
    told.hold("temperature", Value::Null);
    if let (Some(valid), Some(valid_name)) = (valid, valid_name) {
        let fitted = valid.temperature(log_prior);
        let after = found.posterior(log_prior, fitted).verdict(&found.labels);
        told.say(&format!(
            "at the temperature {fitted:.4}, fitted on {} images of {valid_name}{}: {:.4} ± {:.4} nats, ECE {:.4}",
            valid.len(),
            if valid_name == name { ", the very images that are scored, so that it flatters" } else { "" },
            after.nll,
            after.nll_error,
            after.ece
        ));
        let at_edge = eval::TEMPERATURES.into_iter().find(|edge| (fitted / edge).ln().abs() < 1e-6);
        if let Some(edge) = at_edge {
            let beyond = if edge < 1.0 { "lower" } else { "higher" };
            told.say(&format!(
                "that is the {beyond} end of the temperatures that are tried, {edge}: a {beyond} one would do better still, and it says little of the model"
            ));
        }
        let object = json!({
            "value": fitted, "at_edge": at_edge.is_some(), "fitted_on": valid_name, "images": valid.len(), "nll": after.nll, "nll_error": after.nll_error, "ece": after.ece,
            "accuracy": after.accuracy,
        });
        told.hold("temperature", object);
    } else {
        told.say("no temperature: nothing was held out of the training data to fit one on");
    }
    let (information, error) = eval::mean_and_error(&found.label_information(posterior));
    // What it would come to if the images told their classes without a doubt.
    let most = -found.labels.iter().map(|label| log_prior[*label as usize]).sum::<f64>() / found.len() as f64;
    told.say(&format!("label information E[log p(x|y) − log p(x)] {information:.4} ± {error:.4} nats, of {most:.4} at most"));
    told.hold("label_information", json!(information));
    told.hold("label_information_error", json!(error));
    told.hold("label_information_most", json!(most));
}

/// What is taken for what: all of it, or of many classes the most frequent errors.
fn tell_confusion(told: &mut Told, names: &[String], counts: &[usize]) {
    let n = names.len();
    if n > WRITTEN {
        let mut errors: Vec<(usize, usize)> = (0..n * n).filter(|at| at / n != at % n).map(|at| (counts[at], at)).collect();
        errors.sort_by(|a, b| b.cmp(a));
        let shown: Vec<String> = errors
            .iter()
            .take(WRITTEN)
            .filter(|(count, _)| *count > 0)
            .map(|(count, at)| format!("{} for {} {count}", names[at / n], names[at % n]))
            .collect();
        told.say(&format!("most frequent errors: {}", shown.join(", ")));
        return;
    }
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(12);
    let cut = |name: &str| name.chars().take(12).collect::<String>();
    let width = counts.iter().map(|count| count.to_string().len()).max().unwrap_or(1).max(longest.min(6)) + 1;
    let line = |head: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>width$}")).collect();
        format!("  {head:>longest$}{cells}")
    };
    told.say("taken for (columns) what is of a class (rows)");
    told.say(&line("", names.iter().map(|name| name.chars().take(width - 1).collect()).collect()));
    for (name, row) in names.iter().zip(counts.chunks(n)) {
        told.say(&line(&cut(name), row.iter().map(ToString::to_string).collect()));
    }
}

/// How many images are taken for what, where nothing else is known.
fn tell_counts(told: &mut Told, names: &[String], posterior: &Posterior, name: &str) {
    let mut counts = vec![0usize; names.len()];
    posterior.predictions().iter().for_each(|class| counts[*class as usize] += 1);
    let shown: Vec<String> =
        names.iter().zip(&counts).filter(|(_, count)| **count > 0).map(|(name, count)| format!("{name} {count}")).collect();
    told.say(&format!("{name} has no labels of this run; its images are taken for: {}", shown.join(", ")));
    told.hold("taken_for", json!(counts));
}

/// Writes what is known of each image as named columns.
fn write_predictions(
    path: &std::path::Path,
    names: &[String],
    found: &ClassScores,
    posterior: &Posterior,
    rejection: Option<&Rejection>,
) -> Result<()> {
    let mut columns = vec![("class".to_string(), posterior.predictions().iter().map(|class| f64::from(*class)).collect::<Vec<f64>>())];
    if found.labels.len() == found.len() {
        columns.push(("label".into(), found.labels.iter().map(|label| f64::from(*label)).collect()));
    }
    columns.push(("log_p_x".into(), posterior.log_p_x.clone()));
    for (class, name) in names.iter().enumerate() {
        columns.push((format!("log_p_{name}"), posterior.log_p_y.chunks(names.len()).map(|row| row[class]).collect()));
    }
    if let Some(rejection) = rejection {
        columns.push(("oddness".into(), rejection.own().to_vec()));
        columns.push(("refused".into(), rejection.own().iter().map(|odd| f64::from(u8::from(rejection.refuses(*odd)))).collect()));
    }
    report::write_table(path, &columns)
}
