//! A series with how unlikely each of its steps is beneath it.

use super::axis::{Axis, Frame};
use super::chart::legend;
use super::paint::{Area, INK, Layer, PAPER, blend, palette};
use super::text::{Align, Font, write};
use image::{Rgb, RgbImage};

/// Steps of a strip, at least; a longer series is laid in more strips, up to [`STRIPS`], and then in longer ones.
const STEPS: usize = 1800;
/// Strips of a picture, at most.
const STRIPS: usize = 8;
/// Pixels of a picture's width, and of the two plots of a strip.
const WIDTH: u32 = 1600;
const HEIGHTS: [u32; 2] = [150, 70];
/// What lies between strips: ticks and their labels.
const GAP: u32 = 96;
/// Opacity of a marked stretch, and the palette's colours of marks and surprise.
const MARK: f32 = 0.22;
const MARKED: usize = 1;
const SURPRISED: usize = 3;

/// What is drawn.
pub struct SurprisePicture<'a> {
    /// Names of the channels.
    pub names: &'a [String],
    /// Values `[T, C]`.
    pub values: &'a [f64],
    /// Nats of each of the T steps, smoothed as they are to be seen.
    pub nats: &'a [f64],
    /// First steps, and numbers of steps, of the stretches to mark: the first is number 1.
    pub marks: &'a [(usize, usize)],
}

/// Strips of a series, one under another, each with its surprise beneath. Several channels are drawn each in its own range.
pub fn surprise(title: &str, shown: &SurprisePicture<'_>) -> RgbImage {
    let channels = shown.names.len().max(1);
    let total = shown.nats.len();
    let each = total.div_ceil(STRIPS).max(STEPS).min(total.max(1));
    let strips = total.div_ceil(each).max(1);
    let height = |strips: usize| 96 + strips as u32 * (HEIGHTS[0] + HEIGHTS[1] + GAP);
    let mut picture = RgbImage::from_pixel(WIDTH, height(strips), Rgb(PAPER));
    let left = 104;
    write(&mut picture, (left, 18), title, Font::Title, INK, Align::Left);
    let names: Vec<&str> = shown.names.iter().map(String::as_str).collect();
    legend(&mut picture, (left as u32, 48), &names);
    let ranges: Vec<Axis> =
        (0..channels).map(|c| Axis::around(shown.values.iter().skip(c).step_by(channels).copied(), false, 0.05)).collect();
    let y = if channels == 1 { ranges[0] } else { Axis::new(0.0, 1.0, false) };
    let nats = Axis::around(shown.nats.iter().copied(), false, 0.05);
    for strip in 0..strips {
        let (first, last) = (strip * each, ((strip + 1) * each).min(total));
        let top = 88 + strip as u32 * (HEIGHTS[0] + HEIGHTS[1] + GAP);
        let x = Axis::new(first as f64, (first + each) as f64, false);
        let area = |top, height| Area { left: left as u32, top, width: WIDTH - left as u32 - 32, height };
        let above = Frame { area: area(top, HEIGHTS[0]), x, y };
        let below = Frame { area: area(top + HEIGHTS[0] + 44, HEIGHTS[1]), x, y: nats };
        above.draw(&mut picture, "", if channels == 1 { names.first().copied().unwrap_or_default() } else { "" });
        below.draw(&mut picture, "step", "nats");
        for (number, (start, steps)) in shown.marks.iter().enumerate() {
            let (from, to) = ((*start).max(first), (start + steps).min(last));
            if from >= to {
                continue;
            }
            let ends = [from, to].map(|at| above.pixel(at as f64, 0.0).0.round() as u32);
            let rows = (above.area.top..above.area.bottom()).chain(below.area.top..below.area.bottom());
            for row in rows {
                (ends[0]..ends[1].max(ends[0] + 3)).for_each(|column| blend(&mut picture, column, row, palette(MARKED), MARK));
            }
            let middle = i32::midpoint(ends[0] as i32, ends[1] as i32);
            write(&mut picture, (middle, top as i32 + 2), &(number + 1).to_string(), Font::Small, INK, Align::Centre);
        }
        let mut line = |frame: &Frame, points: Vec<(f32, f32)>, colour| {
            let mut layer = Layer::new(frame.area);
            layer.polyline(&points, 1.6);
            layer.lay(&mut picture, colour, 1.0);
        };
        for (c, range) in ranges.iter().enumerate() {
            let value = |at: usize| {
                let value = shown.values[at * channels + c];
                if channels == 1 { value } else { range.place(value) }
            };
            line(&above, (first..last).map(|at| above.pixel(at as f64, value(at))).collect(), palette(c));
        }
        line(&below, (first..last).map(|at| below.pixel(at as f64, shown.nats[at])).collect(), palette(SURPRISED));
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lie_in_the_strip_of_their_steps() {
        let values: Vec<f64> = (0..4000).map(|t| (f64::from(t) / 30.0).sin()).collect();
        let nats: Vec<f64> = (0..4000).map(|t| if (3000..3050).contains(&t) { 5.0 } else { 1.0 }).collect();
        let names = ["mV".to_string()];
        let picture = |marks| surprise("s", &SurprisePicture { names: &names, values: &values, nats: &nats, marks });
        let (plain, marked) = (picture(&[]), picture(&[(3000, 50)]));
        assert_eq!(plain.dimensions(), (WIDTH, 96 + 3 * (150 + 70 + 96)));
        let rows: Vec<u32> = plain.enumerate_pixels().filter(|(x, y, p)| marked.get_pixel(*x, *y) != *p).map(|(_, y, _)| y).collect();
        let second = 88 + 316..88 + 2 * 316;
        assert!(rows.len() > 1000 && rows.iter().all(|y| second.contains(y)), "{} pixels", rows.len());
        // Of two channels each has a range of its own.
        let values: Vec<f64> = (0..2000).map(f64::from).flat_map(|t| [(t / 30.0).sin(), 100.0 * (t / 30.0).cos()]).collect();
        let two = surprise("s", &SurprisePicture { names: &["a".into(), "b".into()], values: &values, nats: &nats[..2000], marks: &[] });
        assert!((0..2).all(|n| two.pixels().filter(|p| p.0 == palette(n)).count() > 300));
        assert_eq!(surprise("", &SurprisePicture { names: &[], values: &[], nats: &[], marks: &[] }).width(), WIDTH);
    }
}
