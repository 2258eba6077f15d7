//! Points in the plane: samples beside data.

use super::axis::{Axis, Frame};
use super::chart::legend;
use super::paint::{Area, INK, Layer, PAPER, palette};
use super::text::{Align, Font, write};
use image::imageops::crop_imm;
use image::{Rgb, RgbImage};

/// Points of one colour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointSet {
    /// What the legend calls them.
    pub name: String,
    /// (x, y); points that are no numbers are left out.
    pub points: Vec<(f32, f32)>,
}

impl PointSet {
    /// Points of this name.
    pub fn new(name: impl Into<String>, points: Vec<(f32, f32)>) -> Self {
        Self { name: name.into(), points }
    }

    /// Points `[N, 2]` as a source of points or a generator has them; an odd value at the end is left out.
    pub fn from_values(name: impl Into<String>, values: &[f32]) -> Self {
        Self::new(name, values.chunks_exact(2).map(|p| (p[0], p[1])).collect())
    }
}

/// A scatter plot with equal units on both axes, 720 pixels wide; later sets lie on top.
pub fn scatter(title: &str, sets: &[PointSet]) -> RgbImage {
    let (left, side) = (84, 600);
    let mut picture = RgbImage::from_pixel(720, 790, Rgb(PAPER));
    write(&mut picture, (left as i32, 18), title, Font::Title, INK, Align::Left);
    let names: Vec<&str> = sets.iter().map(|s| s.name.as_str()).collect();
    let top = (legend(&mut picture, (left, 48), &names) + 10).min(140);
    let finite = || sets.iter().flat_map(|s| s.points.iter()).filter(|p| p.0.is_finite() && p.1.is_finite());
    let (x, y) = (Axis::around(finite().map(|p| f64::from(p.0)), false, 0.06), Axis::around(finite().map(|p| f64::from(p.1)), false, 0.06));
    let length = x.length().max(y.length());
    let frame = Frame { area: Area { left, top, width: side, height: side }, x: x.at_least(length), y: y.at_least(length) };
    frame.draw(&mut picture, "", "");
    for (n, set) in sets.iter().enumerate() {
        let mut layer = Layer::new(frame.area);
        // Many points are finer and paler, so that their density shows.
        let many = set.points.len() > 2000;
        for &(x, y) in set.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
            layer.dot(frame.pixel(f64::from(x), f64::from(y)), if many { 1.4 } else { 2.2 });
        }
        layer.lay(&mut picture, palette(n), if many { 0.6 } else { 0.75 });
    }
    crop_imm(&picture, 0, 0, picture.width(), frame.area.bottom() + 40).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_any_value_make_a_plot() {
        let odd = [f32::NAN, f32::INFINITY, -1.0, 0.0, f32::MAX, f32::MIN, 1e-40];
        let points: Vec<(f32, f32)> = odd.iter().flat_map(|&x| odd.iter().map(move |&y| (x, y))).collect();
        for points in [vec![], vec![(1.0, 1.0)], points] {
            assert_eq!(scatter("odd", &[PointSet::new("a", points.clone()), PointSet::new("", points)]).width(), 720);
        }
        assert_eq!(PointSet::from_values("p", &[1.0, 2.0, 3.0]).points, [(1.0, 2.0)]);
    }
}
