//! One image file: what its header says, and its pixels, turned and flattened as a viewer shows them.

use super::entry::{Bytes, Entry};
use super::jpeg::{self, Jpeg};
use super::reading::Colour;
use crate::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

/// Endings of the files that are read, in lower case.
const ENDINGS: [&str; 10] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "tif", "tiff"];
/// How a sentence names them.
pub const FORMATS: &str = "PNG, JPEG, WebP, BMP, TIFF or GIF";
/// Largest side of an image that is decoded, pixels.
const MAX_SIDE: u32 = 65_535;
/// Most bytes of pixels of one image, and of all that are decoded at one time: 178 megapixels in colour.
const MAX_DECODED: u64 = 512 << 20;
/// Bytes of a JPEG file in which its headers are looked for first.
const HEADERS: u64 = 256 << 10;
/// No PNG, JPEG or BMP has more bytes of pixels than this a byte of file: deflate reaches 1,032, and a header may lie.
const MAX_RATIO: u64 = 2048;

/// What the header of an image file says of the image as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whether it has more than greys.
    pub colour: bool,
    /// Whether it has an alpha channel.
    pub alpha: bool,
}

/// Whether a file's name has the ending of an image that is read.
pub fn has_ending(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).as_str())
}

/// A path's ending in small letters; empty where there is none.
pub fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// Reads an image's header.
///
/// # Errors
/// A file that is missing, empty, no image, of no pixels, too large, or whose header claims more than it can hold.
pub fn look(path: &Path) -> Result<Look> {
    look_entry(&Entry::on_disk(path))
}

/// As [`look`], of a file wherever it lies.
///
/// # Errors
/// As [`look`].
pub fn look_entry(file: &Entry) -> Result<Look> {
    let path = file.path();
    let found = match open(file)? {
        // A photo's headers lie in front; the rest of it is not read for them.
        Opened::Jpeg(mut file, bytes) => {
            let held = jpeg_bytes(path, &mut *file, HEADERS)?;
            match Jpeg::open(&held) {
                Ok(jpeg) => seen_jpeg(&jpeg),
                Err(_) => {
                    let whole = [held, jpeg_bytes(path, &mut *file, bytes)?].concat();
                    let jpeg = Jpeg::open(&whole).map_err(|reason| undecodable(path, &reason))?;
                    seen_jpeg(&jpeg)
                }
            }
        }
        Opened::Other(mut decoder, format) => {
            let (look, turn) = seen(path, &mut *decoder)?;
            // Every GIF is decoded with an alpha channel, whether it has clear pixels or not.
            (Look { alpha: look.alpha && format != ImageFormat::Gif, ..look }, turn)
        }
    };
    check(path, found.0)?;
    Ok(turned(found))
}

/// Decodes an image to 8 bits, grey or RGB: turned as its EXIF orientation says, its alpha laid on `background`, the first picture of
/// an animation or of pages. 16 bits are rounded to 8.
///
/// # Errors
/// As [`look`]; a file that is torn or spoiled.
pub fn decode(path: &Path, background: Colour) -> Result<DynamicImage> {
    decode_entry(&Entry::on_disk(path), background)
}

/// As [`decode`], of a file wherever it lies.
///
/// # Errors
/// As [`decode`].
pub fn decode_entry(file: &Entry, background: Colour) -> Result<DynamicImage> {
    let path = file.path();
    let fails = |reason: String| undecodable(path, &reason);
    match open(file)? {
        Opened::Jpeg(mut file, bytes) => {
            let held = jpeg_bytes(path, &mut *file, bytes)?;
            let jpeg = Jpeg::open(&held).map_err(fails)?;
            let (look, turn) = seen_jpeg(&jpeg);
            check(path, look)?;
            let _room = Room::take(look.bytes());
            let mut image = jpeg.decode().map_err(fails)?;
            image.apply_orientation(turn);
            Ok(image)
        }
        Opened::Other(mut decoder, _) => {
            let (look, turn) = seen(path, &mut *decoder)?;
            check(path, look)?;
            let _room = Room::take(look.bytes());
            let mut image = DynamicImage::from_decoder(decoder).map_err(|e| fails(e.to_string()))?;
            image.apply_orientation(turn);
            Ok(flat(image, background))
        }
    }
}

enum Opened {
    /// The file and its bytes.
    Jpeg(Box<dyn Bytes>, u64),
    /// What decodes it.
    Other(Box<dyn ImageDecoder>, ImageFormat),
}

fn undecodable(path: &Path, reason: &str) -> Error {
    let reason = reason.trim();
    Error::format(
        path,
        format!("is no image that can be decoded ({}); replace it or move it away", reason.trim_end_matches(['\n', '\r', '.'])),
    )
}

