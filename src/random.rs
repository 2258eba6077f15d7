//! Counter-based randomness: Philox4x32-10 (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3").
//!
//! Every random number kiln draws is a pure function of (seed, stream, step, element), so it does not depend on the batch size, the
//! device or the order of the work. `shaders/shared/philox.wgsl` is the same function on the device: integers and uniforms are
//! equal bit for bit. Normals go through the same polynomials on both sides and agree to 1e-5 absolute.

#![allow(clippy::excessive_precision)] // polynomials' coefficients, as published

use std::convert::Infallible;

use rand::TryRng;

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One Philox4x32-10 block: four random words of a 128-bit counter under a 64-bit key.
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let a = u64::from(MULTIPLIER[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIER[1]) * u64::from(counter[2]);
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

/// A random word: element `element` of stream `stream` at step `step` under `seed`.
pub fn word(seed: u64, stream: u32, step: u32, element: u64) -> u32 {
    let block = element >> 2;
    let counter = [block as u32, (block >> 32) as u32, step, stream];
    philox4x32(counter, [seed as u32, (seed >> 32) as u32])[(element & 3) as usize]
}

/// Uniform in [0, 1) with 24 random bits, from a random word; exact in `f32`.
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Standard normal from a random word, by the inverse of its distribution function (Giles, 2010, single precision), on the midpoints
/// of 2^24 equal cells; so |z| ≤ 5.42.
pub fn normal(word: u32) -> f32 {
    // x = 2u - 1 on cell midpoints, exact: an odd integer over 2^24.
    let odd = ((word >> 8) << 1) as i32 - 16_777_215;
    let x = odd as f32 * (1.0 / 16_777_216.0);
    let w = -log_poly((1.0 - x) * (1.0 + x));
    let (start, coefficients) = if w < 5.0 { (w - 2.5, &CENTRAL) } else { (w.sqrt() - 3.0, &TAIL) };
    let p = coefficients.iter().fold(0.0, |p, c| c + p * start);
    std::f32::consts::SQRT_2 * p * x
}

const CENTRAL: [f32; 9] = [
    2.810_226_4e-8,
    3.432_739_4e-7,
    -3.523_387_8e-6,
    -4.391_506_5e-6,
    2.185_808_7e-4,
    -1.253_725e-3,
    -4.177_681_6e-3,
    2.466_407_3e-1,
    1.501_409_4,
];
const TAIL: [f32; 9] = [
    -2.002_142_6e-4,
    1.009_505_6e-4,
    1.349_343_3e-3,
    -3.673_428_4e-3,
    5.739_507_7e-3,
    -7.622_461_3e-3,
    9.438_870_5e-3,
    1.001_674_1,
    2.832_976_8,
];

/// Natural logarithm of a positive normal number from integer bits and a polynomial, the same steps as on the device.
fn log_poly(x: f32) -> f32 {
    let bits = x.to_bits();
    // Mantissa in [sqrt(1/2), sqrt(2)).
    let shifted = bits.wrapping_sub(0x3F35_04F3);
    let exponent = (shifted as i32) >> 23;
    let m = f32::from_bits((shifted & 0x007F_FFFF) + 0x3F35_04F3) - 1.0;
    let p = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333_1e-1,
    ]
    .iter()
    .fold(0.0, |p, c| c + p * m);
    let z = m * m;
    m + (m * z * p - 0.5 * z) + exponent as f32 * std::f32::consts::LN_2
}

/// A sequence of draws from one (seed, stream), for host-side jobs such as shuffling.
///
/// It is a generator of the crate `rand`, so that every distribution of that crate and of those around it draws from it. What kiln itself must draw
/// alike for ever (weights, orders, built-in data) goes by the methods here: no crate promises its distributions across versions.
///
/// ```
/// use kiln::random::Draws;
/// use rand::distr::{Distribution, Uniform};
/// use rand::seq::IndexedRandom;
///
/// let mut draws = Draws::new(1, 0, 0);
/// let rolls: Vec<u32> = Uniform::new_inclusive(1, 6).expect("a range").sample_iter(&mut draws).take(3).collect();
/// assert!(rolls.iter().all(|roll| (1..=6).contains(roll)));
/// assert!(["heads", "tails"].choose(&mut draws).is_some());
/// ```
#[derive(Clone, Debug)]
pub struct Draws {
    seed: u64,
    stream: u32,
    step: u32,
    next: u64,
}

