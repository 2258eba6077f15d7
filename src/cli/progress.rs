//! How far drawing is, on a bar.

use indicatif::ProgressBar;

use super::output::Output;
use super::trajectory::Film;
use crate::ranks::Ranks;
use crate::sample::diffusion::{Job, Watch};
use crate::train::Trained;

/// A bar of images, or of passes through the network where each image takes many of them.
pub struct Progress {
    bar: ProgressBar,
    images: usize,
    by_passes: bool,
    /// Passes of the jobs before.
    before: u64,
    film: Option<Film>,
}

impl Progress {
    /// A bar for so many images of a run, some of which may be filmed.
    pub fn new(output: &Output, trained: &Trained, images: usize, film: Option<Film>) -> Self {
        let by_passes = trained.model.denoises().is_some();
        let bar = output.bar(images as u64, if by_passes { "passes" } else { "images" });
        Self { bar, images, by_passes, before: 0, film }
    }

    /// The same where ranks share the images and each sees its own passes alone.
    pub fn shared(self, ranks: &Ranks) -> Self {
        Self { images: self.images.div_ceil(ranks.count()), ..self }
    }

    /// A bar of so many steps, which are counted by hand.
    pub fn of_steps(output: &Output, steps: u64) -> Self {
        Self { bar: output.bar(steps, "steps"), images: 0, by_passes: false, before: 0, film: None }
    }

    /// A handle on the bar for images that come at once, where these are counted.
    pub fn of_images(&self) -> Option<ProgressBar> {
        (!self.by_passes).then(|| self.bar.clone())
    }

    /// Takes the bar away; gives back what was filmed.
    pub fn finish(self) -> Option<Film> {
        self.bar.finish_and_clear();
        self.film
    }
}

impl Watch for Progress {
    fn begins(&mut self, job: &Job<'_>, count: usize) {
        self.before = self.bar.position();
        if job.first == 0 {
            self.bar.set_length((self.images.div_ceil(count.max(1)) * job.moves.len()) as u64);
        }
        if let Some(film) = &mut self.film {
            film.begins(job);
        }
    }

    fn wants(&mut self, done: usize) -> bool {
        self.film.as_ref().is_some_and(|film| film.wants(done))
    }

    fn points(&mut self, done: usize, points: &[f32]) {
        if let Some(film) = &mut self.film {
            film.points(done, points);
        }
    }

    fn moved(&mut self, done: usize) {
        self.bar.set_position(self.before + done as u64);
    }
}
