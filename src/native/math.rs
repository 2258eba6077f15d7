//! Elementary functions in `f32` without branches, so that loops over them vectorise. Errors are stated against correctly rounded values.

#![allow(clippy::excessive_precision)] // polynomials' coefficients, as published

use super::simd::Arithmetic;

/// Adding and subtracting this rounds to the nearest integer, |x| < 2²².
const ROUND: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// eˣ to 2 units in the last place; 0 and ∞ outside the range, NaN for NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = if x > 89.0 { 89.0 } else { x };
    let clamped = if clamped < -104.0 { -104.0 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    // 2ⁿ in two factors, so that both ends of the range are reached.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    let power = |k: i32| f32::from_bits((k.wrapping_add(127) as u32) << 23);
    y * power(half) * power(n.wrapping_sub(half))
}

/// eˣ of numbers up to 0, to 2 units in the last place and never less than e⁻⁸⁷; NaN for NaN.
#[inline(always)]
pub fn share(x: f32, by: impl Arithmetic) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = by.multiply_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = by.multiply_add(n, -LN2_LOW, by.multiply_add(n, -LN2_HIGH, x));
    let p = by.multiply_add(1.987_569_1e-4, r, 1.398_199_9e-3);
    let p = by.multiply_add(p, r, 8.333_452e-3);
    let p = by.multiply_add(p, r, 4.166_579_6e-2);
    let p = by.multiply_add(p, r, 1.666_666_5e-1);
    let p = by.multiply_add(p, r, 0.5);
    let y = by.multiply_add(p, r * r, r) + 1.0;
    // ROUND ends in zeros, so that what was added to it stands in the lowest bits.
    y * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// ln x to 2 units in the last place; −∞ at 0, NaN below.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    let shifted = scaled.to_bits().wrapping_sub(0x3F35_04F3);
    let exponent = ((shifted as i32) >> 23) as f32 - if tiny { 23.0 } else { 0.0 };
    let m = f32::from_bits((shifted & 0x007F_FFFF).wrapping_add(0x3F35_04F3)) - 1.0;
    let p = 7.037_683_6e-2;
    let p = p * m - 1.151_461e-1;
    let p = p * m + 1.167_699_9e-1;
    let p = p * m - 1.242_014_1e-1;
    let p = p * m + 1.424_932_3e-1;
    let p = p * m - 1.666_805_7e-1;
    let p = p * m + 2.000_071_5e-1;
    let p = p * m - 2.499_999_4e-1;
    let p = p * m + 3.333_333_1e-1;
    let z = m * m;
    let y = m * z * p + exponent * LN2_LOW - 0.5 * z;
    let y = m + y + exponent * LN2_HIGH;
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { f32::NAN }
}

/// tanh x to 3 units in the last place.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let far = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    let far = far.copysign(x);
    let z = x * x;
    let p = -5.704_988_7e-3;
    let p = p * z + 2.063_908_9e-2;
    let p = p * z - 5.373_971_5e-2;
    let p = p * z + 1.333_144_2e-1;
    let p = p * z - 3.333_328e-1;
    let near = p * z * x + x;
    if a < 0.625 { near } else { far }
}

/// ln(1 + eˣ) to 3 units in the last place, without overflow.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    let u = 1.0 + e;
    // The second term gives back what rounding 1 + e lost.
    let log1p = ln(u) + (e - (u - 1.0)) / u;
    (if x > 0.0 { x } else { 0.0 }) + if x.is_nan() { x } else { log1p }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Apart;

    impl Arithmetic for Apart {
        fn multiply_add(self, a: f32, b: f32, c: f32) -> f32 {
            a * b + c
        }
    }

    fn relative(got: f32, want: f64) -> f64 {
        if want == 0.0 { f64::from(got).abs() } else { ((f64::from(got) - want) / want).abs() }
    }

    #[test]
    fn functions_agree_with_double_precision() {
        let mut x = -87.0f32;
        while x < 88.0 {
            let wide = f64::from(x);
            assert!(relative(exp(x), wide.exp()) < 3e-7, "exp {x}");
            assert!(x > 0.0 || relative(share(x, Apart), wide.exp()) < 3e-7, "share {x}");
            assert!(relative(tanh(x), wide.tanh()) < 4e-7, "tanh {x}");
            assert!(relative(softplus(x), wide.max(0.0) + (-wide.abs()).exp().ln_1p()) < 5e-7, "softplus {x}");
            x += 0.0173;
        }
        for i in 1..20_000 {
            let x = i as f32 * 1.7e-3;
            assert!((f64::from(ln(x)) - f64::from(x).ln()).abs() < 3e-7 * f64::from(x).ln().abs().max(0.3), "ln {x}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_right() {
        assert_eq!((exp(200.0), exp(-200.0), exp(0.0)), (f32::INFINITY, 0.0, 1.0));
        assert_eq!((ln(0.0), ln(1.0), ln(f32::INFINITY)), (f32::NEG_INFINITY, 0.0, f32::INFINITY));
        assert_eq!((share(0.0, Apart), share(-1e9, Apart)), (1.0, share(-87.0, Apart)));
        assert!(share(f32::NAN, Apart).is_nan());
        assert!(ln(-1.0).is_nan() && exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && softplus(f32::NAN).is_nan());
        assert_eq!((tanh(50.0), tanh(-50.0)), (1.0, -1.0));
        assert_eq!((softplus(1e4), softplus(-1e4)), (1e4, 0.0));
    }
}
