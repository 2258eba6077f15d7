//! Fan charts: what was, what is forecast, and what came.

use super::axis::{Axis, Frame};
use super::chart::legend;
use super::paint::{Area, INK, Layer, PAPER, blend, palette};
use super::text::{Align, Font, write};
use image::{Rgb, RgbImage};

/// Opacity of the wider band and of the one within it.
const BANDS: [f32; 2] = [0.18, 0.32];

/// A fan behind the first `begins` steps: for each step five quantiles, the outer band's lower end first, the median in the middle. `known`
/// holds the values of all steps that are known, those of the beginning first.
pub fn fan(title: &str, unit: &str, known: &[f64], begins: usize, quantiles: &[[f64; 5]]) -> RgbImage {
    let steps = begins + quantiles.len();
    let mut picture = RgbImage::from_pixel((steps as u32).clamp(1200, 4000), 720, Rgb(PAPER));
    let left = 104;
    write(&mut picture, (left, 18), title, Font::Title, INK, Align::Left);
    let top = legend(&mut picture, (left as u32, 48), &["median and the middle 50% and 90% of the forecasts", "known"]) + 10;
    let area = Area { left: left as u32, top, width: picture.width() - left as u32 - 32, height: picture.height() - top - 64 };
    let values = known.iter().chain(quantiles.iter().flatten()).copied();
    let x = Axis::new(0.0, steps.saturating_sub(1) as f64, false);
    let frame = Frame { area, x, y: Axis::around(values, false, 0.05) };
    frame.draw(&mut picture, "step", unit);
    // The fan opens at the last value that is given.
    let origin = begins.checked_sub(1).and_then(|last| Some((last as f64, [*known.get(last)?; 5])));
    let open: Vec<(f64, [f64; 5])> =
        origin.into_iter().chain(quantiles.iter().enumerate().map(|(h, q)| ((begins + h) as f64, *q))).collect();
    for pair in open.windows(2) {
        let ((x0, from), (x1, to)) = (pair[0], pair[1]);
        let ends = [frame.pixel(x0, 0.0).0, frame.pixel(x1, 0.0).0];
        for column in ends[0].round() as u32..ends[1].round() as u32 {
            let share = f64::from((column as f32 + 0.5 - ends[0]) / (ends[1] - ends[0])).clamp(0.0, 1.0);
            for (band, alpha) in BANDS.into_iter().enumerate() {
                let [high, low] = [4 - band, band].map(|k| frame.pixel(x0, from[k] + share * (to[k] - from[k])).1);
                let rows = (high.round() as u32).max(area.top)..(low.round() as u32).min(area.bottom());
                rows.for_each(|row| blend(&mut picture, column, row, palette(0), alpha));
            }
        }
    }
    let mut line = |points: Vec<(f32, f32)>, colour| {
        let mut layer = Layer::new(area);
        layer.polyline(&points, 2.0);
        layer.lay(&mut picture, colour, 1.0);
    };
    line(open.iter().map(|(x, q)| frame.pixel(*x, q[2])).collect(), palette(0));
    line(known.iter().enumerate().map(|(x, y)| frame.pixel(x as f64, *y)).collect(), palette(1));
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_lie_around_the_median_behind_what_is_known() {
        let known: Vec<f64> = (0..60).map(|t| f64::from(t) / 10.0).collect();
        let quantiles: Vec<[f64; 5]> = (0..40).map(|h| [-2.0, -1.0, 0.0, 1.0, 2.0].map(|k| 4.0 + k * f64::from(h) / 20.0)).collect();
        let picture = fan("a fan", "unit", &known, 40, &quantiles);
        let count = |colour: [u8; 3]| picture.pixels().filter(|p| p.0 == colour).count();
        let outer = super::super::paint::mix(PAPER, palette(0), BANDS[0]);
        let inner = super::super::paint::mix(outer, palette(0), BANDS[1]);
        assert!(count(outer) > 5000 && count(inner) > 5000, "{} {}", count(outer), count(inner));
        assert!(count(palette(0)) > 300 && count(palette(1)) > 300);
        // Nothing is forecast where everything is given.
        let left = picture.enumerate_pixels().filter(|(x, _, p)| *x < 400 && [outer, inner].contains(&p.0)).count();
        assert_eq!(left, 0);
        assert_eq!(fan("", "", &[], 0, &[[f64::NAN; 5]; 3]).width(), 1200);
    }
}
