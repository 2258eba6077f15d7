//! `kiln simulate`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::draw::{check_amount, chosen_class, labels};
use super::endings;
use super::measured::{weights, weights_in_words};
use super::output::{Output, as_text};
use super::sequences::Sequences;
use crate::data::one_hot;
use crate::data::series::{Cut, Partial};
use crate::error::{Error, Result};
use crate::eval::forecast::{QUANTILES, Skill, quantile};
use crate::report;
use crate::runtime::Device;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::train::Trained;
use crate::wait::Wait;

/// Arguments of `simulate`.
#[derive(Args)]
pub struct SimulateArgs {
    /// Run folder of an autoregressive model of series that have actions
    pub run: PathBuf,
    /// The beginning, whole, and the actions of every step behind it: a .csv with the names of the run's channels, or an .npy [T, C] or, of
    /// actions alone, [T, actions]
    #[arg(long, value_name = "FILE")]
    pub given: PathBuf,
    /// Steps of the beginning; what is known of later ones but their actions is the truth that futures are set beside [default: those that
    /// are given whole]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub from: Option<usize>,
    /// Futures
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// Below 1, likelier and less varied futures
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// The channel of the picture [default: the first that is no action]
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Class of the series by its name, for conditional models [default: each in turn]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// The series whole, each with its beginning (.npy, .csv), or a fan chart of a channel (.png)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// What is given, and where the futures begin.
struct Order {
    given: Partial,
    begins: usize,
    actions: Vec<usize>,
    reward: Option<usize>,
    /// The channel of the picture.
    shown: usize,
}

impl Order {
    fn new(args: &SimulateArgs, cut: &Cut) -> Result<Self> {
        let (actions, reward) = cut.roles(&cut.names)?;
        let given = Partial::read(&args.given, cut)?;
        let (steps, file) = (given.steps, args.given.display());
        let begins = args.from.unwrap_or(given.begins());
        if begins > steps {
            return Err(Error::usage(format!("--from {begins}: a beginning longer than the {steps} steps of {file}; take fewer")));
        }
        if begins == steps {
            let words = "so nothing is left to draw; say with --from how many of them begin it";
            return Err(Error::usage(format!("{file} gives all {steps} steps whole, {words}")));
        }
        given.check(begins, &actions)?;
        let shown = match &args.channel {
            None => (0..cut.names.len()).find(|channel| !actions.contains(channel)).unwrap_or(0),
            Some(name) => cut
                .names
                .iter()
                .position(|known| known == name)
                .ok_or_else(|| Error::usage(format!("--channel {name} is none of {}; name one of them", cut.names.join(", "))))?,
        };
        Ok(Self { given, begins, actions, reward, shown })
    }
}

/// `kiln simulate`
pub fn run(args: &SimulateArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "futures", &["png", "npy", "csv"])?;
    check_amount(args.count, args.temperature)?;
    let device = Device::open(&common.device).wait()?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let cut = trained.recipe.data.reading.series.clone();
    if cut.actions.is_empty() {
        let run = args.run.display();
        return Err(Error::usage(format!("{run} has no actions to simulate under; take kiln forecast, or train with actions=NAME")));
    }
    let class = chosen_class(&trained, args.class.as_deref())?;
    let place = |path: &Path| path.canonicalize().ok();
    if place(&args.out).is_some_and(|out| place(&args.given) == Some(out)) {
        return Err(Error::usage(format!("--out {} is what is given, and would be written over; name another file", args.out.display())));
    }
    let Order { given, begins, actions, reward, shown } = Order::new(args, &cut)?;
    let (channels, steps, seed) = (cut.names.len(), given.steps, common.seed.unwrap_or(1));
    let model = trained.over(steps)?;
    let mut sampler = RasterSampler::new(&device, model.as_ref(), &trained.state, weights(&trained), Method::Cached).wait()?;
    // What is drawn stands for anything before.
    let filled: Vec<f64> = given.values.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect();
    let values = cut.values(&filled).repeat(args.count);
    let kept: Vec<bool> = (0..steps * channels).map(|at| at / channels < begins || actions.contains(&(at % channels))).collect();
    let classes = trained.recipe.data.classes;
    let hot = one_hot(&labels(classes, class, 0, args.count), classes, args.count);
    let inputs = [("labels", &hot[..])];
    let (temperature, keep) = (args.temperature, Some((&values[..], &kept[..])));
    let job = Job { count: args.count, seed, first: 0, temperature, keep, inputs: &inputs };
    let drawn = cut.units(&sampler.sample_in_parts(model.as_ref(), &mut trained.state, &job).wait()?.images);

