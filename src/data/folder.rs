//! Folders of images, one sub-folder a class or flat, decoded when read.

use super::classes::{listed, sort_names};
use super::entry::Entry;
use super::frame::{framed, unpack};
use super::picture::{self, FORMATS, Look, decode_entry, has_ending};
use super::reading::{Fit, Reading};
use super::{Kind, Source, check_read};
use crate::parallel::prelude::*;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names given as examples of many.
const EXAMPLES: usize = 3;

/// How many folders down images are looked for that are not read from there.
const DEPTH: usize = 4;

/// Images of a folder, decoded one by one.
pub struct Folder {
    files: Vec<(Entry, u32)>,
    class_names: Vec<String>,
    dims: [usize; 3],
    reading: Reading,
    notes: Vec<String>,
    name: String,
}

impl Folder {
    /// Lists a folder's images, class by class, and checks the header of each. Classes are its sub-folders that hold images, by name, with
    /// numbers as numbers. Images are in colour where one is, or where the background shows and is.
    ///
    /// # Errors
    /// No images, one that cannot be read, images both in the folder and in sub-folders, or sizes that differ while none is asked for.
    pub fn open(folder: &Entry, reading: &Reading, name: String) -> Result<Self> {
        let found = list(folder.entries()?)?;
        if found.loose.is_empty()
            && found.classes.is_empty()
            && let Some(deeper) = deeper(folder, DEPTH)?
        {
            let reason = format!("has images deeper than a folder a class, in {}; name that folder", deeper.path().display());
            return Err(Error::format(folder.path(), reason));
        }
        Self::of(found, folder.path(), reading, name)
    }

    /// The images among files and folders that a pattern matches: those of several folders have these for classes.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn matched(pattern: &str, entries: Vec<Entry>, reading: &Reading, name: String) -> Result<Self> {
        let mut found = list(entries)?;
        let folder = |file: &Entry| file.path().parent().map(Path::to_path_buf);
        if found.classes.is_empty() && found.loose.iter().any(|file| folder(file) != folder(&found.loose[0])) {
            let mut classes: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
            for file in found.loose.drain(..) {
                let class = folder(&file).and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()));
                classes.entry(class.unwrap_or_else(|| ".".into())).or_default().push(file);
            }
            found.classes = classes.into_iter().collect();
            sort_names(&mut found.classes, |(class, _)| class);
        }
        Self::of(found, Path::new(pattern), reading, name)
    }

    fn of(found: Found, folder: &Path, reading: &Reading, name: String) -> Result<Self> {
        if !found.classes.is_empty() && !found.loose.is_empty() {
            let classes: Vec<String> = found.classes.iter().map(|(class, _)| class.clone()).collect();
            let (first, count) = (found.loose[0].name(), found.loose.len());
            let way_out = if folder.is_dir() {
                let shown = glob::Pattern::escape(&folder.display().to_string());
                format!("--data '{shown}/*.*' takes these images, '{shown}/*/*' those of the folders")
            } else {
                "move the others away".into()
            };
            let reason = format!(
                "holds {count} images ({first} …) beside folders of images ({}); keep either images alone or one folder a class: {way_out}",
                listed(&classes)
            );
            return Err(Error::format(folder, reason));
        }
        if found.classes.is_empty() && found.loose.is_empty() {
            let passed = found.passed_over().map_or(String::new(), |words| format!(" ({words})"));
            let reason = format!(
                "has no {FORMATS} image for {name}{passed}; --data takes a folder, .zip or .tar of them, or of IDX, .amat or CIFAR-10 files"
            );
            return Err(Error::format(folder, reason));
        }
        let notes = found.passed_over().into_iter().map(|words| format!("{}: {words}", folder.display())).collect();
        let class_names = found.classes.iter().map(|(class, _)| class.clone()).collect();
        let labelled = found.classes.into_iter().enumerate();
        let labelled = labelled.flat_map(|(label, (_, paths))| paths.into_iter().map(move |path| (path, label as u32)));
        let files = found.loose.into_iter().map(|file| (file, 0)).chain(labelled).collect();
        Self::new(files, class_names, reading, notes, name)
    }

    /// One image file as a data set.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn single(file: &Path, reading: &Reading, name: String) -> Result<Self> {
        Self::new(vec![(Entry::on_disk(file), 0)], Vec::new(), reading, Vec::new(), name)
    }

    fn new(files: Vec<(Entry, u32)>, class_names: Vec<String>, reading: &Reading, mut notes: Vec<String>, name: String) -> Result<Self> {
        let looks = files.par_iter().map(|(file, _)| picture::look_entry(file)).collect::<Result<Vec<_>>>()?;
        let first = looks[0];
        let other = looks.iter().position(|look| (look.width, look.height) != (first.width, first.height));
        if let (None, Some(other)) = (reading.size, other) {
            let reason = format!(
                "is {}×{} pixels (height × width) but {} is {}×{}; --set size=HxW (or resize=N, for N×N) brings all of them to one size",
                looks[other].height,
                looks[other].width,
                files[0].0.name(),
                first.height,
                first.width
            );
            return Err(Error::format(files[other].0.path(), reason));
        }
        notes.extend(framing(&looks, reading));
        let with_alpha = looks.iter().filter(|look| look.alpha).count();
        if with_alpha > 0 {
            let (of, ground) = (looks.len(), reading.background);
            notes.push(format!("{with_alpha} of {of} images have an alpha channel, laid on {ground} (--set background=#rrggbb)"));
        }
        let shows = with_alpha > 0 || (reading.size.is_some() && reading.fit == Fit::Pad);
        let coloured = looks.iter().any(|look| look.colour) || (shows && !reading.background.is_grey());
        let channels = reading.channels.unwrap_or(if coloured { 3 } else { 1 });
        let [height, width] = reading.size.unwrap_or([first.height as usize, first.width as usize]);
        Ok(Self { files, class_names, dims: [height, width, channels], reading: reading.clone(), notes, name })
    }

    /// Adds a sentence to what is worth saying.
    pub fn note(&mut self, words: String) {
        self.notes.push(words);
    }

    fn file(&self, index: usize) -> Result<&Entry> {
        let gone = || Error::usage(format!("{} has {} items, so item {index} does not exist", self.name, self.files.len()));
        self.files.get(index).map(|(file, _)| file).ok_or_else(gone)
    }
}

