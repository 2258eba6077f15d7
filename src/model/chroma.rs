//! Colours apart from grey: the reversible transform YCoCg-R, and what an autoregressive network needs to tell an image's chroma by its
//! luma.
//!
//! Whole numbers from 0 to 255 become a luma Y from 0 to 255 and the chroma Cg and Co from −255 to 255, and come back the same (Malvar and
//! Sullivan, 2003, "YCoCg-R: A color space with RGB reversibility and low dynamic range"): Co = R − B, t = B + ⌊Co/2⌋, Cg = G − t,
//! Y = t + ⌊Cg/2⌋. Being one to one it leaves −ln p as it is, so that p(Cg, Co | Y) is the probability of an image given its luma.

use crate::error::Result;
use crate::graph::{Binary, Builder, Graph, NodeId, StateSpec, Unary, Value};
use crate::nn::{Conv2d, Start};

/// Levels of Cg and of Co.
pub const LEVELS: usize = 511;
/// Level of a chroma of 0: levels are counted from −255.
const ZERO: f64 = 255.0;
/// Added to the logits of colours that no image has: small enough that their share is 0 in f32, large enough for f16 to hold.
const NEVER: f64 = -3e4;
/// Kernel of the first convolution over the luma, and steps between the taps of those behind it, of kernel 3.
const FIRST: usize = 7;
const DILATIONS: [usize; 3] = [2, 4, 8];

/// Luma and chroma [Cg, Co] of a pixel [R, G, B], each from 0 to 255.
pub fn of_pixel([r, g, b]: [i32; 3]) -> (i32, [i32; 2]) {
    let co = r - b;
    let t = b + (co >> 1);
    let cg = g - t;
    (t + (cg >> 1), [cg, co])
}

/// The pixel [R, G, B] of a luma and a chroma [Cg, Co].
pub fn to_pixel(luma: i32, [cg, co]: [i32; 2]) -> [i32; 3] {
    let t = luma - (cg >> 1);
    let b = t - (co >> 1);
    [b + co, cg + t, b]
}

/// Luma `[N, H, W, 1]`, from 0 to 255, and chroma `[N, H, W, 2]`, Cg and Co in levels from 0 to 510, of images `[N, H, W, 3]` of whole
/// numbers from 0 to 255.
///
/// # Errors
/// [`crate::Error::Shape`] where `x` are no such images.
pub fn of_images(g: &mut Graph, x: NodeId) -> Result<[NodeId; 2]> {
    let [red, green, blue] = [g.slice(x, 3, 0, 1)?, g.slice(x, 3, 1, 1)?, g.slice(x, 3, 2, 1)?];
    let orange = g.sub(red, blue)?;
    let t = g.map(&[blue, orange], |b, v| lifted(b, v[0], v[1]))?;
    let lime = g.sub(green, t)?;
    let luma = g.map(&[t, lime], |b, v| lifted(b, v[0], v[1]))?;
    let chroma = g.concat(lime, orange, 3)?;
    let chroma = g.map(&[chroma], |b, v| b.offset(v[0], ZERO))?;
    Ok([luma, chroma])
}

/// base + ⌊difference/2⌋: one step of the lifting.
fn lifted(b: &mut Builder, base: Value, difference: Value) -> Value {
    let half = b.scale(difference, 0.5);
    let half = b.unary(Unary::Floor, half);
    b.add(base, half)
}

