//! `kiln arithmetic`: sums of what latents mean (Radford, Metz and Chintala, 2016, section 6.3.2).

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::endings;
use super::judged::{self, Likeness};
use super::output::{Output, as_text};
use crate::error::{Error, Result};
use crate::eval::Judged;
use crate::eval::quality::{Rows, two_sample_accuracy};
use crate::model::need;
use crate::report::{self, GridOptions, Mark};
use crate::runtime::{Device, Weights};
use crate::sample::{latent, latents};
use crate::train::{JUDGE_SEED, Judge, Trained, training_data};
use crate::wait::Wait;

/// Arguments of `arithmetic`.
#[derive(Args)]
pub struct ArithmeticArgs {
    /// Run folder
    pub run: PathBuf,
    /// Three samples of the first concept, by their numbers under --seed
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub from: Vec<usize>,
    /// Three samples of the concept that is taken away
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub minus: Vec<usize>,
    /// Three samples of the concept that is added
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub plus: Vec<usize>,
    /// On builtin:faces: samples with this attribute, less samples without … (picked by a classifier)
    #[arg(long, value_name = "NAME", requires = "on", conflicts_with_all = ["from", "minus", "plus"])]
    pub attribute: Option<String>,
    /// … plus samples without it but with this one
    #[arg(long, value_name = "NAME", requires = "attribute")]
    pub on: Option<String>,
    /// The .png to write
    #[arg(long, value_name = "F.png")]
    pub out: PathBuf,
}

/// Samples that make a concept.
const EACH: usize = 3;
/// Variations of the sum, each coordinate within ± `AROUND`.
const VARIATIONS: usize = 8;
const AROUND: f32 = 0.25;
/// Samples looked through for those with an attribute.
const POOL: usize = 2048;
/// Sums tried where the result can be checked.
const TRIALS: usize = 16;
/// Steps of the classifier that names attributes.
const CLASSIFIER_STEPS: u64 = 1500;

/// Training images, and as many samples, that a classifier's doubt is told by.
const BESIDE: usize = 500;

struct Job {
    trained: Trained,
    device: Device,
    seed: u64,
    latent: usize,
}

impl Job {
    fn decode(&mut self, z: &[f32]) -> Result<Vec<f32>> {
        let weights = if self.trained.recipe.train.ema > 0.0 { Weights::Average } else { Weights::Current };
        let labels = vec![0; z.len() / self.latent];
        let classes = self.trained.recipe.data.classes;
        latent::decode(&self.device, self.trained.model.as_ref(), &mut self.trained.state, weights, z, (&labels, classes)).wait()
    }

    fn mean(&self, numbers: &[usize]) -> Vec<f32> {
        let mut mean = vec![0.0; self.latent];
        for &number in numbers {
            let z = latents(self.seed, number, 1, self.latent);
            mean.iter_mut().zip(z).for_each(|(m, z)| *m += z / numbers.len() as f32);
        }
        mean
    }

    /// first − taken + added, with the means of the three concepts before it.
    fn sum(&self, concepts: [&[usize]; 3]) -> [Vec<f32>; 4] {
        let [first, taken, added] = concepts.map(|numbers| self.mean(numbers));
        let sum = first.iter().zip(&taken).zip(&added).map(|((a, b), c)| a - b + c).collect();
        [first, taken, added, sum]
    }
}

/// `kiln arithmetic`
pub fn run(args: &ArithmeticArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "pictures", &["png"])?;
    let device = Device::open(&common.device).wait()?;
    let trained = Trained::load(&args.run, &device, false)?;
    let latent = need::prior(trained.model.as_ref())?.latent();
    let mut job = Job { trained, device, seed: common.seed.unwrap_or(1), latent };
    if let (Some(attribute), Some(on)) = (&args.attribute, &args.on) {
        return by_attribute(&mut job, args, attribute, on, output);
    }
    let concepts = [&args.from, &args.minus, &args.plus];
    if concepts.iter().any(|c| c.len() != EACH) {
        let [a, b, c] = concepts.map(Vec::len);
        return Err(Error::usage(format!(
            "kiln arithmetic takes the mean of {EACH} samples a concept: --from, --minus and --plus each name {EACH} numbers, not {a}, {b} and {c}"
        )));
    }
    let concepts = concepts.map(Vec::as_slice);
    draw(&mut job, args, concepts)?;
    let words = format!("{:?} − {:?} + {:?}, means of {EACH} · {}", args.from, args.minus, args.plus, args.out.display());
    output.result(&words, &json!({"out": as_text(&args.out), "from": args.from, "minus": args.minus, "plus": args.plus}))
}

