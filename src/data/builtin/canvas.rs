//! Antialiased painting by signed distance: negative inside, and a pixel's coverage is 1/2 minus the distance, in 0..1.

/// A point, pixels, y down.
pub type Point = (f32, f32);

/// Coverage of a pixel whose centre is `distance` pixels outside a shape.
pub fn coverage(distance: f32) -> f32 {
    (0.5 - distance).clamp(0.0, 1.0)
}

/// Distance from `p` to the segment a–b, and where along it the nearest point is, 0..=1.
pub fn segment(p: Point, a: Point, b: Point) -> (f32, f32) {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let along = (((p.0 - a.0) * dx + (p.1 - a.1) * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
    ((p.0 - a.0 - along * dx).hypot(p.1 - a.1 - along * dy), along)
}

/// About the signed distance from `p` to an ellipse, good near its edge.
pub fn ellipse(p: Point, centre: Point, radii: Point) -> f32 {
    let (x, y) = (p.0 - centre.0, p.1 - centre.1);
    let scaled = (x / radii.0).hypot(y / radii.1);
    let slope = (x / (radii.0 * radii.0)).hypot(y / (radii.1 * radii.1));
    if slope < 1e-6 { -radii.0.min(radii.1) } else { scaled * (scaled - 1.0) / slope }
}

/// Signed distance from `p` to an upright box.
pub fn rectangle(p: Point, centre: Point, half: Point) -> f32 {
    let (x, y) = ((p.0 - centre.0).abs() - half.0, (p.1 - centre.1).abs() - half.1);
    x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0)
}

/// A colour picture, components 0..1.
pub struct Canvas {
    side: usize,
    pixels: Vec<[f32; 3]>,
}

impl Canvas {
    /// A square of one colour.
    pub fn new(side: usize, colour: [f32; 3]) -> Self {
        Self { side, pixels: vec![colour; side * side] }
    }

    /// Lays `colour` over the inside of a shape given by its signed distance.
    pub fn paint(&mut self, colour: [f32; 3], distance: impl Fn(Point) -> f32) {
        for (at, pixel) in self.pixels.iter_mut().enumerate() {
            let alpha = coverage(distance(((at % self.side) as f32 + 0.5, (at / self.side) as f32 + 0.5)));
            if alpha > 0.0 {
                for (under, over) in pixel.iter_mut().zip(colour) {
                    *under += alpha * (over - *under);
                }
            }
        }
    }

    /// Side×side×3 bytes.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.pixels.iter().flatten().map(|&v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
    }
}