/// What becomes of proportions that are not those of the size.
fn framing(looks: &[Look], reading: &Reading) -> Option<String> {
    let [height, width] = reading.size?;
    let other = |look: &&Look| u64::from(look.width) * height as u64 != u64::from(look.height) * width as u64;
    let count = looks.iter().filter(other).count();
    let what = match reading.fit {
        Fit::Crop => "are cut to it at the middle".into(),
        Fit::Pad => format!("are padded with {}", reading.background),
        Fit::Stretch => "are stretched".into(),
    };
    let of = looks.len();
    (count > 0)
        .then(|| format!("{count} of {of} images have other proportions than {height}×{width} and {what} (--set fit=crop|pad|stretch)"))
}

/// What a folder holds.
#[derive(Default)]
struct Found {
    /// The images of its sub-folders, in the order of classes.
    classes: Vec<(String, Vec<Entry>)>,
    /// Its own images.
    loose: Vec<Entry>,
    /// Files of other forms, here or in a class.
    others: Vec<String>,
    /// Folders without images.
    folders: Vec<String>,
}

impl Found {
    /// What is not read, in words.
    fn passed_over(&self) -> Option<String> {
        let some = |names: &[String], what: &str| {
            let (count, ending) = (names.len(), if names.len() == 1 { "" } else { "s" });
            let more = if count > EXAMPLES { ", …" } else { "" };
            let shown = names.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
            (count > 0).then(|| format!("{count} {what}{ending} ({shown}{more})"))
        };
        let parts = [some(&self.others, "file"), some(&self.folders, "folder")];
        let words = parts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        (!words.is_empty()).then(|| format!("passed over {words} that hold no {FORMATS} image"))
    }
}

