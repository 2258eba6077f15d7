//! Rooflines: what kernels reach, under what the device can do (Williams, Waterman and Patterson, 2009).

use super::axis::{Axis, Frame};
use super::chart::{Series, legend};
use super::paint::{Area, FAINT_INK, INK, Layer, PAPER, palette};
use super::text::{Align, Font, write};
use image::{Rgb, RgbImage};

/// A device's ceilings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roof {
    /// Arithmetic, in GFLOP/s.
    pub gflops: f64,
    /// Bytes moved, in GB/s.
    pub gbps: f64,
}

/// Points (flop a byte, GFLOP/s) under the roof, both axes logarithmic; one colour a set. Points that are no positive numbers are left
/// out.
pub fn roofline(title: &str, roof: &Roof, sets: &[Series]) -> RgbImage {
    let (width, height, left) = (1200, 800, 104);
    let mut picture = RgbImage::from_pixel(width, height, Rgb(PAPER));
    write(&mut picture, (left as i32, 18), title, Font::Title, INK, Align::Left);
    let names: Vec<&str> = sets.iter().map(|s| s.name.as_str()).collect();
    let top = (legend(&mut picture, (left, 48), &names) + 10).min(height / 3);
    let shown = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite() && p.0 > 0.0 && p.1 > 0.0;
    let points = || sets.iter().flat_map(|s| s.points.iter().filter(shown));
    let ridge = roof.gflops / roof.gbps;
    let frame = Frame {
        area: Area { left, top, width: width - left - 32, height: height - top - 64 },
        // Room around the corner of the roof, wherever the points are.
        x: Axis::around(points().map(|p| p.0).chain([ridge / 4.0, ridge * 4.0]), true, 0.04),
        y: Axis::around(points().map(|p| p.1).chain([roof.gflops / 16.0, roof.gflops * 1.3]), true, 0.04),
    };
    frame.draw(&mut picture, "floating-point operations a byte", "GFLOP/s");
    draw_roof(&mut picture, &frame, roof);
    for (n, set) in sets.iter().enumerate() {
        for &(x, y) in set.points.iter().filter(shown) {
            let at = frame.pixel(x, y);
            for (radius, colour) in [(6.0, PAPER), (4.5, palette(n))] {
                let mut layer = Layer::new(frame.area);
                layer.dot(at, radius);
                layer.lay(&mut picture, colour, 0.85);
            }
        }
    }
    picture
}

fn draw_roof(picture: &mut RgbImage, frame: &Frame, roof: &Roof) {
    if !(roof.gflops.is_finite() && roof.gbps.is_finite() && roof.gflops > 0.0 && roof.gbps > 0.0) {
        return;
    }
    let ridge = roof.gflops / roof.gbps;
    // A thousandfold to either side of the corner leaves the plot, or nearly.
    let (low, high) = (ridge * 1e-3, ridge * 1e3);
    let path = [(low, low * roof.gbps), (ridge, roof.gflops), (high, roof.gflops)].map(|p| frame.pixel(p.0, p.1));
    let mut layer = Layer::new(frame.area);
    layer.polyline(&path, 2.4);
    layer.lay(picture, FAINT_INK, 1.0);
    // Left of the slope and above it, where points are rare.
    for (words, part) in [(format!("multiply-add {:.1} GFLOP/s", roof.gflops), 1.0), (format!("copy {:.1} GB/s", roof.gbps), 3.0)] {
        let (x, y) = frame.pixel(ridge / part, roof.gflops / part);
        write(picture, (x as i32 - 14, y as i32 - Font::Body.height() as i32), &words, Font::Body, FAINT_INK, Align::Right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roofs_and_points_of_any_value_make_a_picture() {
        let odd = [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-300, f64::MAX, 1.0];
        let points: Vec<(f64, f64)> = odd.iter().flat_map(|&x| odd.iter().map(move |&y| (x, y))).collect();
        for gflops in odd {
            for sets in [vec![], vec![Series::new("a", points.clone()), Series::new("", vec![(1.0, 2.0)])]] {
                assert_eq!(roofline("odd", &Roof { gflops, gbps: 10.0 }, &sets).dimensions(), (1200, 800));
            }
        }
    }

    #[test]
    fn every_set_and_the_roof_are_seen() {
        let sets: Vec<Series> = (0..12).map(|n| Series::new(format!("set {n}"), vec![(0.5 * 1.6f64.powi(n), 3.0)])).collect();
        let picture = roofline("title", &Roof { gflops: 100.0, gbps: 10.0 }, &sets);
        let ink = |colour: [u8; 3]| picture.pixels().filter(|p| (0..3).all(|i| p.0[i].abs_diff(colour[i]) < 40)).count();
        assert!((0..12).all(|n| ink(palette(n)) > 40) && ink(FAINT_INK) > 500);
    }
}
