//! Draws images of a run, a part at a time: what `sample`, and everything that measures or shows samples, is made of.

use crate::data::{find_class, one_hot};
use crate::error::{Error, Result};
use crate::model::need;
use crate::runtime::Device;
use crate::sample::diffusion::{Course, Drawer, Items, Settings, Unwatched, Watch};
use crate::sample::latent::Decoder;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::sample::{latents, truncated_latents};
use crate::train::Trained;
use crate::wait::Wait;

use super::measured::weights;
use super::output::Output;
use super::progress::Progress;

/// Images drawn at a time, at most.
const CHUNK: usize = 256;

/// What is to be drawn.
pub struct Order {
    /// Number of images.
    pub count: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Number of the first of them, of all that the seed gives.
    pub first: usize,
    /// Below 1, likelier and less varied images.
    pub temperature: f32,
    /// Latents beyond ± this are drawn again.
    pub truncation: Option<f32>,
    /// How autoregressive models are sampled.
    pub method: Method,
    /// Class of the images; each in turn where there is none.
    pub class: Option<u32>,
    /// Latents `[count, latent]` to take instead of drawn ones.
    pub z: Option<Vec<f32>>,
    /// Labels `[count]` to take instead of `class` or each in turn.
    pub labels: Option<Vec<u32>>,
    /// How noise is taken away, of models that do; `None` as suits the model.
    pub denoising: Option<Settings>,
    /// Images to begin from, of models that take noise away.
    pub from: Option<From>,
}

/// Images that are noised part of the way and drawn again from there.
pub struct From {
    /// As the network reads them, `[count, H, W, C]`.
    pub images: Vec<f32>,
    /// The share of the way, 0 to 1.
    pub strength: f64,
}

impl Order {
    /// So many images of the model itself.
    pub fn plain(count: usize, seed: u64) -> Self {
        Self {
            count,
            seed,
            first: 0,
            temperature: 1.0,
            truncation: None,
            method: Method::Cached,
            class: None,
            z: None,
            labels: None,
            denoising: None,
            from: None,
        }
    }

    /// Labels of images `first..first + count`.
    pub fn labels(&self, classes: usize, first: usize, count: usize) -> Vec<u32> {
        match &self.labels {
            Some(given) => given[first..first + count].to_vec(),
            None => labels(classes, self.class, first, count),
        }
    }

    /// What is gone through to draw it, of models that take noise away.
    fn course(&self) -> Course {
        self.from.as_ref().map_or(Course::Whole, |from| Course::Part(from.strength))
    }
}

/// The class that is asked for, by number or name.
///
/// # Errors
/// [`Error::Usage`] where there is none to choose, or none such.
pub fn chosen_class(trained: &Trained, word: Option<&str>) -> Result<Option<u32>> {
    let Some(word) = word else { return Ok(None) };
    if !trained.model.conditional() {
        return Err(Error::usage(format!("{} is not conditional, so --class chooses nothing; leave it out", trained.model.name())));
    }
    find_class(&trained.recipe.data.class_names, word).map(Some)
}

/// Labels of images `first..first + count`: the class asked for, or each in turn.
pub fn labels(classes: usize, class: Option<u32>, first: usize, count: usize) -> Vec<u32> {
    (first..first + count).map(|i| class.unwrap_or((i % classes.max(1)) as u32)).collect()
}

/// Images that were drawn together.
#[derive(Default)]
pub struct Part {
    /// In 0..1 (points as they are), `[n, H, W, C]`.
    pub images: Vec<f32>,
    /// ln p of each, of the distribution drawn from, where the model knows it.
    pub log_p: Vec<f64>,
    /// The latents they were made of, where there are any.
    pub z: Vec<f32>,
}

/// Refuses what cannot be drawn.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_amount(count: usize, temperature: f32) -> Result<()> {
    if count == 0 {
        return Err(Error::usage("at least one image must be drawn; take -n 1 or more"));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::usage(format!("--temperature must be above 0, not {temperature}")));
    }
    Ok(())
}

/// Refuses an order that a run cannot fill, before anything is drawn.
///
/// # Errors
/// [`Error::Usage`].
pub fn check(trained: &Trained, order: &Order) -> Result<()> {
    check_amount(order.count, order.temperature)?;
    let name = trained.model.name();
    if let Some(limit) = order.truncation.filter(|l| !(*l >= 0.01 && l.is_finite())) {
        return Err(Error::usage(format!("--truncation must be at least 0.01, not {limit}")));
    }
    let model = trained.model.as_ref();
    if model.raster().is_some() && order.truncation.is_some() {
        return Err(Error::usage(format!("{name} draws pixel by pixel and has no latents to truncate; take --temperature below 1")));
    }
    if let Some(network) = model.denoises() {
        if order.temperature != 1.0 {
            return Err(Error::usage(format!("{name} has no --temperature; take more --guidance, or leave it out")));
        }
        if order.truncation.is_some() {
            return Err(Error::usage(format!("{name} does not truncate latents; leave --truncation out")));
        }
        let settings = order.denoising.unwrap_or_else(|| Settings::of(network, None, None));
        settings.check(network)?;
        return order.course().check(&settings.way);
    }
    if order.from.is_some() {
        return need::denoises(model).map(|_| ());
    }
    // Latents that are given need no distribution to draw them from.
    if order.z.is_some() { need::decodes(model).map(|_| ()) } else { need::draws(model).map(|_| ()) }
}

