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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    // `make_in` leaves the permissions to the user's umask; tempfile's own files are private.
    let temporary =
        tempfile::Builder::new().prefix(".kiln-").suffix(".tmp").make_in(folder, |name| File::create_new(name)).map_err(failed)?;
    let mut writer = BufWriter::new(temporary.as_file());
    write(&mut writer).and_then(|()| writer.flush()).map_err(failed)?;
    drop(writer);
    temporary.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
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
    }
}
