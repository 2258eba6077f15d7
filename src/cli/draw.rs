//! Draws images of a run, a part at a time: what `sample`, and everything that measures or shows samples, is made of.

use std::ops::Range;

use crate::data::{find_class, one_hot};
use crate::error::{Error, Result};
use crate::model::need;
use crate::ranks::Ranks;
use crate::runtime::Device;
use crate::sample::diffusion::{Course, Drawer, Items, Settings, Unwatched, Watch};
use crate::sample::latent::Decoder;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::sample::{latents, truncated_latents};
use crate::shares::Share;
use crate::train::Trained;
use crate::wait::Wait;

use super::measured::weights;
use super::output::Output;
use super::part::Part;
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
    /// Those who draw them, each a share; all are told all.
    pub ranks: Ranks,
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
            ranks: Ranks::alone(),
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
/// As [`check`]; errors of the device and of `take`; of any rank, on all.
pub fn draw(
    trained: &mut Trained,
    device: &Device,
    order: &Order,
    watch: &mut dyn Watch,
    take: &mut dyn FnMut(Part) -> Result<()>,
) -> Result<()> {
    let ranks = &order.ranks;
    let whole = Share::of(ranks, order.count);
    let made = check(trained, order).and_then(|()| Pen::new(trained, device, order, whole.at_once(device, CHUNK)));
    let mut pen = ranks.agree(made)?;
    // Ranks draw side by side, so that what is drawn can be handed on in order and none keeps more than it draws at once.
    let each = ranks.join(&[pen.chunk() as u64])?.into_iter().min().unwrap_or(1) as usize;
    let round = each * ranks.count();
    for first in (0..order.count).step_by(round) {
        let all = first..(first + round).min(order.count);
        let share = Share::of(ranks, all.len()).own();
        let own = first + share.start..first + share.end;
        let drawn = ranks.agree(pen.draw(trained, order, own.clone(), watch))?;
        for start in all.clone().step_by(each) {
            let part = start..(start + each).min(all.end);
            let mine = part.start.clamp(own.start, own.end)..part.end.clamp(own.start, own.end);
            take(drawn.cut(own.clone(), mine).join(ranks)?)?;
        }
    }
    Ok(())
}

/// What draws.
enum Pen {
    Pixels(Box<RasterSampler>),
    Noise(Box<Drawer>),
    Latents(Decoder),
}

impl Pen {
    fn new(trained: &Trained, device: &Device, order: &Order, most: usize) -> Result<Self> {
        let (model, state, weights) = (trained.model.as_ref(), &trained.state, weights(trained));
        if model.raster().is_some() {
            return Ok(Self::Pixels(Box::new(RasterSampler::new(device, model, state, weights, order.method).wait()?)));
        }
        if let Some(network) = model.denoises() {
            let settings = order.denoising.unwrap_or_else(|| Settings::of(network, None, None));
            let drawer = Drawer::along(order.course(), device, (model, state, weights), &settings, most).wait()?;
            return Ok(Self::Noise(Box::new(drawer)));
        }
        Ok(Self::Latents(Decoder::new(device, model, state, weights, most).wait()?))
    }

    /// Images drawn at a time.
    fn chunk(&self) -> usize {
        match self {
            Self::Pixels(_) => CHUNK,
            Self::Noise(drawer) => drawer.chunk(),
            Self::Latents(decoder) => decoder.chunk(),
        }
    }

    /// Draws images of a range of an order's numbers, no more than a [`Pen::chunk`] of them.
    fn draw(&mut self, trained: &mut Trained, order: &Order, own: Range<usize>, watch: &mut dyn Watch) -> Result<Part> {
        if own.is_empty() {
            return Ok(Part::default());
        }
        match self {
            Self::Pixels(sampler) => by_pixels(sampler, trained, order, own),
            Self::Noise(drawer) => by_noise(drawer, trained, order, own, watch),
            Self::Latents(decoder) => by_latents(decoder, trained, order, own),
        }
    }
}

fn by_latents(decoder: &mut Decoder, trained: &mut Trained, order: &Order, own: Range<usize>) -> Result<Part> {
    let classes = trained.recipe.data.classes;
    let latent = need::decodes(trained.model.as_ref())?.latent();
    let z: Vec<f32> = match (&order.z, order.truncation) {
        (Some(given), _) => given[own.start * latent..own.end * latent].to_vec(),
        (None, Some(limit)) => truncated_latents(order.seed, order.first + own.start, own.len(), latent, limit),
        (None, None) => latents(order.seed, order.first + own.start, own.len(), latent),
    };
    let z: Vec<f32> = z.into_iter().map(|v| v * order.temperature).collect();
    let labels = order.labels(classes, own.start, own.len());
    let images = decoder.decode(&mut trained.state, &z, (&labels, classes)).wait()?;
    Ok(Part { images, log_p: Vec::new(), z })
}