/// Draws images and hands them on part by part, in order; noise is taken away before `watch`. Which images they are depends on the seed and their numbers alone.
///
/// # Errors
/// As [`check`]; errors of the device and of `take`.
pub fn draw(
    trained: &mut Trained,
    device: &Device,
    order: &Order,
    watch: &mut dyn Watch,
    take: &mut dyn FnMut(Part) -> Result<()>,
) -> Result<()> {
    check(trained, order)?;
    if trained.model.raster().is_some() {
        return by_pixels(trained, device, order, take);
    }
    if trained.model.denoises().is_some() {
        return by_noise(trained, device, order, watch, take);
    }
    let weights = weights(trained);
    let classes = trained.recipe.data.classes;
    let latent = need::decodes(trained.model.as_ref())?.latent();
    let mut decoder = Decoder::new(device, trained.model.as_ref(), &trained.state, weights, order.count.min(CHUNK)).wait()?;
    for first in (0..order.count).step_by(decoder.chunk()) {
        let count = decoder.chunk().min(order.count - first);
        let z: Vec<f32> = match (&order.z, order.truncation) {
            (Some(given), _) => given[first * latent..(first + count) * latent].to_vec(),
            (None, Some(limit)) => truncated_latents(order.seed, order.first + first, count, latent, limit),
            (None, None) => latents(order.seed, order.first + first, count, latent),
        };
        let z: Vec<f32> = z.into_iter().map(|v| v * order.temperature).collect();
        let labels = order.labels(classes, first, count);
        let images = decoder.decode(&mut trained.state, &z, (&labels, classes)).wait()?;
        take(Part { images, log_p: Vec::new(), z })?;
    }
    Ok(())
}

fn by_noise(
    trained: &mut Trained,
    device: &Device,
    order: &Order,
    watch: &mut dyn Watch,
    take: &mut dyn FnMut(Part) -> Result<()>,
) -> Result<()> {
    let model = trained.model.as_ref();
    let network = need::denoises(model)?;
    let settings = order.denoising.unwrap_or_else(|| Settings::of(network, None, None));
    let len: usize = network.dims().iter().product();
    let stands = (model, &trained.state, weights(trained));
    let mut drawer = Drawer::along(order.course(), device, stands, &settings, order.count.min(CHUNK)).wait()?;
    for first in (0..order.count).step_by(drawer.chunk()) {
        let count = drawer.chunk().min(order.count - first);
        let here = first * len..(first + count) * len;
        let z = match &order.z {
            Some(given) => given[here.clone()].to_vec(),
            None => latents(order.seed, order.first + first, count, len),
        };
        let labels = if model.conditional() { order.labels(network.classes(), first, count) } else { Vec::new() };
        let given = order.from.as_ref().map_or(&[][..], |from| &from.images[here]);
        let items = Items { z: &z, given, mask: &[], labels: &labels, shown: &[], seed: order.seed, first: order.first + first };
        let images = drawer.go(&mut trained.state, &items, watch).wait()?;
        take(Part { images, log_p: Vec::new(), z })?;
    }
    Ok(())
}

fn by_pixels(trained: &mut Trained, device: &Device, order: &Order, take: &mut dyn FnMut(Part) -> Result<()>) -> Result<()> {
    let model = trained.model.as_ref();
    let mut sampler = RasterSampler::new(device, model, &trained.state, weights(trained), order.method).wait()?;
    let top = sampler.law().top();
    let classes = trained.recipe.data.classes;
    let (mut first, mut chunk) = (0, CHUNK);
    while first < order.count {
        let count = chunk.min(order.count - first);
        let hot = one_hot(&order.labels(classes, first, count), classes, count);
        let inputs = [("labels", &hot[..])];
        let job = Job { count, seed: order.seed, first: order.first + first, temperature: order.temperature, keep: None, inputs: &inputs };
        let drawn = match sampler.sample(model, &mut trained.state, &job).wait() {
            Ok(drawn) => drawn,
            // As of a decoder: fewer at a time need less.
            Err(Error::Device(_)) if count > 1 => {
                chunk = count.div_ceil(2);
                continue;
            }
            Err(error) => return Err(error),
        };
        let images = drawn.images.into_iter().map(|v| v / top).collect();
        take(Part { images, log_p: drawn.log_p, z: Vec::new() })?;
        first += count;
    }
    Ok(())
}

/// Draws images and keeps them all.
///
/// # Errors
/// As [`draw`].
pub fn all(trained: &mut Trained, device: &Device, order: &Order) -> Result<Vec<f32>> {
    let mut images = Vec::new();
    draw(trained, device, order, &mut Unwatched, &mut |part| {
        images.extend(part.images);
        Ok(())
    })?;
    Ok(images)
}

/// As [`all`], with a bar that tells how far it is.
///
/// # Errors
/// As [`draw`].
pub fn all_shown(trained: &mut Trained, device: &Device, order: &Order, output: &Output) -> Result<Vec<f32>> {
    let item: usize = trained.recipe.data.dims.iter().product();
    let mut progress = Progress::new(output, trained, order.count, None);
    let (bar, mut images) = (progress.of_images(), Vec::new());
    let drawn = draw(trained, device, order, &mut progress, &mut |part| {
        if let Some(bar) = &bar {
            bar.inc((part.images.len() / item) as u64);
        }
        images.extend(part.images);
        Ok(())
    });
    progress.finish();
    drawn.map(|()| images)
}
