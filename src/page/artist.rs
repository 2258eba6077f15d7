//! What draws the images of a model, whichever way it draws, and tells a page of them on the way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use js_sys::{Float32Array, Function};
use wasm_bindgen::JsValue;

use super::asked::Options;
use super::stop::STOP;
use crate::data::one_hot;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::need::{self, Draws};
use crate::runtime::{Device, State, Weights};
use crate::sample::diffusion::{self, Course, Drawer, Items, Settings};
use crate::sample::latent::Decoder;
use crate::sample::latents;
use crate::sample::raster::{self, Job, Method, RasterSampler};
use crate::wait::breathe;

/// Images that the CPU executor draws before it looks up.
const SIDE_BY_SIDE: usize = 4;

/// A model, and where it is.
pub struct Sitter<'a> {
    /// What runs it.
    pub device: &'a Device,
    /// The model.
    pub model: &'a dyn Model,
    /// Its weights.
    pub state: &'a mut State,
    /// Which of them.
    pub weights: Weights,
    /// Classes of its data.
    pub classes: usize,
    /// Height, width and channels of an image.
    pub dims: [usize; 3],
}

impl Sitter<'_> {
    fn item(&self) -> usize {
        self.dims.iter().product()
    }

    /// Labels of images: one class, or each in turn.
    fn labels(&self, count: usize, class: Option<u32>) -> Vec<u32> {
        let classes = self.classes.max(1) as u32;
        (0..count as u32).map(|i| class.unwrap_or(i % classes)).collect()
    }
}

/// Places of an image that are kept, `[H, W]`, and values `[H, W, C]` that stand there.
pub type Keep<'a> = Option<(&'a [u8], &'a [f32])>;

/// Samplers of one model, made when they are first asked for.
#[derive(Default)]
pub struct Artist {
    raster: Option<RasterSampler>,
    /// By how many latents they decode at a time: whoever looks at one does not wait for more.
    decoders: BTreeMap<usize, Decoder>,
    /// With the moves and the course that it is for.
    drawer: Option<(Option<usize>, bool, Drawer)>,
}

impl Artist {
    /// Draws images, and tells `progress` of them.
    ///
    /// # Errors
    /// [`Error::Usage`] for what does not fit the model; [`Error::Interrupted`] where it was stopped; errors of the device.
    pub async fn draw(
        &mut self,
        sitter: &mut Sitter<'_>,
        options: &Options,
        keep: Keep<'_>,
        progress: Option<Function>,
    ) -> Result<Vec<f32>> {
        if let Some(label) = options.label.filter(|label| *label as usize >= sitter.classes) {
            return Err(Error::usage(format!("there is no class {label}; classes are 0 to {}", sitter.classes.saturating_sub(1))));
        }
        let [h, w, c] = sitter.dims;
        if keep.is_some_and(|(kept, values)| kept.len() != h * w || values.len() != h * w * c) {
            return Err(Error::usage(format!("what is kept is no image of {h}×{w}×{c}")));
        }
        let told = Told::new(progress);
        match need::draws(sitter.model)? {
            Draws::Raster(_) => self.in_order(sitter, options, keep, told).await,
            Draws::Latents(_) if keep.is_some() => {
                Err(Error::usage("an image is completed by a model that draws value by value or from noise"))
            }
            Draws::Latents(decoder) => {
                let z = latents(options.seed.into(), 0, options.count, decoder.latent());
                self.decode(sitter, &z, options.label).await
            }
            Draws::Noise(_) => self.denoise(sitter, options, keep, told).await,
        }
    }

    async fn in_order(&mut self, sitter: &mut Sitter<'_>, options: &Options, keep: Keep<'_>, mut told: Told) -> Result<Vec<f32>> {
        let sampler = match &mut self.raster {
            Some(sampler) => sampler,
            empty => {
                let made = RasterSampler::new(sitter.device, sitter.model, sitter.state, sitter.weights, Method::Cached).await?;
                empty.insert(made)
            }
        };
        let (count, [h, w, c]) = (options.count, sitter.dims);
        let all = sitter.labels(count, options.label);
        let top = sampler.law().top();
        let kept = keep.map(|(kept, values)| {
            let levels: Vec<f32> = values.iter().map(|v| (v.clamp(0.0, 1.0) * top).round()).collect();
            (levels, kept.iter().flat_map(|kept| std::iter::repeat_n(*kept == 1, c)).collect::<Vec<bool>>())
        });
        // The CPU executor hears nothing while it draws: a few images at a time, so that a stop comes in between.
        let each = if matches!(sitter.device, Device::Cpu(_)) { SIDE_BY_SIDE } else { count };
        told.begin(count * sitter.item(), h * w * count.div_ceil(each), top);
        let mut images = Vec::new();
        for first in (0..count).step_by(each) {
            let here = each.min(count - first);
            let labels = one_hot(&all[first..first + here], sitter.classes, here);
            let given = kept.as_ref().map(|(levels, kept)| (levels.repeat(here), kept));
            let inputs = [("labels", &labels[..])];
            let job = Job {
                count: here,
                seed: options.seed.into(),
                first,
                temperature: options.temperature,
                keep: given.as_ref().map(|(values, kept)| (&values[..], &kept[..])),
                inputs: &inputs,
            };
            told.part(first * sitter.item(), first / each * h * w);
            let drawn = sampler.sample_watched(sitter.model, sitter.state, &job, &told).await?.ok_or(Error::Interrupted)?;
            images.extend(drawn.images.into_iter().map(|v| v / top));
            breathe().await;
        }
        Ok(images)
    }

