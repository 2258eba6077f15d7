//! Weights that other programs wrote, as a run that evaluates, samples and trains on.
//!
//! A file's tensors are known by their names: kiln's own, or those of a module that many have. Each family of such modules has a file with
//! its table; what differs in structure is refused in words, and nothing is guessed from shapes.

mod dcgan;
mod family;
mod file;
#[cfg(test)]
mod fuzz;
mod pickle;
mod pixelcnn;
mod unet;
mod vae;

pub use file::Weights;

use std::collections::BTreeSet;
use std::path::PathBuf;

use family::{Family, Source};

use super::checkpoint::{Progress, Snapshot};
use super::layout::{from_torch, torch_shape};
use super::run::CHECKPOINT;
use super::{Recipe, RunFolder};
use crate::cpu::Arena;
use crate::error::{Error, Result};
use crate::graph::Layout;
use crate::model;
use crate::runtime::{Device, State};

/// What a checkpoint of kiln's holds beside weights.
const BESIDE: [&str; 2] = ["ema.", "optimizer."];

/// kiln's own names.
const OWN: Family = Family {
    what: "kiln's own",
    models: &[],
    is: |_| true,
    settings: |_| Ok(toml::Table::new()),
    check: |_, _| Ok(()),
    source: |_, name| Some(Source::of(name)),
    beside: |name| BESIDE.iter().any(|prefix| name.starts_with(prefix)) || dcgan::counters(name),
};

/// Modules that many have, each by what no other has.
const FAMILIES: [Family; 6] = [vae::FAMILY, dcgan::GENERATOR, dcgan::DISCRIMINATOR, pixelcnn::GATED, pixelcnn::FAMILY, unet::FAMILY];

/// Files of weights, and whose they are.
pub struct Import {
    files: Vec<(Weights, Family)>,
}

/// What an import took.
pub struct Imported {
    /// Tensors that were filled.
    pub tensors: usize,
    /// Trained parameters of the model.
    pub parameters: usize,
    /// Tensors that kept their first values, as was asked.
    pub fresh: usize,
}

impl Import {
    /// Reads files of weights; `part` as of [`Weights::open`].
    ///
    /// # Errors
    /// As of [`Weights::open`].
    pub fn open(paths: &[PathBuf], part: Option<&str>) -> Result<Self> {
        let read = |path: &PathBuf| {
            let weights = Weights::open(path, part)?;
            let family = FAMILIES.into_iter().find(|family| (family.is)(&weights)).unwrap_or(OWN);
            Ok((weights, family))
        };
        Ok(Self { files: paths.iter().map(read).collect::<Result<_>>()? })
    }