    let mut tables = Vec::new();
    let mut fan = Vec::new();
    for channel in (0..channels).filter(|channel| !actions.contains(channel)) {
        let mut skill = Skill::default();
        for step in begins..steps {
            let at = step * channels + channel;
            let mut futures: Vec<f64> = drawn.iter().skip(at).step_by(steps * channels).copied().collect();
            futures.sort_by(f64::total_cmp);
            if !given.values[at].is_nan() {
                skill.add(&futures, given.values[at]);
            }
            if channel == shown {
                fan.push(QUANTILES.map(|q| quantile(&futures, q)));
            }
        }
        tables.push((&cut.names[channel], skill));
    }
    if endings::of(&args.out) == "png" {
        let known: Vec<f64> = given.values.iter().skip(shown).step_by(channels).copied().take_while(|v| !v.is_nan()).collect();
        let title = format!("{} futures behind {begins} steps, under given actions", args.count);
        // Actions are known of every step.
        let bands = if actions.contains(&shown) { known[begins..].iter().map(|v| [*v; 5]).collect() } else { fan };
        report::save_png(&args.out, &report::fan(&title, &cut.names[shown], &known, begins, &bands))?;
    } else {
        let mut sequences = Sequences::new(&args.out, args.count, [steps, 1, channels], &cut)?;
        sequences.take_units(&drawn);
        sequences.finish("")?;
    }

    let weights = weights_in_words(&trained, args.best);
    let ahead = steps - begins;
    let mut words =
        format!("drew {} futures of {ahead} steps behind {begins} · {weights} · seed {seed} · {}", args.count, args.out.display());
    let mut object = json!({
        "out": as_text(&args.out), "given": as_text(&args.given), "count": args.count, "begins": begins, "steps": ahead, "seed": seed,
        "weights": weights, "step": trained.progress.step,
    });
    if let Some(reward) = reward {
        let total = |series: &[f64]| series[begins * channels..].iter().skip(reward).step_by(channels).sum::<f64>();
        let mut totals: Vec<f64> = drawn.chunks(steps * channels).map(total).collect();
        totals.sort_by(f64::total_cmp);
        let mean = totals.iter().sum::<f64>() / totals.len() as f64;
        let [low, high] = [0.05, 0.95].map(|q| quantile(&totals, q));
        words += &format!("\nthe sum of {}: mean {mean:.3}, the middle 90% from {low:.3} to {high:.3}", cut.names[reward]);
        object["return"] = json!({ "mean": mean, "q05": low, "q95": high });
    }
    let mut rows = Vec::new();
    for (name, skill) in tables.iter().filter(|(_, skill)| skill.count > 0) {
        if rows.is_empty() {
            words += &format!("\n{:<16}{:>14}{:>12}{:>12}", "channel", "CRPS", "in 50%", "in 90%");
        }
        let (crps, [half, most]) = (skill.crps(), skill.coverage());
        words += &format!("\n{name:<16}{crps:>14.5}{:>12}{:>12}", format!("{:.1}%", 100.0 * half), format!("{:.1}%", 100.0 * most));
        rows.push(json!({ "channel": name, "crps": crps, "in_50": half, "in_90": most, "values": skill.count }));
    }
    object["rows"] = json!(rows);
    output.result(&words, &object)
}
