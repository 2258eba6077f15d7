//! `kiln forecast`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::draw::{check_amount, labels};
use super::endings;
use super::given::Reads;
use super::measured::{weights, weights_in_words};
use super::output::{Output, as_text};
use super::sequences::Named;
use crate::data::series::go_on;
use crate::data::{self, Source, Split, item_len, one_hot};
use crate::error::{Error, Result};
use crate::eval::forecast::{QUANTILES, Skill, naive, quantile, season};
use crate::report::{self, Column};
use crate::runtime::Device;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::train::{DataRequest, Recipe, Trained, open_data};
use crate::wait::Wait;

/// Arguments of `forecast`.
#[derive(Args)]
pub struct ForecastArgs {
    /// Run folder of an autoregressive model of series
    pub run: PathBuf,
    /// What to go on from [default: the test split of the training data]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// The step of the whole series, from 0, that is forecast first, once [default: the ends of all windows are forecast]
    #[arg(long, value_name = "T", allow_negative_numbers = true, requires = "data")]
    pub from: Option<usize>,
    /// Steps ahead, fewer than a window has; what is left of a window is the beginning
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub steps: usize,
    /// Futures that are drawn of each beginning
    #[arg(short = 'n', long, default_value_t = 200, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// Windows of a seeded random N alone
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "from")]
    pub limit: Option<usize>,
    /// Steps of a season, for the forecast that repeats the last one [default: as the beginnings' autocorrelation has it]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub season: Option<usize>,
    /// The fan chart (.png) of the first window and channel, or all quantiles (.csv)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Above 1, wider and less likely futures: where the bands hold too little of the validation split (--data SOURCE:valid), which it is chosen by
    #[arg(long, default_value_t = 1.0, value_name = "T")]
    pub temperature: f32,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// A window to forecast the end of.
struct Begun {
    /// Its values as items show them, `[steps, C]`; what is not known is 0.
    shown: Vec<f32>,
    /// Steps that are known.
    known: usize,
    label: u32,
    dates: Option<Named>,
}

/// The windows of a source, each whole.
fn windows(source: &dyn Source) -> Result<Vec<Begun>> {
    let [steps, _, channels] = source.dims();
    let read = |index: usize| {
        let mut shown = vec![0.0; steps * channels];
        source.read(index, &mut shown)?;
        Ok(Begun { shown, known: steps, label: source.label(index).unwrap_or(0), dates: dates(source, index, steps, 0) })
    };
    (0..source.len()).map(read).collect()
}

/// The dates of the steps of a window that begins `skipped` steps later than an item: its own, and those that they go on to.
fn dates(source: &dyn Source, index: usize, known: usize, skipped: usize) -> Option<Named> {
    let (title, rows) = source.dates(index)?;
    let own = &rows[skipped..];
    let on = go_on(rows, rows.len() - known.min(own.len())).unwrap_or_default();
    Some((title.into(), own.iter().take(known).map(|date| date.to_string()).chain(on).collect()))
}

/// The window whose step `begins` is step `from` of a series, as far as it is known; `source` holds the windows that begin at each step.
fn window_at(source: &dyn Source, from: usize, begins: usize) -> Result<Begun> {
    let ([steps, _, channels], name) = (source.dims(), source.name());
    let read = |index: usize| {
        let mut item = vec![0.0; item_len(source.dims())];
        source.read(index, &mut item).map(|()| item)
    };
    let (last, total) = (source.len() - 1, source.len() + steps - 1);
    if last > 0 && read(0)?[channels..] != read(1)?[..(steps - 1) * channels] {
        return Err(Error::usage(format!("{name} holds series that lie apart, so no step is one of all; leave --from out")));
    }
    let Some(first) = from.checked_sub(begins).filter(|_| from <= total) else {
        return Err(Error::usage(format!(
            "--from {from}: the {begins} steps before it are the beginning, and {name} has {total} steps; take {begins} to {total}"
        )));
    };
    let (mut shown, known) = (vec![0.0; steps * channels], steps.min(total - first));
    let (item, skipped) = (read(first.min(last))?, first.saturating_sub(last));
    shown[..known * channels].copy_from_slice(&item[skipped * channels..][..known * channels]);
    let (label, dates) = (source.label(first.min(last)).unwrap_or(0), dates(source, first.min(last), known, skipped));
    Ok(Begun { shown, known, label, dates })
}

