//! Line charts: losses over steps, and the like.

use super::axis::{Axis, Frame};
use super::paint::{Area, Colour, INK, Layer, PAPER, Point, fill, palette};
use super::text::{Align, Font, write};
use image::{Rgb, RgbImage};

/// One line of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// (x, y) in the order of x; points that are no numbers are left out.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A line of this name through these points.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points }
    }
}

/// How [`chart`] draws.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartOptions {
    /// Width, pixels; at least 320.
    pub width: u32,
    /// Height, pixels; at least 240.
    pub height: u32,
    /// Logarithmic x; points at 0 or less are left out.
    pub log_x: bool,
    /// Logarithmic y; values of 0 or less are left out.
    pub log_y: bool,
    /// Points of the running mean that is drawn over the faded data; 0 or 1 for none, `None` for one fiftieth of a long series.
    pub smooth: Option<usize>,
    /// Lowest and highest y; `None` to fit the data, of which a few outliers (a loss's first steps) may leave the plot.
    pub y_range: Option<(f64, f64)>,
}

impl Default for ChartOptions {
    /// 1200×720, linear, smoothed where long, fitted.
    fn default() -> Self {
        Self { width: 1200, height: 720, log_x: false, log_y: false, smooth: None, y_range: None }
    }
}

/// Series of fewer points than this have a dot at each.
const DOTTED: usize = 40;
/// Series of more points than this are smoothed unless told otherwise.
const LONG: usize = 60;
/// Points of a running mean, at least.
const MEAN: usize = 5;

/// A line chart with axes, ticks, legend and title.
pub fn chart(title: &str, x_label: &str, y_label: &str, series: &[Series], options: &ChartOptions) -> RgbImage {
    let (width, height) = (options.width.clamp(320, 16_384), options.height.clamp(240, 16_384));
    let mut picture = RgbImage::from_pixel(width, height, Rgb(PAPER));
    let left = 104;
    write(&mut picture, (left as i32, 18), title, Font::Title, INK, Align::Left);
    let names: Vec<&str> = series.iter().map(|s| s.name.as_str()).collect();
    let top = legend(&mut picture, (left, 48), &names) + 10;
    let area = Area { left, top, width: width - left - 32, height: height.saturating_sub(top + 64).max(32) };
    let places = series.iter().flat_map(|s| s.points.iter().filter(|p| p.1.is_finite()).map(|p| p.0));
    let x = Axis::around(places, options.log_x, if options.log_x { 0.04 } else { 0.0 });
    let frame = Frame { area, x, y: y_axis(series, options) };
    frame.draw(&mut picture, x_label, y_label);
    for (n, series) in series.iter().enumerate() {
        draw_series(&mut picture, &frame, &series.points, palette(n), options);
    }
    picture
}

/// Writes coloured names in rows from (x, y) on; returns the lower edge. No names, or only one that is empty, take no room.
pub fn legend(picture: &mut RgbImage, (x, y): (u32, u32), names: &[&str]) -> u32 {
    if names.iter().all(|name| name.is_empty()) {
        return y;
    }
    let (mut left, mut top) = (x, y);
    for (n, name) in names.iter().enumerate() {
        let width = 34 + Font::Body.width(name) + 26;
        if left > x && left + width > picture.width() {
            (left, top) = (x, top + 22);
        }
        fill(picture, Area { left, top: top + 6, width: 26, height: 4 }, palette(n));
        write(picture, ((left + 34) as i32, top as i32), name, Font::Body, INK, Align::Left);
        left += width;
    }
    top + 20
}

fn y_axis(series: &[Series], options: &ChartOptions) -> Axis {
    if let Some((low, high)) = options.y_range {
        return Axis::new(low, high, options.log_y);
    }
    let mut values: Vec<f64> = series.iter().flat_map(|s| s.points.iter()).map(|p| p.1).filter(|v| v.is_finite()).collect();
    if !options.log_y && values.len() >= 50 {
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (values[0], values[values.len() - 1]);
        let (low, high) = (values[values.len() / 25], values[values.len() - 1 - values.len() / 25]);
        // Only what would squeeze all the rest into a quarter of the plot is left out of it.
        let room = 0.15 * (high - low);
        let low = if high - min > 4.0 * (high - low) { low - room } else { min };
        let high = if max - low > 4.0 * (high - low) { high + room } else { max };
        values.retain(|v| (low..=high).contains(v));
        if high > low {
            return Axis::around([low, high].into_iter(), false, 0.04);
        }
    }
    Axis::around(values.into_iter(), options.log_y, 0.06)
}

