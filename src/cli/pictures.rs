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
        /// Images a row; 0 for as square a grid as there is.
        columns: usize,
        /// Whether they are points.
        points: bool,
    },
    /// An array.
    Array {
        /// Its values.
        stream: NpyStream,
        /// Where the labels go, and what they are.
        labels: Option<(PathBuf, Vec<i64>)>,
    },
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
        /// The class of each image, whose folder it goes to.
        classes: Option<Classes>,
    },
}

/// The classes of images that are drawn.
pub struct Classes {
    /// Their names.
    pub names: Vec<String>,
    /// The class of each image, an index of them.
    pub labels: Vec<u32>,
}

impl Classes {
    /// The labels as an array holds them: names that are whole numbers themselves, else indices.
    fn numbers(&self) -> Vec<i64> {
        let named: Option<Vec<i64>> = self.names.iter().map(|name| name.parse().ok()).collect();
        let number = |label: &u32| named.as_ref().and_then(|numbers| numbers.get(*label as usize)).copied();
        self.labels.iter().map(|label| number(label).unwrap_or(i64::from(*label))).collect()
    }

    fn name(&self, image: usize) -> &str {
        self.labels.get(image).and_then(|label| self.names.get(*label as usize)).map_or("", String::as_str)
    }
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
    /// removed. Images of `classes` lie in a folder a class, and beside an array `F.npy` their labels in `F.labels.npy`, as data are read.
    ///
    /// # Errors
    /// [`Error::Usage`] for a path that images are not written to, too many for a grid, or a folder that holds other files; errors of the
    /// disk.
    pub fn create(
        path: &Path,
        count: usize,
        dims: [usize; 3],
        (points, series): (bool, &Cut),
        classes: Option<Classes>,
        overwrite: bool,
    ) -> Result<Self> {
        check_ending(path)?;
        if series.is_settled() {
            return Ok(Self::Series(Sequences::new(path, count, dims, series)?));
        }
        match endings::of(path).as_str() {
            other @ ("csv" | "wav") => Err(Error::usage(format!("images are written as .png, .npy or into a folder, not as .{other}"))),
            "png" => {
                check_grid(count, dims, points)?;
                Ok(Self::Grid { path: path.into(), images: Vec::new(), dims, columns: 0, points })
            }
            "npy" => {
                let shape: Vec<usize> = [count].into_iter().chain(dims).collect();
                let beside = path.with_extension("labels.npy");
                if classes.is_none() && beside.exists() {
                    let (out, beside) = (path.display(), beside.display());
                    return Err(Error::usage(format!(
                        "{beside} would be taken for the labels of {out}; move it away, or take another name"
                    )));
                }
                let labels = classes.map(|classes| (beside, classes.numbers()));
                Ok(Self::Array { stream: NpyStream::create(path, &shape)?, labels })
            }
            _ if points => Err(Error::usage("points are no pictures; name a .png for a plot of them, or an .npy file")),
            _ => {
                clear(path, overwrite)?;
                Ok(Self::Folder { path: path.into(), dims, next: 0, classes })
            }
        }
    }

    /// The same, so many images a row where they go to a grid.
    pub fn in_columns(mut self, count: usize) -> Self {
        if let Self::Grid { columns, .. } = &mut self {
            *columns = count;
        }
        self
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
            Self::Array { stream, .. } => stream.extend(part),
            Self::Series(series) => {
                series.take(part);
                Ok(())
            }
            Self::Folder { path, dims, next, classes } => {
                for image in part.chunks(dims.iter().product()) {
                    let folder = classes.as_ref().map_or(path.clone(), |classes| path.join(classes.name(*next)));
                    report::save_image(&folder.join(format!("{next:05}.png")), image, *dims)?;
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
            Self::Grid { path, images, dims, columns, .. } => report::save_png(&path, &report::grid(&images, dims, columns)),
            Self::Array { stream, labels } => {
                stream.finish()?;
                labels.map_or(Ok(()), |(path, labels)| report::write_npy_i64(&path, &[labels.len()], &labels))
            }
            Self::Series(series) => series.finish("samples"),
            Self::Folder { .. } => Ok(()),
        }
    }
}

/// Whether a file is named as the pictures of a folder are.
fn is_numbered(name: &str) -> bool {
    name.strip_suffix(".png").is_some_and(|stem| stem.len() >= 5 && stem.bytes().all(|b| b.is_ascii_digit()))
}

/// What a folder holds.
fn held(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| Error::io(folder, e);
    std::fs::read_dir(folder).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

/// Takes a folder for pictures: those that it holds, in folders of classes or none, are removed where that is asked for.
fn clear(folder: &Path, overwrite: bool) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let (mut pictures, mut folders) = (Vec::new(), Vec::new());
    for path in held(folder)? {
        let within = if path.is_dir() { held(&path)? } else { Vec::new() };
        if within.is_empty() {
            pictures.push(path);
        } else {
            pictures.extend(within);
            folders.push(path);
        }
    }
    let shown = folder.display();
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| is_numbered(&name.to_string_lossy()));
    if let Some(other) = pictures.iter().find(|path| !path.is_file() || !named(path)) {
        let name = other.strip_prefix(folder).unwrap_or(other).display();
        return Err(Error::usage(format!("{shown} holds {name}, which is no sample; name a folder of its own")));
    }
    if !pictures.is_empty() && !overwrite {
        let count = pictures.len();
        return Err(Error::usage(format!(
            "{shown} holds {count} pictures already; name another folder, or take --overwrite to replace them"
        )));
    }
    pictures.iter().try_for_each(|path| std::fs::remove_file(path).map_err(|e| Error::io(path, e)))?;
    folders.iter().try_for_each(|path| std::fs::remove_dir(path).map_err(|e| Error::io(path, e)))
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
