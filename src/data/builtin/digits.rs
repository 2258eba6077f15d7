//! `digits`: grey 28×28, drawn as a hand would: a template's control points jitter, then bend, slant, turn and stretch, under a pen
//! whose width and pressure vary.

use super::Drawing;
use super::canvas::{Point, coverage, segment};
use super::glyphs::{Stroke, variants};
use crate::random::Draws;

const SIDE: usize = 28;

/// The set of drawn digits. Classes take turns by index, so that any run of items is balanced.
pub struct Digits;

impl Drawing for Digits {
    const NAME: &'static str = "digits";
    const SET: u32 = 0;
    const DIMS: [usize; 3] = [SIDE, SIDE, 1];

    fn classes(&self) -> Vec<String> {
        (0..10).map(|digit| digit.to_string()).collect()
    }
    fn label(&self, _draws: Draws, index: usize) -> u32 {
        (index % 10) as u32
    }
    fn attributes(&self, _draws: Draws, _index: usize) -> Vec<(&'static str, f32)> {
        Vec::new()
    }
    fn draw(&self, mut draws: Draws, index: usize) -> Box<[u8]> {
        let glyphs = variants(index % 10);
        let glyph = glyphs[draws.below(glyphs.len())];
        let hand = Hand::new(&mut draws);
        let paths: Vec<Vec<Point>> = glyph.iter().map(|stroke| path(stroke, &mut draws)).collect();
        let paths = hand.place(paths);
        let mut ink = vec![0.0f32; SIDE * SIDE];
        for path in &paths {
            hand.trace(path, &mut ink);
        }
        ink.iter().map(|&v| (v * hand.darkness * 255.0).round() as u8).collect()
    }
}

/// A stroke's jittered control points, and where it is curved the points of the Catmull–Rom spline through them.
fn path(stroke: &Stroke, draws: &mut Draws) -> Vec<Point> {
    const PIECES: usize = 6;
    let mut jitter = |points: &[Point]| -> Vec<Point> {
        points.iter().map(|&(x, y)| (x + 0.028 * draws.normal(), y + 0.024 * draws.normal())).collect()
    };
    let (points, closed) = match stroke {
        Stroke::Line(points) => return jitter(points),
        Stroke::Curve(points) => (jitter(points), false),
        Stroke::Loop(points) => (jitter(points), true),
    };
    let n = points.len() as isize;
    let at = |i: isize| points[if closed { i.rem_euclid(n) } else { i.clamp(0, n - 1) } as usize];
    let mut smooth = Vec::with_capacity(points.len() * PIECES + 1);
    for i in 0..if closed { n } else { n - 1 } {
        let (a, b, c, d) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        for piece in 0..PIECES {
            let t = piece as f32 / PIECES as f32;
            let blend = |a: f32, b: f32, c: f32, d: f32| {
                b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
            };
            smooth.push((blend(a.0, b.0, c.0, d.0), blend(a.1, b.1, c.1, d.1)));
        }
    }
    smooth.push(if closed { points[0] } else { at(n - 1) });
    smooth
}

/// How one digit is written.
struct Hand {
    slant: f32,
    turn: f32,
    size: Point,
    bend: Point,
    shift: Point,
    /// Half of the pen's width, pixels.
    radius: f32,
    /// Change of the radius along a stroke, as a share of it.
    pressure: f32,
    softness: f32,
    darkness: f32,
}

impl Hand {
    fn new(draws: &mut Draws) -> Self {
        let height = draws.range(16.5, 20.5);
        Self {
            slant: (0.12 + 0.17 * draws.normal()).clamp(-0.3, 0.5),
            turn: (0.07 * draws.normal()).clamp(-0.18, 0.18),
            size: (height * draws.range(0.58, 0.86), height),
            bend: (0.05 * draws.normal(), 0.05 * draws.normal()),
            shift: (draws.normal().clamp(-2.0, 2.0) * 0.7, draws.normal().clamp(-2.0, 2.0) * 0.7),
            radius: (1.15 + 0.33 * draws.normal()).clamp(0.65, 2.0),
            pressure: draws.range(-0.35, 0.35),
            softness: draws.range(0.9, 1.5),
            darkness: draws.range(0.86, 1.0),
        }
    }

    /// From the template's unit box to pixels, centred by its box and kept off the border.
    fn place(&self, mut paths: Vec<Vec<Point>>) -> Vec<Vec<Point>> {
        let (sin, cos) = self.turn.sin_cos();
        let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
        for p in paths.iter_mut().flatten() {
            let (u, v) = (p.0 - 0.5, p.1 - 0.5);
            // A slow bend, so that straight strokes are not.
            let x = (u + self.bend.0 * (4.0 * v * v - 0.5)) * self.size.0 - self.slant * v * self.size.1;
            let y = (v + self.bend.1 * (4.0 * u * u - 0.5)) * self.size.1;
            *p = (cos * x - sin * y, sin * x + cos * y);
            low = (low.0.min(p.0), low.1.min(p.1));
            high = (high.0.max(p.0), high.1.max(p.1));
        }
        let room = SIDE as f32 - 4.0 - 2.0 * self.radius;
        let shrink = (room / (high.0 - low.0)).min(room / (high.1 - low.1)).min(1.0);
        let middle = SIDE as f32 / 2.0;
        let centre = |low: f32, high: f32, shift: f32| {
            let slack = ((room - (high - low) * shrink) / 2.0).max(0.0);
            (middle + shift.clamp(-slack, slack), (low + high) / 2.0)
        };
        let (x, y) = (centre(low.0, high.0, self.shift.0), centre(low.1, high.1, self.shift.1));
        for p in paths.iter_mut().flatten() {
            *p = (x.0 + (p.0 - x.1) * shrink, y.0 + (p.1 - y.1) * shrink);
        }
        paths
    }

    /// Inks one path: the darkest of its segments at each pixel.
    fn trace(&self, path: &[Point], ink: &mut [f32]) {
        let segments = path.len().saturating_sub(1).max(1) as f32;
        for (i, pair) in path.windows(2).enumerate() {
            let reach = self.radius * 1.4 + 1.5;
            let span = |a: f32, b: f32| {
                let low = (a.min(b) - reach).floor().max(0.0) as usize;
                (low, ((a.max(b) + reach).ceil().max(0.0) as usize).min(SIDE))
            };
            let ((left, right), (top, bottom)) = (span(pair[0].0, pair[1].0), span(pair[0].1, pair[1].1));
            for y in top..bottom {
                for x in left..right {
                    let (distance, along) = segment((x as f32 + 0.5, y as f32 + 0.5), pair[0], pair[1]);
                    let progress = (i as f32 + along) / segments;
                    let radius = self.radius * (1.0 + self.pressure * (2.0 * progress - 1.0));
                    let dark = coverage((distance - radius) / self.softness);
                    let pixel = &mut ink[y * SIDE + x];
                    *pixel = pixel.max(dark);
                }
            }
        }
    }
}
