//! What draws the rest of an image: value by value, or by taking noise away.

use crate::cli::draw::labels;
use crate::cli::measured::weights;
use crate::cli::progress::Progress;
use crate::data::one_hot;
use crate::error::Result;
use crate::runtime::Device;
use crate::sample::diffusion::{Course, Drawer, Items, Settings, Watch};
use crate::sample::latents;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::train::Trained;

/// One of the two.
pub enum Painter {
    /// In raster order.
    Raster {
        /// The sampler.
        sampler: Box<RasterSampler>,
        /// Below 1, likelier and less varied images.
        temperature: f32,
    },
    /// From noise around what is kept.
    Noise {
        /// The drawer.
        drawer: Box<Drawer>,
    },
}

/// Images to complete that stand together.
pub struct Part<'a> {
    /// In the values that the model reads, `[N, H, W, C]`.
    pub images: &'a [f32],
    /// Whether each place of an image is kept.
    pub mask: &'a [bool],
    /// Their labels.
    pub labels: &'a [u32],
    /// Number of the first.
    pub first: usize,
    /// Seed of all draws.
    pub seed: u64,
}

impl Painter {
    /// One that draws in raster order.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where the model does not; errors of the device.
    pub fn raster(trained: &Trained, device: &Device, temperature: f32) -> Result<Self> {
        let sampler = RasterSampler::new(device, trained.model.as_ref(), &trained.state, weights(trained), Method::Cached)?;
        Ok(Self::Raster { sampler: Box::new(sampler), temperature })
    }

    /// One that takes noise away, each step so many times, from up to `most` images at once.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where the model cannot do it so; errors of the device.
    pub fn noise(trained: &Trained, device: &Device, settings: &Settings, times: usize, most: usize) -> Result<Self> {
        let stands = (trained.model.as_ref(), &trained.state, weights(trained));
        let drawer = Drawer::along(Course::Around(times), device, stands, settings, most)?;
        Ok(Self::Noise { drawer: Box::new(drawer) })
    }

    /// Passes through the network for an image, where there are many for all of it.
    pub fn passes(&self) -> Option<usize> {
        match self {
            Self::Raster { .. } => None,
            Self::Noise { drawer } => Some(drawer.moves()),
        }
    }

    /// Completed images, as pictures show them, and ln p of what was drawn where it is known.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn paint(&mut self, trained: &mut Trained, part: &Part<'_>, progress: &mut Progress) -> Result<(Vec<f32>, Vec<f64>)> {
        let (len, model) = (part.mask.len(), trained.model.as_ref());
        let count = part.images.len() / len;
        match self {
            Self::Raster { sampler, temperature } => {
                let classes = trained.recipe.data.classes;
                let hot = one_hot(part.labels, classes, count);
                let inputs = [("labels", &hot[..])];
                let keep = Some((part.images, part.mask));
                let job = Job { count, seed: part.seed, first: part.first, temperature: *temperature, keep, inputs: &inputs };
                let drawn = sampler.sample_in_parts(model, &mut trained.state, &job)?;
                let top = sampler.law().top();
                if let Some(bar) = progress.of_images() {
                    bar.inc(count as u64);
                }
                Ok((drawn.images.into_iter().map(|v| v / top).collect(), drawn.log_p))
            }
            Self::Noise { drawer } => {
                let mut images = Vec::new();
                let conditional = model.conditional();
                for from in (0..count).step_by(drawer.chunk()) {
                    let here = drawer.chunk().min(count - from);
                    let first = part.first + from;
                    let mask = part.mask.iter().map(|kept| f32::from(u8::from(*kept))).collect::<Vec<f32>>().repeat(here);
                    let items = Items {
                        z: &latents(part.seed, first, here, len),
                        given: &part.images[from * len..(from + here) * len],
                        mask: &mask,
                        labels: if conditional { &part.labels[from..from + here] } else { &[] },
                        shown: &[],
                        seed: part.seed,
                        first,
                    };
                    images.extend(drawer.go(&mut trained.state, &items, progress as &mut dyn Watch)?);
                }
                Ok((images, Vec::new()))
            }
        }
    }
}

/// Labels of the images from `first` on: their own where they have any and no class is asked for.
pub fn labels_of(own: Vec<u32>, count: usize, (class, classes): (Option<u32>, usize), first: usize) -> Vec<u32> {
    if class.is_none() && own.len() == count { own } else { labels(classes, class, first, count) }
}