fn draw_series(picture: &mut RgbImage, frame: &Frame, points: &[(f64, f64)], colour: Colour, options: &ChartOptions) {
    let shown = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite() && (!options.log_x || p.0 > 0.0) && (!options.log_y || p.1 > 0.0);
    let points: Vec<(f64, f64)> = points.iter().filter(shown).copied().collect();
    let window = options.smooth.unwrap_or(if points.len() > LONG { (points.len() / 50).max(MEAN) } else { 1 });
    let smoothed = window > 1 && points.len() > window;
    let mut raw = Layer::new(frame.area);
    let path = thinned(points.iter().map(|p| frame.pixel(p.0, p.1)));
    raw.polyline(&path, if smoothed { 1.2 } else { 2.4 });
    if points.len() < DOTTED {
        path.iter().for_each(|&p| raw.dot(p, 4.0));
    }
    raw.lay(picture, colour, if smoothed { 0.28 } else { 1.0 });
    if smoothed {
        let mut mean = Layer::new(frame.area);
        mean.polyline(&thinned(running_mean(&points, window).map(|p| frame.pixel(p.0, p.1))), 2.4);
        mean.lay(picture, colour, 1.0);
    }
}

/// The mean of the `window` points around each, of fewer at the ends.
fn running_mean(points: &[(f64, f64)], window: usize) -> impl Iterator<Item = (f64, f64)> {
    let half = window / 2;
    (0..points.len()).map(move |i| {
        // As many before as after, so that the ends do not lag behind.
        let reach = half.min(i).min(points.len() - 1 - i);
        let near = &points[i - reach..=i + reach];
        (points[i].0, near.iter().map(|p| p.1).sum::<f64>() / near.len() as f64)
    })
}

/// At most four points a pixel column (first, lowest, highest, last): the same picture from any number of points.
fn thinned(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    let mut column: Vec<Point> = Vec::new();
    for point in points {
        if column.first().is_some_and(|first| first.0.floor() != point.0.floor()) {
            flush(&mut column, &mut kept);
        }
        column.push(point);
    }
    flush(&mut column, &mut kept);
    kept
}

fn flush(column: &mut Vec<Point>, kept: &mut Vec<Point>) {
    if column.len() > 4 {
        let by_height = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
        let (low, high) = (column.iter().min_by(by_height).copied(), column.iter().max_by(by_height).copied());
        let ends = [column.first().copied(), low, high, column.last().copied()];
        kept.extend(ends.into_iter().flatten());
        column.clear();
    }
    kept.append(column);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(picture: &RgbImage, colour: Colour) -> usize {
        picture.pixels().filter(|p| p.0 == colour).count()
    }

    #[test]
    fn every_series_is_seen() {
        let line =
            |slope: f64| Series::new(format!("slope {slope}"), (0..2000).map(|i| (f64::from(i), 3.0 + slope * f64::from(i))).collect());
        let all: Vec<Series> = (1..=8).map(|n| line(f64::from(n))).collect();
        for (log_x, log_y) in [(false, false), (false, true), (true, true)] {
            let picture = chart("title", "x", "y", &all, &ChartOptions { log_x, log_y, ..ChartOptions::default() });
            assert!((0..8).all(|n| ink(&picture, palette(n)) > 300), "log {log_x} {log_y}");
        }
    }

    #[test]
    fn points_that_cannot_be_shown_make_a_chart_all_the_same() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e-308, f64::MAX, f64::MIN, 7.0];
        let points: Vec<(f64, f64)> = odd.iter().flat_map(|&x| odd.iter().map(move |&y| (x, y))).collect();
        for (log_x, log_y) in [(false, false), (false, true), (true, false), (true, true)] {
            for points in [vec![], vec![(1.0, 1.0)], vec![(f64::NAN, 1.0)], points.clone(), points.repeat(10)] {
                let options = ChartOptions { log_x, log_y, width: 0, height: 0, ..ChartOptions::default() };
                let picture = chart("", "", "", &[Series::new("odd", points)], &options);
                assert_eq!(picture.dimensions(), (320, 240));
            }
        }
        assert_eq!(chart("none", "x", "y", &[], &ChartOptions::default()).dimensions(), (1200, 720));
    }

    #[test]
    fn a_few_wild_first_steps_do_not_squeeze_the_rest() {
        let points: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), if i < 5 { 1e4 } else { 100.0 - f64::from(i) * 0.01 })).collect();
        let axis = y_axis(&[Series::new("loss", points)], &ChartOptions::default());
        assert!(axis.place(100.0) - axis.place(91.0) > 0.5);
    }
}
