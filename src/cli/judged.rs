//! What commands that set samples beside data share: data in the form that samples have, and the judge.

use std::sync::Arc;

use serde_json::{Value, json};

use super::output::Output;
use crate::data::{self, Binarization, Kind, Scale, Source};
use crate::error::Result;
use crate::random;
use crate::runtime::Device;
use crate::train::{Judge, Observer, Recipe, Trained};
use crate::wait::Wait;

/// Steps of the judge where the command does not say.
pub const STEPS: u64 = 1000;
/// The random stream of bits drawn from a decoder's grey values; the element is the value's place in all samples.
const BITS: u32 = 0x6a75_6467;

/// The form in which samples and data are compared: that of what the model was trained on.
pub struct Likeness {
    binarization: Binarization,
    binary: bool,
    /// Levels that values are cut to, where the model draws fewer than bytes have.
    levels: Option<usize>,
    seed: u64,
}

/// Real items in the form of samples.
pub struct Images {
    /// In 0..1 (points as they are), `[N, H, W, C]`.
    pub values: Vec<f32>,
    /// N classes; empty where the data has none.
    pub labels: Vec<u32>,
    /// Which they are.
    pub name: String,
}

impl Likeness {
    /// That of a run, with data binarized under a seed.
    pub fn of(trained: &Trained, binarization: Binarization, seed: u64) -> Self {
        let levels = trained.model.raster().and_then(|r| r.law().levels()).filter(|l| (3..256).contains(l));
        Self { binarization, binary: trained.recipe.data.spec().is_binary(), levels, seed }
    }

    /// Up to `count` items of a source; a seeded random part where it has more.
    ///
    /// # Errors
    /// Those of the source.
    pub fn images(&self, source: Arc<dyn Source>, count: usize) -> Result<Images> {
        let scale = match (source.kind(), self.levels) {
            (Kind::Points, _) => Scale::Raw,
            (_, Some(_)) => Scale::Levels,
            _ => Scale::Unit,
        };
        let source = data::subset(source, count)?;
        let mut images = Images { values: Vec::new(), labels: Vec::new(), name: source.name() };
        for batch in data::sequential(source, 250, self.seed, self.binarization, scale) {
            let batch = batch?;
            match self.levels {
                // As training cuts bytes, floor(byte·L/256), and as samples show levels.
                Some(levels) if scale == Scale::Levels => {
                    let cut = |byte: f32| (byte * levels as f32 / 256.0).floor() / (levels - 1) as f32;
                    images.values.extend(batch.values.into_iter().map(cut));
                }
                _ => images.values.extend(batch.values),
            }
            images.labels.extend(batch.labels);
        }
        Ok(images)
    }

    /// Gives samples the form of the data: where the model was made for bits and shows the chances of ones, bits are drawn with these.
    pub fn apply_to_samples(&self, samples: &mut [f32], seed: u64) {
        if !self.binary {
            return;
        }
        for (element, value) in samples.iter_mut().enumerate() {
            if *value > 0.0 && *value < 1.0 {
                let one = match self.binarization {
                    Binarization::Threshold => *value > 0.5,
                    _ => random::unit(random::word(seed, BITS, 0, element as u64)) < *value,
                };
                *value = f32::from(u8::from(one));
            }
        }
    }

    /// How both are compared.
    pub fn in_words(&self) -> String {
        match (self.binary, self.levels) {
            (true, _) => format!("compared as bits: data with binarization {}, grey values of samples drawn as bits", self.binarization),
            (false, Some(levels)) => format!("compared in {levels} levels"),
            (false, None) => "compared as they are".into(),
        }
    }
}

/// Says what the judge's training has to say, and nothing of its steps.
struct Watch<'a> {
    output: &'a Output,
    bar: indicatif::ProgressBar,
}

impl Observer for Watch<'_> {
    fn step(&mut self, step: u64) {
        self.bar.set_position(step);
    }

    fn say(&mut self, words: &str) {
        self.bar.suspend(|| self.output.say(words));
    }
}

