//! A trained run that was put beside the page.

use std::path::Path;

use js_sys::Function;
use safetensors::tensor::SafeTensors;
use serde_json::{Value, json};

use super::artist::{Artist, Keep, Sitter};
use super::asked::Options;
use crate::error::{Error, Result};
use crate::graph::Layout;
use crate::model::need::{self, Draws};
use crate::model::{self, Model};
use crate::runtime::{Device, State, Weights};
use crate::sample::diffusion::Settings;
use crate::tensor::Arena;
use crate::train::checkpoint::read_tensor;
use crate::train::{Files, Recipe, RunFolder};

/// What [`Run::new`] calls the weights in what it says of them.
const WEIGHTS: &str = "weights.safetensors";

/// A trained run.
pub struct Run {
    recipe: Recipe,
    model: Box<dyn Model>,
    state: State,
    artist: Artist,
}

impl Run {
    /// Of the text of its recipe and the bytes of its weights, which `kiln page` wrote.
    ///
    /// # Errors
    /// [`Error::Format`] where they are none, or do not belong together; errors of the device.
    pub fn new(device: &Device, recipe: &str, weights: &[u8]) -> Result<Self> {
        let folder = RunFolder::in_memory(Files::from([("recipe.toml".into(), recipe.into())]));
        let recipe = folder.recipe()?;
        let model = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
        let path = Path::new(WEIGHTS);
        let file =
            SafeTensors::deserialize(weights).map_err(|e| Error::format(path, format!("is not whole ({e}); load the page again")))?;
        let mut state = State::to_read(device, model.state())?;
        let spec = model.state().clone();
        for id in spec.ids().into_iter().filter(|id| spec.spec(*id).layout != Layout::Derived) {
            read_tensor(path, &file, &spec.spec(id).name, &mut state, id, Arena::Value)?;
        }
        Ok(Self { recipe, model, state, artist: Artist::default() })
    }

    /// What it is, for a page.
    pub fn about(&self, name: &str) -> Value {
        let (model, data) = (self.model.as_ref(), &self.recipe.data);
        let (draws, latent, steps) = match Draws::of(model) {
            Some(Draws::Raster(_)) => ("raster", 0, 0),
            Some(Draws::Latents(decoder)) => ("latents", decoder.latent(), 0),
            Some(Draws::Noise(network)) => ("noise", 0, Settings::of(network, None, None).way.steps),
            None => ("none", 0, 0),
        };
        json!({
            "name": name,
            "model": self.recipe.model,
            "dims": data.dims,
            "classes": if model.conditional() { data.classes } else { 0 },
            "class_names": if model.conditional() { data.class_names.clone() } else { Vec::new() },
            "draws": draws,
            "binary": data.spec().is_binary(),
            "latent": latent,
            "steps": steps,
            "parameters": model.state().parameters(true),
            "trained_on": data.source,
            "trained_steps": self.recipe.train.steps,
        })
    }

    fn sitter<'a>(&'a mut self, device: &'a Device) -> (Sitter<'a>, &'a mut Artist) {
        let Self { recipe, model, state, artist } = self;
        let classes = if model.conditional() { recipe.data.classes } else { 0 };
        (Sitter { device, model: &**model, state, weights: Weights::Current, classes, dims: recipe.data.dims }, artist)
    }

    /// Draws images of JSON options.
    ///
    /// # Errors
    /// As [`Artist::draw`].
    pub async fn sample(&mut self, device: &Device, options: &str, keep: Keep<'_>, progress: Function) -> Result<Vec<f32>> {
        need::draws(self.model.as_ref())?;
        let options = Options::parse(options)?;
        let (mut sitter, artist) = self.sitter(device);
        artist.draw(&mut sitter, &options, keep, Some(progress)).await
    }

    /// Images of latents `[N, latent]`.
    ///
    /// # Errors
    /// As [`Artist::decode`].
    pub async fn decode(&mut self, device: &Device, z: &[f32], label: Option<u32>) -> Result<Vec<f32>> {
        let (mut sitter, artist) = self.sitter(device);
        artist.decode(&mut sitter, z, label).await
    }
}
