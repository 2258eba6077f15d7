//! Antialiased lines and dots on a picture.

use image::{Rgb, RgbImage};

/// Red, green, blue.
pub type Colour = [u8; 3];

/// A point in pixels; x to the right, y down, (0, 0) the corner.
pub type Point = (f32, f32);

/// Ink of text and axes.
pub const INK: Colour = [38, 42, 51];
/// Ink of what is read second.
pub const FAINT_INK: Colour = [104, 110, 122];
/// Lines behind the data.
pub const RULE: Colour = [226, 229, 235];
/// The paper.
pub const PAPER: Colour = [252, 252, 253];

/// Colours told apart by eyes of every kind (after Okabe and Ito, 2008, "Color universal design"), the strongest first.
/// The second eight are darker or paler, so that lightness tells them from the first.
const PALETTE: [Colour; 16] = [
    [0, 105, 180],
    [213, 94, 0],
    [0, 148, 108],
    [190, 80, 150],
    [228, 158, 0],
    [70, 170, 225],
    [120, 86, 60],
    [90, 96, 108],
    [16, 44, 104],
    [122, 24, 24],
    [130, 190, 60],
    [92, 40, 140],
    [240, 140, 130],
    [0, 78, 70],
    [178, 160, 220],
    [20, 20, 24],
];

/// The colour of the n-th series; they come round after sixteen.
pub fn palette(n: usize) -> Colour {
    PALETTE[n % PALETTE.len()]
}

/// A box of whole pixels.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Left edge.
    pub left: u32,
    /// Upper edge.
    pub top: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Area {
    /// One past the right edge.
    pub fn right(self) -> u32 {
        self.left + self.width
    }
    /// One past the lower edge.
    pub fn bottom(self) -> u32 {
        self.top + self.height
    }
}

/// `over` laid on `under` with an opacity of 0..1.
pub fn mix(under: Colour, over: Colour, alpha: f32) -> Colour {
    std::array::from_fn(|i| (f32::from(under[i]) + alpha * (f32::from(over[i]) - f32::from(under[i]))).round() as u8)
}

/// Lays a colour over one pixel; outside the picture, nothing.
pub fn blend(picture: &mut RgbImage, x: u32, y: u32, colour: Colour, alpha: f32) {
    if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
        *pixel = Rgb(mix(pixel.0, colour, alpha));
    }
}

/// Fills a box, as far as it lies in the picture.
pub fn fill(picture: &mut RgbImage, area: Area, colour: Colour) {
    for y in area.top..area.bottom().min(picture.height()) {
        for x in area.left..area.right().min(picture.width()) {
            picture.put_pixel(x, y, Rgb(colour));
        }
    }
}

/// Strokes on `area`, gathered before they are laid down, so that a line that crosses itself is no darker there.
pub struct Layer {
    area: Area,
    alpha: Vec<f32>,
}

impl Layer {
    /// An empty layer; nothing is drawn outside `area`.
    pub fn new(area: Area) -> Self {
        Self { area, alpha: vec![0.0; area.width as usize * area.height as usize] }
    }

    /// A line through `points`, `width` pixels thick, with round ends.
    pub fn polyline(&mut self, points: &[Point], width: f32) {
        for pair in points.windows(2) {
            self.segment(pair[0], pair[1], width / 2.0);
        }
        if let [only] = points {
            self.dot(*only, width / 2.0);
        }
    }

    /// A filled circle.
    pub fn dot(&mut self, centre: Point, radius: f32) {
        self.segment(centre, centre, radius);
    }

    fn segment(&mut self, a: Point, b: Point, radius: f32) {
        if !(a.0 + a.1 + b.0 + b.1).is_finite() {
            return;
        }
        let (left, top) = (self.area.left as f32, self.area.top as f32);
        let (a, b) = ((a.0 - left, a.1 - top), (b.0 - left, b.1 - top));
        let span = |a: f32, b: f32, size: u32| {
            let (low, high) = (a.min(b) - radius - 1.0, a.max(b) + radius + 1.0);
            (low.clamp(0.0, size as f32).floor() as usize, high.clamp(0.0, size as f32).ceil() as usize)
        };
        let ((x0, x1), (y0, y1)) = (span(a.0, b.0, self.area.width), span(a.1, b.1, self.area.height));
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let squared = (dx * dx + dy * dy).max(1e-12);
        for y in y0..y1 {
            for x in x0..x1 {
                let (px, py) = (x as f32 + 0.5 - a.0, y as f32 + 0.5 - a.1);
                let along = ((px * dx + py * dy) / squared).clamp(0.0, 1.0);
                let distance = (px - along * dx).hypot(py - along * dy);
                let alpha = &mut self.alpha[y * self.area.width as usize + x];
                *alpha = alpha.max((radius + 0.5 - distance).clamp(0.0, 1.0));
            }
        }
    }

    /// Lays the strokes on a picture in one colour, `opacity` 0..1.
    pub fn lay(&self, picture: &mut RgbImage, colour: Colour, opacity: f32) {
        for (row, y) in self.alpha.chunks(self.area.width.max(1) as usize).zip(self.area.top..) {
            for (&alpha, x) in row.iter().zip(self.area.left..) {
                if alpha > 0.0 {
                    blend(picture, x, y, colour, alpha * opacity);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_colours_of_the_palette_are_alike() {
        for (n, a) in PALETTE.iter().enumerate() {
            for b in PALETTE.iter().skip(n + 1).chain(&[PAPER]) {
                let apart: i32 = a.iter().zip(b).map(|(x, y)| (i32::from(*x) - i32::from(*y)).abs()).sum();
                assert!(apart > 70, "{a:?} and {b:?}");
            }
        }
    }
}
