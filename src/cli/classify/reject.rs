//! What is refused as unlike a run's own data.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ClassifyArgs, Scoring, Told};
use crate::cli::measured::{Measured, weights};
use crate::cli::oddness::{self, CAVEAT, Odd, Oddness};
use crate::data::{self, Source, Split};
use crate::error::{Error, Result};
use crate::eval::{self, LikelihoodOptions, Posterior};
use crate::train::{DataRequest, Trained, open_data};

/// The AUROC of plain likelihood below which it is said why.
const BLIND: f64 = 0.6;

/// A run on the other data.
struct Second {
    trained: Trained,
    odd: Odd,
    /// Its own test images, and those of the first run as it sees them.
    own: Arc<dyn Source>,
    other: Arc<dyn Source>,
    held_out: Option<Arc<dyn Source>>,
}

/// What is known of refusals.
struct Refusals {
    /// Where a refusal begins.
    threshold: f64,
    /// Validation images that it was found on.
    held_out: usize,
    held_out_name: String,
    /// How odd the images are.
    own: Vec<f64>,
    own_name: String,
    other: Vec<f64>,
    /// How well a run on the other data tells the two apart.
    back: Option<f64>,
}

/// What is refused, and what that comes to.
pub struct Rejection {
    share: f64,
    kind: Oddness,
    odd: Odd,
    exact: bool,
    against: Option<Arc<dyn Source>>,
    second: Option<Second>,
    found: Option<Refusals>,
}

impl Rejection {
    /// Opens what is to be compared, before anything is scored.
    ///
    /// # Errors
    /// [`Error::Usage`] where nothing is held out to find a threshold on, or what is compared does not fit; those of the sources.
    pub fn open(share: f64, args: &ClassifyArgs, measured: &Measured) -> Result<Self> {
        let trained = &measured.trained;
        let odd = Odd::open(&args.oddness, trained, &measured.device)?;
        oddness::held_out(trained, true, args.eval.limit, "the threshold of --reject")?;
        let open = |recipe, source: &str| {
            open_data(recipe, &DataRequest { source: Some(source), limit: args.eval.limit, binarization: measured.asked, labels: false })
        };
        let against = args.against.as_deref().map(|source| open(&trained.recipe, source)).transpose()?;
        let second = match (&args.against_run, &args.against) {
            (Some(_), _) if args.oddness.score == Oddness::Background => {
                let words = "the run of --against-run would need a background run of its own; take another --score, or leave it out";
                return Err(Error::usage(words));
            }
            (Some(path), Some(against)) => {
                let second = Trained::load(path, &measured.device, false)?;
                oddness::comparable(trained, &second, "a run on the other data")?;
                let test = || data::with_split(&trained.recipe.data.source, Some(Split::Test));
                let data = args.eval.data.clone().unwrap_or_else(test);
                let (own, other) = (open(&second.recipe, against)?, open(&second.recipe, &data)?);
                let odd = Odd::open(&args.oddness, &second, &measured.device)?;
                let held_out = odd.learns().then(|| oddness::held_out(&second, false, args.eval.limit, "what is typical")).transpose()?;
                Some(Second { trained: second, odd, own, other, held_out })
            }
            _ => None,
        };
        let exact = oddness::is_exact(trained)?;
        Ok(Self { share, kind: args.oddness.score, odd, exact, against, second, found: None })
    }

    /// Finds the threshold on validation images, and how odd all others are.
    ///
    /// # Errors
    /// Those of the sources, the runs and the device.
    pub fn judge(
        &mut self,
        (source, posterior): (&Arc<dyn Source>, &Posterior),
        valid: Option<(&Arc<dyn Source>, &Posterior)>,
        scoring: &mut Scoring<'_>,
        log_prior: &[f64],
    ) -> Result<()> {
        let Some((valid, of_valid)) = valid else { return Ok(()) };
        let nll = |posterior: &Posterior| posterior.log_p_x.iter().map(|v| -v).collect::<Vec<f64>>();
        let held_out = nll(of_valid);
        self.odd.learn(&held_out);
        let (device, output) = (scoring.measured.device.clone(), scoring.output);
        let options = scoring.options.clone();
        if (valid.len() as f64) * self.share < 1.0 {
            return Err(Error::usage(format!(
                "--reject {} of {} validation images is less than one of them; take a larger share, or --limit {} or more",
                self.share,
                valid.len(),
                (1.0 / self.share).ceil()
            )));
        }
        let held_out = self.odd.of(&held_out, valid, &device, &options, output)?;
        let own = self.odd.of(&nll(posterior), source, &device, &options, output)?;
        let other = match &self.against {
            Some(against) => {
                let found = nll(&scoring.of(against)?.posterior(log_prior, 1.0));
                self.odd.of(&found, against, &device, &options, output)?
            }
            None => Vec::new(),
        };
        let back = self.second.as_mut().map(|second| second.auroc(scoring, &options)).transpose()?;
        let threshold = eval::upper_quantile(&held_out, self.share);
        let (held_out, held_out_name, own_name) = (held_out.len(), valid.name(), source.name());
        self.found = Some(Refusals { threshold, held_out, held_out_name, own, own_name, other, back });
        Ok(())
    }

