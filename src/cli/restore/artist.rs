//! Who draws from what is shown: a diffusion model that was trained with it, or an autoregressive one of colours or of several scales.

use super::figures::{kept_exact, spread};
use super::sight::{Sight, coloured};
use crate::cli::denoising::DenoisingArgs;
use crate::cli::measured::weights;
use crate::data::one_hot;
use crate::error::{Error, Result};
use crate::model::{Model, Shown, Task};
use crate::runtime::Device;
use crate::sample::diffusion::{Course, Drawer, Items, Watch};
use crate::sample::latents;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::train::Trained;
use crate::wait::Wait;

/// One image to draw several times.
pub struct Asked<'a> {
    /// What is shown of it, in 0..1.
    pub shown: &'a [f32],
    /// Its class.
    pub label: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// Number of the first of them.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// What draws.
enum Engine {
    Noise { drawer: Box<Drawer>, how: String },
    Values(Box<RasterSampler>),
}

/// A run prepared to draw.
pub struct Artist {
    sight: Sight,
    dims: [usize; 3],
    engine: Engine,
}

impl Artist {
    /// Prepares a run to draw up to `most` images at a time.
    ///
    /// # Errors
    /// [`Error::Usage`] where the run was not made for the task; errors of the device.
    pub fn new(task: Task, trained: &Trained, device: &Device, denoising: &DenoisingArgs, most: usize) -> Result<Self> {
        let (model, dims) = (trained.model.as_ref(), trained.recipe.data.dims);
        let Some(network) = model.denoises() else {
            denoising.settings(model)?;
            let sight = seen_by_values(task, model)?;
            let sampler = RasterSampler::new(device, model, &trained.state, weights(trained), Method::Cached).wait()?;
            return Ok(Self { sight, dims, engine: Engine::Values(Box::new(sampler)) });
        };
        let shown = match (task, network.shown()) {
            (Task::Colorize, Some(shown @ Shown::Luma)) | (Task::Upscale, Some(shown @ Shown::Small { .. })) => shown,
            _ => {
                let (does, key, _) = words_of(task);
                let words = format!("this run {does} nothing; train one with kiln train diffusion --set {key}");
                return Err(Error::usage(words));
            }
        };
        let settings = denoising.settings_given(network)?;
        let drawer = Drawer::along(Course::Whole, device, (model, &trained.state, weights(trained)), &settings, most).wait()?;
        let how = format!("{} passes of {}", drawer.moves(), settings.way.solver.name());
        Ok(Self { sight: Sight::Shown(shown), dims, engine: Engine::Noise { drawer: Box::new(drawer), how } })
    }

    /// What is given of an image.
    pub fn sight(&self) -> Sight {
        self.sight
    }

    /// How it draws, in words.
    pub fn how(&self) -> String {
        match &self.engine {
            Engine::Noise { how, .. } => how.clone(),
            Engine::Values(_) if self.sight == Sight::ReversibleLuma => "pixel by pixel, exactly given the luma".into(),
            Engine::Values(_) => "pixel by pixel around those given".into(),
        }
    }

    /// Draws an image several times, in 0..1. What is given of it is kept: of a diffusion model colours are moved along grey to the luma that is
    /// given, squares of pixels to their mean, as far as values go; what is drawn value by value keeps it bit for bit.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn draw(&mut self, trained: &mut Trained, asked: &Asked<'_>, watch: &mut dyn Watch) -> Result<Vec<f32>> {
        let (dims, item, sight) = (self.dims, self.dims.iter().product::<usize>(), self.sight);
        match &mut self.engine {
            Engine::Noise { drawer, .. } => {
                let labels = if trained.model.conditional() { vec![asked.label; asked.count] } else { Vec::new() };
                let read: Vec<f32> = asked.shown.iter().map(|v| 2.0 * v - 1.0).collect();
                let mut images = Vec::with_capacity(asked.count * item);
                for done in (0..asked.count).step_by(drawer.chunk()) {
                    let count = drawer.chunk().min(asked.count - done);
                    let first = asked.first + done;
                    let z = latents(asked.seed, first, count, item);
                    let labels = labels.get(..count).unwrap_or_default();
                    let shown = read.repeat(count);
                    let items = Items { z: &z, given: &[], mask: &[], labels, shown: &shown, seed: asked.seed, first };
                    images.extend(drawer.go(&mut trained.state, &items, watch).wait()?);
                }
                images.chunks_mut(item).for_each(|image| kept_exact(sight.shown(), asked.shown, image, dims));
                Ok(images)
            }
            Engine::Values(sampler) => {
                let classes = trained.recipe.data.classes;
                let hot = one_hot(&vec![asked.label; asked.count], classes, asked.count);
                let job = Job { count: asked.count, seed: asked.seed, first: asked.first, temperature: 1.0, keep: None, inputs: &[] };
                let top = sampler.law().top();
                let mut draw = |job: &Job<'_>| sampler.sample_in_parts(trained.model.as_ref(), &mut trained.state, job).wait();
                if sight == Sight::ReversibleLuma {
                    let luma: Vec<f32> = asked.shown.iter().map(|v| (v * 255.0).round()).collect();
                    let luma = luma.repeat(asked.count);
                    let drawn = draw(&Job { inputs: &[("labels", &hot), ("luma", &luma)], ..job })?;
                    let lumas = asked.shown.iter().cycle();
                    return Ok(drawn.images.chunks(2).zip(lumas).flat_map(|(levels, luma)| coloured(*luma, levels)).collect());
                }
                let [_, w, c] = dims;
                let given: Vec<f32> = spread(sight.shown(), asked.shown, dims).into_iter().map(|v| (v * top).round()).collect();
                let mask: Vec<bool> = (0..item).map(|at| (at / c / w) % 2 == 0 && (at / c % w) % 2 == 0).collect();
                let given = given.repeat(asked.count);
                let drawn = draw(&Job { keep: Some((&given, &mask)), inputs: &[("labels", &hot)], ..job })?;
                Ok(drawn.images.into_iter().map(|v| v / top).collect())
            }
        }
    }
}

/// What a task does, the key that asks for it, and the other runs that can.
fn words_of(task: Task) -> (&'static str, &'static str, &'static str) {
    match task {
        Task::Colorize => ("colours", "task=colorize", "kiln train gated-pixelcnn with the same"),
        Task::Upscale => ("enlarges", "task=upscale", "an autoregressive model with --set scales=2"),
    }
}

/// What an autoregressive run is given for a task.
///
/// # Errors
/// [`Error::Usage`] where it was not made for it.
fn seen_by_values(task: Task, model: &dyn Model) -> Result<Sight> {
    let scales = model.raster().is_some_and(|raster| raster.coarser().is_some());
    match task {
        Task::Colorize if model.colours().is_some() => Ok(Sight::ReversibleLuma),
        Task::Upscale if scales => Ok(Sight::EverySecond),
        _ => {
            let (does, key, or) = words_of(task);
            let words = format!("this {} {does} nothing; train one with kiln train diffusion --set {key}, or {or}", model.name());
            Err(Error::usage(words))
        }
    }
}