/// What was forecast of one channel of one window.
struct Fan {
    /// In the units of the series, those of the beginning first.
    known: Vec<f64>,
    quantiles: Vec<[f64; 5]>,
}

/// The three forecasts of a channel.
#[derive(Default)]
struct Table {
    skills: [Skill; 3],
    name: String,
}

const ROWS: [&str; 3] = ["model", "last value", "season"];

/// `kiln forecast`
pub fn run(args: &ForecastArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "forecasts", &["png", "csv"])?;
    check_amount(args.count, args.temperature)?;
    let device = Device::open(&common.device).wait()?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let cut = trained.recipe.data.reading.series.clone();
    let shown = args.run.display();
    if !cut.is_settled() {
        return Err(Error::usage(format!("{shown} was trained on images, which have no next step; take complete, or a run on series")));
    }
    let dims @ [window, _, channels] = trained.recipe.data.dims;
    if args.steps == 0 || args.steps >= window {
        let most = window - 1;
        return Err(Error::usage(format!(
            "--steps is 1 to {most}, so that of the {window} steps of a window some begin it, not {}",
            args.steps
        )));
    }
    if args.season == Some(0) {
        return Err(Error::usage("--season is a number of steps from 1"));
    }
    let mut sampler = RasterSampler::new(&device, trained.model.as_ref(), &trained.state, weights(&trained), Method::Cached).wait()?;
    let begins = window - args.steps;
    let source = open(args, &trained.recipe, trained.model.conditional())?;
    let windows = match args.from {
        Some(from) => vec![window_at(&*source, from, begins)?],
        None => windows(&*source)?,
    };
    let (reads, top) = (Reads::of(sampler.law()), sampler.law().top());
    let in_levels = |shown: &[f32]| shown.iter().map(|byte| reads.value(*byte)).collect::<Vec<f32>>();
    let in_units = |levels: &[f32]| cut.in_units(&levels.iter().map(|v| v / top).collect::<Vec<f32>>());
    let channel = |values: &[f64], c: usize| values.iter().skip(c).step_by(channels).copied().collect::<Vec<f64>>();
    let values: Vec<Vec<f64>> = windows.iter().map(|w| in_units(&in_levels(&w.shown))).collect();
    let beginnings: Vec<Vec<f64>> = values.iter().map(|v| channel(&v[..begins * channels], 0)).collect();
    let season = args.season.or_else(|| season(&beginnings));
    let mask: Vec<bool> = (0..item_len(dims)).map(|at| at < begins * channels).collect();
    let (seed, classes) = (common.seed.unwrap_or(1), trained.recipe.data.classes);
    let mut tables: Vec<Table> = cut.names.iter().map(|name| Table { name: name.clone(), ..Table::default() }).collect();
    let mut fans = Vec::new();
    let bar = output.bar(windows.len() as u64, "windows");
    for (number, (begun, values)) in windows.iter().zip(&values).enumerate() {
        let given = in_levels(&begun.shown).repeat(args.count);
        let hot = one_hot(&labels(classes, Some(begun.label), 0, args.count), classes, args.count);
        let inputs = [("labels", &hot[..])];
        let job = Job {
            count: args.count,
            seed,
            first: number * args.count,
            temperature: args.temperature,
            keep: Some((&given, &mask)),
            inputs: &inputs,
        };
        let drawn = in_units(&sampler.sample_in_parts(trained.model.as_ref(), &mut trained.state, &job).wait()?.images);
        for (c, table) in tables.iter_mut().enumerate() {
            let known = channel(&values[..begun.known * channels], c);
            let mut quantiles = Vec::with_capacity(args.steps);
            for ahead in 1..=args.steps {
                let at = (begins + ahead - 1) * channels + c;
                let mut futures: Vec<f64> = drawn.iter().skip(at).step_by(window * channels).copied().collect();
                futures.sort_by(f64::total_cmp);
                quantiles.push(QUANTILES.map(|q| quantile(&futures, q)));
                let Some(truth) = known.get(begins + ahead - 1) else { continue };
                table.skills[0].add(&futures, *truth);
                table.skills[1].add(&naive(&known[..begins], ahead, 1), *truth);
                if let Some(season) = season {
                    table.skills[2].add(&naive(&known[..begins], ahead, season), *truth);
                }
            }
            fans.push(Fan { known, quantiles });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let dates: Vec<Option<Named>> = windows.iter().map(|w| w.dates.clone()).collect();
    write(args, &fans, (begins, channels), &tables, &dates)?;
    let weights = weights_in_words(&trained, args.best);
    let mut words = format!(
        "forecast {} steps behind {begins} of {} windows of {}, {} futures each{} · {weights} · seed {seed} · {}",
        args.steps,
        windows.len(),
        source.name(),
        args.count,
        if args.temperature == 1.0 { String::new() } else { format!(" at temperature {}", args.temperature) },
        args.out.display()
    );
    let mut rows = Vec::new();
    for table in &tables {
        words += &format!("\n{:<24}{:>14}{:>12}{:>12}", table.name, "CRPS", "50% holds", "90% holds");
        for (what, skill) in ROWS.into_iter().zip(&table.skills).filter(|(_, skill)| skill.count > 0) {
            let what = if what == "season" { format!("season of {}", season.unwrap_or(0)) } else { what.into() };
            let (crps, [half, most]) = (skill.crps(), skill.coverage());
            words += &format!("\n{what:<24}{crps:>14.5}{:>12}{:>12}", format!("{:.1}%", 100.0 * half), format!("{:.1}%", 100.0 * most));
            rows.push(
                json!({ "channel": table.name, "forecast": what, "crps": crps, "in_50": half, "in_90": most, "values": skill.count }),
            );
        }
    }
    let object = json!({
        "out": as_text(&args.out), "data": source.name(), "windows": windows.len(), "steps": args.steps, "begins": begins, "count": args.count,
        "season": season, "seed": seed, "temperature": args.temperature, "weights": weights, "step": trained.progress.step, "rows": rows,
    });
    output.result(&words, &object)
}

/// The data: windows as they are, or with --from the windows that begin at each step of the whole series.
fn open(args: &ForecastArgs, recipe: &Recipe, labels: bool) -> Result<Arc<dyn Source>> {
    let request = DataRequest { limit: args.limit, labels, ..DataRequest::default() };
    let (Some(source), true) = (&args.data, args.from.is_some()) else {
        return open_data(recipe, &DataRequest { source: args.data.as_deref(), ..request });
    };
    let mut recipe = recipe.clone();
    recipe.data.reading.series.overlap = recipe.data.dims[0] - 1;
    let whole = data::with_split(source, Some(Split::All));
    open_data(&recipe, &DataRequest { source: Some(&whole), limit: None, ..request })
}

/// Writes the picture or the table.
fn write(args: &ForecastArgs, fans: &[Fan], (begins, channels): (usize, usize), tables: &[Table], dates: &[Option<Named>]) -> Result<()> {
    if endings::of(&args.out) == "png" {
        let (Some(fan), Some(table)) = (fans.first(), tables.first()) else { return Ok(()) };
        let title = format!("{} steps forecast behind {begins}", args.steps);
        return report::save_png(&args.out, &report::fan(&title, &table.name, &fan.known, begins, &fan.quantiles));
    }
    let names = ["window", "channel", "step", "truth", "q05", "q25", "q50", "q75", "q95"];
    let mut columns: Vec<(String, Vec<f64>)> = names.map(|name| (name.to_string(), Vec::new())).into();
    for (at, fan) in fans.iter().enumerate() {
        for (ahead, quantiles) in fan.quantiles.iter().enumerate() {
            let place = [at / channels + 1, at % channels + 1, ahead + 1].map(|n| n as f64);
            let truth = fan.known.get(begins + ahead).copied().unwrap_or(f64::NAN);
            let row = place.into_iter().chain([truth]).chain(*quantiles);
            columns.iter_mut().zip(row).for_each(|((_, column), value)| column.push(value));
        }
    }
    let mut columns: Vec<(String, Column)> = columns.into_iter().map(|(name, values)| (name, Column::Numbers(values))).collect();
    if let Some((title, _)) = dates.first().and_then(Option::as_ref) {
        let words = |at: usize| (0..args.steps).map(move |ahead| dates[at / channels].as_ref()?.1.get(begins + ahead).cloned());
        let words = (0..fans.len()).flat_map(words).map(Option::unwrap_or_default).collect();
        columns.insert(3, (title.clone(), Column::Words(words)));
    }
    report::write_csv(&args.out, &columns)
}
