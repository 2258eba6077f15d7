//! Labels from p(x|y) by Bayes' rule: ln p(y|x) = ln p(x|y) + ln p(y) − ln Σ p(x|y′) p(y′), and how far such posteriors can be trusted.

use std::sync::Arc;

use super::LikelihoodOptions;
use crate::data::{self, Source, one_hot};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::{Model, Score, need};
use crate::runtime::{Device, Program, State};

/// Bins of confidence that calibration is measured in (Guo et al., 2017, "On calibration of modern neural networks").
const BINS: usize = 15;
/// Temperatures that are looked through.
pub const TEMPERATURES: [f64; 2] = [1e-3, 1e5];

/// ln p(x|y) of every image under every class, in nats: exact, or bounds from below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassScores {
    /// `[N, classes]`.
    pub log_p: Vec<f64>,
    /// Classes.
    pub classes: usize,
    /// The classes that the images have, `[N]`; empty where they have none.
    pub labels: Vec<u32>,
}

/// What Bayes' rule makes of [`ClassScores`] under a prior.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    /// ln p(y|x), `[N, classes]`.
    pub log_p_y: Vec<f64>,
    /// ln p(x) = ln Σ p(x|y) p(y), `[N]`.
    pub log_p_x: Vec<f64>,
    /// Classes.
    pub classes: usize,
}

/// How good posteriors are on images whose classes are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Share of images whose class is the likeliest.
    pub accuracy: f64,
    /// Its standard error.
    pub error: f64,
    /// Mean −ln p(y|x) of the true class, in nats.
    pub nll: f64,
    /// Its standard error.
    pub nll_error: f64,
    /// Expected calibration error: the mean distance between confidence and accuracy, in 15 bins of confidence.
    pub ece: f64,
    /// Images of each true class (rows) by the class they are taken for (columns), `[classes, classes]`.
    pub confusion: Vec<usize>,
}

/// ln p(x|y), or its bound, of every image of a source for each of `classes`; `progress` hears how many images are done.
///
/// Where it is exact, all classes of a batch are scored as one larger batch. A bound draws noise, which must not differ between the classes of
/// an image: it is a function of the image's number, so there classes are scored one after another.
///
/// # Errors
/// [`Error::Usage`] where the model has no p(x|y); errors of the source and the device.
pub async fn class_scores(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    (source, classes): (Arc<dyn Source>, usize),
    options: &LikelihoodOptions,
    mut progress: impl FnMut(usize),
) -> Result<ClassScores> {
    let scoring = need::class_scores(model)?;
    let together = if scoring.score() == Score::Exact { classes } else { 1 };
    let graph = |items: usize| {
        let mut graph = scoring.likelihood_graph(items * together)?;
        graph.keep_outputs(&["nll"]);
        Ok(graph)
    };
    let (mut program, _, batch) = Program::of_items(device, state, options.weights, options.batch.min(source.len()), graph).await?;
    let item: usize = source.dims().iter().product();
    let passes = scoring.passes(options.steps)?;
    let mut scores = ClassScores { classes, ..ClassScores::default() };
    let mut done = 0;
    for part in data::sequential(source, batch, options.seed, options.binarization, model.scale()) {
        let mut part = part?;
        let count = part.indices.len();
        part.values.resize(batch * item, 0.0);
        let rows: Vec<f32> = part.values.chunks(item).flat_map(|image| std::iter::repeat_n(image, together).flatten().copied()).collect();
        program.write("x", &rows)?;
        let first = scores.log_p.len();
        scores.log_p.resize(first + count * classes, 0.0);
        for class in (0..classes).step_by(together) {
            let wanted: Vec<u32> = (0..batch).flat_map(|_| (class..class + together).map(|c| c as u32)).collect();
            program.write("labels", &one_hot(&wanted, classes, batch * together))?;
            for number in 0..passes.len().max(1) {
                if let Some(row) = passes.get(number) {
                    program.write("pass", row)?;
                }
                program.run(state, &Step { seed: options.seed, step: number as u32, first_item: done as u32, ..Step::default() }).await?;
                let nll = program.read(state, "nll").await?;
                for (image, found) in scores.log_p[first..].chunks_mut(classes).zip(nll.chunks(together)) {
                    image[class..class + together].iter_mut().zip(found).for_each(|(sum, nll)| *sum -= f64::from(*nll));
                }
            }
        }
        scores.labels.extend(part.labels);
        done += count;
        progress(done);
    }
    Ok(scores)
}

