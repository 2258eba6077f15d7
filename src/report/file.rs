//! Files that are there whole or not at all.

use crate::{Error, Result};
use image::{ImageFormat, RgbImage};
use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;

/// Writes a file through `write` under a temporary name beside `path`, then renames it: a reader never meets half a file, and an
/// interrupted write leaves the old one. Folders on the way are made.
///
/// # Errors
/// A folder that cannot be written to, a full disk, or what `write` returns; then nothing is left behind.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(path, e);
    let temporary = temporary_beside(path)?;
    let mut writer = BufWriter::new(temporary.as_file());
    write(&mut writer).and_then(|()| writer.flush()).map_err(failed)?;
    drop(writer);
    temporary.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// A new file of a temporary name in the folder of `path`, which is made where it is missing.
pub(super) fn temporary_beside(path: &Path) -> Result<tempfile::NamedTempFile<File>> {
    let failed = |e: std::io::Error| Error::io(path, e);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    // `make_in` leaves the permissions to the user's umask; tempfile's own files are private.
    tempfile::Builder::new().prefix(".kiln-").suffix(".tmp").make_in(folder, |name| File::create_new(name)).map_err(failed)
}

/// The bytes of a PNG file.
///
/// # Errors
/// A picture of no pixels.
pub fn png_bytes(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = picture.dimensions();
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| Error::Shape(format!("a picture of {width}×{height} pixels makes no PNG ({e})")))?;
    Ok(bytes.into_inner())
}

/// Writes a picture as a PNG file, whole or not at all; see [`write_atomically`].
///
/// # Errors
/// A picture of no pixels, or a file that cannot be written.
pub fn save_png(path: &Path, picture: &RgbImage) -> Result<()> {
    let bytes = png_bytes(picture)?;
    write_atomically(path, |out| out.write_all(&bytes))
}

/// Writes one image `[H, W, C]` of values 0..1 at its own size, grey where it has fewer than three channels, so that it reads back as what
/// it is; whole or not at all.
///
/// # Errors
/// As [`save_png`].
pub fn save_image(path: &Path, values: &[f32], dims: [usize; 3]) -> Result<()> {
    if dims[2] >= 3 {
        return save_png(path, &super::image(values, dims));
    }
    let [height, width, channels] = dims;
    let grey = image::GrayImage::from_fn(width as u32, height as u32, |x, y| {
        let value = values[(y as usize * width + x as usize) * channels];
        image::Luma([(value.clamp(0.0, 1.0) * 255.0).round() as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    let failed = |e: image::ImageError| Error::Shape(format!("a picture of {width}×{height} pixels makes no PNG ({e})"));
    grey.write_to(&mut bytes, ImageFormat::Png).map_err(failed)?;
    write_atomically(path, |out| out.write_all(&bytes.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file.txt");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn a_png_reads_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let picture = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8 * 40, y as u8 * 80, 7]));
        save_png(&path, &picture).unwrap();
        assert_eq!(image::open(&path).unwrap().to_rgb8(), picture);
        assert!(save_png(folder.path(), &picture).is_err(), "a folder is no file");
        let grey: Vec<f32> = (0..15).map(|i| i as f32 / 14.0).collect();
        save_image(&path, &grey, [3, 5, 1]).unwrap();
        let read = image::open(&path).unwrap();
        assert_eq!(read.color(), image::ColorType::L8);
        assert!(read.to_luma8().as_raw().iter().zip(&grey).all(|(byte, v)| *byte == (v * 255.0).round() as u8));
        save_image(&path, &grey, [1, 5, 3]).unwrap();
        assert_eq!(image::open(&path).unwrap().color(), image::ColorType::Rgb8);
    }
}
