//! `faces`: colour 32×32 cartoon faces whose attributes are known.

use super::Drawing;
use super::canvas::{Canvas, Point, ellipse, rectangle, segment};
use crate::random::Draws;

const SIDE: usize = 32;

/// The set of cartoon faces.
///
/// The class is 8·glasses + 4·smile + 2·long hair + moustache, each 0 or 1 by a fair coin: 16 classes, so that the modes a generator
/// covers can be counted. The skin tone is uniform in 0 (light) .. 1 (dark), and no part of the class.
pub struct Faces;

const ATTRIBUTES: [&str; 4] = ["glasses", "smile", "long_hair", "moustache"];

impl Drawing for Faces {
    const NAME: &'static str = "faces";
    const SET: u32 = 1;
    const DIMS: [usize; 3] = [SIDE, SIDE, 3];

    fn classes(&self) -> Vec<String> {
        let name = |class: usize| {
            let held: Vec<&str> = ATTRIBUTES.iter().enumerate().filter(|(bit, _)| class >> (3 - bit) & 1 == 1).map(|(_, a)| *a).collect();
            if held.is_empty() { "plain".into() } else { held.join("+") }
        };
        (0..16).map(name).collect()
    }
    fn label(&self, mut draws: Draws, _index: usize) -> u32 {
        Traits::new(&mut draws).class as u32
    }
    fn attributes(&self, mut draws: Draws, _index: usize) -> Vec<(&'static str, f32)> {
        let traits = Traits::new(&mut draws);
        let coins = ATTRIBUTES.iter().enumerate().map(|(bit, name)| (*name, (traits.class >> (3 - bit) & 1) as f32));
        coins.chain([("skin_tone", traits.skin)]).collect()
    }
    fn draw(&self, mut draws: Draws, _index: usize) -> Box<[u8]> {
        let traits = Traits::new(&mut draws);
        Face::new(&traits, &mut draws).paint(&traits)
    }
}

/// What is labelled; the first draws of an item, so that a label needs no picture.
struct Traits {
    class: usize,
    skin: f32,
}

impl Traits {
    fn new(draws: &mut Draws) -> Self {
        Self { class: draws.below(16), skin: draws.unit() }
    }
    fn glasses(&self) -> bool {
        self.class & 8 != 0
    }
    fn smile(&self) -> bool {
        self.class & 4 != 0
    }
    fn long_hair(&self) -> bool {
        self.class & 2 != 0
    }
    fn moustache(&self) -> bool {
        self.class & 1 != 0
    }
}

type Colour = [f32; 3];

const HAIR: [Colour; 6] =
    [[0.10, 0.08, 0.08], [0.28, 0.17, 0.10], [0.48, 0.28, 0.14], [0.85, 0.67, 0.32], [0.66, 0.27, 0.12], [0.62, 0.61, 0.62]];
const EYES: [Colour; 4] = [[0.20, 0.12, 0.08], [0.16, 0.32, 0.55], [0.18, 0.40, 0.24], [0.08, 0.08, 0.10]];
const SHIRT: [Colour; 6] =
    [[0.75, 0.22, 0.22], [0.18, 0.36, 0.68], [0.20, 0.52, 0.34], [0.90, 0.72, 0.25], [0.42, 0.26, 0.55], [0.24, 0.26, 0.30]];

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    std::array::from_fn(|i| a[i] + share * (b[i] - a[i]))
}

/// What varies and is not labelled.
struct Face {
    background: Colour,
    skin: Colour,
    hair: Colour,
    eyes: Colour,
    shirt: Colour,
    centre: Point,
    radii: Point,
    tilt: f32,
    eye_gap: f32,
    gaze: f32,
    mouth: f32,
    fringe: f32,
}

impl Face {
    fn new(traits: &Traits, draws: &mut Draws) -> Self {
        let light = [0.99, 0.86, 0.75];
        let middle = [0.80, 0.56, 0.38];
        let dark = [0.36, 0.22, 0.15];
        let skin = if traits.skin < 0.5 { mix(light, middle, 2.0 * traits.skin) } else { mix(middle, dark, 2.0 * traits.skin - 1.0) };
        let hue = draws.range(0.0, std::f32::consts::TAU);
        let background = std::array::from_fn(|i| 0.72 + 0.2 * (hue + 2.1 * i as f32).cos());
        let mut pick = |colours: &[Colour]| {
            let colour = colours[draws.below(colours.len())];
            mix(colour, [0.5; 3], draws.range(-0.08, 0.08))
        };
        let (hair, eyes, shirt) = (pick(&HAIR), pick(&EYES), pick(&SHIRT));
        Self {
            background,
            skin,
            hair,
            eyes,
            shirt,
            centre: (16.0 + draws.range(-1.2, 1.2), 16.2 + draws.range(-0.8, 0.8)),
            radii: (draws.range(7.6, 9.0), draws.range(9.2, 10.6)),
            tilt: (0.07 * draws.normal()).clamp(-0.16, 0.16),
            eye_gap: draws.range(3.1, 3.9),
            gaze: draws.range(-0.5, 0.5),
            mouth: draws.range(-0.4, 0.4),
            fringe: draws.range(-0.35, 0.35),
        }
    }

