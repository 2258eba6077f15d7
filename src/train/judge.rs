//! The classifier that judges samples: trained by kiln on a run's own data, kept in the run's folder.

use std::sync::atomic::AtomicBool;

use super::{Observer, Recipe, RunFolder, TrainRecipe, Trained, Trainer};
use crate::data::Binarization;
use crate::error::{Error, Result};
use crate::model;
use crate::runtime::Device;

/// The classifier beside a run, trained first where there is none yet.
///
/// # Errors
/// [`Error::Usage`] where the data has no labels; those of training.
pub fn classifier(run: &Trained, device: &Device, steps: u64, observer: &mut dyn Observer) -> Result<Trained> {
    let path = run.folder.file("classifier");
    if let Ok(found) = Trained::load(&path, device, false)
        && found.progress.step >= steps
    {
        return Ok(found);
    }
    if path.exists() {
        std::fs::remove_dir_all(&path).map_err(|e| Error::io(&path, e))?;
    }
    let mut data = run.recipe.data.clone();
    data.binarization = Binarization::None;
    data.mean = None;
    let hyper = toml::Table::new();
    let model = model::build("classifier", &hyper, &data.spec())?;
    let quiet = TrainRecipe { steps, sample_every: 0, valid_every: 0, save_every: steps, ..TrainRecipe::new(&model.defaults()) };
    let recipe = Recipe { model: "classifier".into(), data, train: quiet, hyper, device: device.name(), ..run.recipe.clone() };
    let mut trainer = Trainer::start(device, recipe, RunFolder::create(&path)?)?;
    trainer.run(&AtomicBool::new(false), observer)?;
    Trained::load(&path, device, false)
}