/// Three rows of samples with their mean behind them, and a row of the sum and its variations.
fn draw(job: &mut Job, args: &ArithmeticArgs, concepts: [&[usize]; 3]) -> Result<()> {
    let [first, taken, added, sum] = job.sum(concepts);
    let columns = VARIATIONS + 1;
    let dims = job.trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let (mut picture, mut marks) = (Vec::new(), Vec::new());
    for (numbers, mean) in concepts.iter().zip([first, taken, added]) {
        let mut z: Vec<f32> = numbers.iter().flat_map(|n| latents(job.seed, *n, 1, job.latent)).collect();
        z.extend(mean);
        picture.extend(job.decode(&z)?);
        marks.resize(picture.len() / item, Mark::Plain);
        picture.resize(picture.len() + (columns - EACH - 1) * item, 0.0);
        marks.resize(picture.len() / item, Mark::Hole);
    }
    let mut draws = crate::random::Draws::new(job.seed, 0x6172_6974, 0);
    let around: Vec<f32> = (0..VARIATIONS).flat_map(|_| sum.iter().map(|v| v + draws.range(-AROUND, AROUND)).collect::<Vec<_>>()).collect();
    let row: Vec<f32> = sum.iter().copied().chain(around).collect();
    picture.extend(job.decode(&row)?);
    let captions = ["  samples, mean", "− samples, mean", "+ samples, mean", "= sum, ± ¼"].map(String::from).to_vec();
    let options = GridOptions { columns, row_captions: captions, marks, ..GridOptions::default() };
    report::save_png(&args.out, &report::grid_with(&picture, dims, &options))
}

/// Samples that a classifier says have the attributes are added, and the classifier says whether the sums do.
fn by_attribute(job: &mut Job, args: &ArithmeticArgs, attribute: &str, on: &str, output: &Output) -> Result<()> {
    let names = ["glasses", "smile", "long_hair", "moustache"];
    let bit = |name: &str| {
        let unknown = || Error::usage(format!("there is no attribute {name}; builtin:faces has {}", names.join(", ")));
        names.iter().position(|n| *n == name).map(|at| 3 - at).ok_or_else(unknown)
    };
    let (wanted, carrier) = (bit(attribute)?, bit(on)?);
    if wanted == carrier {
        return Err(Error::usage("--attribute and --on must be two attributes"));
    }
    if !job.trained.recipe.data.source.starts_with("builtin:faces") {
        return Err(Error::usage("--attribute needs a run on builtin:faces, whose attributes are known; take --from, --minus and --plus"));
    }
    let mut judge = judged::open(&job.trained.recipe, &job.device, CLASSIFIER_STEPS, output)?;
    let pool = latents(job.seed, 0, POOL, job.latent);
    let images = job.decode(&pool)?;
    let of_samples = judge.judge(&job.device, &images).wait()?;
    let doubt = doubt(job, &mut judge, &of_samples)?;
    let labels = of_samples.labels;
    let has = |label: u32, bit: usize| label >> bit & 1 == 1;
    let with = |a: bool, c: bool| -> Vec<usize> {
        let fits = |l: &u32| has(*l, wanted) == a && has(*l, carrier) == c;
        labels.iter().enumerate().filter(|(_, l)| fits(l)).map(|(i, _)| i).take(EACH * TRIALS).collect()
    };
    let concepts = [with(true, false), with(false, false), with(false, true)];
    if concepts.iter().any(|c| c.len() < EACH) {
        let counts = concepts.map(|c| c.len());
        return Err(Error::usage(format!(
            "of {POOL} samples only {counts:?} have {attribute} alone, neither and {on} alone, and each takes {EACH}; train the model for longer"
        )));
    }
    let trials = concepts.iter().map(|c| c.len() / EACH).min().unwrap_or(1);
    let mut sums = Vec::new();
    for trial in 0..trials {
        let [_, _, _, sum] = job.sum([0, 1, 2].map(|k: usize| &concepts[k][trial * EACH..(trial + 1) * EACH]));
        sums.extend(sum);
    }
    let images = job.decode(&sums)?;
    let found = judge.judge(&job.device, &images).wait()?.labels;
    let share = |fits: &dyn Fn(u32) -> bool| found.iter().filter(|l| fits(**l)).count() as f64 / trials as f64;
    let (both, one) = (share(&|l| has(l, wanted) && has(l, carrier)), share(&|l| has(l, wanted)));
    draw(job, args, [0, 1, 2].map(|k: usize| &concepts[k][..EACH]))?;
    let words = format!(
        "{attribute} − neither + {on}: of {trials} sums {:.0}% have {attribute}, {:.0}% have both (by chance 25%) · {}",
        100.0 * one,
        100.0 * both,
        args.out.display()
    );
    let words = doubt.iter().fold(words, |words, doubt| format!("{words}\n{doubt}"));
    output.result(
        &words,
        &json!({
            "out": as_text(&args.out), "attribute": attribute, "on": on, "trials": trials, "attribute_share": one, "both_share": both, "doubt": doubt,
        }),
    )
}

/// Whether what a classifier says of samples is to be doubted: they are set beside as many training images.
fn doubt(job: &Job, judge: &mut Judge, of_samples: &Judged) -> Result<Option<String>> {
    let recipe = &job.trained.recipe;
    let real = Likeness::of(&job.trained, recipe.data.binarization, JUDGE_SEED).images(training_data(recipe)?, BESIDE)?;
    let of_real = judge.judge(&job.device, &real.values).wait()?;
    let [real, drawn] = [&of_real, of_samples].map(|judged| Rows::new(&judged.features, judged.width).first(BESIDE));
    let apart = two_sample_accuracy(real, drawn);
    Ok(judged::doubt([of_real.confidence(), of_samples.confidence()], apart))
}