fn by_noise(drawer: &mut Drawer, trained: &mut Trained, order: &Order, own: Range<usize>, watch: &mut dyn Watch) -> Result<Part> {
    let model = trained.model.as_ref();
    let network = need::denoises(model)?;
    let len: usize = network.dims().iter().product();
    let here = own.start * len..own.end * len;
    let first = order.first + own.start;
    let z = match &order.z {
        Some(given) => given[here.clone()].to_vec(),
        None => latents(order.seed, first, own.len(), len),
    };
    let labels = if model.conditional() { order.labels(network.classes(), own.start, own.len()) } else { Vec::new() };
    let given = order.from.as_ref().map_or(&[][..], |from| &from.images[here]);
    let items = Items { z: &z, given, mask: &[], labels: &labels, shown: &[], seed: order.seed, first };
    let images = drawer.go(&mut trained.state, &items, watch).wait()?;
    Ok(Part { images, log_p: Vec::new(), z })
}

fn by_pixels(sampler: &mut RasterSampler, trained: &mut Trained, order: &Order, own: Range<usize>) -> Result<Part> {
    let model = trained.model.as_ref();
    let top = sampler.law().top();
    let classes = trained.recipe.data.classes;
    let mut part = Part::default();
    let (mut first, mut chunk) = (own.start, own.len());
    while first < own.end {
        let count = chunk.min(own.end - first);
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
        part.images.extend(drawn.images.into_iter().map(|v| v / top));
        part.log_p.extend(drawn.log_p);
        first += count;
    }
    Ok(part)
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
    let mut progress = Progress::new(output, trained, order.count, None).shared(&order.ranks);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::together;
    use crate::train::{Files, RunFolder, Silent, Trainer, parse_settings};
    use std::sync::atomic::AtomicBool;

    /// A run of one step, in a folder.
    fn run(model: &str, settings: &str) -> Result<tempfile::TempDir> {
        let place = tempfile::tempdir().map_err(|e| Error::io("a folder", e))?;
        let settings: Vec<String> = format!("{settings} sample_every=0 valid_every=0").split_whitespace().map(String::from).collect();
        let order = crate::train::Order {
            model: model.into(),
            source: "builtin:digits".into(),
            settings: parse_settings(&settings)?,
            batch: Some(8),
            steps: Some(1),
            limit: Some(32),
            ..crate::train::Order::default()
        };
        let folder = RunFolder::create(&place.path().join("run"))?;
        Trainer::start(&Device::CPU, order.recipe(&Device::CPU)?, folder).wait()?.run(&AtomicBool::new(false), &mut Silent).wait()?;
        Ok(place)
    }

    #[test]
    fn ranks_draw_the_images_of_one_process_in_its_order() -> Result<()> {
        let models = [
            ("gated-pixelcnn", "resize=8 layers=1 hidden=4 head=4 conditional=true"),
            ("cvae", "resize=8 hidden=4 latent=2"),
            ("diffusion", "resize=8 filters=4 multipliers=[1,1] blocks=1 attention=[8] head_channels=4 timesteps=5"),
        ];
        for (model, settings) in models {
            let place = run(model, settings)?;
            let drawn = |ranks: usize, count: usize| {
                let drawn = together(ranks, |ranks| {
                    let mut trained = Trained::hand_out(&ranks, &place.path().join("run"), &Device::CPU, false)?;
                    let order = Order { first: 3, ranks, ..Order::plain(count, 7) };
                    let (mut all, mut counts) = (Part::default(), Vec::new());
                    draw(&mut trained, &Device::CPU, &order, &mut Unwatched, &mut |part| {
                        counts.push(part.images.len() / 64);
                        all.images.extend(part.images);
                        all.log_p.extend(part.log_p);
                        all.z.extend(part.z);
                        Ok(())
                    })?;
                    assert!(counts.iter().all(|n| *n <= CHUNK) && counts.iter().sum::<usize>() == count);
                    Ok((all.images, all.log_p, all.z))
                });
                let drawn: Vec<_> = drawn.into_iter().map(|drawn| drawn.expect("images")).collect();
                assert!(drawn.iter().all(|told| *told == drawn[0]), "{model}: ranks are told different images");
                drawn.into_iter().next()
            };
            for (count, ranks) in [(1, 2), (13, 2), (13, 3), (13, 4), (2 * CHUNK + 30, 2)] {
                assert_eq!(drawn(ranks, count), drawn(1, count), "{count} of {model} by {ranks} ranks");
            }
        }
        Ok(())
    }

    #[test]
    fn a_run_is_handed_out_with_the_weights_of_the_first() -> Result<()> {
        let place = run("cvae", "resize=8 hidden=4 latent=2")?;
        let steps = together(2, |ranks| {
            // The second rank has no such folder.
            let path = place.path().join(if ranks.is_first() { "run" } else { "nowhere" });
            let trained = Trained::hand_out(&ranks, &path, &Device::CPU, false)?;
            assert!(ranks.is_first() || trained.folder.files() != Files::new());
            let none = Trained::hand_out(&ranks, &path, &Device::CPU, true).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(none.contains("no best.safetensors") && ranks.is_known(), "{none}");
            Ok(trained.progress.step)
        });
        assert!(steps.into_iter().all(|step| step.is_ok_and(|step| step == 1)));
        Ok(())
    }
}