impl Draws {
    /// The sequence of `stream` at `step` under `seed`.
    pub fn new(seed: u64, stream: u32, step: u32) -> Self {
        Self { seed, stream, step, next: 0 }
    }

    /// The next random word.
    pub fn word(&mut self) -> u32 {
        self.next += 1;
        word(self.seed, self.stream, self.step, self.next - 1)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f32 {
        unit(self.word())
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f32 {
        normal(self.word())
    }

    /// Uniform in 0..n (n ≥ 1), without modulo bias beyond 2^-32.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.word()) * n as u64) >> 32) as usize
    }

    /// The items of a random permutation of 0..n one by one, in time and memory of as many as are taken.
    pub fn order(mut self, n: usize) -> impl Iterator<Item = u32> {
        // Fisher–Yates from the end, with only the places that were swapped held.
        let mut moved = std::collections::HashMap::new();
        (0..n).rev().map(move |last| {
            let at = self.below(last + 1) as u32;
            let end = moved.remove(&(last as u32)).unwrap_or(last as u32);
            if at as usize == last { end } else { moved.insert(at, end).unwrap_or(at) }
        })
    }

    /// A random permutation of 0..n (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }

    /// The low word first.
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = u64::from(self.word());
        Ok(low | u64::from(self.word()) << 32)
    }

    /// Each word's bytes from the lowest on; of the last as many as are wanted.
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(4) {
            part.copy_from_slice(&self.word().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_the_reference_implementation() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normals_have_the_moments_of_a_standard_normal() {
        let mut draws = Draws::new(7, 1, 0);
        let n = 200_000;
        let z: Vec<f64> = (0..n).map(|_| f64::from(draws.normal())).collect();
        let mean = z.iter().sum::<f64>() / n as f64;
        let var = z.iter().map(|v| v * v).sum::<f64>() / n as f64;
        let kurtosis = z.iter().map(|v| v.powi(4)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((var - 1.0).abs() < 0.015, "{var}");
        assert!((kurtosis - 3.0).abs() < 0.1, "{kurtosis}");
        let beyond = z.iter().filter(|v| v.abs() > 1.959_964).count() as f64 / n as f64;
        assert!((beyond - 0.05).abs() < 0.002, "{beyond}");
    }

    #[test]
    fn the_polynomial_logarithm_is_a_logarithm() {
        for i in 1..2000 {
            let x = i as f32 * 5.0e-4;
            assert!((log_poly(x) - x.ln()).abs() <= 1e-6 * x.ln().abs().max(1.0), "{x}");
        }
    }

    #[test]
    fn an_order_taken_one_by_one_is_the_permutation_from_its_end() {
        for n in [0, 1, 2, 3, 50, 1000] {
            let mut whole = Draws::new(3, 0, 9).permutation(n);
            whole.reverse();
            assert_eq!(Draws::new(3, 0, 9).order(n).collect::<Vec<_>>(), whole);
            assert_eq!(Draws::new(3, 0, 9).order(n).take(7).collect::<Vec<_>>(), whole[..n.min(7)]);
        }
    }

    #[test]
    fn a_generator_of_rand_gives_the_same_words() {
        use rand::{Rng, RngExt};
        let (mut own, mut theirs) = (Draws::new(5, 2, 1), Draws::new(5, 2, 1));
        let words: Vec<u32> = (0..5).map(|_| own.word()).collect();
        assert_eq!(theirs.next_u32(), words[0]);
        assert_eq!(theirs.next_u64(), u64::from(words[1]) | u64::from(words[2]) << 32);
        let mut bytes = [0; 6];
        theirs.fill_bytes(&mut bytes);
        assert_eq!(bytes, [&words[3].to_le_bytes()[..], &words[4].to_le_bytes()[..2]].concat()[..]);
        let mean = (0..20_000).map(|_| theirs.random_range(0.0..2.0)).sum::<f64>() / 20_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }

    #[test]
    fn permutations_are_permutations() {
        let mut order = Draws::new(3, 0, 9).permutation(1000);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, &v)| i as u32 == v));
    }
}
