//! How unlike a run's own data an image is: what `outliers` and `classify --reject` order images by.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::measured::weights;
use super::output::Output;
use crate::data::{self, Source};
use crate::error::{Error, Result};
use crate::eval::{self, LikelihoodOptions};
use crate::model::{Score, need};
use crate::runtime::Device;
use crate::train::{Trained, validation_data};
use crate::wait::Wait;

/// What an image is found odd by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Oddness {
    /// −ln p(x)
    Likelihood,
    /// |−ln p(x) − its mean over held-out images|: as well what is too likely
    Typicality,
    /// ln p(x) of a background model − ln p(x)
    Background,
    /// −ln p(x) − the image's size as a PNG
    Complexity,
}

/// What images are found odd by.
#[derive(Args)]
pub struct OddnessArgs {
    /// What an image is found odd by
    #[arg(long, value_enum, default_value_t = Oddness::Likelihood)]
    pub score: Oddness,
    /// The run of --score background: the same model trained with --set mutate=0.2, say, so that it knows how images are made in general
    #[arg(long, value_name = "RUN")]
    pub background: Option<PathBuf>,
}

/// What every figure by plain likelihood must be read with.
pub const CAVEAT: &str = "A likelihood is no measure of kinship: a model can find images it never saw, if they are smoother or emptier, likelier \
than its own (Nalisnick et al., 2019). An AUROC near or below 0.5 is that effect, and no error of the run.";

impl Oddness {
    /// What it is, in a formula and words.
    pub fn in_words(self, exact: bool) -> String {
        let nll = if exact { "−log p" } else { "−ELBO (an upper bound of −log p)" };
        match self {
            Self::Likelihood => nll.into(),
            Self::Typicality => format!("|{nll} − its mean over held-out images|"),
            Self::Background => format!("log p of the background model, and {nll}"),
            Self::Complexity => format!("{nll} less the size as a PNG"),
        }
    }

    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Likelihood => "likelihood",
            Self::Typicality => "typicality",
            Self::Background => "background",
            Self::Complexity => "complexity",
        }
    }
}

/// A way to find images odd, ready for those of a run.
pub struct Odd {
    kind: Oddness,
    background: Option<Trained>,
    /// Mean −ln p(x) of held-out images, where it is asked for.
    typical: Option<f64>,
}

impl Odd {
    /// As the arguments ask, for images of `run`.
    ///
    /// # Errors
    /// [`Error::Usage`] where a background run is missing or not wanted, or its likelihoods are of other values.
    pub fn open(args: &OddnessArgs, run: &Trained, device: &Device) -> Result<Self> {
        let background = match (args.score, &args.background) {
            (Oddness::Background, Some(path)) => Some(Trained::load(path, device, false)?),
            (Oddness::Background, None) => {
                let words = "train one as this run was, with --set mutate=0.2 as well, and name it with --background";
                return Err(Error::usage(format!("--score background needs a background run; {words}")));
            }
            (_, Some(_)) => return Err(Error::usage("--background belongs to --score background; take both or neither")),
            (_, None) => None,
        };
        if let Some(other) = &background {
            comparable(run, other, "a background run")?;
        }
        Ok(Self { kind: args.score, background, typical: None })
    }

    /// Whether [`Odd::learn`] must hear of held-out images first.
    pub fn learns(&self) -> bool {
        self.kind == Oddness::Typicality
    }

    /// Takes the mean −ln p(x) of images that the run was not trained on for typical.
    pub fn learn(&mut self, nll: &[f64]) {
        self.typical = Some(nll.iter().sum::<f64>() / nll.len() as f64);
    }

    /// How odd the images of a source are, in nats, from −ln p(x) of each: the more, the odder.
    ///
    /// # Errors
    /// Those of the source, the background run and the device.
    pub fn of(
        &mut self,
        nll: &[f64],
        source: &Arc<dyn Source>,
        device: &Device,
        options: &LikelihoodOptions,
        output: &Output,
    ) -> Result<Vec<f64>> {
        let minus = |other: Vec<f64>| nll.iter().zip(other).map(|(a, b)| a - b).collect();
        match (self.kind, &mut self.background, self.typical) {
            (Oddness::Background, Some(background), _) => Ok(minus(self::nll(background, device, source, options, output)?)),
            (Oddness::Complexity, ..) => Ok(minus(eval::complexity(source, options.binarization, options.seed)?)),
            (Oddness::Typicality, _, Some(mean)) => Ok(nll.iter().map(|v| (v - mean).abs()).collect()),
            _ => Ok(nll.to_vec()),
        }
    }
}

