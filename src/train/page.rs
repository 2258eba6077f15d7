//! The page of a run: what it is, how far it is, and what it draws, in one file of its folder that needs nothing else.

use super::pictures::chart;
use super::run::{PAGE, picture_step};
use super::{Recipe, RunFolder};
use crate::error::Result;
use crate::model::{Model, Score};
use crate::report::Page;

/// Most earlier pictures of samples beside the newest.
const EARLIER: usize = 5;

/// Writes the page anew, where there is a disk for it.
///
/// # Errors
/// [`crate::Error::Io`] where the folder cannot be written.
pub fn write(model: &dyn Model, recipe: &Recipe, folder: &RunFolder, step: u64) -> Result<()> {
    if folder.on_disk().is_none() {
        return Ok(());
    }
    let source = recipe.data.source.rsplit('/').next().unwrap_or_default();
    let mut page = Page::new(format!("{} on {source}", recipe.model));
    let state =
        if step >= recipe.train.steps { format!("{step} steps, its last") } else { format!("step {step} of {}", recipe.train.steps) };
    let parameters = model.state().parameters(true);
    page.text(&format!("{parameters} parameters, trained on {}, seed {}: {state}.", recipe.device, recipe.seed));
    let lines = folder.metrics();
    let last = |name: &str| lines.iter().rev().find_map(|line| Some((line["step"].as_u64()?, line[name].as_f64()?)));
    let row = |name: &str, unit: &str, (step, value): (u64, f64)| {
        vec![name.to_string(), format!("{value:.4}"), unit.to_string(), step.to_string()]
    };
    let mut rows: Vec<Vec<String>> = model.metrics().iter().filter_map(|(name, unit)| Some(row(name, unit, last(name)?))).collect();
    let kind = match model.scores().map(|scores| scores.score()) {
        Some(Score::Bound) => "validation −ELBO",
        _ => "validation −log p",
    };
    let scores = lines.iter().filter_map(|line| Some((line["step"].as_u64()?, line["valid"].as_f64()?)));
    let best = scores.min_by(|a, b| a.1.total_cmp(&b.1));
    rows.extend(last("valid").map(|found| row(kind, "nats", found)));
    rows.extend(best.map(|found| row(&format!("{kind}, best"), "nats", found)));
    if let Some((step, speed)) = last("items_per_s") {
        rows.push(vec!["speed".into(), format!("{speed:.0}"), "items/s".into(), step.to_string()]);
    }
    if !rows.is_empty() {
        page.section("Figures").table(&["figure", "value", "unit", "at step"], &rows);
        page.section("Curves").image("metrics by step", &chart(model, recipe, folder))?;
    }
    let drawn = samples(folder);
    if let Some(((newest, picture), earlier)) = drawn.split_last() {
        page.section("Samples").image(&format!("step {newest}"), picture)?;
        if !earlier.is_empty() {
            page.subsection("Earlier, of the same noise");
        }
        for (step, picture) in earlier {
            page.image(&format!("step {step}"), picture)?;
        }
    }
    let shown = folder.path();
    let shown = shown.display();
    let more = if step >= recipe.train.steps { format!(" --steps {}", recipe.train.steps.max(1) * 2) } else { String::new() };
    page.section("Going on").code(&format!("kiln info {shown}\nkiln train --resume {shown}{more}"));
    let text = toml::to_string_pretty(recipe).unwrap_or_default();
    page.section("Recipe").code(&text);
    page.save(&folder.file(PAGE))
}

/// Pictures of samples that are shown, by step: the newest last, and some of those before, evenly apart.
fn samples(folder: &RunFolder) -> Vec<(u64, image::RgbImage)> {
    let found = std::fs::read_dir(folder.file("samples")).into_iter().flatten().flatten();
    let mut steps: Vec<(u64, std::path::PathBuf)> =
        found.filter_map(|entry| Some((picture_step(&entry.file_name().to_string_lossy())?, entry.path()))).collect();
    steps.sort();
    let last = steps.len().saturating_sub(1);
    let count = steps.len().min(EARLIER + 1);
    let shown = (0..count).map(|i| if count < 2 { last } else { i * last / (count - 1) });
    // One that cannot be read is left out: the page is no reason to end a run.
    shown.filter_map(|at| Some((steps[at].0, image::open(&steps[at].1).ok()?.to_rgb8()))).collect()
}
