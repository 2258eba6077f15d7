//! Axes: the range of the data, round ticks, and the frame of a plot.

use super::paint::{Area, FAINT_INK, INK, Point, RULE, fill};
use super::text::{Align, Font, write, write_upwards};
use image::RgbImage;

/// Beyond this a difference of two values may overflow.
const LARGEST: f64 = 1e300;

/// A range of values and how it is spread over a length.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

/// A labelled place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// 0 at the low end, 1 at the high one.
    pub at: f64,
    /// What stands there; empty at minor ticks.
    pub label: String,
}

impl Axis {
    /// From `low` to `high`; 0..1 (1..10 for a logarithmic axis) where they are no range.
    pub fn new(low: f64, high: f64, log: bool) -> Self {
        let (low, high) = (low.clamp(-LARGEST, LARGEST), high.clamp(-LARGEST, LARGEST));
        let magnitude = low.abs().max(high.abs());
        if low.is_nan() || high.is_nan() || low > high || (log && low <= 0.0) {
            return if log { Self { low: 1.0, high: 10.0, log } } else { Self { low: 0.0, high: 1.0, log } };
        }
        let (low, high) = if log { (low.max(1.0 / LARGEST), high.max(1.0 / LARGEST)) } else { (low, high) };
        if high - low > 1e-9 * magnitude {
            return Self { low, high, log };
        }
        // One value: some room around it.
        let room = if magnitude == 0.0 { 0.5 } else { 0.1 * magnitude };
        Self { low: low - room, high: high + room, log }
    }

    /// Around all `values` that can be shown, with `margin` of its length on both sides.
    pub fn around(values: impl Iterator<Item = f64>, log: bool, margin: f64) -> Self {
        let shown = values.filter(|v| v.is_finite() && (!log || *v > 0.0));
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Self::new(f64::NAN, f64::NAN, log);
        }
        let tight = Self::new(low, high, log);
        if log {
            let room = (tight.high / tight.low).powf(margin);
            return Self::new(tight.low / room, tight.high * room, log);
        }
        let room = margin * (tight.high - tight.low);
        Self::new(tight.low - room, tight.high + room, log)
    }

    /// The same middle, stretched to a length of at least `length`; linear axes only.
    pub fn at_least(self, length: f64) -> Self {
        let more = ((length - self.length()) / 2.0).max(0.0);
        Self::new(self.low - more, self.high + more, self.log)
    }

    /// From end to end.
    pub fn length(&self) -> f64 {
        self.high - self.low
    }

    /// Where a value lies: 0 at the low end, 1 at the high one; not a number where it cannot be shown.
    pub fn place(&self, value: f64) -> f64 {
        if self.log { (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln()) } else { (value - self.low) / (self.high - self.low) }
    }

    /// About `wanted` ticks.
    pub fn ticks(&self, wanted: usize) -> Vec<Tick> {
        if self.log && self.high / self.low >= 5.0 { self.log_ticks(wanted) } else { self.linear_ticks(wanted) }
    }

    fn linear_ticks(&self, wanted: usize) -> Vec<Tick> {
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= rough * 0.999).unwrap_or(10.0 * power);
        let first = (self.low / step - 1e-6).ceil();
        (0..4 * wanted.max(1))
            .map(|i| (first + i as f64) * step)
            .take_while(|&v| v <= self.high + 1e-6 * step)
            .map(|v| Tick { at: self.place(v), label: number(v, step, self.low.abs().max(self.high.abs())) })
            .collect()
    }

    fn log_ticks(&self, wanted: usize) -> Vec<Tick> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let decades = self.high.log10() - self.low.log10();
        let stride = ((decades / wanted.max(1) as f64).ceil() as i32).max(1);
        let mut ticks = Vec::new();
        for exponent in (first..=last).filter(|exponent| exponent.rem_euclid(stride) == 0) {
            for digit in 1..10 {
                let value = f64::from(digit) * 10f64.powi(exponent);
                let at = self.place(value);
                if !(-1e-6..=1.0 + 1e-6).contains(&at) || (stride > 1 && digit > 1) {
                    continue;
                }
                let named = digit == 1 || (decades < 2.0 && (digit == 2 || digit == 5));
                ticks.push(Tick { at, label: if named { number(value, value, value) } else { String::new() } });
            }
        }
        ticks
    }
}