impl ClassScores {
    /// Images.
    pub fn len(&self) -> usize {
        self.log_p.len() / self.classes.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.log_p.is_empty()
    }

    /// Bayes' rule under a prior `ln p(y)` `[classes]`, with likelihoods raised to 1/T: T = 1 is the rule itself, and the larger T, the less an
    /// image says against the prior.
    pub fn posterior(&self, log_prior: &[f64], temperature: f64) -> Posterior {
        let mut posterior = Posterior { log_p_y: Vec::with_capacity(self.log_p.len()), log_p_x: Vec::new(), classes: self.classes };
        for image in self.log_p.chunks(self.classes) {
            let joint: Vec<f64> = image.iter().zip(log_prior).map(|(l, p)| l / temperature + p).collect();
            let total = log_sum_exp(&joint);
            posterior.log_p_y.extend(joint.iter().map(|j| j - total));
            posterior.log_p_x.push(total);
        }
        posterior
    }

    /// The temperature under which the true classes are likeliest (after Guo et al., 2017, section 4.2, with the prior left as it is).
    pub fn temperature(&self, log_prior: &[f64]) -> f64 {
        // −ln p(y|x) is convex in β = 1/T; its slope is E_{p(y|x)} ln p(x|y) − ln p(x|true y), and rises.
        let slope = |beta: f64| -> f64 {
            let posterior = self.posterior(log_prior, 1.0 / beta);
            let images = self.log_p.chunks(self.classes).zip(posterior.log_p_y.chunks(self.classes)).zip(&self.labels);
            images.map(|((log_p, p), label)| log_p.iter().zip(p).map(|(l, p)| l * p.exp()).sum::<f64>() - log_p[*label as usize]).sum()
        };
        let [mut low, mut high] = TEMPERATURES.map(|t| (1.0 / t).ln());
        (low, high) = (low.min(high), low.max(high));
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if slope(middle.exp()) < 0.0 { low = middle } else { high = middle }
        }
        (-0.5 * (low + high)).exp()
    }

    /// ln p(x|y) − ln p(x) for each image's own class, in nats: what the label says of the image. Its mean is at most the entropy of the
    /// classes where the prior is how often they are.
    pub fn label_information(&self, posterior: &Posterior) -> Vec<f64> {
        let images = self.log_p.chunks(self.classes).zip(&posterior.log_p_x).zip(&self.labels);
        images.map(|((log_p, log_p_x), label)| log_p[*label as usize] - log_p_x).collect()
    }
}

impl Posterior {
    /// The likeliest class of each image.
    pub fn predictions(&self) -> Vec<u32> {
        self.log_p_y.chunks(self.classes).map(|row| likeliest(row) as u32).collect()
    }

    /// How good it is, where the classes are known.
    pub fn verdict(&self, labels: &[u32]) -> Verdict {
        let n = labels.len() as f64;
        let mut confusion = vec![0; self.classes * self.classes];
        let (mut right, mut nll) = (0.0, Vec::with_capacity(labels.len()));
        let mut bins = [[0.0f64; 2]; BINS];
        for (row, label) in self.log_p_y.chunks(self.classes).zip(labels) {
            let (taken, label) = (likeliest(row), *label as usize);
            confusion[label * self.classes + taken] += 1;
            let (hit, confidence) = (f64::from(u8::from(taken == label)), row[taken].exp());
            right += hit;
            nll.push(-row[label]);
            let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
            bin[0] += confidence;
            bin[1] += hit;
        }
        let accuracy = right / n;
        let (nll, nll_error) = mean_and_error(&nll);
        let ece = bins.iter().map(|[confidence, hits]| (confidence - hits).abs()).sum::<f64>() / n;
        Verdict { accuracy, error: (accuracy * (1.0 - accuracy) / n).sqrt(), nll, nll_error, ece, confusion }
    }
}

/// A mean and its standard error, from the spread of the values.
pub fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// ln p(y) from weights of the classes.
///
/// # Errors
/// [`Error::Usage`] where there are not as many as classes, or one is not above 0.
pub fn log_prior(weights: &[f64], classes: usize) -> Result<Vec<f64>> {
    if weights.len() != classes {
        return Err(Error::usage(format!("a prior gives a number for each class, {classes} of them, not {}", weights.len())));
    }
    if let Some(bad) = weights.iter().find(|w| !(**w > 0.0 && w.is_finite())) {
        return Err(Error::usage(format!("the numbers of a prior are above 0, and {bad} is not")));
    }
    let total: f64 = weights.iter().sum();
    Ok(weights.iter().map(|w| (w / total).ln()).collect())
}

