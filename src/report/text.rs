//! Words on a picture, in the bitmap fonts of `embedded-graphics`: no font file is needed anywhere.

use super::paint::Colour;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle, iso_8859_1};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{Dimensions, DrawTarget, Drawable, OriginDimensions, Pixel, Point, Size};
use embedded_graphics::text::{Baseline, Text};
use image::{Rgb, RgbImage};
use std::convert::Infallible;

/// How large words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Font {
    /// 7×13 pixels a letter.
    Small,
    /// 9×15.
    Body,
    /// 10×20.
    Title,
}

impl Font {
    fn face(self) -> &'static MonoFont<'static> {
        match self {
            Self::Small => &iso_8859_1::FONT_7X13,
            Self::Body => &iso_8859_1::FONT_9X15,
            Self::Title => &iso_8859_1::FONT_10X20,
        }
    }

    /// Height of a line, pixels.
    pub fn height(self) -> u32 {
        self.face().character_size.height
    }

    /// Width of `text`, pixels.
    pub fn width(self, text: &str) -> u32 {
        printable(text).chars().count() as u32 * self.face().character_size.width
    }

    /// `text`, cut so that it is at most `width` pixels wide.
    pub fn fit(self, text: &str, width: u32) -> String {
        let text = printable(text);
        let room = (width / self.face().character_size.width) as usize;
        if text.chars().count() <= room {
            return text;
        }
        let kept: String = text.chars().take(room.saturating_sub(2)).collect();
        if room > 2 { kept + ".." } else { text.chars().take(room).collect() }
    }
}

/// Where the given point lies on the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// At its left end.
    Left,
    /// In the middle.
    Centre,
    /// At its right end.
    Right,
}

/// Writes one line with its upper edge at `y`; what lies outside the picture is cut.
pub fn write(picture: &mut RgbImage, (x, y): (i32, i32), text: &str, font: Font, colour: Colour, align: Align) {
    let text = printable(text);
    let width = font.width(&text) as i32;
    let left = match align {
        Align::Left => x,
        Align::Centre => x - width / 2,
        Align::Right => x - width,
    };
    let style = MonoTextStyle::new(font.face(), Rgb888::new(colour[0], colour[1], colour[2]));
    // The target cannot fail.
    let Ok(_) = Text::with_baseline(&text, Point::new(left, y), style, Baseline::Top).draw(&mut Target(picture));
}

/// Writes one line that reads upwards, its left edge at `x` and its middle at `y`.
pub fn write_upwards(picture: &mut RgbImage, (x, y): (i32, i32), text: &str, font: Font, colour: Colour) {
    let (width, height) = (font.width(text).max(1), font.height());
    let mut flat = RgbImage::new(width, height);
    write(&mut flat, (0, 0), text, font, [255; 3], Align::Left);
    for (u, v, pixel) in flat.enumerate_pixels() {
        if pixel.0[0] > 0 {
            let (px, py) = (x + v as i32, y + width as i32 / 2 - u as i32);
            if let (Ok(px), Ok(py)) = (u32::try_from(px), u32::try_from(py))
                && let Some(under) = picture.get_pixel_mut_checked(px, py)
            {
                *under = Rgb(colour);
            }
        }
    }
}

/// `text` in the letters that the fonts have (Latin-1).
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '–' | '—' | '−' => out.push('-'),
            '’' | '‘' => out.push('\''),
            '“' | '”' => out.push('"'),
            '…' => out.push_str("..."),
            ' '..='~' | '\u{a0}'..='\u{ff}' => out.push(letter),
            _ if letter.is_whitespace() => out.push(' '),
            _ => out.push('?'),
        }
    }
    out
}

struct Target<'a>(&'a mut RgbImage);

impl OriginDimensions for Target<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Target<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let bounds = self.bounding_box();
        for Pixel(at, colour) in pixels {
            if bounds.contains(at) {
                self.0.put_pixel(at.x as u32, at.y as u32, Rgb([colour.r(), colour.g(), colour.b()]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_alphabet_and_place_are_drawn_or_cut() {
        let mut picture = RgbImage::new(40, 20);
        for at in [(-100, -100), (0, 0), (39, 19), (1000, 5), (i32::MIN / 2, 0)] {
            for text in ["bits/dim", "σ = 0.02 – …", "\t", ""] {
                write(&mut picture, at, text, Font::Body, [255; 3], Align::Centre);
                write_upwards(&mut picture, at, text, Font::Title, [255; 3]);
            }
        }
        assert!(picture.pixels().any(|p| p.0 == [255; 3]));
        assert_eq!(Font::Small.fit("long caption", 56), "long c..");
        assert_eq!(Font::Small.fit("short", 56), "short");
    }
}