/// `value` to the precision of `step`, in thousands or millions where `largest` is large.
fn number(value: f64, step: f64, largest: f64) -> String {
    let (unit, suffix) = match largest {
        l if !(1e-4..1e9).contains(&l) => {
            let value = if value.abs() < 1e-9 * step { 0.0 } else { value };
            let digits = if value == 0.0 { 0.0 } else { (value.abs().log10().floor() - step.log10().floor()).clamp(0.0, 6.0) };
            return format!("{value:.*e}", digits as usize);
        }
        l if l >= 1e6 => (1e6, "M"),
        l if l >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let decimals = (-(step / unit).log10() - 1e-9).ceil().clamp(0.0, 9.0) as usize;
    let text = format!("{:.decimals$}", value / unit);
    if text.trim_matches(['-', '0', '.']).is_empty() { "0".into() } else { text + suffix }
}

/// A plot's place and its two axes.
pub struct Frame {
    /// The pixels of the plot itself.
    pub area: Area,
    /// Left to right.
    pub x: Axis,
    /// Bottom to top.
    pub y: Axis,
}

impl Frame {
    /// The pixel of a point.
    pub fn pixel(&self, x: f64, y: f64) -> Point {
        // Kept near the plot: a steep line still leaves it at the right place.
        let near = |v: f64| v.clamp(-20.0, 21.0) as f32;
        (
            self.area.left as f32 + near(self.x.place(x)) * self.area.width as f32,
            self.area.bottom() as f32 - near(self.y.place(y)) * self.area.height as f32,
        )
    }

    /// Draws rules, ticks, their labels and the names of the axes; the data comes on top.
    pub fn draw(&self, picture: &mut RgbImage, x_label: &str, y_label: &str) {
        let Area { left, top, width, height } = self.area;
        let line = 15;
        for tick in self.x.ticks((width / 110).max(2) as usize) {
            let at = left + (tick.at * f64::from(width)).round().max(0.0) as u32;
            let named = !tick.label.is_empty();
            fill(picture, Area { left: at, top, width: 1, height: height + if named { 5 } else { 0 } }, RULE);
            write(picture, (at as i32, (top + height + 8) as i32), &tick.label, Font::Body, FAINT_INK, Align::Centre);
        }
        let mut widest = 0;
        for tick in self.y.ticks((height / 75).max(2) as usize) {
            let at = top + height - (tick.at * f64::from(height)).round().clamp(0.0, f64::from(height)) as u32;
            fill(picture, Area { left, top: at, width, height: 1 }, RULE);
            write(picture, (left as i32 - 8, at as i32 - line / 2), &tick.label, Font::Body, FAINT_INK, Align::Right);
            widest = widest.max(Font::Body.width(&tick.label) as i32);
        }
        fill(picture, Area { left, top: top + height, width: width + 1, height: 1 }, FAINT_INK);
        fill(picture, Area { left, top, width: 1, height }, FAINT_INK);
        let middle = ((left + width / 2) as i32, (top + height / 2) as i32);
        write(picture, (middle.0, (top + height) as i32 + 30), x_label, Font::Body, INK, Align::Centre);
        write_upwards(picture, ((left as i32 - widest - 32).max(2), middle.1), y_label, Font::Body, INK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, log: bool) -> Vec<String> {
        Axis::new(low, high, log).ticks(5).into_iter().map(|t| t.label).filter(|l| !l.is_empty()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(0.0, 1.0, false), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(78.3, 112.0, false), ["80", "90", "100", "110"]);
        assert_eq!(labels(0.0, 50_000.0, false), ["0", "10k", "20k", "30k", "40k", "50k"]);
        assert_eq!(labels(-2.5, 2.5, false), ["-2", "-1", "0", "1", "2"]);
        assert_eq!(labels(0.001, 100.0, true), ["0.001", "0.01", "0.1", "1", "10", "100"]);
        assert_eq!(labels(80.0, 120.0, true), ["80", "90", "100", "110", "120"]);
    }

    #[test]
    fn any_range_has_an_axis() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e-308, 5e-324, f64::MAX, f64::MIN, 1.0, 1.0 + 1e-15];
        for low in odd {
            for high in odd {
                for log in [false, true] {
                    for axis in [Axis::new(low, high, log), Axis::around([low, high].into_iter(), log, 0.05)] {
                        let ticks = axis.ticks(6);
                        assert!(ticks.len() < 100 && ticks.iter().all(|t| t.at.is_finite()), "{axis:?}: {ticks:?}");
                    }
                }
            }
        }
    }
}
