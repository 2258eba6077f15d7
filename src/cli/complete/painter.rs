//! What draws the rest of an image: value by value, by taking noise away, or by finding latents.

use serde_json::{Value, json};

use crate::cli::draw::labels;
use crate::cli::measured::weights;
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::data::one_hot;
use crate::error::Result;
use crate::runtime::Device;
use crate::sample::diffusion::{Course, Drawer, Items, Settings, Watch};
use crate::sample::latents;
use crate::sample::mala::walk;
use crate::sample::posterior::{Kept, Posterior};
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::sample::search::climb;
use crate::sample::target::Target;
use crate::train::Trained;
use crate::wait::Wait;

/// One of the three.
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
    /// Of latents whose images agree with what is kept.
    Latents {
        /// The density of latents.
        posterior: Box<Posterior>,
        /// How they are found.
        searching: Searching,
        /// What it came to so far.
        found: Agreement,
    },
}

/// How latents are found.
#[derive(Clone, Copy)]
pub struct Searching {
    /// Latents that an image's search begins from.
    pub starts: usize,
    /// Steps of a search, and of a chain.
    pub steps: usize,
    /// Whether a chain goes on from what was found.
    pub chain: bool,
    /// Deviation of kept pixels from what is made, where the model does not tell it.
    pub width: f64,
}

impl Searching {
    /// Steps of all, for so many images.
    fn total(&self, images: usize, chunk: usize) -> u64 {
        let chains = if self.chain { images.div_ceil(chunk) } else { 0 };
        (self.steps * ((images * self.starts).div_ceil(chunk) + chains)) as u64
    }
}

/// How far what was made of latents lies from what was kept.
#[derive(Clone, Copy, Default)]
pub struct Agreement {
    squares: f64,
    values: usize,
    /// Sum over images of the share of accepted proposals.
    accepted: f64,
    images: usize,
    chain: bool,
}

impl Agreement {
    fn add(&mut self, part: &Part<'_>, made: &[f32], acceptance: Option<f64>) {
        for (_, (made, given)) in made.iter().zip(part.images).enumerate().filter(|(i, _)| part.mask[i % part.mask.len()]) {
            self.squares += f64::from(made - given).powi(2);
            self.values += 1;
        }
        let images = part.images.len() / part.mask.len();
        self.images += images;
        self.accepted += acceptance.unwrap_or(0.0) * images as f64;
        self.chain = acceptance.is_some();
    }

    fn off(&self) -> f64 {
        (self.squares / self.values.max(1) as f64).sqrt()
    }

    fn acceptance(&self) -> Option<f64> {
        self.chain.then(|| self.accepted / self.images.max(1) as f64)
    }

    /// In a line.
    pub fn words(&self) -> String {
        let accepted =
            self.acceptance().map(|share| format!(", {share:.3} of steps accepted in the second half of chains")).unwrap_or_default();
        format!("\nwhat is made lies {:.4} from what is kept, in the root of the mean square (white is 1){accepted}", self.off())
    }

    /// By name.
    pub fn object(&self) -> Value {
        json!({ "off": self.off(), "acceptance": self.acceptance() })
    }
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
        let sampler = RasterSampler::new(device, trained.model.as_ref(), &trained.state, weights(trained), Method::Cached).wait()?;
        Ok(Self::Raster { sampler: Box::new(sampler), temperature })
    }

    /// One that takes noise away, each step so many times, from up to `most` images at once.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where the model cannot do it so; errors of the device.
    pub fn noise(trained: &Trained, device: &Device, settings: &Settings, times: usize, most: usize) -> Result<Self> {
        let stands = (trained.model.as_ref(), &trained.state, weights(trained));
        let drawer = Drawer::along(Course::Around(times), device, stands, settings, most).wait()?;
        Ok(Self::Noise { drawer: Box::new(drawer) })
    }

    /// One that looks for latents, of up to `most` images at once.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] where the model makes no images of them; errors of the device.
    pub fn latents(trained: &Trained, device: &Device, searching: Searching, most: usize) -> Result<Self> {
        let stands = (trained.model.as_ref(), &trained.state, weights(trained));
        let posterior = Posterior::new(device, stands, searching.width, most.saturating_mul(searching.starts)).wait()?;
        Ok(Self::Latents { posterior: Box::new(posterior), searching, found: Agreement::default() })
    }

    /// A bar for so many images.
    pub fn progress(&self, output: &Output, trained: &Trained, count: usize) -> Progress {
        match self {
            Self::Latents { posterior, searching, .. } => Progress::of_steps(output, searching.total(count, posterior.chunk())),
            _ => Progress::new(output, trained, count, None),
        }
    }

    /// How near what was found comes to what is kept, of latents.
    pub fn found(&self) -> Option<&Agreement> {
        match self {
            Self::Latents { found, .. } => Some(found),
            _ => None,
        }
    }

    /// Passes through the network for an image, where there are many for all of it.
    pub fn passes(&self) -> Option<usize> {
        match self {
            Self::Raster { .. } | Self::Latents { .. } => None,
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
                let drawn = sampler.sample_in_parts(model, &mut trained.state, &job).wait()?;
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
                    images.extend(drawer.go(&mut trained.state, &items, progress as &mut dyn Watch).wait()?);
                }
                Ok((images, Vec::new()))
            }
            Self::Latents { posterior, searching, found } => {
                let Searching { starts, steps, chain, .. } = *searching;
                let (bar, classes) = (progress.of_images(), trained.recipe.data.classes);
                let step = || bar.iter().for_each(|bar| bar.inc(1));
                let kept = Kept { images: part.images, mask: part.mask, labels: (part.labels, classes) };
                let mut along = posterior.along(&mut trained.state, &kept, starts);
                let begins = latents(part.seed, part.first * starts, count * starts, along.latent());
                let best = climb(&mut along, &begins, steps, step).wait()?.best_of(starts);
                let mut along = posterior.along(&mut trained.state, &kept, 1);
                let ended = if chain { Some(walk(&mut along, &best.z, steps, part.seed, step).wait()?) } else { None };
                let images = along.images(ended.as_ref().map_or(&best.z, |ended| &ended.z)).wait()?;
                found.add(part, &images, ended.map(|ended| ended.acceptance));
                Ok((images, Vec::new()))
            }
        }
    }
}

/// Labels of the images from `first` on: their own where they have any and no class is asked for.
pub fn labels_of(own: Vec<u32>, count: usize, (class, classes): (Option<u32>, usize), first: usize) -> Vec<u32> {
    if class.is_none() && own.len() == count { own } else { labels(classes, class, first, count) }
}
