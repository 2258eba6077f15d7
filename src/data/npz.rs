//! `.npz` files, NumPy's zip archives of arrays: the images and labels that their names tell.

use super::Split;
use super::npy::Npy;
use super::positioned::PositionedFile;
use super::reading::Reading;
use crate::{Error, Result};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use zip::ZipArchive;

/// Names of images and of their labels, for arrays that are no split.
const PLAIN: [(&str, &str); 6] =
    [("images", "labels"), ("x", "y"), ("X", "y"), ("data", "labels"), ("samples", "labels"), ("arr_0", "arr_1")];
/// Deflate's limit of bytes a byte of file.
const MAX_RATIO: u64 = 1032;

type Archive = ZipArchive<BufReader<File>>;

/// Opens the array of images of a split (`x_test` and `y_test`, `test_images` and `test_labels`), or of the whole (`images` and `labels`,
/// `x` and `y`, `arr_0` and `arr_1`, or the only one), and says whether it is of that split alone. Arrays go to memory or to a temporary
/// file as of [`PositionedFile::spool`].
///
/// # Errors
/// A file that is torn or no archive, one without such arrays, and as [`Npy::open`].
pub fn open(path: &Path, split: Split, reading: &Reading, name: String) -> Result<(Npy, bool)> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    if file.metadata().map_err(|e| Error::io(path, e))?.len() == 0 {
        return Err(Error::format(path, "is empty; write it again"));
    }
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| torn(path, &e.to_string()))?;
    let names: Vec<String> = archive.file_names().filter_map(|name| name.ok()?.strip_suffix(".npy").map(String::from)).collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    let of_split = |split: Split| {
        let word = split.as_str();
        let pairs = [(format!("x_{word}"), format!("y_{word}")), (format!("{word}_images"), format!("{word}_labels"))];
        pairs.into_iter().find(|(images, _)| has(images))
    };
    let plain = || {
        let only = (names.len() == 1).then(|| (names[0].clone(), String::new()));
        PLAIN.iter().find(|(images, _)| has(images)).map(|(images, labels)| (images.to_string(), labels.to_string())).or(only)
    };
    let alone = of_split(split).filter(|_| split == Split::Test || (split == Split::Train && of_split(Split::Valid).is_some()));
    let apart = alone.is_some() || (split == Split::Valid && of_split(split).is_some());
    let Some((images, labels)) = alone.or_else(|| of_split(split)).or_else(|| of_split(Split::Train)).or_else(plain) else {
        let reason =
            format!("holds the arrays {}; images (with labels), x_train (with y_train) or a single one is wanted", names.join(", "));
        return Err(Error::format(path, reason));
    };
    let labels = has(&labels).then(|| spooled(path, &mut archive, &labels)).transpose()?;
    let images = spooled(path, &mut archive, &images)?;
    Ok((Npy::new(images, labels, reading, name)?, apart))
}

fn torn(path: &Path, reason: &str) -> Error {
    Error::format(path, format!("is torn or no .npz archive ({reason}); write it again"))
}

fn spooled(path: &Path, archive: &mut Archive, name: &str) -> Result<PositionedFile> {
    let entry = archive.by_name(&format!("{name}.npy")).map_err(|e| torn(path, &e.to_string()))?;
    let (size, packed) = (entry.size(), entry.compressed_size());
    if size / MAX_RATIO > packed {
        return Err(torn(path, &format!("{name} announces {size} bytes in {packed}")));
    }
    let shown = path.join(name);
    let spooled = PositionedFile::spool(&shown, entry, size).map_err(|e| torn(path, &format!("{name}: {e}")))?;
    if spooled.len() != size {
        return Err(torn(path, &format!("{name} announces {size} bytes and holds {}", spooled.len())));
    }
    Ok(spooled)
}