fn open(entry: &Entry) -> Result<Opened> {
    let path = entry.path();
    let failed = |e| Error::io(path, e);
    if entry.is_dir() {
        return Err(Error::format(path, "is a folder with the name of an image; rename it or move it away"));
    }
    let mut file = entry.open(MAX_DECODED)?;
    let bytes = entry.len()?;
    if bytes == 0 {
        return Err(Error::format(path, "is empty; replace it or move it away"));
    }
    let mut start = [0; 2];
    if bytes >= 2 {
        file.read_exact(&mut start).and_then(|()| file.rewind()).map_err(failed)?;
    }
    if start == jpeg::START {
        if bytes > MAX_DECODED {
            return Err(Error::format(path, format!("has {bytes} bytes, above the limit of {MAX_DECODED} a JPEG file; scale it down")));
        }
        return Ok(Opened::Jpeg(file, bytes));
    }
    let mut reader = ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(failed)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // What is decoded is bounded below; a decoder may need as much again for itself.
    limits.max_alloc = Some(2 * MAX_DECODED);
    reader.limits(limits);
    let format = reader.format().ok_or_else(|| undecodable(path, "it does not start as one"))?;
    let decoder = reader.into_decoder().map_err(|e| undecodable(path, &e.to_string()))?;
    if matches!(format, ImageFormat::Png | ImageFormat::Bmp) && decoder.total_bytes() / MAX_RATIO > bytes {
        return Err(claims_too_much(path, decoder.dimensions(), bytes));
    }
    Ok(Opened::Other(Box::new(decoder), format))
}

fn claims_too_much(path: &Path, (width, height): (u32, u32), bytes: u64) -> Error {
    Error::format(path, format!("claims {width}×{height} pixels in {bytes} bytes; replace it or move it away"))
}

/// Up to `most` further bytes of a file.
fn jpeg_bytes(path: &Path, file: &mut dyn Bytes, most: u64) -> Result<Vec<u8>> {
    let mut held = Vec::new();
    file.take(most).read_to_end(&mut held).map_err(|e| Error::io(path, e))?;
    Ok(held)
}

/// As [`seen`], of a JPEG file.
fn seen_jpeg(jpeg: &Jpeg<'_>) -> (Look, Orientation) {
    let (width, height) = jpeg.size();
    (Look { width, height, colour: !jpeg.is_grey(), alpha: false }, jpeg.orientation())
}

/// What a header says of the image as it is stored, and how a viewer turns it.
fn seen(path: &Path, decoder: &mut dyn ImageDecoder) -> Result<(Look, Orientation)> {
    let turn = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (width, height) = decoder.dimensions();
    let (kind, bytes) = (decoder.color_type(), decoder.total_bytes());
    let look = Look { width, height, colour: kind.has_color(), alpha: kind.has_alpha() };
    if bytes > MAX_DECODED {
        return Err(too_large(path, look, bytes));
    }
    Ok((look, turn))
}

fn too_large(path: &Path, look: Look, bytes: u64) -> Error {
    let (w, h) = (look.width, look.height);
    let limit = MAX_DECODED >> 20;
    Error::format(path, format!("is {w}×{h} pixels, {} MiB when decoded, above the limit of {limit} MiB; scale it down", bytes >> 20))
}

/// Refuses what has no pixels or too many.
fn check(path: &Path, look: Look) -> Result<()> {
    if look.width == 0 || look.height == 0 {
        return Err(Error::format(path, "is an image of no pixels; replace it or move it away"));
    }
    let bytes = look.bytes();
    if bytes > MAX_DECODED { Err(too_large(path, look, bytes)) } else { Ok(()) }
}

impl Look {
    /// Bytes of its pixels at 8 bits.
    fn bytes(self) -> u64 {
        let channels = if self.colour { 3 } else { 1 } + u64::from(self.alpha);
        u64::from(self.width) * u64::from(self.height) * channels
    }
}

fn turned((look, turn): (Look, Orientation)) -> Look {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let swaps = matches!(turn, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    if swaps { Look { width: look.height, height: look.width, ..look } } else { look }
}

/// Eight bits, grey or RGB; alpha laid on a background.
fn flat(image: DynamicImage, background: Colour) -> DynamicImage {
    let colour = image.color().has_color();
    if !image.color().has_alpha() {
        return if colour { DynamicImage::ImageRgb8(image.into_rgb8()) } else { DynamicImage::ImageLuma8(image.into_luma8()) };
    }
    if !colour && background.is_grey() {
        let laid = image.into_luma_alpha8();
        return DynamicImage::ImageLuma8(GrayImage::from_fn(laid.width(), laid.height(), |x, y| {
            let [grey, alpha] = laid.get_pixel(x, y).0;
            image::Luma([over(grey, background.0[0], alpha)])
        }));
    }
    let laid = image.into_rgba8();
    DynamicImage::ImageRgb8(RgbImage::from_fn(laid.width(), laid.height(), |x, y| {
        let [r, g, b, alpha] = laid.get_pixel(x, y).0;
        let [br, bg, bb] = background.0;
        image::Rgb([over(r, br, alpha), over(g, bg, alpha), over(b, bb, alpha)])
    }))
}

/// A value of straight alpha over a ground, rounded.
fn over(value: u8, ground: u8, alpha: u8) -> u8 {
    let (value, ground, alpha) = (u32::from(value), u32::from(ground), u32::from(alpha));
    ((value * alpha + ground * (255 - alpha) + 127) / 255) as u8
}

/// A share of the memory that decoded images may take together, given back when dropped.
struct Room(u64);

static TAKEN: Mutex<u64> = Mutex::new(0);
static GIVEN: Condvar = Condvar::new();

impl Room {
    /// Waits until there is room for `bytes`, of which no image takes more than all.
    fn take(bytes: u64) -> Self {
        let bytes = bytes.min(MAX_DECODED);
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken + bytes > MAX_DECODED {
            taken = GIVEN.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        Self(bytes)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        GIVEN.notify_all();
    }
}