fn likeliest(row: &[f64]) -> usize {
    row.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (i, v)| if *v > best.1 { (i, *v) } else { best }).0
}

/// ln Σ eˣ.
fn log_sum_exp(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + values.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(log_p: &[f64], labels: &[u32]) -> ClassScores {
        ClassScores { log_p: log_p.to_vec(), classes: 2, labels: labels.to_vec() }
    }

    #[test]
    fn another_prior_moves_the_log_odds_by_its_own_alone() -> Result<()> {
        let scores = scores(&[-90.0, -92.5, -1000.0, -400.0], &[0, 1]);
        let even = scores.posterior(&log_prior(&[1.0, 1.0], 2)?, 1.0);
        let odd = scores.posterior(&log_prior(&[1.0, 9.0], 2)?, 1.0);
        for (a, b) in even.log_p_y.chunks(2).zip(odd.log_p_y.chunks(2)) {
            assert!((a[0].exp() + a[1].exp() - 1.0).abs() < 1e-12 && (b[0].exp() + b[1].exp() - 1.0).abs() < 1e-12);
            assert!(((b[1] - b[0]) - (a[1] - a[0]) - 9f64.ln()).abs() < 1e-9);
        }
        assert!((even.log_p_x[0] - (-90.0 + (0.5f64 * (1.0 + (-2.5f64).exp())).ln())).abs() < 1e-12);
        assert!(log_prior(&[1.0; 3], 2).is_err() && log_prior(&[1.0, -1.0], 2).is_err() && log_prior(&[0.0, 1.0], 2).is_err());
        Ok(())
    }

    #[test]
    fn calibration_is_the_gap_between_confidence_and_hits_in_bins() {
        // Four images at confidence 0.9, of which two are right, and two at 0.6, of which one is.
        let row = |p: f64| [p.ln(), (1.0 - p).ln()];
        let log_p_y = [row(0.9), row(0.9), row(0.9), row(0.9), row(0.6), row(0.6)].concat();
        let posterior = Posterior { log_p_y, log_p_x: vec![0.0; 6], classes: 2 };
        let verdict = posterior.verdict(&[0, 0, 1, 1, 0, 1]);
        assert!((verdict.ece - (4.0 * 0.4 + 2.0 * 0.1) / 6.0).abs() < 1e-12, "{verdict:?}");
        assert!((verdict.accuracy - 0.5).abs() < 1e-12 && verdict.confusion == [3, 0, 3, 0]);
        let nll = -(2.0 * 0.9f64.ln() + 2.0 * 0.1f64.ln() + 0.6f64.ln() + 0.4f64.ln()) / 6.0;
        assert!((verdict.nll - nll).abs() < 1e-12);
    }

    #[test]
    fn the_temperature_gives_back_what_likelihoods_were_raised_to() -> Result<()> {
        // Nine images of ten are right at log odds ln 9, so these are calibrated; raised to the 20th power they are not.
        let odds = 9f64.ln();
        let image = |right: bool| (if right { [0.0, -odds] } else { [-odds, 0.0] }).map(|l| 20.0 * l);
        let log_p: Vec<f64> = (0..10).flat_map(|i| image(i > 0)).collect();
        let (scores, prior) = (scores(&log_p, &[0; 10]), log_prior(&[1.0, 1.0], 2)?);
        let fitted = scores.temperature(&prior);
        assert!((fitted - 20.0).abs() < 1e-6, "{fitted}");
        let [before, after] = [1.0, fitted].map(|t| scores.posterior(&prior, t).verdict(&scores.labels));
        assert!(before.nll > 4.0 && (after.nll - 0.325).abs() < 1e-3 && after.ece < 1e-6 && before.ece > 0.09, "{before:?} {after:?}");
        // An image's label information is what its posterior has over the prior.
        let posterior = scores.posterior(&prior, 1.0);
        let information = scores.label_information(&posterior);
        assert!(information.iter().zip(posterior.log_p_y.chunks(2)).all(|(i, p)| (i - (p[0] - 0.5f64.ln())).abs() < 1e-9));
        Ok(())
    }
}
