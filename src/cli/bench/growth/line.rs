//! What was measured along an axis, and how fast it grows.

use serde_json::{Value, json};

use crate::report::Series;

/// The steepest that growth may be of what ought to be linear: n^1.1.
pub const LINEAR: f64 = 1.1;
/// The steepest that growth may be of what ought not to depend on n.
const CONSTANT: f64 = 0.1;
/// Points that a slope is taken over, from the largest.
const UPPER: usize = 3;

/// One size.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// What grows.
    pub n: usize,
    /// Median seconds.
    pub seconds: f64,
    /// What the seconds ought to be linear in; `None` where they ought not to depend on n.
    pub work: Option<f64>,
    /// The most bytes that were held, where they were counted.
    pub bytes: Option<u64>,
    /// What the bytes ought to be at most linear in: a sum of such numbers, so that the bytes grow no faster than the one that grows fastest.
    pub room: [f64; 2],
}

/// The sizes of one subject along one axis.
#[derive(Clone, Debug)]
pub struct Line {
    pub subject: String,
    pub axis: &'static str,
    pub points: Vec<Point>,
}

/// Slopes of logarithms against logarithms; `None` where there is nothing to divide by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slopes {
    /// Of seconds against n.
    pub seconds_n: Option<f64>,
    /// Of seconds against the work.
    pub seconds_work: Option<f64>,
    /// Of bytes against n.
    pub bytes_n: Option<f64>,
    /// Of bytes against the part of what they ought to be linear in that grows fastest.
    pub bytes_room: Option<f64>,
}

/// The slope of the least-squares line through the logarithms of the upper points.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let upper = &points[points.len().saturating_sub(UPPER)..];
    let logs: Vec<(f64, f64)> = upper.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let [mx, my] = [logs.iter().map(|p| p.0).sum::<f64>() / count, logs.iter().map(|p| p.1).sum::<f64>() / count];
    let [mut xx, mut xy] = [0.0; 2];
    for (x, y) in &logs {
        xx += (x - mx) * (x - mx);
        xy += (x - mx) * (y - my);
    }
    // Work that hardly grows has no slope to speak of.
    (xx > 1e-3 && xy.is_finite()).then(|| xy / xx)
}

impl Line {
    /// How fast it grows.
    pub fn slopes(&self) -> Slopes {
        let of = |value: &dyn Fn(&Point) -> Option<(f64, f64)>| slope(&self.points.iter().filter_map(value).collect::<Vec<_>>());
        Slopes {
            seconds_n: of(&|p| Some((p.n as f64, p.seconds))),
            seconds_work: of(&|p| Some((p.work?, p.seconds))),
            bytes_n: of(&|p| Some((p.n as f64, p.bytes? as f64))),
            bytes_room: {
                let growth = |at: usize| of(&|p| Some((p.n as f64, p.room[at]))).unwrap_or(0.0);
                let fastest = usize::from(growth(1) > growth(0));
                of(&|p| Some((p.room[fastest], p.bytes? as f64)))
            },
        }
    }