/// The judge of a run's data.
///
/// # Errors
/// As [`Judge::open`].
pub fn open(recipe: &Recipe, device: &Device, steps: u64, output: &Output) -> Result<Judge> {
    let bar = output.bar(steps, "steps");
    bar.set_message("training the classifier that judges");
    let judge = Judge::open(recipe, device, steps, &mut Watch { output, bar: bar.clone() }).wait();
    bar.finish_and_clear();
    judge
}

/// What the judge is, in a line.
pub fn in_words(judge: &Judge) -> String {
    let facts = &judge.facts;
    format!(
        "judge version {} of this data ({}): {} steps of {}, seed {}, on {}, {:.4} accurate on {}",
        facts.version,
        if judge.reused { "from the cache" } else { "trained now" },
        facts.steps,
        facts.batch,
        facts.seed,
        facts.device,
        facts.accuracy,
        facts.accuracy_on
    )
}

/// The same as an object.
pub fn as_json(judge: &Judge) -> Value {
    let facts = &judge.facts;
    json!({
        "version": facts.version, "digest": facts.digest, "steps": facts.steps, "batch": facts.batch, "seed": facts.seed,
        "accuracy": facts.accuracy, "accuracy_on": facts.accuracy_on, "device": facts.device, "reused": judge.reused,
    })
}

/// Confidence that samples may have less than data before figures of them are doubted.
const UNSURE: f64 = 0.15;
/// Share of samples told from data by their nearest neighbours in features, from which on the two have nothing in common.
const APART: f64 = 0.98;

/// A sentence where figures in a judge's features mean little: it is unsure of the samples, or they lie far from all data.
/// `confidences` are those of data and samples, `apart` the two-sample accuracy in features.
pub fn doubt(confidences: [f64; 2], apart: f64) -> Option<String> {
    let [of_data, of_samples] = confidences;
    (of_samples < of_data - UNSURE || apart > APART).then(|| {
        format!(
            "figures in these features mean little yet: the classifier is sure of samples by {of_samples:.2} and of data by {of_data:.2}, and {:.0}% are told \
             apart by their nearest neighbours; train for longer",
            100.0 * apart
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_unlike_all_data_are_doubted() {
        assert_eq!(doubt([0.99, 0.95], 0.8), None);
        assert!(doubt([0.99, 0.6], 0.8).expect("unsure").contains("0.60"));
        assert!(doubt([0.99, 0.99], 1.0).expect("apart").contains("100%"));
    }
    use crate::data::{OpenOptions, Split};

    fn digits() -> Result<Arc<dyn Source>> {
        data::open("builtin:digits", Split::Test, &OpenOptions { limit: Some(20), ..OpenOptions::default() })
    }

    #[test]
    fn of_a_model_of_bits_both_data_and_samples_are_bits_and_the_same_each_time() -> Result<()> {
        let grey = Likeness { binarization: Binarization::None, binary: false, levels: None, seed: 1 };
        assert!(grey.images(digits()?, 20)?.values.iter().any(|v| *v > 0.0 && *v < 1.0));
        let bits = Likeness { binarization: Binarization::Dynamic, binary: true, levels: None, seed: 1 };
        let images = bits.images(digits()?, 20)?;
        assert!(images.values.iter().all(|v| *v == 0.0 || *v == 1.0) && images.labels.len() == 20);
        assert_eq!(images.values, bits.images(digits()?, 20)?.values);
        let mut samples = vec![0.25; 40_000];
        bits.apply_to_samples(&mut samples, 3);
        let ones = samples.iter().filter(|v| **v == 1.0).count() as f64 / 40_000.0;
        // Four standard deviations of 40,000 draws.
        assert!((ones - 0.25).abs() < 0.01 && samples.iter().all(|v| *v == 0.0 || *v == 1.0), "{ones}");
        let mut kept = vec![0.25];
        grey.apply_to_samples(&mut kept, 3);
        assert_eq!(kept, [0.25]);
        Ok(())
    }

    #[test]
    fn of_a_model_of_few_levels_data_is_cut_as_training_cuts_it() -> Result<()> {
        let four = Likeness { binarization: Binarization::None, binary: false, levels: Some(4), seed: 1 };
        let images = four.images(digits()?, 20)?;
        assert!(images.values.iter().all(|v| [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0].contains(v)));
        Ok(())
    }
}
