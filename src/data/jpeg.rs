//! JPEG files, decoded strictly: a torn one is refused and never half grey.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// The two bytes that every JPEG file starts with.
pub const START: [u8; 2] = [0xFF, 0xD8];

/// One JPEG file whose headers were read.
pub struct Jpeg<'a> {
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    bytes: &'a [u8],
    size: (usize, usize),
    grey: bool,
}

impl<'a> Jpeg<'a> {
    /// Reads the headers; the reason where they cannot be.
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let options = DecoderOptions::default().set_strict_mode(true).set_max_width(usize::MAX).set_max_height(usize::MAX);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(|e| e.to_string())?;
        let (Some(size), Some(space)) = (decoder.dimensions(), decoder.input_colorspace()) else {
            return Err("it has no size".into());
        };
        let grey = matches!(space, ColorSpace::Luma);
        let wanted = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
        decoder.set_options(decoder.options().jpeg_set_out_colorspace(wanted));
        Ok(Self { decoder, bytes, size, grey })
    }

    /// Width and height, before it is turned.
    pub fn size(&self) -> (u32, u32) {
        (self.size.0 as u32, self.size.1 as u32)
    }

    /// Whether it has no colour.
    pub fn is_grey(&self) -> bool {
        self.grey
    }

    /// How a viewer turns it.
    pub fn orientation(&self) -> Orientation {
        self.decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms)
    }

    /// Decodes it; the reason where it is torn or spoiled.
    pub fn decode(mut self) -> Result<DynamicImage, String> {
        if !ends(self.bytes) {
            return Err("it ends before its end marker: it is torn".into());
        }
        let values = self.decoder.decode().map_err(|e| e.to_string())?;
        let (width, height) = self.size();
        let image = if self.grey {
            GrayImage::from_raw(width, height, values).map(DynamicImage::ImageLuma8)
        } else {
            RgbImage::from_raw(width, height, values).map(DynamicImage::ImageRgb8)
        };
        image.ok_or_else(|| "its pixels do not fill its size".into())
    }
}

/// Whether the markers of a JPEG stream (ISO/IEC 10918-1, annex B) lead to an end of image. The decoder itself fills the last rows of a
/// torn file with grey.
fn ends(bytes: &[u8]) -> bool {
    const END: u8 = 0xD9;
    let mut at = START.len();
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xFF)) {
        at += found + 1;
        match bytes.get(at) {
            Some(&END) => return true,
            None => return false,
            // Fill bytes, stuffed zeros, restarts and the start of a file have no length.
            Some(0xFF) => {}
            Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 1,
            // Behind a scan's header its entropy-coded bytes follow, in which every 0xFF is marked or stuffed.
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
    false
}