    fn paint(&self, traits: &Traits) -> Box<[u8]> {
        let mut canvas = Canvas::new(SIDE, self.background);
        let (sin, cos) = self.tilt.sin_cos();
        // The face's own axes: its centre at the origin, upright.
        let own = |p: Point| {
            let (x, y) = (p.0 - self.centre.0, p.1 - self.centre.1);
            (cos * x + sin * y, cos * y - sin * x)
        };
        let (rx, ry) = self.radii;
        self.paint_behind(&mut canvas, traits, own);
        let shade = mix(self.skin, [0.25, 0.08, 0.05], 0.22);
        canvas.paint(shade, |p| ellipse(p, (self.centre.0, 30.0), (4.0, 5.5)));
        canvas.paint(self.shirt, |p| ellipse(p, (self.centre.0, 34.5), (11.5, 6.0)));
        for side in [-1.0, 1.0] {
            canvas.paint(shade, |p| ellipse(own(p), (side * rx, 0.6), (1.5, 2.2)));
        }
        canvas.paint(self.skin, |p| ellipse(own(p), (0.0, 0.0), (rx, ry)));
        // Hair above a slanting fringe, inside a cap a little larger than the head.
        canvas.paint(self.hair, |p| {
            let q = own(p);
            ellipse(q, (0.0, -0.6), (rx + 0.7, ry + 0.7)).max(q.1 + ry * 0.48 + self.fringe * q.0 - 0.035 * q.0 * q.0)
        });
        self.paint_features(&mut canvas, traits, own, shade);
        canvas.into_bytes()
    }

    fn paint_behind(&self, canvas: &mut Canvas, traits: &Traits, own: impl Fn(Point) -> Point) {
        if traits.long_hair() {
            let (rx, ry) = self.radii;
            canvas.paint(self.hair, |p| {
                let q = own(p);
                ellipse(q, (0.0, -1.0), (rx + 2.6, ry + 1.4)).min(rectangle(q, (0.0, 5.5), (rx + 1.6, 6.5)) - 1.0)
            });
        }
    }

    fn paint_features(&self, canvas: &mut Canvas, traits: &Traits, own: impl Fn(Point) -> Point, shade: Colour) {
        let ink = [0.12, 0.09, 0.10];
        let eye_y = -0.8;
        for side in [-1.0, 1.0] {
            let eye = (side * self.eye_gap, eye_y);
            canvas.paint([0.98, 0.98, 0.97], |p| ellipse(own(p), eye, (1.7, 1.35)));
            canvas.paint(self.eyes, |p| ellipse(own(p), (eye.0 + self.gaze, eye.1), (0.95, 1.1)));
            if traits.glasses() {
                canvas.paint(ink, |p| ellipse(own(p), eye, (2.75, 2.55)).abs() - 0.42);
            }
        }
        if traits.glasses() {
            canvas.paint(ink, |p| rectangle(own(p), (0.0, eye_y), ((self.eye_gap - 2.6).max(0.3), 0.4)));
            for side in [-1.0, 1.0] {
                let from = self.eye_gap + 2.6;
                canvas.paint(ink, |p| segment(own(p), (side * from, eye_y), (side * self.radii.0, eye_y - 0.4)).0 - 0.4);
            }
        }
        canvas.paint(shade, |p| segment(own(p), (0.0, 0.6), (0.35, 2.3)).0 - 0.55);
        let lips = mix(self.skin, [0.62, 0.10, 0.14], 0.7);
        let mouth_y = 5.6;
        if traits.smile() {
            // An open crescent: below a line, inside an ellipse.
            let (wide, deep) = (3.7 + self.mouth, 2.9 + self.mouth);
            canvas.paint(lips, |p| ellipse(own(p), (0.0, mouth_y - 1.0), (wide + 0.5, deep + 0.5)).max(mouth_y - 1.0 - own(p).1));
            canvas.paint([0.98; 3], |p| ellipse(own(p), (0.0, mouth_y - 0.7), (wide - 0.6, deep - 1.1)).max(mouth_y - 0.6 - own(p).1));
        } else {
            canvas.paint(lips, |p| segment(own(p), (-2.3 - self.mouth, mouth_y + 0.3), (2.3 + self.mouth, mouth_y + 0.3)).0 - 0.62);
        }
        if traits.moustache() {
            let hair = mix(self.hair, [0.0; 3], 0.25);
            for side in [-1.0, 1.0] {
                canvas.paint(hair, |p| ellipse(own(p), (side * 1.7, 3.65), (2.3, 0.95)));
            }
        }
    }
}
