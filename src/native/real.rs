//! The two number types that the CPU computes in.

use super::{math, scratch};

/// `f32` (fast) or `f64` (the oracle).
pub trait Real: Copy + Default + PartialOrd + Send + Sync + std::fmt::Debug + 'static {
    /// Rounds from double precision.
    fn of(value: f64) -> Self;
    /// Widens to double precision.
    fn wide(self) -> f64;
    /// Sum.
    fn plus(self, other: Self) -> Self;
    /// Difference.
    fn minus(self, other: Self) -> Self;
    /// Product.
    fn times(self, other: Self) -> Self;
    /// Quotient.
    fn over(self, other: Self) -> Self;
    /// |x|
    fn magnitude(self) -> Self;
    /// √x
    fn root(self) -> Self;
    /// ⌊x⌋
    fn floored(self) -> Self;
    /// eˣ
    fn exponential(self) -> Self;
    /// ln x
    fn logarithm(self) -> Self;
    /// tanh x
    fn hyperbolic_tangent(self) -> Self;
    /// 1 / (1 + e⁻ˣ)
    fn logistic(self) -> Self;
    /// ln(1 + eˣ)
    fn softened(self) -> Self;

    /// Lends a buffer of `len` elements with arbitrary contents.
    fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [Self]) -> R) -> R;
}

macro_rules! arithmetic {
    () => {
        #[inline(always)]
        fn of(value: f64) -> Self {
            value as Self
        }
        #[inline(always)]
        fn wide(self) -> f64 {
            f64::from(self)
        }
        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            self + other
        }
        #[inline(always)]
        fn minus(self, other: Self) -> Self {
            self - other
        }
        #[inline(always)]
        fn times(self, other: Self) -> Self {
            self * other
        }
        #[inline(always)]
        fn over(self, other: Self) -> Self {
            self / other
        }
        #[inline(always)]
        fn magnitude(self) -> Self {
            self.abs()
        }
        #[inline(always)]
        fn root(self) -> Self {
            self.sqrt()
        }
        #[inline(always)]
        fn floored(self) -> Self {
            self.floor()
        }
    };
}

impl Real for f32 {
    arithmetic!();

    #[inline(always)]
    fn exponential(self) -> Self {
        math::exp(self)
    }
    #[inline(always)]
    fn logarithm(self) -> Self {
        math::ln(self)
    }
    #[inline(always)]
    fn hyperbolic_tangent(self) -> Self {
        math::tanh(self)
    }
    #[inline(always)]
    fn logistic(self) -> Self {
        1.0 / (1.0 + math::exp(-self))
    }
    #[inline(always)]
    fn softened(self) -> Self {
        math::softplus(self)
    }

    fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [Self]) -> R) -> R {
        scratch::with(len, work)
    }
}

impl Real for f64 {
    arithmetic!();

    fn exponential(self) -> Self {
        self.exp()
    }
    fn logarithm(self) -> Self {
        self.ln()
    }
    fn hyperbolic_tangent(self) -> Self {
        self.tanh()
    }
    fn logistic(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }
    fn softened(self) -> Self {
        self.max(0.0) + (-self.abs()).exp().ln_1p()
    }

    fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [Self]) -> R) -> R {
        work(&mut vec![0.0; len])
    }
}
