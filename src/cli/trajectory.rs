//! What lies between noise and images: strips and animations of how they come about.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::endings;
use super::pictures::check_grid;
use crate::error::{Error, Result};
use crate::model::noise::Level;
use crate::report::{self, GridOptions};
use crate::sample::diffusion::Job;
use crate::train::Trained;

/// Rows of a strip, at most, and about how many points of each image's way stand in one.
const ROWS: usize = 8;
const COLUMNS: usize = 10;
/// Images of an animation, at most, and its frames.
const IMAGES: usize = 64;
const FRAMES: usize = 48;
/// How long a frame of an animation is shown, and the last.
const SHORT: Duration = Duration::from_millis(80);
const LONG: Duration = Duration::from_millis(1500);

/// Points on the way of a run's first images.
pub struct Film {
    path: PathBuf,
    dims: [usize; 3],
    /// Names of classes, where images are of one.
    names: Vec<String>,
    images: usize,
    /// Moves after which a point is kept, with the level it stands at.
    stops: Vec<(usize, Level)>,
    moves: usize,
    labels: Vec<u32>,
    /// Points at the stops, as pictures show them.
    points: Vec<(usize, Vec<f32>)>,
    open: bool,
}

impl Film {
    /// Prepares to film the first of `count` images.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file of another kind, or a run whose images do not come of noise, or are none.
    pub fn new(path: &Path, count: usize, trained: &Trained) -> Result<Self> {
        endings::check(path, "trajectories", &["png", "gif", "apng"])?;
        let name = trained.model.name();
        if trained.model.denoises().is_none() {
            return Err(Error::usage(format!("--trajectory shows how noise is taken away, and a {name} takes none; leave it out")));
        }
        let data = &trained.recipe.data;
        if data.points {
            return Err(Error::usage("--trajectory shows images, and this run was made for points; leave it out"));
        }
        let still = is_still(path);
        let images = count.min(if still { ROWS } else { IMAGES });
        check_grid(if still { images * (COLUMNS + 1) } else { images }, data.dims, false)?;
        let names = if trained.model.conditional() { data.class_names.clone() } else { Vec::new() };
        let (dims, path) = (data.dims, path.to_path_buf());
        Ok(Self { path, dims, names, images, stops: Vec::new(), moves: 0, labels: Vec::new(), points: Vec::new(), open: false })
    }

    /// Hears of a job; the first is filmed.
    pub fn begins(&mut self, job: &Job<'_>) {
        self.open = job.first == 0;
        if !self.open {
            return;
        }
        let start = job.moves.first().map_or(Level::CLEAN, |m| m.level);
        let ends = job.moves.iter().enumerate().filter(|(_, m)| m.ends).map(|(i, m)| (i + 1, m.to));
        let all: Vec<(usize, Level)> = std::iter::once((0, start)).chain(ends).collect();
        self.stops = chosen(&all, if is_still(&self.path) { COLUMNS } else { FRAMES });
        self.moves = job.moves.len();
        self.labels = job.labels.to_vec();
    }

    /// Whether the points after so many moves are kept.
    pub fn wants(&self, done: usize) -> bool {
        self.open && self.stops.iter().any(|(stop, _)| *stop == done)
    }

    /// Takes the points after so many moves.
    pub fn points(&mut self, done: usize, points: &[f32]) {
        let Some((_, level)) = self.stops.iter().find(|(stop, _)| self.open && *stop == done) else { return };
        // Where noise grows beyond its deviation of 1 nothing of its size could be seen.
        let size = level.sigma.max(1.0) as f32;
        let item: usize = self.dims.iter().product();
        let shown = points.iter().take(self.images * item).map(|v| (v / size + 1.0) / 2.0);
        self.points.push((done, shown.collect()));
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn save(&self) -> Result<()> {
        if is_still(&self.path) {
            return report::save_png(&self.path, &self.strip());
        }
        let last = self.points.len().saturating_sub(1);
        let frame =
            |(i, (_, images)): (usize, &(usize, Vec<f32>))| (report::grid(images, self.dims, 0), if i == last { LONG } else { SHORT });
        let frames: Vec<_> = self.points.iter().enumerate().map(frame).collect();
        if endings::of(&self.path) == "gif" { report::save_gif(&self.path, &frames) } else { report::save_apng(&self.path, &frames) }
    }

    /// A row an image, from noise on the left to itself on the right.
    fn strip(&self) -> image::RgbImage {
        let item: usize = self.dims.iter().product();
        let mut images = Vec::new();
        for row in 0..self.images {
            for (_, points) in &self.points {
                images.extend_from_slice(points.get(row * item..(row + 1) * item).unwrap_or_default());
            }
        }
        let column_captions = self.points.iter().map(|(done, _)| format!("{done}/{}", self.moves)).collect();
        let name = |label: &u32| self.names.get(*label as usize).cloned().unwrap_or_default();
        let row_captions = if self.names.is_empty() { Vec::new() } else { self.labels.iter().take(self.images).map(name).collect() };
        let options = GridOptions { columns: self.points.len(), column_captions, row_captions, ..GridOptions::default() };
        report::grid_with(&images, self.dims, &options)
    }
}

/// Whether a file holds one picture, not a moving one.
fn is_still(path: &Path) -> bool {
    endings::of(path) == "png"
}

/// About so many of all, evenly, with both ends.
fn chosen<T: Copy>(all: &[T], about: usize) -> Vec<T> {
    let [count, last] = [all.len().min(about + 1), all.len().saturating_sub(1)];
    (0..count).map(|i| all[(i * last).div_ceil(count.max(2) - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_lie_evenly_and_at_both_ends() {
        let all: Vec<usize> = (0..=50).collect();
        assert_eq!(chosen(&all, 10), [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50]);
        for count in 1..80 {
            let all: Vec<usize> = (0..count).collect();
            let found = chosen(&all, 10);
            assert!(found.len() == count.min(11) && found[0] == 0 && found[found.len() - 1] == count - 1, "{count}: {found:?}");
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{count}: {found:?}");
        }
    }
}
