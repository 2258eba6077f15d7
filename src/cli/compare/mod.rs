//! `kiln compare`: runs of any families on the same data, side by side.

mod cost;
mod page;
mod row;
mod suite;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::output::{Output, as_text};
use crate::error::{Error, Result};
use crate::model;
use crate::report;
use crate::runtime::Device;
use crate::train::{Recipe, RunFolder, parse_settings};
use crate::wait::Wait;

use page::Comparison;
use row::Row;

/// Arguments of `compare`.
#[derive(Args, Default)]
pub struct CompareArgs {
    /// Run folders, of any models, on the same data
    #[arg(required_unless_present = "suite", conflicts_with = "suite")]
    pub runs: Vec<PathBuf>,
    /// What to measure on [default: the test split of the runs' training data]
    #[arg(long, value_name = "SOURCE", required_unless_present = "runs")]
    pub data: Option<String>,
    /// Train a small model of each family on --data in this folder first, each with the same number of operations; goes on where it was stopped
    #[arg(long, value_name = "DIR")]
    pub suite: Option<PathBuf>,
    /// Floating-point operations that each model of the suite is trained with
    #[arg(long, value_name = "N", default_value_t = 2e13, requires = "suite", allow_negative_numbers = true)]
    pub budget: f64,
    /// Samples of each run whose quality is measured
    #[arg(short = 'n', long = "samples", value_name = "N", default_value_t = 2000, allow_negative_numbers = true)]
    pub samples: usize,
    /// A setting of the quality of samples, as of kiln eval: classifier_steps=, steps=, guidance=; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A seeded random N items alone for likelihoods
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Folder that the page, its pictures and compare.json go to [default: --suite, or compare]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `kiln compare`
pub fn run(args: &CompareArgs, common: &Common, output: &Output) -> Result<()> {
    if args.samples < 2 {
        return Err(Error::usage(format!("--samples must be at least 2, so that they can be compared, not {}", args.samples)));
    }
    let out = args.out.clone().or_else(|| args.suite.clone()).unwrap_or_else(|| "compare".into());
    check(args, &out)?;
    let device = Device::open(&common.device).wait()?;
    let runs = match &args.suite {
        Some(folder) => {
            let data = args.data.as_deref().unwrap_or_default();
            suite::train(folder, data, args.budget, common, &device, output)?
        }
        None => args.runs.clone(),
    };
    different(&runs)?;
    let recipes: Vec<Recipe> = runs.iter().map(|path| RunFolder::open(path).map(|(_, recipe)| recipe)).collect::<Result<_>>()?;
    same_data(&runs, &recipes)?;
    for (path, recipe) in runs.iter().zip(&recipes) {
        if model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?.judges().is_some() {
            let words = format!("{} is a {}, which neither scores nor draws images; leave it out", path.display(), recipe.model);
            return Err(Error::usage(words));
        }
    }
    let data = measured_on(args, &recipes)?;
    let (words, object) = write(&runs, &data, (&out, args), common, output)?;
    output.result(&words, &object)
}

/// Settings of the quality of samples that a comparison passes on: the judge's, and those of diffusion models alone.
const SETTINGS: [&str; 3] = ["classifier_steps", "steps", "guidance"];

/// Refuses what would stop a comparison on its way.
fn check(args: &CompareArgs, out: &Path) -> Result<()> {
    if out.exists() && !out.is_dir() {
        return Err(Error::usage(format!("{} is a file, and a comparison goes to a folder; name another", out.display())));
    }
    if args.limit == Some(0) {
        return Err(Error::usage("--limit must be at least 1"));
    }
    let settings = parse_settings(&args.set)?;
    match settings.keys().find(|key| !SETTINGS.contains(&key.as_str())) {
        Some(key) => {
            Err(Error::usage(format!("kiln compare takes no setting {key}; it takes {}", SETTINGS.map(|key| format!("{key}=")).join(", "))))
        }
        None => Ok(()),
    }
}

/// Measures runs on `data` and writes the page, its pictures and `compare.json` to a folder; returns the table, and all figures by name.
///
/// # Errors
/// Those of the runs, the data, the device and the disk.
pub fn write(
    runs: &[PathBuf],
    data: &str,
    (out, args): (&Path, &CompareArgs),
    common: &Common,
    output: &Output,
) -> Result<(String, serde_json::Value)> {
    let mut rows: Vec<Row> = Vec::with_capacity(runs.len());
    for path in runs {
        output.say(&format!("measuring {}", path.display()));
        rows.push(Row::measure(path, data, args, common, output)?);
    }
    let device = Device::open(&common.device).wait()?.name();
    let comparison = Comparison { rows: &rows, data, samples: args.samples, device: device.clone() };
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, e))?;
    let page = out.join("index.html");
    comparison.page()?.save(&page)?;
    report::save_png(&out.join("samples.png"), &comparison.picture())?;
    let object = json!({
        "page": as_text(&page), "data": data, "device": device, "samples": args.samples,
        "runs": rows.iter().map(|row| &row.object).collect::<Vec<_>>(),
    });
    report::write_atomically(&out.join("compare.json"), |file| std::io::Write::write_all(file, format!("{object:#}\n").as_bytes()))?;
    Ok((format!("{}\npage: {}", comparison.words(), page.display()), object))
}

/// Where runs are measured: the data that the command names, a test split where it names none.
fn measured_on(args: &CompareArgs, recipes: &[Recipe]) -> Result<String> {
    let named = args.data.clone().or_else(|| Some(recipes.first()?.data.source.clone()));
    let named = named.ok_or_else(|| Error::usage("there is no run to compare; name run folders, or --suite DIR with --data"))?;
    let test = Some(crate::data::Split::Test);
    Ok(if crate::data::named_split(&named).is_some() { named } else { crate::data::with_split(&named, test) })
}

/// Refuses a run that is named twice, in whatever way: two rows of one run would look like two runs that agree.
fn different(runs: &[PathBuf]) -> Result<()> {
    let places: Vec<PathBuf> = runs.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect();
    match (1..places.len()).find(|at| places[..*at].contains(&places[*at])) {
        Some(at) => Err(Error::usage(format!("{} is named twice; name each run once", runs[at].display()))),
        None => Ok(()),
    }
}

/// Refuses runs that were not trained on one set.
fn same_data(paths: &[PathBuf], recipes: &[Recipe]) -> Result<()> {
    let runs: Vec<(&PathBuf, &Recipe)> = paths.iter().zip(recipes).collect();
    let Some(((path, first), rest)) = runs.split_first() else { return Ok(()) };
    let (path, of) = (path.display(), &first.data);
    for (other, recipe) in rest {
        if (&recipe.data.digest, recipe.data.dims) != (&of.digest, of.dims) {
            let other = other.display();
            let ([h, w, c], [oh, ow, oc]) = (recipe.data.dims, of.dims);
            return Err(Error::usage(format!(
                "{other} was trained on {} in {h}×{w}×{c}, and {path} on {} in {oh}×{ow}×{oc}: a comparison is of runs on the same data, read in the same way; leave one of them out",
                recipe.data.source, of.source
            )));
        }
    }
    Ok(())
}
