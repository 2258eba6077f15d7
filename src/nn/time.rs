//! What networks are told of the time.

use std::f64::consts::{FRAC_PI_2, TAU};

use crate::error::Result;
use crate::graph::{Binary, Builder, Graph, Init, Layout, NodeId, StateId, StateSpec, Unary, Value};

/// The longest wave has about so many times the length of the shortest.
const PERIOD: f64 = 10_000.0;

/// Terms of the sine's series: it is right to 10⁻⁹ within a quarter turn.
const TERMS: i32 = 7;

/// Cosines, then sines, of a time in waves of many lengths: `[N] → [N, D]`, the first half `cos(t·10000^(−i/half))`, the second half the sines
/// (Vaswani et al., 2017, section 3.5; the order and the frequencies are those of Nichol and Dhariwal, 2021). Times are meant to lie in
/// 0..1000.
#[derive(Clone, Debug)]
pub struct TimeWaves {
    width: usize,
    /// Turns of each wave in a unit of time, rounded to few digits, and what rounding left of them.
    turns: [StateId; 2],
}

impl TimeWaves {
    /// Waves for an embedding of `width` numbers, which is even. Nothing is trained, and nothing stands in checkpoints.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, width: usize) -> Self {
        let half = (width / 2).max(1);
        let frequencies: Vec<f64> = (0..width).map(|i| PERIOD.powf(-((i % half) as f64) / half as f64) / TAU).collect();
        // Of twelve binary digits, so that a whole number below 4096 times one of them is exact.
        let coarse: Vec<f32> = frequencies.iter().map(|f| f32::from_bits((*f as f32).to_bits() & !0xfff)).collect();
        let rest = frequencies.iter().zip(&coarse).map(|(f, c)| (f - f64::from(*c)) as f32).collect();
        let mut tensor = |part: &str, values: Vec<f32>| {
            spec.tensor(group, &format!("{name}.{part}"), [width], Init::Values(values), Layout::Derived, false)
        };
        Self { width, turns: [tensor("turns", coarse), tensor("rest", rest)] }
    }

    /// The waves at `time` `[N]`.
    pub fn apply(&self, graph: &mut Graph, spec: &StateSpec, time: NodeId) -> Result<NodeId> {
        let n = graph.shape(time).len();
        let time = graph.reshape(time, [n, 1])?;
        let [coarse, rest] = self.turns.map(|id| graph.state(spec, id));
        let half = (self.width / 2) as f64;
        graph.map(&[time, coarse, rest], |b, v| {
            // The product of a large time and a frequency, rounded to an f32, would be off by a part of a turn that can be seen: whole turns
            // are taken out of the exact product of the whole time and the coarse frequency, and what is left is small.
            let whole = b.unary(Unary::Floor, v[0]);
            let part = b.sub(v[0], whole);
            let many = b.mul(whole, v[1]);
            let gone = b.unary(Unary::Floor, many);
            let many = b.sub(many, gone);
            let few = b.mul(part, v[1]);
            let least = b.mul(v[0], v[2]);
            let few = b.add(few, least);
            let turns = b.add(many, few);
            let (channel, last_cosine) = (b.channel(), b.constant(half - 0.5));
            let is_sine = b.binary(Binary::Greater, channel, last_cosine);
            // A sine is a cosine a quarter turn earlier.
            let quarter = b.scale(is_sine, -0.25);
            let turns = b.add(turns, quarter);
            cosine(b, turns)
        })
    }
}

/// The cosine of an angle in turns. WGSL's own is promised to three digits only.
fn cosine(b: &mut Builder, turns: Value) -> Value {
    let shifted = b.offset(turns, 0.5);
    let whole = b.unary(Unary::Floor, shifted);
    let within = b.sub(turns, whole);
    // cos(2πr) is the sine of the quarter turns 1 − 4|r|, which lie in −1..1.
    let size = b.unary(Unary::Abs, within);
    let size = b.scale(size, -4.0);
    let y = b.offset(size, 1.0);
    let square = b.mul(y, y);
    let mut sum = b.constant(0.0);
    for k in (0..TERMS).rev() {
        // (−1)^k·(π/2)^(2k+1)/(2k+1)!
        let factor = (1..=2 * k + 1).fold(if k % 2 == 0 { 1.0 } else { -1.0 }, |f, j| f * FRAC_PI_2 / f64::from(j));
        let more = b.mul(sum, square);
        sum = b.offset(more, factor);
    }
    b.mul(sum, y)
}