    /// How odd each image is.
    pub fn own(&self) -> &[f64] {
        self.found.as_ref().map_or(&[], |found| &found.own)
    }

    /// Whether an image so odd is refused.
    pub fn refuses(&self, odd: f64) -> bool {
        self.found.as_ref().is_some_and(|found| odd > found.threshold)
    }

    /// Says what is refused; `hits` tells of each image whether its class is found.
    pub fn tell(&self, told: &mut Told, hits: Option<&[bool]>) {
        let Some(found) = &self.found else { return };
        let what = self.kind.in_words(self.exact);
        told.say(&format!(
            "refused: {what} above {:.2} nats, as {:.2}% of {} images of {} are",
            found.threshold,
            100.0 * self.share,
            found.held_out,
            found.held_out_name
        ));
        let share = |odd: &[f64]| {
            let count = odd.iter().filter(|odd| self.refuses(**odd)).count();
            (count as f64 / odd.len() as f64, eval::share_between(count, odd.len()))
        };
        let line = |name: &str, odd: &[f64]| {
            let (refused, [low, high]) = share(odd);
            let [refused, low, high] = [refused, low, high].map(|v| 100.0 * v);
            format!("  {refused:6.2}% of {} images of {name} ({low:.2} to {high:.2} with 95% confidence)", odd.len())
        };
        let as_json = |odd: &[f64]| {
            let (refused, between) = share(odd);
            json!({"share": refused, "between": between, "images": odd.len()})
        };
        told.say(&line(&found.own_name, &found.own));
        let mut object = json!({
            "share": self.share, "by": self.kind.word(), "score": what, "threshold": found.threshold, "found_on": found.held_out_name,
            "validation_images": found.held_out, "own": as_json(&found.own),
        });
        if let Some(against) = &self.against {
            let auroc = eval::auroc(&found.own, &found.other);
            told.say(&line(&against.name(), &found.other));
            told.say(&format!("  AUROC {auroc:.4}: an image of the others is odder than one of its own that often"));
            object["against"] = as_json(&found.other);
            object["against"]["data"] = json!(against.name());
            object["auroc"] = json!(auroc);
            if let Some(back) = found.back {
                told.say(&format!("  AUROC {back:.4} the other way round, by the run on the others"));
            }
            object["auroc_back"] = json!(found.back);
            let blind = self.kind == Oddness::Likelihood && found.back.unwrap_or(1.0).min(auroc) < BLIND;
            if blind {
                told.say(&format!("  {CAVEAT}"));
            }
            object["caveat"] = if blind { json!(CAVEAT) } else { Value::Null };
        }
        if let Some(hits) = hits {
            let kept: Vec<bool> = hits.iter().zip(&found.own).filter(|(_, odd)| !self.refuses(**odd)).map(|(hit, _)| *hit).collect();
            if !kept.is_empty() {
                let right = kept.iter().filter(|hit| **hit).count() as f64 / kept.len() as f64;
                told.say(&format!("  accuracy {right:.4} on the {} images that are not refused", kept.len()));
                object["accuracy_of_kept"] = json!(right);
            }
        }
        told.hold("rejection", object);
    }
}

impl Second {
    /// How well it tells the first run's images from its own.
    fn auroc(&mut self, scoring: &Scoring<'_>, options: &LikelihoodOptions) -> Result<f64> {
        let (device, output) = (&scoring.measured.device, scoring.output);
        let binarization = self.trained.recipe.data.binarization;
        let options = LikelihoodOptions { binarization, weights: weights(&self.trained), ..options.clone() };
        if let Some(held_out) = &self.held_out {
            self.odd.learn(&oddness::nll(&mut self.trained, device, held_out, &options, output)?);
        }
        let [own, other] = [&self.own, &self.other].map(|source| {
            let nll = oddness::nll(&mut self.trained, device, source, &options, output)?;
            self.odd.of(&nll, source, device, &options, output)
        });
        Ok(eval::auroc(&own?, &other?))
    }
}
