//! Pictures side by side.

use super::paint::{Area, Colour, FAINT_INK, INK, fill, mix};
use super::text::{Align, Font, write};
use image::{Rgb, RgbImage};

/// Smallest longer side of an image in a grid, pixels.
const VISIBLE: usize = 56;
/// Between images, pixels.
const GAP: u32 = 3;
const GROUND: Colour = [235, 237, 241];
const HIGHLIGHT: Colour = [230, 97, 0];

/// How one image of a grid stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// It does not.
    #[default]
    Plain,
    /// An orange frame.
    Highlight,
    /// Faded towards the background.
    Dim,
    /// Left out: a place that no image has.
    Hole,
}

/// How [`grid_with`] lays images out.
#[derive(Clone, Debug, Default)]
pub struct GridOptions {
    /// Images a row; 0 for as square a grid as there is.
    pub columns: usize,
    /// Whole-number magnification; `None` for the least that makes the longer side 56 pixels.
    pub scale: Option<usize>,
    /// Line above everything.
    pub title: Option<String>,
    /// Captions above the columns; may be fewer.
    pub column_captions: Vec<String>,
    /// Captions left of the rows; may be fewer.
    pub row_captions: Vec<String>,
    /// Marks by image; those missing are plain.
    pub marks: Vec<Mark>,
}

/// A grid of N images `[N, H, W, C]` of values 0..1, `dims` = `[H, W, C]`, `columns` a row, magnified by a whole number until they
/// are at least 56 pixels. See [`grid_with`].
pub fn grid(images: &[f32], dims: [usize; 3], columns: usize) -> RgbImage {
    grid_with(images, dims, &GridOptions { columns, ..GridOptions::default() })
}

/// One image at its own size.
pub fn image(values: &[f32], dims: [usize; 3]) -> RgbImage {
    let [height, width, channels] = dims;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let pixel = &values[(y as usize * width + x as usize) * channels..][..channels];
        Rgb(std::array::from_fn(|i| (pixel[if channels >= 3 { i } else { 0 }].clamp(0.0, 1.0) * 255.0).round() as u8))
    })
}

/// A grid with captions and marks.
///
/// With three channels or more the first three are red, green, blue; else the first is grey. Values outside 0..1 are clamped, one that
/// is no number is magenta, and an unfinished image at the end of `images` is left out.
pub fn grid_with(images: &[f32], dims: [usize; 3], options: &GridOptions) -> RgbImage {
    let [height, width, channels] = dims;
    let item = height * width * channels;
    let count = images.len().checked_div(item).unwrap_or(0);
    let columns = if options.columns == 0 { (count as f64).sqrt().ceil() as usize } else { options.columns };
    let columns = columns.min(count).max(1);
    let rows = count.div_ceil(columns);
    let scale = options.scale.unwrap_or_else(|| VISIBLE.div_ceil(height.max(width).max(1))).max(1);
    let layout = Layout::new(columns, rows, (width * scale) as u32, (height * scale) as u32, options);
    let mut picture = RgbImage::from_pixel(layout.width, layout.height, Rgb(GROUND));
    for (at, image) in images.chunks_exact(item.max(1)).enumerate().take(count) {
        let mark = options.marks.get(at).copied().unwrap_or_default();
        if mark == Mark::Hole {
            continue;
        }
        let (left, top) = layout.corner(at % columns, at / columns);
        if mark == Mark::Highlight {
            let frame = Area { left: left - GAP, top: top - GAP, width: layout.cell.0 + 2 * GAP, height: layout.cell.1 + 2 * GAP };
            fill(&mut picture, frame, HIGHLIGHT);
        }
        for y in 0..layout.cell.1 {
            for x in 0..layout.cell.0 {
                let start = ((y as usize / scale) * width + x as usize / scale) * channels;
                let colour = colour_of(&image[start..start + channels]);
                picture.put_pixel(left + x, top + y, Rgb(if mark == Mark::Dim { mix(colour, GROUND, 0.72) } else { colour }));
            }
        }
    }
    layout.write_captions(&mut picture, options);
    picture
}

fn colour_of(values: &[f32]) -> Colour {
    let shown = match *values {
        [r, g, b, ..] => [r, g, b],
        [grey, ..] => [grey; 3],
        [] => [0.0; 3],
    };
    if shown.iter().any(|v| v.is_nan()) {
        return [255, 0, 255];
    }
    shown.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8)
}

