//! `kiln theory`: what is known of adversarial training, beside what the engine does.

use std::path::PathBuf;

use clap::Args;
use image::RgbImage;
use serde_json::json;

use super::common::Common;
use super::endings;
use super::output::{Output, as_text};
use crate::error::{Error, Result};
use crate::eval::theory::{self, Game};
use crate::report::{self, ChartOptions, Series};
use crate::runtime::Device;
use crate::wait::Wait;

/// Arguments of `theory`.
#[derive(Args)]
pub struct TheoryArgs {
    /// The .png to draw
    #[arg(long, default_value = "theory.png", value_name = "FILE")]
    pub out: PathBuf,
    /// Steps of each discriminator
    #[arg(long, default_value_t = 2000, value_name = "N", allow_negative_numbers = true)]
    pub steps: u32,
}

/// Means of the generator that stands still.
const MEANS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];

/// `kiln theory`
pub fn run(args: &TheoryArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "pictures", &["png"])?;
    if args.steps == 0 {
        return Err(Error::usage("--steps must be at least 1, so that the discriminators learn something"));
    }
    let device = Device::open(&common.device).wait()?;
    let bar = output.bar(MEANS.len() as u64, "discriminators");
    let mut games = Vec::new();
    for mean in MEANS {
        games.push(theory::play(&device, mean, args.steps, common.seed.unwrap_or(1)).wait()?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let objectives = theory::objectives(&device).wait()?;
    let mut charts: Vec<RgbImage> = games.iter().map(of_game).collect();
    charts.extend(of_objectives(&objectives));
    report::save_png(&args.out, &tile(&charts))?;
    let mut words = format!(
        "A discriminator between N(0,1) and N(m,1), trained for {} steps, beside the best there is\n{:>5}{:>10}{:>16}{:>12}{:>12}{:>14}\n",
        args.steps, "m", "JSD", "−ln 4 + 2 JSD", "value", "difference", "max |D − D*|"
    );
    for game in &games {
        let Game { mean, jsd, value, error, .. } = game;
        words += &format!("{mean:>5}{jsd:>10.5}{:>16.5}{value:>12.5}{:>12.5}{error:>14.4}\n", game.best(), game.best() - value);
    }
    words += &format!(
        "\nWhat a generator minimises, and its slope by D's logit, where D is sure that an item is generated\n{:>10}{:>12}{:>12}{:>12}{:>12}\n",
        "D", "ln(1 − D)", "slope", "−ln D", "slope"
    );
    for row in objectives.iter().filter(|row| (row[0].abs() / 2.0).fract() < 1e-3 || (row[0].abs() / 2.0).fract() > 0.999) {
        let [logit, minimax, saving, minimax_slope, saving_slope] = *row;
        let d = 1.0 / (1.0 + (-logit).exp());
        words += &format!("{d:>10.5}{minimax:>12.5}{minimax_slope:>12.5}{saving:>12.5}{saving_slope:>12.5}\n");
    }
    words += &format!("drawn in {}", args.out.display());
    let rows: Vec<_> = games
        .iter()
        .map(|g| json!({"mean": g.mean, "jsd": g.jsd, "best_value": g.best(), "value": g.value, "largest_error": g.error}))
        .collect();
    output.result(&words, &json!({"out": as_text(&args.out), "steps": args.steps, "games": rows, "device": device.name()}))
}

fn options() -> ChartOptions {
    ChartOptions { width: 800, height: 480, ..ChartOptions::default() }
}

fn of_game(game: &Game) -> RgbImage {
    let density = |mean: f64| move |x: f64| 0.5 * (-0.5 * (x - mean).powi(2)).exp();
    let line =
        |name: &str, y: &dyn Fn(&[f64; 3]) -> f64| Series::new(name, game.curve.iter().step_by(8).map(|row| (row[0], y(row))).collect());
    let (p, q) = (density(0.0), density(game.mean));
    let series = [
        line("trained D", &|row| row[1]),
        line("D* = p/(p + q)", &|row| row[2]),
        line("p (data)", &|row| p(row[0])),
        line("q (generator)", &|row| q(row[0])),
    ];
    let title = format!("m = {}: value {:.4}, best {:.4}", game.mean, game.value, game.best());
    report::chart(&title, "x", "D", &series, &ChartOptions { y_range: Some((0.0, 1.0)), smooth: Some(0), ..options() })
}

fn of_objectives(rows: &[[f64; 5]]) -> [RgbImage; 2] {
    let line = |name: &str, column: usize| {
        let d = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        Series::new(name, rows.iter().map(|row| (d(row[0]), row[column])).collect())
    };
    let values = [line("ln(1 − D), minimax", 1), line("−ln D, non-saturating", 2)];
    let slopes = [line("of ln(1 − D)", 3), line("of −ln D", 4)];
    let options = ChartOptions { smooth: Some(0), ..options() };
    [
        report::chart(
            "What the generator minimises",
            "D(G(z))",
            "nats",
            &values,
            &ChartOptions { y_range: Some((-6.0, 6.0)), ..options.clone() },
        ),
        report::chart("Slope by D's logit", "D(G(z))", "", &slopes, &ChartOptions { y_range: Some((-1.05, 0.05)), ..options }),
    ]
}

/// Charts of one size in two columns.
fn tile(charts: &[RgbImage]) -> RgbImage {
    let (width, height) = charts.first().map_or((1, 1), RgbImage::dimensions);
    let mut whole = RgbImage::new(2 * width, height * charts.len().div_ceil(2) as u32);
    for (i, chart) in charts.iter().enumerate() {
        let (x, y) = (i as u32 % 2 * width, i as u32 / 2 * height);
        image::imageops::replace(&mut whole, chart, i64::from(x), i64::from(y));
    }
    whole
}
