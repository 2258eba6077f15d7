//! A small model of each family, trained with equal numbers of operations.

use std::path::{Path, PathBuf};

use super::cost;
use crate::cli::common::Common;
use crate::cli::output::Output;
use crate::cli::signals;
use crate::cli::train::{TrainArgs, make_recipe, watched};
use crate::error::{Error, Result};
use crate::model;
use crate::runtime::Device;
use crate::train::{Recipe, RunFolder, Trainer};
use crate::wait::Wait;

/// The largest budget, in operations: a day of the largest machines.
const MOST: f64 = 1e24;

/// A family's folder and what it is trained with, `conditional=true` aside.
struct Family {
    name: &'static str,
    /// The model, and that for data without labels.
    models: [&'static str; 2],
    set: &'static [&'static str],
    /// What is set where data are more than bits.
    of_levels: &'static [&'static str],
}

const FAMILIES: [Family; 6] = [
    Family {
        name: "gated-pixelcnn",
        models: ["gated-pixelcnn"; 2],
        set: &["preset=tiny", "schedule=cosine", "ema=0.999"],
        of_levels: &["likelihood=mixture"],
    },
    Family { name: "pixelcnn-pp", models: ["pixelcnn-pp"; 2], set: &["preset=tiny", "schedule=cosine"], of_levels: &[] },
    Family { name: "vae", models: ["cvae", "vae"], set: &["form=conv"], of_levels: &["likelihood=logistic"] },
    Family { name: "dcgan", models: ["dcgan"; 2], set: &["filters=32", "ema=0.999"], of_levels: &[] },
    Family { name: "wgan-gp", models: ["wgan-gp"; 2], set: &["filters=32", "ema=0.999"], of_levels: &[] },
    Family { name: "diffusion", models: ["diffusion"; 2], set: &["preset=small", "schedule=cosine"], of_levels: &[] },
];

/// Trains what is not trained yet, each family in a folder of its own in `folder`; returns these.
///
/// # Errors
/// [`Error::Usage`] for a budget that is none and data that a model does not take, before anything is trained; [`Error::Interrupted`] after what was
/// done is saved; those of the data and the device.
pub fn train(folder: &Path, data: &str, budget: f64, common: &Common, device: &Device, output: &Output) -> Result<Vec<PathBuf>> {
    if !(1.0..=MOST).contains(&budget) {
        return Err(Error::usage(format!("--budget is a number of operations such as 2e13, not {budget}")));
    }
    if folder.join("recipe.toml").exists() {
        return Err(Error::usage(format!("{} is a run's folder, and a suite is a folder of runs; name another", folder.display())));
    }
    let stop = signals::stop();
    let mut planned = Vec::new();
    for family in &FAMILIES {
        let path = folder.join(family.name);
        let recipe = recipe_of(family, data, budget, common, device)?;
        let begun = path.join("recipe.toml").exists();
        if begun {
            same(&path, &RunFolder::open(&path)?.1, &recipe)?;
        }
        planned.push((path, (!begun).then_some(recipe)));
    }
    let mut paths = Vec::with_capacity(planned.len());
    for (path, recipe) in planned {
        let mut trainer = match recipe {
            Some(recipe) => Trainer::start(device, recipe, RunFolder::create(&path)?).wait()?,
            None => Trainer::resume(device, &path, None).wait()?,
        };
        let (done, steps) = (trainer.step(), trainer.recipe().train.steps);
        if done < steps {
            output.say(&format!("{}: {} steps, of which {done} are done", path.display(), steps));
            if watched(&mut trainer, &stop, output)?.stopped {
                return Err(Error::Interrupted);
            }
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Refuses to go on with a run that was begun otherwise.
fn same(path: &Path, begun: &Recipe, asked: &Recipe) -> Result<()> {
    let facts = |recipe: &Recipe| (recipe.data.digest.clone(), recipe.data.dims, recipe.hyper.clone(), recipe.train.steps, recipe.seed);
    if facts(begun) == facts(asked) {
        return Ok(());
    }
    let (shown, source, steps, seed) = (path.display(), &begun.data.source, begun.train.steps, begun.seed);
    Err(Error::usage(format!(
        "{shown} was begun on {source} for {steps} steps with seed {seed}, and this command asks for {} steps on {} with seed {}; take the --data, --budget and --seed \
         that the suite was begun with, or another folder for --suite",
        asked.train.steps, asked.data.source, asked.seed
    )))
}

/// A family's recipe, with as many steps as the budget pays for.
fn recipe_of(family: &Family, data: &str, budget: f64, common: &Common, device: &Device) -> Result<Recipe> {
    let asked = |model: &str, set: Vec<String>, steps| TrainArgs {
        model: Some(model.into()),
        data: Some(data.into()),
        steps,
        set,
        ..TrainArgs::default()
    };
    let [labelled, plain] = family.models;
    let mut set: Vec<String> = family.set.iter().chain(&["sample_every=0", "valid_every=0"]).map(|s| s.to_string()).collect();
    let first = make_recipe(&asked(plain, set.clone(), None), common, device)?;
    let classes = first.data.classes;
    if !first.data.spec().is_binary() {
        set.extend(family.of_levels.iter().map(|s| s.to_string()));
    }
    let model = if classes > 1 { labelled } else { plain };
    if classes > 1 && model == plain {
        set.push("conditional=true".into());
    }
    let recipe = make_recipe(&asked(model, set.clone(), None), common, device)?;
    let made = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
    let steps = (budget / cost::of_a_step(&recipe, made.as_ref())?).round().max(1.0) as u64;
    let warmup = recipe.train.warmup.min(steps / 10);
    set.push(format!("warmup={warmup}"));
    make_recipe(&asked(model, set, Some(steps)), common, device)
}
