//! Where drawn images go: a grid, an array, or a folder of files, written as they come.

use std::path::{Path, PathBuf};

use super::endings;
use super::sequences::Sequences;
use crate::data::series::Cut;
use crate::error::{Error, Result};
use crate::report::{self, NpyStream, PointSet};

/// Images of a grid, at most; and pixels of the whole picture.
const MOST_IMAGES: usize = 4096;
const MOST_PIXELS: usize = 100_000_000;
/// Points of a plot, at most.
const MOST_POINTS: usize = 1_000_000;

/// Images in a `.png`, an `.npy` or a folder.
pub enum Pictures {
    /// A grid (or a plot of points), kept until it is whole.
    Grid {
        /// The file.
        path: PathBuf,
        /// The images so far.
        images: Vec<f32>,
        /// Of an image.
        dims: [usize; 3],
        /// Whether they are points.
        points: bool,
    },
    /// An array.
    Array(NpyStream),
    /// Series, whatever they are written as.
    Series(Sequences),
    /// A file an image.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Of an image.
        dims: [usize; 3],
        /// Number of the next image.
        next: usize,
    },
}

/// Refuses a path that images are not written to.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_ending(path: &Path) -> Result<()> {
    match endings::of(path).as_str() {
        // Tables and sounds are of series, which the run tells.
        "" | "npy" | "png" | "csv" | "wav" => Ok(()),
        other => Err(Error::usage(format!("images are written as .png, .npy or into a folder, not as .{other}"))),
    }
}

/// The most images of a size that a grid takes.
fn most(dims: [usize; 3], points: bool) -> usize {
    let [height, width, _] = dims;
    let scale = 56usize.div_ceil(height.max(width).max(1));
    if points { MOST_POINTS } else { (MOST_PIXELS / ((height * scale + 3) * (width * scale + 3))).clamp(1, MOST_IMAGES) }
}

/// Refuses a grid of more images than it can hold.
///
/// # Errors
/// [`Error::Usage`] with the most that there may be.
pub fn check_grid(count: usize, dims: [usize; 3], points: bool) -> Result<()> {
    let most = most(dims, points);
    if count <= most {
        return Ok(());
    }
    let [h, w, _] = dims;
    Err(Error::usage(format!("a .png takes at most {most} images of {h}×{w}, not {count}; name an .npy file or a folder")))
}

impl Pictures {
    /// Prepares to write `count` images.
    ///
    /// A folder is taken where it is new or empty, or with `overwrite` where it holds nothing but such pictures as kiln writes, which are
    /// removed.
    ///
    /// # Errors
    /// [`Error::Usage`] for a path that images are not written to, too many for a grid, or a folder that holds other files; errors of the
    /// disk.
    pub fn create(path: &Path, count: usize, dims: [usize; 3], (points, series): (bool, &Cut), overwrite: bool) -> Result<Self> {
        check_ending(path)?;
        if series.is_settled() {
            return Ok(Self::Series(Sequences::new(path, count, dims, series)?));
        }
        match endings::of(path).as_str() {
            other @ ("csv" | "wav") => Err(Error::usage(format!("images are written as .png, .npy or into a folder, not as .{other}"))),
            "png" => {
                check_grid(count, dims, points)?;
                Ok(Self::Grid { path: path.into(), images: Vec::new(), dims, points })
            }
            "npy" => {
                let shape: Vec<usize> = [count].into_iter().chain(dims).collect();
                Ok(Self::Array(NpyStream::create(path, &shape)?))
            }
            _ if points => Err(Error::usage("points are no pictures; name a .png for a plot of them, or an .npy file")),
            _ => {
                clear(path, overwrite)?;
                Ok(Self::Folder { path: path.into(), dims, next: 0 })
            }
        }
    }

    /// Takes the next images.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn take(&mut self, part: &[f32]) -> Result<()> {
        match self {
            Self::Grid { images, .. } => {
                images.extend_from_slice(part);
                Ok(())
            }
            Self::Array(stream) => stream.extend(part),
            Self::Series(series) => {
                series.take(part);
                Ok(())
            }
            Self::Folder { path, dims, next } => {
                for image in part.chunks(dims.iter().product()) {
                    report::save_image(&path.join(format!("{next:05}.png")), image, *dims)?;
                    *next += 1;
                }
                Ok(())
            }
        }
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Grid { path, images, points: true, .. } => {
                report::save_png(&path, &report::scatter("samples", &[PointSet::from_values("samples", &images)]))
            }
            Self::Grid { path, images, dims, .. } => report::save_png(&path, &report::grid(&images, dims, 0)),
            Self::Array(stream) => stream.finish(),
            Self::Series(series) => series.finish("samples"),
            Self::Folder { .. } => Ok(()),
        }
    }
}

/// Whether a file is named as the pictures of a folder are.
fn is_numbered(name: &str) -> bool {
    name.strip_suffix(".png").is_some_and(|stem| stem.len() >= 5 && stem.bytes().all(|b| b.is_ascii_digit()))
}

/// Takes a folder for pictures.
fn clear(folder: &Path, overwrite: bool) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let failed = |e: std::io::Error| Error::io(folder, e);
    let entries = std::fs::read_dir(folder).map_err(failed)?.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    let shown = folder.display();
    let foreign = |e: &&std::fs::DirEntry| !e.path().is_file() || !is_numbered(&e.file_name().to_string_lossy());
    if let Some(other) = entries.iter().find(foreign) {
        let name = other.file_name();
        return Err(Error::usage(format!("{shown} holds {}, which is no sample; name a folder of its own", name.to_string_lossy())));
    }
    if !entries.is_empty() && !overwrite {
        let count = entries.len();
        return Err(Error::usage(format!(
            "{shown} holds {count} pictures already; name another folder, or take --overwrite to replace them"
        )));
    }
    entries.iter().try_for_each(|e| std::fs::remove_file(e.path()).map_err(|error| Error::io(e.path(), error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_pictures_are_taken_for_samples() {
        assert!(["00000.png", "123456.png"].into_iter().all(is_numbered));
        assert!(!["0000.png", "0000a.png", "00000.jpg", "holiday.png", ".png"].into_iter().any(is_numbered));
    }

    #[test]
    fn a_grid_has_a_most_that_falls_with_the_size_of_its_images() {
        assert_eq!(most([28, 28, 1], false), MOST_IMAGES);
        assert!(most([512, 512, 3], false) < 400);
        assert_eq!(most([20_000, 20_000, 3], false), 1);
    }
}
