//! Folders of PNG, JPEG or WebP images, one sub-folder a class or flat, decoded when read.

use super::classes::sort_names;
use super::resize::{check_side, square, unpack};
use super::{Kind, Source, check_read};
use crate::{Error, Result};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Largest side of an image that is decoded, pixels, and most bytes one decoding may take.
const MAX_SIDE: u32 = 16_384;
const MAX_DECODED: u64 = 256 << 20;
/// No PNG or JPEG has more bytes of pixels than this a byte of file: deflate reaches 1,032, and its header may lie.
const MAX_RATIO: u64 = 2048;

/// Images of a folder, decoded one by one.
pub struct Folder {
    files: Vec<(PathBuf, u32)>,
    class_names: Vec<String>,
    dims: [usize; 3],
    resize: Option<usize>,
    name: String,
}

impl Folder {
    /// Lists a folder's images, class by class, and checks the header of each. Classes are its sub-folders that hold images, by name, with
    /// numbers as numbers. Images are in colour where one is.
    ///
    /// # Errors
    /// No images, one that cannot be read, or sizes that differ while no `resize` is asked.
    pub fn open(folder: &Path, resize: Option<usize>, name: String) -> Result<Self> {
        resize.map_or(Ok(()), check_side)?;
        let (classes, loose) = list(folder)?;
        let class_names: Vec<String> = classes.iter().map(|(class, _)| class.clone()).collect();
        if let (false, Some(path)) = (classes.is_empty(), loose.first()) {
            let reason = "lies beside the folders of classes; move it into one of them or away";
            return Err(Error::format(path, reason));
        }
        let labelled = classes.into_iter().enumerate().flat_map(|(label, (_, paths))| paths.into_iter().map(move |p| (p, label as u32)));
        let files: Vec<(PathBuf, u32)> = loose.into_iter().map(|path| (path, 0)).chain(labelled).collect();
        if files.is_empty() {
            let reason = format!("has no PNG, JPEG or WebP image for {name}; --data takes a folder of them or of IDX or CIFAR-10 files");
            return Err(Error::format(folder, reason));
        }
        let headers = files.par_iter().map(|(path, _)| header(path)).collect::<Result<Vec<_>>>()?;
        let (width, height, _) = headers[0];
        if resize.is_none()
            && let Some(other) = headers.iter().position(|h| (h.0, h.1) != (width, height))
        {
            let (w, h, _) = headers[other];
            let reason = format!(
                "is {w}×{h} pixels but {} is {width}×{height}; --set resize=N makes all of them N×N",
                files[0].0.file_name().unwrap_or_default().to_string_lossy()
            );
            return Err(Error::format(&files[other].0, reason));
        }
        let channels = if headers.iter().any(|h| h.2) { 3 } else { 1 };
        let dims = resize.map_or([height as usize, width as usize, channels], |side| [side, side, channels]);
        Ok(Self { files, class_names, dims, resize, name })
    }

    fn path(&self, index: usize) -> Result<&Path> {
        let gone = || Error::usage(format!("{} has {} items, so item {index} does not exist", self.name, self.files.len()));
        self.files.get(index).map(|(path, _)| path.as_path()).ok_or_else(gone)
    }
}

type Classes = Vec<(String, Vec<PathBuf>)>;

/// The images of a folder's sub-folders, these in the order of classes, and its own.
fn list(folder: &Path) -> Result<(Classes, Vec<PathBuf>)> {
    let (mut classes, mut loose) = (Classes::new(), Vec::new());
    for path in entries(folder)? {
        if path.is_dir() {
            let images: Vec<PathBuf> = entries(&path)?.into_iter().filter(|path| is_image(path)).collect();
            if !images.is_empty() {
                classes.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), images));
            }
        } else if is_image(&path) {
            loose.push(path);
        }
    }
    sort_names(&mut classes, |(class, _)| class);
    Ok((classes, loose))
}

/// What a folder holds but hidden entries, sorted, so that no order depends on the file system.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    matches!(extension.as_str(), "png" | "jpg" | "jpeg" | "webp") && path.is_file()
}

fn reader(path: &Path) -> Result<ImageReader<std::io::BufReader<std::fs::File>>> {
    let mut reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|e| Error::io(path, e))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    Ok(reader)
}

fn undecodable(path: &Path, e: &image::ImageError) -> Error {
    Error::format(path, format!("is no image that can be decoded ({e}); replace it or move it away"))
}

/// Width, height, and whether there is colour.
fn header(path: &Path) -> Result<(u32, u32, bool)> {
    let bytes = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if bytes == 0 {
        return Err(Error::format(path, "is empty; replace it or move it away"));
    }
    let reader = reader(path)?;
    let format = reader.format();
    let decoder = reader.into_decoder().map_err(|e| undecodable(path, &e))?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > MAX_DECODED || (format != Some(ImageFormat::WebP) && decoder.total_bytes() / MAX_RATIO > bytes) {
        return Err(Error::format(path, format!("claims {width}×{height} pixels in {bytes} bytes; replace it or move it away")));
    }
    if width == 0 || height == 0 {
        return Err(Error::format(path, "is an image of no pixels; replace it or move it away"));
    }
    Ok((width, height, decoder.color_type().has_color()))
}

/// Decodes one PNG, JPEG or WebP file.
///
/// # Errors
/// A file that is missing or is no such image.
pub fn decode(path: &Path) -> Result<DynamicImage> {
    reader(path)?.decode().map_err(|e| undecodable(path, &e))
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
        let (path, _) = &self.files[index];
        let mut image = decode(path)?;
        if let Some(side) = self.resize {
            image = square(&image, side);
        }
        if [image.height() as usize, image.width() as usize] != self.dims[..2] {
            let reason = format!("is now {}×{} pixels; it was changed since the data set was opened", image.width(), image.height());
            return Err(Error::format(path, reason));
        }
        unpack(&image, self.dims[2], out);
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
    fn stored_size(&self, index: usize) -> Result<u64> {
        let path = self.path(index)?;
        Ok(std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len())
    }
    fn stored(&self, index: usize) -> Result<Vec<u8>> {
        let path = self.path(index)?;
        std::fs::read(path).map_err(|e| Error::io(path, e))
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
        let source = Folder::open(folder.path(), None, "folder".into()).unwrap();
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
        let sentence = Folder::open(folder.path(), None, "folder".into()).err().unwrap().to_string();
        assert!(sentence.contains("claims 8191×8191 pixels"), "{sentence}");
    }
}