    /// What each file's names are: a module, or kiln's own.
    pub fn families(&self) -> Vec<&'static str> {
        self.files.iter().map(|(_, family)| family.what).collect()
    }

    /// Settings of the model that the files tell: sizes of a known module.
    ///
    /// # Errors
    /// [`Error::Usage`] where the files are of a module that is another model; [`Error::Format`] where it is none of kiln's.
    pub fn settings(&self, model: &str) -> Result<toml::Table> {
        let mut settings = toml::Table::new();
        for (weights, family) in &self.files {
            // Those of a network that kiln has not say so, whatever the model.
            let told = (family.settings)(weights)?;
            if !family.models.is_empty() && !family.models.contains(&model) {
                let (shown, what, models) = (weights.path().display(), family.what, family.models.join(" or "));
                return Err(Error::usage(format!("{shown} is {what}, which is kiln's {models}, and no {model}; name that model")));
            }
            settings.extend(told);
        }
        Ok(settings)
    }

    /// Starts a run of a recipe with these weights, at step 0: claims the folder and writes recipe and checkpoint. Tensors whose names begin
    /// with a word of `fresh` keep their first values.
    ///
    /// # Errors
    /// [`Error::Usage`] with every tensor that is missing, has another shape or is left over, and for a `fresh` word that no tensor begins
    /// with; those of the model, the folder and the device.
    pub async fn start(&self, device: &Device, recipe: &Recipe, mut folder: RunFolder, fresh: &[String]) -> Result<Imported> {
        recipe.check()?;
        self.settings(&recipe.model)?;
        self.files.iter().try_for_each(|(weights, family)| (family.check)(weights, recipe))?;
        let model = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
        let (spec, _) = recipe.train.state(model.state());
        let mut state = State::initial(device, &spec, recipe.seed)?;
        let plan = self.plan(&spec, fresh)?;
        for (id, file, source) in &plan.taken {
            let (weights, _) = &self.files[*file];
            let tensor = spec.spec(*id);
            let values = joined(weights, source)?;
            let average = format!("ema.{}", tensor.name);
            let kept = source.factor == 1.0 && weights.shape(&average).is_some_and(|shape| *shape == torch_shape(tensor));
            let averaged = if kept { weights.values(&average)? } else { values.clone() };
            for (arena, values) in [(Arena::Value, values), (Arena::Average, averaged)] {
                state.write(*id, arena, &from_torch(tensor, &values))?;
            }
        }
        let snapshot = Snapshot::take(&state).await?;
        if let Some(name) = snapshot.broken() {
            return Err(Error::usage(format!("{name} holds what is no finite number; take weights from before it broke")));
        }
        folder.claim()?;
        folder.clear()?;
        folder.write_recipe(recipe)?;
        let progress = Progress { model: recipe.model.clone(), step: 0, best: None, waited: 0 };
        let path = folder.file(CHECKPOINT);
        snapshot.encode(&path, &progress, recipe)?.write(&path)?;
        Ok(Imported { tensors: plan.taken.len(), parameters: model.state().parameters(true), fresh: plan.fresh })
    }

    /// Where each tensor of a model is.
    fn plan(&self, spec: &crate::graph::StateSpec, fresh: &[String]) -> Result<Plan> {
        let under = |name: &str, word: &String| name == word || name.strip_prefix(word.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let ids: Vec<_> = spec.ids().into_iter().filter(|id| spec.spec(*id).layout != Layout::Derived).collect();
        let ids: Vec<_> = ids.into_iter().filter(|id| !spec.spec(*id).name.starts_with("optimizer.")).collect();
        if let Some(word) = fresh.iter().find(|word| !ids.iter().any(|id| under(&spec.spec(*id).name, word))) {
            return Err(Error::usage(format!("--fresh {word} names no tensor of this model; take the beginning of a tensor's name")));
        }
        let mut used: Vec<BTreeSet<String>> = vec![BTreeSet::new(); self.files.len()];
        let (mut plan, mut differing) = (Plan { taken: Vec::new(), fresh: 0 }, Vec::new());
        for id in ids {
            let tensor = spec.spec(id);
            let (name, wanted) = (&tensor.name, torch_shape(tensor));
            let sources = self.files.iter().enumerate().filter_map(|(at, (w, f))| Some((at, (f.source)(w, name)?)));
            let named: Vec<(usize, Source)> = sources.collect();
            if fresh.iter().any(|word| under(name, word)) {
                plan.fresh += 1;
                // What the files have of it is left where it is.
                named.into_iter().for_each(|(at, source)| used[at].extend(source.parts));
                continue;
            }
            let there: Vec<&(usize, Source)> =
                named.iter().filter(|(at, source)| source.parts.iter().all(|part| self.files[*at].0.has(part))).collect();
            let others = |(_, source): &(usize, Source)| {
                let parts = source.parts.join(" + ");
                if parts == *name { name.clone() } else { format!("{name} ({parts})") }
            };
            match there[..] {
                [found @ (at, source)] => {
                    used[*at].extend(source.parts.iter().cloned());
                    match shape_of(&self.files[*at].0, source, wanted.len()) {
                        Some(shape) if shape == wanted => plan.taken.push((id, *at, source.clone())),
                        shape => {
                            let shape = shape.map_or("of no shape".into(), |shape| format!("{shape:?}"));
                            differing.push(format!("{} is {shape} there and {wanted:?} here", others(found)));
                        }
                    }
                }
                [] => differing.push(format!("{} is not there", named.first().map_or_else(|| name.clone(), others))),
                _ => differing.push(format!("{name} is in several files")),
            }
        }
        for ((weights, family), used) in self.files.iter().zip(&used) {
            let extra = weights.names().filter(|name| !(family.beside)(name) && !used.contains(*name));
            differing.extend(extra.map(|name| format!("{name} is there alone")));
        }
        if differing.is_empty() {
            return Ok(plan);
        }
        let shown = self.files.iter().map(|(weights, _)| weights.path().display().to_string()).collect::<Vec<_>>().join(" and ");
        let mut lost: Vec<&str> = Vec::new();
        for line in &differing {
            let first = line.split(['.', ' ']).next().unwrap_or_default();
            if line.ends_with("is not there") && !lost.contains(&first) {
                lost.push(first);
            }
        }
        let way = match lost[..] {
            [] => "take the --set keys that it was made with".to_string(),
            _ => format!(
                "take the --set keys that it was made with, name the other file too, or leave first values by {}",
                lost.iter().map(|word| format!("--fresh {word}")).collect::<Vec<_>>().join(" ")
            ),
        };
        Err(Error::usage(format!("the weights of {shown} are of another network: {}; {way}", differing.join(", "))))
    }
}

/// Where tensors come from: a handle, a file, what it is made of; and how many keep their first values.
struct Plan {
    taken: Vec<(crate::graph::StateId, usize, Source)>,
    fresh: usize,
}

/// The shape that a source has, with as many axes as are wanted where it may be flat.
fn shape_of(weights: &Weights, source: &Source, axes: usize) -> Option<Vec<usize>> {
    let mut shape: Option<Vec<usize>> = None;
    for part in &source.parts {
        let own = weights.shape(part)?;
        match &mut shape {
            None => shape = Some(own.to_vec()),
            Some(sum) if !own.is_empty() && sum[1..] == own[1..] => sum[0] += own[0],
            Some(_) => return None,
        }
    }
    let mut shape = shape?;
    while source.flat && !shape.is_empty() && shape.len() < axes {
        shape.push(1);
    }
    Some(shape)
}

/// The values of a source.
fn joined(weights: &Weights, source: &Source) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    for part in &source.parts {
        values.extend(weights.values(part)?);
    }
    if source.factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= source.factor);
    }
    Ok(values)
}
