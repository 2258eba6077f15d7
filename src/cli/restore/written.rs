//! Where drawn images go: a picture of rows, an array, or a folder of a picture a sample.

use std::path::Path;

use super::figures::spread;
use super::given::Given;
use crate::cli::endings;
use crate::cli::pictures::check_grid;
use crate::error::{Error, Result};
use crate::model::Shown;
use crate::report::{self, GridOptions};

/// Refuses a path that images are not written to, before anything is opened.
///
/// # Errors
/// [`Error::Usage`] for another ending, or a folder that holds something already.
pub fn check(path: &Path) -> Result<()> {
    if !endings::of(path).is_empty() {
        return endings::check(path, "images", &["png", "npy"]);
    }
    let shown = path.display();
    if path.is_file() {
        return Err(Error::usage(format!("{shown} is a file that ends in nothing; name a .png, an .npy or a new folder")));
    }
    if path.is_dir() && std::fs::read_dir(path).map_err(|e| Error::io(path, e))?.next().is_some() {
        return Err(Error::usage(format!("{shown} holds something already; name a new folder")));
    }
    Ok(())
}

/// Refuses more rows and columns than a picture can hold.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_room(path: &Path, given: &Given, samples: usize, dims: [usize; 3]) -> Result<()> {
    let columns = 2 + samples + usize::from(given.truth.is_some());
    if endings::of(path) == "png" { check_grid(given.count * columns, dims, false) } else { Ok(()) }
}

/// Writes what was drawn, so many samples of each image, one after another.
///
/// # Errors
/// Errors of the disk.
pub fn write(path: &Path, samples: usize, shown: Shown, given: &Given, (rules, drawn): (&[f32], &[f32]), dims: [usize; 3]) -> Result<()> {
    let [h, w, c] = dims;
    let item = h * w * c;
    match endings::of(path).as_str() {
        "npy" => return report::write_npy_f32(path, &[given.count, samples, h, w, c], drawn),
        "" => {
            for (number, image) in drawn.chunks(item).enumerate() {
                let (of, sample) = (number / samples, number % samples + 1);
                let name = given.files.get(of).cloned().unwrap_or_else(|| format!("{of:05}"));
                report::save_image(&path.join(format!("{name}-{sample}.png")), image, dims)?;
            }
            return Ok(());
        }
        _ => {}
    }
    let part = given.shown.len() / given.count;
    let mut images = Vec::new();
    for number in 0..given.count {
        images.extend(spread(shown, &given.shown[number * part..][..part], dims));
        images.extend_from_slice(&rules[number * item..][..item]);
        images.extend_from_slice(&drawn[number * samples * item..][..samples * item]);
        if let Some(truth) = &given.truth {
            images.extend_from_slice(&truth[number * item..][..item]);
        }
    }
    let rule = if shown == Shown::Luma { "grey" } else { "bicubic" };
    let captions = ["given", rule].into_iter().map(String::from);
    let captions = captions.chain((1..=samples).map(|k| format!("sample {k}"))).chain(given.truth.as_ref().map(|_| "truth".into()));
    let column_captions: Vec<String> = captions.collect();
    let options = GridOptions { columns: column_captions.len(), column_captions, ..GridOptions::default() };
    report::save_png(path, &report::grid_with(&images, dims, &options))
}