/// Refuses a run whose ln p is of other values than a run's: set beside each other they would mean nothing. `what` is taken instead.
///
/// # Errors
/// [`Error::Usage`].
pub fn comparable(run: &Trained, other: &Trained, what: &str) -> Result<()> {
    let (own, found) = (&run.recipe.data, &other.recipe.data);
    let shown = other.folder.path();
    let shown = shown.display();
    need::scores(other.model.as_ref())?;
    if own.dims != found.dims {
        let [[h, w, c], [oh, ow, oc]] = [own.dims, found.dims];
        let words = format!("take {what} on items of that size");
        return Err(Error::usage(format!("{shown} is of items of {oh}×{ow}×{oc}, and the run is of {h}×{w}×{c}; {words}")));
    }
    // None where values are no levels.
    let of = |trained: &Trained| match (trained.model.raster(), &trained.recipe.data) {
        (Some(raster), _) => raster.law().levels(),
        (None, data) if data.points => None,
        (None, data) => Some(if data.spec().is_binary() { 2 } else { 256 }),
    };
    let shown_levels = |levels: Option<usize>| levels.map_or("no levels".into(), |levels| format!("{levels} levels"));
    if of(run) != of(other) {
        let [levels, others] = [of(run), of(other)].map(shown_levels);
        let words = "train it with the same binarization and levels";
        return Err(Error::usage(format!("{shown} tells values of {others}, and the run of {levels}; {words}")));
    }
    Ok(())
}

/// −ln p(x) of every image of a source, or a bound: of a conditional model under an even prior of its classes.
///
/// # Errors
/// As [`eval::score`] and [`eval::class_scores`].
pub fn nll(
    trained: &mut Trained,
    device: &Device,
    source: &Arc<dyn Source>,
    options: &LikelihoodOptions,
    output: &Output,
) -> Result<Vec<f64>> {
    let bar = output.bar(source.len() as u64, "images");
    let options = LikelihoodOptions { weights: weights(trained), per_pixel: false, ..options.clone() };
    let (model, state, source) = (trained.model.as_ref(), &mut trained.state, Arc::clone(source));
    let tell = |done: usize| bar.set_position(done as u64);
    let found = if model.conditional() {
        let classes = trained.recipe.data.classes;
        let even = eval::log_prior(&vec![1.0; classes], classes)?;
        let scores = eval::class_scores(device, model, state, (source, classes), &options, tell);
        scores.wait().map(|scores| scores.posterior(&even, 1.0).log_p_x.iter().map(|v| -v).collect())
    } else {
        eval::score(device, model, state, source, &options, tell).wait().map(|scores| scores.nll)
    };
    bar.finish_and_clear();
    found
}

/// A run's held-out images, no more than `limit`; with `labels`, those that it has for them.
///
/// # Errors
/// [`Error::Usage`] where its data has none, with what they are needed for; those of the source.
pub fn held_out(trained: &Trained, labels: bool, limit: Option<usize>, what: &str) -> Result<Arc<dyn Source>> {
    let source = validation_data(&trained.recipe, labels)?.ok_or_else(|| {
        let data = &trained.recipe.data.source;
        Error::usage(format!(
            "{what} is found on validation images, and nothing of {data} was held out; train on data with a validation split"
        ))
    })?;
    limit.map_or(Ok(Arc::clone(&source)), |limit| data::subset(source, limit))
}

/// Whether a run's −ln p is exact.
///
/// # Errors
/// [`Error::Usage`] where it has none.
pub fn is_exact(trained: &Trained) -> Result<bool> {
    Ok(need::scores(trained.model.as_ref())?.score() == Score::Exact)
}