fn list(entries: Vec<Entry>) -> Result<Found> {
    let mut found = Found::default();
    for entry in entries {
        let name = entry.name();
        if !entry.is_dir() {
            if is_image(&entry) {
                found.loose.push(entry)
            } else {
                found.others.push(name)
            }
            continue;
        }
        let mut images = Vec::new();
        let (mut others, mut folders) = (Vec::new(), Vec::new());
        for inner in entry.entries()? {
            let shown = format!("{name}/{}", inner.name());
            if inner.is_dir() {
                folders.push(shown);
            } else if is_image(&inner) {
                images.push(inner);
            } else {
                others.push(shown);
            }
        }
        if images.is_empty() {
            found.folders.push(name);
        } else {
            if entry.path().file_name().is_some_and(|name| name.to_str().is_none()) {
                return Err(Error::format(entry.path(), "is the folder of a class whose name is no text; rename it"));
            }
            found.classes.push((name, images));
            found.others.append(&mut others);
            found.folders.append(&mut folders);
        }
    }
    sort_names(&mut found.classes, |(class, _)| class);
    Ok(found)
}

/// The first folder that holds images itself, so many folders down at most.
fn deeper(folder: &Entry, depth: usize) -> Result<Option<Entry>> {
    for inner in folder.entries()?.into_iter().filter(Entry::is_dir) {
        let found = if holds_images(&inner)? {
            Some(inner)
        } else if depth > 0 {
            deeper(&inner, depth - 1)?
        } else {
            None
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Whether a file is to be read as an image; so is a link to nothing, whose refusal names it, but no pipe or device.
fn is_image(file: &Entry) -> bool {
    has_ending(file.path()) && (file.is_file() || !file.exists())
}

/// Whether a folder holds images itself.
pub fn holds_images(folder: &Entry) -> Result<bool> {
    Ok(folder.entries()?.iter().any(|entry| !entry.is_dir() && is_image(entry)))
}

/// The image files that a folder on disk holds itself, in the order of their names.
///
/// # Errors
/// [`Error::Io`] where it cannot be read.
pub fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = Entry::on_disk(folder).entries()?;
    Ok(entries.iter().filter(|entry| !entry.is_dir() && is_image(entry)).map(|entry| entry.path().to_path_buf()).collect())
}

impl Source for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }
    fn dims(&self) -> [usize; 3] {
        self.dims
    }
    fn kind(&self) -> Kind {
        Kind::Pixels
    }
    fn class_names(&self) -> Vec<String> {
        self.class_names.clone()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let file = self.file(index)?;
        let mut image = decode_entry(file, self.reading.background)?;
        if let Some(size) = self.reading.size {
            image = framed(image, size, self.reading.fit, self.reading.background);
        }
        if [image.height() as usize, image.width() as usize] != self.dims[..2] {
            let reason = format!("is now {}×{} pixels; it was changed since the data set was opened", image.width(), image.height());
            return Err(Error::format(file.path(), reason));
        }
        unpack(image, self.dims[2], out);
        Ok(())
    }
    fn label(&self, index: usize) -> Option<u32> {
        if self.class_names.is_empty() { None } else { self.files.get(index).map(|(_, label)| *label) }
    }
    fn name(&self) -> String {
        self.name.clone()
    }
    fn costly(&self) -> bool {
        true
    }
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
    fn stored_size(&self, index: usize) -> Result<u64> {
        self.file(index)?.len()
    }
    fn stored(&self, index: usize) -> Result<Vec<u8>> {
        self.file(index)?.bytes(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_order_with_numbers_as_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["10/0", "10/1", "9/0", "9/1", "9/2", "11/0"] {
            let path = folder.path().join(name).with_extension("png");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::GrayImage::new(2, 2).save(&path).unwrap();
        }
        let source = Folder::open(&Entry::on_disk(folder.path()), &Reading::default(), "folder".into()).unwrap();
        assert_eq!((0..6).filter_map(|i| source.label(i)).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 2]);
        assert_eq!(source.class_names(), ["9", "10", "11"]);
        assert_eq!(source.dims(), [2, 2, 1]);
    }

    #[test]
    fn a_header_that_claims_more_than_a_file_can_hold_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.png");
        image::GrayImage::new(2, 2).save(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        // The width and height of the header chunk, and its checksum over type and fields.
        bytes[16..24].copy_from_slice(&[0, 0, 0x1F, 0xFF, 0, 0, 0x1F, 0xFF]);
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
        let sentence = Folder::open(&Entry::on_disk(folder.path()), &Reading::default(), "folder".into()).err().unwrap().to_string();
        assert!(sentence.contains("claims 8191×8191 pixels"), "{sentence}");
    }
}