struct Layout {
    cell: (u32, u32),
    origin: (u32, u32),
    width: u32,
    height: u32,
}

impl Layout {
    fn new(columns: usize, rows: usize, cell_width: u32, cell_height: u32, options: &GridOptions) -> Self {
        let widest = options.row_captions.iter().take(rows).map(|caption| Font::Small.width(caption)).max();
        let left = widest.map_or(0, |width| width + 10);
        let title = if options.title.is_some() { Font::Body.height() + 10 } else { 0 };
        let top = title + if options.column_captions.is_empty() { 0 } else { Font::Small.height() + 4 };
        let origin = (left + GAP, top + GAP);
        let width = origin.0 + columns as u32 * (cell_width + GAP);
        let title_width = options.title.as_ref().map_or(0, |title| Font::Body.width(title) + 12);
        Self {
            cell: (cell_width, cell_height),
            origin,
            width: width.max(title_width),
            height: origin.1 + rows as u32 * (cell_height + GAP),
        }
    }

    fn corner(&self, column: usize, row: usize) -> (u32, u32) {
        (self.origin.0 + column as u32 * (self.cell.0 + GAP), self.origin.1 + row as u32 * (self.cell.1 + GAP))
    }

    fn write_captions(&self, picture: &mut RgbImage, options: &GridOptions) {
        if let Some(title) = &options.title {
            write(picture, (6, 6), title, Font::Body, INK, Align::Left);
        }
        for (column, caption) in options.column_captions.iter().enumerate() {
            let (left, top) = self.corner(column, 0);
            let at = ((left + self.cell.0 / 2) as i32, top as i32 - Font::Small.height() as i32 - 4);
            if left + self.cell.0 <= self.width {
                write(picture, at, &Font::Small.fit(caption, self.cell.0), Font::Small, FAINT_INK, Align::Centre);
            }
        }
        for (row, caption) in options.row_captions.iter().enumerate() {
            let (left, top) = self.corner(0, row);
            let at = (left as i32 - 6, (top + self.cell.1 / 2) as i32 - Font::Small.height() as i32 / 2);
            write(picture, at, caption, Font::Small, FAINT_INK, Align::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_images_are_magnified_and_keep_their_values() {
        let images: Vec<f32> = (0..3 * 4).map(|i| i as f32 / 11.0).collect();
        let picture = grid(&images, [2, 2, 1], 2);
        assert_eq!(picture.dimensions(), (3 + 2 * (56 + 3), 3 + 2 * (56 + 3)));
        assert_eq!(picture.get_pixel(3, 3).0, [0; 3]);
        assert_eq!(picture.get_pixel(3 + 56 - 1, 3 + 56 - 1).0, [(3.0f32 / 11.0 * 255.0).round() as u8; 3]);
        assert_eq!(picture.get_pixel(3 + 59, 3 + 59).0, GROUND, "no fourth image");
    }

    #[test]
    fn a_hole_shows_the_ground() {
        let options = GridOptions { columns: 2, marks: vec![Mark::Plain, Mark::Hole], ..GridOptions::default() };
        let picture = grid_with(&[0.0; 8], [2, 2, 1], &options);
        assert_eq!((picture.get_pixel(3, 3).0, picture.get_pixel(3 + 59, 3).0), ([0; 3], GROUND));
    }

    #[test]
    fn odd_requests_make_a_picture_all_the_same() {
        for (len, dims) in [(0, [28, 28, 1]), (5, [0, 0, 0]), (100, [3, 5, 2]), (7, [2, 2, 1]), (16, [1, 1, 4])] {
            for columns in [0, 1, 1000] {
                let captions = vec!["a long caption".to_owned(); 3];
                let options = GridOptions {
                    columns,
                    title: Some("title".into()),
                    column_captions: captions.clone(),
                    row_captions: captions,
                    marks: vec![Mark::Highlight, Mark::Dim],
                    scale: Some(0),
                };
                let picture = grid_with(&vec![f32::NAN; len], dims, &options);
                assert!(picture.width() > 0 && picture.height() > 0);
            }
        }
    }
}