    /// Images of latents `[N, latent]`.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model has no decoder; errors of the device.
    pub async fn decode(&mut self, sitter: &mut Sitter<'_>, z: &[f32], label: Option<u32>) -> Result<Vec<f32>> {
        let latent = need::decodes(sitter.model)?.latent();
        let count = z.len() / latent.max(1);
        if count == 0 || z.len() != count * latent {
            return Err(Error::usage(format!("a latent has {latent} numbers, and {} were given", z.len())));
        }
        let decoder = match self.decoders.entry(count) {
            Entry::Occupied(decoder) => decoder.into_mut(),
            Entry::Vacant(place) => place.insert(Decoder::new(sitter.device, sitter.model, sitter.state, sitter.weights, count).await?),
        };
        let labels = sitter.labels(count, label);
        decoder.decode(sitter.state, z, (&labels, sitter.classes)).await
    }

    async fn denoise(&mut self, sitter: &mut Sitter<'_>, options: &Options, keep: Keep<'_>, mut told: Told) -> Result<Vec<f32>> {
        let (count, len, c) = (options.count, sitter.item(), sitter.dims[2]);
        let around = keep.is_some();
        let fits = |made: &(Option<usize>, bool, Drawer)| made.0 == options.steps && made.1 == around && made.2.chunk() >= count;
        if !self.drawer.as_ref().is_some_and(fits) {
            let network = need::denoises(sitter.model)?;
            let settings = Settings::of(network, None, options.steps);
            let course = if around { Course::Around(1) } else { Course::Whole };
            let from = (sitter.model, &*sitter.state, sitter.weights);
            self.drawer = Some((options.steps, around, Drawer::along(course, sitter.device, from, &settings, count).await?));
        }
        let Some((_, _, drawer)) = &mut self.drawer else { return Ok(Vec::new()) };
        let labels = if sitter.model.conditional() { sitter.labels(count, options.label) } else { Vec::new() };
        let (given, mask) = match keep {
            // As the network reads them.
            Some((kept, values)) => (
                values.iter().map(|v| 2.0 * v - 1.0).collect::<Vec<f32>>().repeat(count),
                kept.iter().flat_map(|kept| std::iter::repeat_n(f32::from(*kept), c)).collect::<Vec<f32>>().repeat(count),
            ),
            None => (Vec::new(), Vec::new()),
        };
        let z = latents(options.seed.into(), 0, count, len);
        let items = Items { z: &z, given: &given, mask: &mask, labels: &labels, shown: &[], seed: options.seed.into(), first: 0 };
        told.begin(count * len, drawer.moves(), 1.0);
        drawer.go(sitter.state, &items, &mut told).await
    }
}

/// Whom images are told to while they are drawn.
struct Told {
    listens: bool,
    /// Images so far, in parts of `top`.
    images: Mutex<Vec<f32>>,
    top: f32,
    /// Positions, or moves, of all.
    total: usize,
    /// Where the part of the images begins that is being drawn, and the positions before it.
    part: [usize; 2],
}

thread_local! {
    /// The page's function. What a sampler holds may be asked from several threads, and a function of a page is one thread's.
    static PROGRESS: RefCell<Option<Function>> = const { RefCell::new(None) };
}

impl Told {
    fn new(progress: Option<Function>) -> Self {
        let listens = progress.is_some();
        PROGRESS.set(progress);
        Self { listens, images: Mutex::default(), top: 1.0, total: 0, part: [0; 2] }
    }

    fn begin(&mut self, values: usize, total: usize, top: f32) {
        (self.images, self.top, self.total) = (Mutex::new(vec![0.0; values]), top, total);
    }

    fn part(&mut self, begins: usize, before: usize) {
        self.part = [begins, before];
    }

    /// Tells of images from value number `at` on, as they are after `done`.
    fn tell(&self, at: usize, images: &[f32], done: usize) {
        let mut all = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        all[at..at + images.len()].iter_mut().zip(images).for_each(|(to, v)| *to = (v / self.top).clamp(0.0, 1.0));
        let images = Float32Array::from(&all[..]);
        let [done, total] = [done, self.total].map(|n| JsValue::from_f64(n as f64));
        PROGRESS.with_borrow(|progress| {
            // A page that cannot show what it is told is told so by its own script.
            progress.as_ref().map(|told| told.call3(&JsValue::NULL, &images, &done, &total));
        });
    }
}

impl raster::Watch for Told {
    fn stops(&self) -> bool {
        STOP.load(Ordering::Relaxed)
    }

    fn wants(&self) -> bool {
        self.listens
    }

    fn drawn(&self, first: usize, item: usize, images: &[f32], positions: usize) {
        self.tell(self.part[0] + first * item, images, self.part[1] + positions);
    }
}

impl diffusion::Watch for Told {
    fn wants(&mut self, _done: usize) -> bool {
        self.listens
    }

    fn points(&mut self, done: usize, points: &[f32]) {
        // Pixels are −1..1 on the way.
        let pixels: Vec<f32> = points.iter().map(|v| (v + 1.0) / 2.0).collect();
        self.tell(0, &pixels, done);
    }

    fn stops(&self) -> bool {
        STOP.load(Ordering::Relaxed)
    }
}