    /// What of it grows faster than it should, in words; empty where nothing does.
    pub fn steep(&self) -> Vec<&'static str> {
        let slopes = self.slopes();
        let linear = self.points.iter().all(|p| p.work.is_some());
        let (seconds, limit) = if linear { (slopes.seconds_work, LINEAR) } else { (slopes.seconds_n, CONSTANT) };
        let mut steep = Vec::new();
        if seconds.is_some_and(|s| s > limit) {
            steep.push("time");
        }
        if slopes.bytes_room.is_some_and(|s| s > LINEAR) {
            steep.push("memory");
        }
        steep
    }

    /// Its seconds over n, under its name and slope.
    pub fn series(&self) -> Series {
        let slope = self.slopes().seconds_n.map_or_else(String::new, |s| format!(" {s:.2}"));
        Series::new(format!("{}{slope}", self.subject), self.points.iter().map(|p| (p.n as f64, p.seconds)).collect())
    }

    /// Its line of a table.
    pub fn words(&self) -> String {
        let listed = |value: &dyn Fn(&Point) -> String| self.points.iter().map(value).collect::<Vec<_>>().join(" ");
        let slopes = self.slopes();
        let shown = |slope: Option<f64>| slope.map_or_else(|| "–".into(), |s| format!("{s:.2}"));
        let ends = self.points.first().zip(self.points.last()).map_or_else(String::new, |(a, b)| format!("{}–{}", a.n, b.n));
        let megabytes = listed(&|p| p.bytes.map_or_else(|| "–".into(), |bytes| three(bytes as f64 * 1e-6)));
        let steep = self.steep();
        format!(
            "{:<20}{:<8}{ends:<16}{:<36}{:>6}{:>6}  {megabytes:<36}{:>6}{:>6}{}",
            self.subject,
            self.axis,
            listed(&|p| three(p.seconds * 1e3)),
            shown(slopes.seconds_n),
            shown(slopes.seconds_work),
            shown(slopes.bytes_n),
            shown(slopes.bytes_room),
            if steep.is_empty() { String::new() } else { format!("  steep: {}", steep.join(" and ")) }
        )
    }

    /// The head of that table.
    pub fn head(work: &str, room: &str) -> String {
        format!(
            "slopes of logarithms over the upper {UPPER} points: of ms against n and {work}, of MB against n and {room}\n\
             {:<20}{:<8}{:<16}{:<36}{:>6}{:>6}  {:<36}{:>6}{:>6}\n",
            "what", "axis", "n", "ms", "n", "work", "MB", "n", "room"
        )
    }

    /// One row a point.
    pub fn rows(&self, device: &str) -> Vec<Value> {
        let row = |p: &Point| json!({"subject": self.subject, "axis": self.axis, "n": p.n, "device": device, "seconds": p.seconds, "work": p.work, "peak_bytes": p.bytes, "room": p.room});
        self.points.iter().map(row).collect()
    }

    /// Its slopes as JSON.
    pub fn json(&self) -> Value {
        let slopes = self.slopes();
        json!({
            "subject": self.subject, "axis": self.axis, "seconds_n": slopes.seconds_n, "seconds_work": slopes.seconds_work,
            "bytes_n": slopes.bytes_n, "bytes_room": slopes.bytes_room, "steep": self.steep(),
        })
    }
}

/// Three digits, or all before the point.
fn three(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(exponent: f64, work: bool) -> Line {
        let point = |n: usize| Point {
            n,
            // What each size costs besides bends the lower points.
            seconds: 1e-3 + (n as f64).powf(exponent),
            work: work.then_some(n as f64),
            bytes: Some(100 * n as u64),
            room: [n as f64, 1.0],
        };
        Line { subject: "a".into(), axis: "n", points: [64, 128, 256, 512, 1024].map(point).to_vec() }
    }

    #[test]
    fn slopes_are_exponents_and_steep_ones_are_told() {
        let [linear, quadratic, flat] = [line(1.0, true), line(2.0, true), line(0.0, false)];
        assert!((linear.slopes().seconds_n.unwrap() - 1.0).abs() < 1e-3 && (quadratic.slopes().seconds_work.unwrap() - 2.0).abs() < 1e-3);
        assert!(linear.steep().is_empty() && quadratic.steep() == ["time"] && flat.steep().is_empty());
        assert_eq!(line(0.5, false).steep(), ["time"]);
        assert!(quadratic.words().ends_with("steep: time"));
    }

    #[test]
    fn what_does_not_grow_has_no_slope() {
        assert_eq!(slope(&[(5.0, 1.0), (5.0, 2.0)]), None);
        assert_eq!(slope(&[(5.0, 1.0)]), None);
        assert_eq!(slope(&[]), None);
    }
}
