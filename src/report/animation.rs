//! Pictures that move: GIF and APNG files that go round.

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::Duration;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, RgbImage};

use super::file::write_atomically;
use crate::{Error, Result};

/// How thoroughly a frame's 256 colours are sought: 1, best, to 30, fastest.
const GIF_SPEED: i32 = 10;

/// Writes frames of one size as a GIF that goes round, each shown for its time; whole or not at all.
///
/// # Errors
/// Frames of no pixels, or a file that cannot be written.
pub fn save_gif(path: &Path, frames: &[(RgbImage, Duration)]) -> Result<()> {
    let failed = |e: image::ImageError| Error::Shape(format!("these pictures make no GIF ({e})"));
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, GIF_SPEED);
    encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
    for (picture, time) in frames {
        let picture = DynamicImage::ImageRgb8(picture.clone()).into_rgba8();
        encoder.encode_frame(Frame::from_parts(picture, 0, 0, Delay::from_saturating_duration(*time))).map_err(failed)?;
    }
    drop(encoder);
    write_atomically(path, |out| out.write_all(&bytes))
}

/// Writes frames of one size as an animated PNG that goes round, each shown for its time; whole or not at all. What shows no animations
/// shows the first.
///
/// # Errors
/// No frames, or some of different sizes; a file that cannot be written.
pub fn save_apng(path: &Path, frames: &[(RgbImage, Duration)]) -> Result<()> {
    let failed = |e: png::EncodingError| Error::Shape(format!("these pictures make no PNG ({e})"));
    let (width, height) = frames.first().map_or((0, 0), |(picture, _)| picture.dimensions());
    if frames.iter().any(|(picture, _)| picture.dimensions() != (width, height)) {
        return Err(Error::Shape("pictures of different sizes make no animation".into()));
    }
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_animated(frames.len() as u32, 0).map_err(failed)?;
    let mut writer = encoder.write_header().map_err(failed)?;
    for (picture, time) in frames {
        writer.set_frame_delay(u16::try_from(time.as_millis()).unwrap_or(u16::MAX), 1000).map_err(failed)?;
        writer.write_image_data(picture.as_raw()).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    write_atomically(path, |out| out.write_all(&bytes.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::AnimationDecoder;
    use image::codecs::gif::GifDecoder;
    use image::codecs::png::PngDecoder;
    use std::io::BufReader;

    fn frames() -> Vec<(RgbImage, Duration)> {
        let shade = |k: u32| RgbImage::from_fn(9, 5, |x, y| image::Rgb([(x * 20) as u8, (y * 40) as u8, (80 * k) as u8]));
        (0..3).map(|k| (shade(k), Duration::from_millis(if k == 2 { 1500 } else { 80 }))).collect()
    }

    fn read(found: image::Frames<'_>) -> Vec<(RgbImage, Duration)> {
        let read = found.collect_frames().unwrap().into_iter();
        read.map(|frame| {
            let time = Duration::from(frame.delay());
            (DynamicImage::ImageRgba8(frame.into_buffer()).into_rgb8(), time)
        })
        .collect()
    }

    #[test]
    fn animations_read_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let [gif, apng] = ["a.gif", "a.apng"].map(|name| folder.path().join(name));
        let file = |path| BufReader::new(std::fs::File::open(path).unwrap());
        save_gif(&gif, &frames()).unwrap();
        // 45 colours fit a palette, so that nothing is lost.
        assert_eq!(read(GifDecoder::new(file(&gif)).unwrap().into_frames()), frames());
        save_apng(&apng, &frames()).unwrap();
        let decoder = PngDecoder::new(file(&apng)).unwrap();
        assert!(decoder.is_apng().unwrap());
        assert_eq!(read(decoder.apng().unwrap().into_frames()), frames());
    }

    #[test]
    fn what_makes_no_animation_is_refused_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.apng");
        let mut uneven = frames();
        uneven[1].0 = RgbImage::new(2, 2);
        assert!(save_apng(&path, &uneven).is_err() && save_apng(&path, &[]).is_err());
        assert!(!path.exists());
    }
}