/// Logits `[N, H, W, 2·511]` of Cg and Co with those of colours that no image has put out of reach, given luma `[N, H, W, 1]` from 0 to 255 and
/// chroma `[N, H, W, 2]` in levels: what is left of Cg depends on the luma, what is left of Co on Cg too.
///
/// A difference d of two values and their mean m = ⌊(a + b)/2⌋ give back b = m − ⌊d/2⌋ and a = b + d, and both must be from 0 to 255: this holds of
/// green and t for (Y, Cg), then of red and blue for (t, Co).
///
/// # Errors
/// [`crate::Error::Shape`] where shapes do not fit.
pub fn possible(g: &mut Graph, logits: NodeId, luma: NodeId, chroma: NodeId) -> Result<NodeId> {
    let known = g.slice(chroma, 3, 0, 1)?;
    let [lime, orange] = [g.slice(logits, 3, 0, LEVELS)?, g.slice(logits, 3, LEVELS, LEVELS)?];
    let lime = g.map(&[lime, luma], |b, v| reachable(b, v[0], v[1]))?;
    let orange = g.map(&[orange, luma, known], |b, v| {
        let cg = b.offset(v[2], -ZERO);
        let t = lowered(b, v[1], cg);
        reachable(b, v[0], t)
    })?;
    g.concat(lime, orange, 3)
}

/// base − ⌊difference/2⌋.
fn lowered(b: &mut Builder, base: Value, difference: Value) -> Value {
    let half = b.scale(difference, 0.5);
    let half = b.unary(Unary::Floor, half);
    b.sub(base, half)
}

/// A logit of a channel's level where the difference is one that two values of such a mean can have, and one out of reach elsewhere.
fn reachable(b: &mut Builder, logit: Value, mean: Value) -> Value {
    let channel = b.channel();
    let difference = b.offset(channel, -ZERO);
    let lower = lowered(b, mean, difference);
    let opposite = b.neg(difference);
    let upper = lowered(b, mean, opposite);
    // The larger of how far each lies from the middle, 127.5.
    let far = [lower, upper].map(|value| {
        let centred = b.offset(value, -ZERO / 2.0);
        let opposite = b.neg(centred);
        b.binary(Binary::Max, centred, opposite)
    });
    let far = b.binary(Binary::Max, far[0], far[1]);
    let beyond = b.constant(ZERO / 2.0);
    let out = b.binary(Binary::Greater, far, beyond);
    let least = b.offset(logit, NEVER);
    b.select(out, least, logit)
}

/// What a luma image comes to at each of its pixels, `[N, H, W, 1] → [N, H, W, K]`: convolutions that see 35 pixels across, those behind the first
/// added to what they read. Nothing is masked: all of the luma is given.
pub struct LumaMap {
    first: Conv2d,
    rest: Vec<Conv2d>,
}

impl LumaMap {
    /// Registers its layers as `luma.{i}`, of K `channels`, for images of height and width `size`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where a geometry cannot be.
    pub fn new(spec: &mut StateSpec, group: usize, size: [usize; 2], channels: usize) -> Result<Self> {
        let first = Conv2d::dense(spec, group, "luma.0", size, [1, channels], (FIRST, 1, FIRST / 2), true, Start::FanIn)?;
        let rest = DILATIONS.iter().zip(1..).map(|(dilation, at)| {
            let geometry = ([3, 3], [1, 1], *dilation);
            Conv2d::rectangle(spec, group, &format!("luma.{at}"), size, [channels; 2], geometry, None, Start::FanIn)
        });
        let rest = rest.collect();
        Ok(Self { first, rest })
    }

    /// Its weights, about.
    pub fn weights(channels: u64) -> u64 {
        (FIRST * FIRST) as u64 * channels + (9 * DILATIONS.len()) as u64 * channels.saturating_mul(channels)
    }

