//! Series as lines over their steps.

use super::chart::{ChartOptions, Series, chart};
use image::RgbImage;

/// Lines of a picture, at most.
const LINES: usize = 6;
/// A picture is as many pixels wide as there are steps, between these.
const WIDTHS: [u32; 2] = [1200, 4000];

/// The first of series `[N, T, C]`, C the number of `names`: the first six of one channel a line each, or the first one's channels.
pub fn sequences(title: &str, values: &[f64], steps: usize, names: &[String]) -> RgbImage {
    let channels = names.len().max(1);
    let line = |name: &str, from: &[f64], channel: usize| {
        let points = from.iter().skip(channel).step_by(channels).enumerate().map(|(step, value)| (step as f64, *value));
        Series::new(name, points.collect())
    };
    let items = values.chunks(steps * channels);
    let lines: Vec<Series> = if channels == 1 {
        items.take(LINES).enumerate().map(|(at, item)| line(&(at + 1).to_string(), item, 0)).collect()
    } else {
        items.take(1).flat_map(|item| names.iter().enumerate().map(move |(channel, name)| line(name, item, channel))).collect()
    };
    let width = (steps as u32).clamp(WIDTHS[0], WIDTHS[1]);
    let unit = if channels == 1 { names.first().map_or("", String::as_str) } else { "value" };
    // Peaks are what is looked for: none is left out as an outlier.
    let ends =
        lines.iter().flat_map(|line| &line.points).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p.1), high.max(p.1)));
    let room = 0.04 * (ends.1 - ends.0);
    let y_range = Some((ends.0 - room, ends.1 + room));
    chart(title, "step", unit, &lines, &ChartOptions { width, smooth: Some(0), y_range, ..ChartOptions::default() })
}

#[cfg(test)]
mod tests {
    use super::super::paint::palette;
    use super::*;

    #[test]
    fn every_channel_is_a_line_or_every_series_of_one() {
        let values: Vec<f64> = (0..600).map(|at| f64::from(at % 7) + f64::from(at / 100)).collect();
        let seen = |picture: &RgbImage, n: usize| picture.pixels().filter(|p| p.0 == palette(n)).count() > 50;
        let one = sequences("one", &values, 100, &["x".into()]);
        assert!((0..6).all(|n| seen(&one, n)));
        let three = sequences("three", &values, 100, &["x".into(), "y".into(), "z".into()]);
        assert!((0..3).all(|n| seen(&three, n)) && !seen(&three, 3));
        assert_eq!(sequences("long", &[0.5; 9000], 9000, &["x".into()]).width(), 4000);
    }
}
