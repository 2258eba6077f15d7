//! The functions of the language, and what random leaves draw.

/// One-operand functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// −x
    Neg,
    /// |x|
    Abs,
    /// −1, 0 or 1
    Sign,
    /// 1 where x > 0, else 0
    Step,
    /// max(x, 0)
    Relu,
    /// eˣ
    Exp,
    /// ln x
    Log,
    /// ln(1 + eˣ), without overflow
    Softplus,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// hyperbolic tangent
    Tanh,
    /// √x
    Sqrt,
    /// 1 / x
    Recip,
    /// largest integer not above x
    Floor,
    /// x itself, through which no gradient flows
    Held,
}

impl Unary {
    /// f(x) in double precision.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Neg => -x,
            Self::Abs => x.abs(),
            Self::Sign => {
                if x == 0.0 {
                    0.0
                } else {
                    x.signum()
                }
            }
            Self::Step => f64::from(x > 0.0),
            Self::Relu => x.max(0.0),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Tanh => x.tanh(),
            Self::Sqrt => x.sqrt(),
            Self::Recip => 1.0 / x,
            Self::Floor => x.floor(),
            Self::Held => x,
        }
    }
}

/// Two-operand functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a · b
    Mul,
    /// a / b
    Div,
    /// the larger; its gradient goes to a where a ≥ b
    Max,
    /// the smaller; its gradient goes to a where a ≤ b
    Min,
    /// 1 where a > b, else 0
    Greater,
    /// 1 where a = b, else 0
    Equal,
}

impl Binary {
    /// f(a, b) in double precision.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => a.max(b),
            Self::Min => a.min(b),
            Self::Greater => f64::from(a > b),
            Self::Equal => f64::from(a == b),
        }
    }
}

/// What a random leaf draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Uniform in [0, 1).
    Uniform,
    /// Standard normal.
    Normal,
}