    /// The map of luma from 0 to 255.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where it is of another size.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, luma: NodeId) -> Result<NodeId> {
        let shown = g.map(&[luma], |b, v| {
            let scaled = b.scale(v[0], 2.0 / ZERO);
            b.offset(scaled, -1.0)
        })?;
        let first = self.first.apply(g, spec, shown)?;
        let first = g.relu(first)?;
        self.rest.iter().try_fold(first, |map, layer| {
            let more = layer.apply(g, spec, map)?;
            let more = g.relu(more)?;
            g.add(map, more)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Step;
    use crate::runtime::{Device, Program, State, Weights};
    use crate::wait::Wait;

    #[test]
    fn every_pixel_comes_back() {
        for code in 0..1 << 24 {
            let pixel = [code & 255, code >> 8 & 255, code >> 16];
            let (luma, chroma) = of_pixel(pixel);
            assert!((0..256).contains(&luma) && chroma.iter().all(|v| (-255..256).contains(v)), "{pixel:?}");
            assert_eq!(to_pixel(luma, chroma), pixel);
        }
    }

    /// What a graph makes of its inputs on the CPU.
    fn run(g: &Graph, inputs: &[(&str, &[f32])], outputs: &[&str]) -> Vec<Vec<f32>> {
        let device = Device::open("cpu").wait().unwrap();
        let mut state = State::initial(&device, &StateSpec::default(), 0).unwrap();
        let mut program = Program::new(&device, g, &state, Weights::Current).wait().unwrap();
        inputs.iter().for_each(|(name, values)| program.write(name, values).unwrap());
        program.run(&mut state, &Step::default()).wait().unwrap();
        outputs.iter().map(|name| program.read(&state, name).wait().unwrap()).collect()
    }

    #[test]
    fn the_graph_takes_pixels_apart_as_the_host_does() {
        let pixels: Vec<[i32; 3]> = (0..4096).map(|i| [i * 7919 % 256, i * 104_729 % 256, i * 1_299_709 % 256]).collect();
        let mut g = Graph::new();
        let x = g.input("x", [1, 64, 64, 3]);
        let [luma, chroma] = of_images(&mut g, x).unwrap();
        g.output("luma", luma);
        g.output("chroma", chroma);
        let values: Vec<f32> = pixels.iter().flatten().map(|v| *v as f32).collect();
        let made = run(&g, &[("x", &values)], &["luma", "chroma"]);
        for (at, pixel) in pixels.into_iter().enumerate() {
            let (luma, [cg, co]) = of_pixel(pixel);
            assert_eq!([made[0][at], made[1][2 * at] - 255.0, made[1][2 * at + 1] - 255.0], [luma, cg, co].map(|v| v as f32), "{pixel:?}");
        }
    }

    /// Of a luma and a Cg, the levels of Cg and of Co that are left.
    fn left(lumas: &[i32], cg: &[i32]) -> Vec<f32> {
        let count = lumas.len();
        let mut g = Graph::new();
        let logits = g.fill([count, 1, 1, 2 * LEVELS], 0.0).unwrap();
        let (luma, chroma) = (g.input("luma", [count, 1, 1, 1]), g.input("chroma", [count, 1, 1, 2]));
        let kept = possible(&mut g, logits, luma, chroma).unwrap();
        g.output("kept", kept);
        let lumas: Vec<f32> = lumas.iter().map(|v| *v as f32).collect();
        let levels: Vec<f32> = cg.iter().flat_map(|v| [(v + 255) as f32, 0.0]).collect();
        run(&g, &[("luma", &lumas), ("chroma", &levels)], &["kept"]).remove(0)
    }

    #[test]
    fn what_is_left_of_the_colours_are_those_of_pixels_and_no_others() {
        // All pixels of a few lumas: how often there is one for each Cg and Co.
        for luma in [0, 1, 2, 77, 128, 254, 255] {
            let mut there = vec![false; LEVELS * LEVELS];
            for code in 0..1 << 24 {
                let (own, [cg, co]) = of_pixel([code & 255, code >> 8 & 255, code >> 16]);
                if own == luma {
                    there[(cg + 255) as usize * LEVELS + (co + 255) as usize] = true;
                }
            }
            let greens: Vec<i32> = (-255..256).collect();
            let kept = left(&vec![luma; LEVELS], &greens);
            for (cg, kept) in kept.chunks(2 * LEVELS).enumerate() {
                let row = &there[cg * LEVELS..][..LEVELS];
                let possible = row.contains(&true);
                assert_eq!(kept[cg] == 0.0, possible, "luma {luma}, Cg {}", cg as i32 - 255);
                if possible {
                    assert!(kept[LEVELS..].iter().zip(row).all(|(kept, there)| (*kept == 0.0) == *there), "luma {luma}, Cg {cg}");
                }
            }
        }
    }
}
