//! The pointwise language: small straight-line programs that compute one output element from the matching elements of the inputs.
//!
//! Activations, gates, losses, normalisation and their gradients are all programs, so they differentiate symbolically (to any order),
//! fuse by substitution, and run either as generated WGSL or through the CPU's blockwise interpreter.

use std::collections::HashMap;

/// An instruction's position in its program.
pub type Value = usize;

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

/// One instruction; operands are earlier instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instr {
    /// The element of input `k` that broadcasting puts at this output element.
    Input(usize),
    /// A constant, by the bits of its `f64`.
    Const(u64),
    /// The output element's coordinate along the innermost axis.
    Channel,
    /// A draw that depends on (seed, stream, step, flat output element) alone.
    Random(Distribution, u32),
    /// A one-operand function.
    Unary(Unary, Value),
    /// A two-operand function.
    Binary(Binary, Value, Value),
    /// The second operand where the first is not 0, else the third.
    Select(Value, Value, Value),
}

/// A program: every operand precedes its use, and the last instruction is the result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expr {
    instrs: Vec<Instr>,
}

impl Expr {
    /// Writes a program with a [`Builder`].
    pub fn build(write: impl FnOnce(&mut Builder) -> Value) -> Self {
        let mut b = Builder::default();
        let result = write(&mut b);
        b.finish(result)
    }

    /// The program that returns input 0.
    pub fn identity() -> Self {
        Self { instrs: vec![Instr::Input(0)] }
    }

    /// Whether this is input 0 itself.
    pub fn is_identity(&self) -> bool {
        self.instrs == [Instr::Input(0)]
    }

    /// The constant this is, if it is one.
    pub fn as_constant(&self) -> Option<f64> {
        match self.instrs[..] {
            [Instr::Const(bits)] => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Instructions in order; the last is the result.
    pub fn instrs(&self) -> &[Instr] {
        &self.instrs
    }

    /// Whether the value depends on where the element lies, not on the inputs alone.
    pub fn is_positional(&self) -> bool {
        self.instrs.iter().any(|i| matches!(i, Instr::Channel | Instr::Random(..)))
    }

    /// Whether any draw is made.
    pub fn is_random(&self) -> bool {
        self.instrs.iter().any(|i| matches!(i, Instr::Random(..)))
    }

    /// Whether any operand is input `k`.
    pub fn reads(&self, k: usize) -> bool {
        self.instrs.contains(&Instr::Input(k))
    }

    /// The result for scalar inputs, on the host; draws and coordinates count as 0.
    pub fn evaluate(&self, inputs: &[f64]) -> f64 {
        let mut values: Vec<f64> = Vec::with_capacity(self.instrs.len());
        for &instr in &self.instrs {
            values.push(match instr {
                Instr::Input(k) => inputs[k],
                Instr::Const(bits) => f64::from_bits(bits),
                Instr::Channel | Instr::Random(..) => 0.0,
                Instr::Unary(f, x) => f.apply(values[x]),
                Instr::Binary(f, x, y) => f.apply(values[x], values[y]),
                Instr::Select(c, x, y) => values[if values[c] != 0.0 { x } else { y }],
            });
        }
        values.last().copied().unwrap_or(0.0)
    }

    /// Whether readers may as well each compute this for themselves: a few instructions, no transcendental, no position.
    pub fn is_cheap(&self) -> bool {
        let cheap = |i: &Instr| match i {
            Instr::Channel | Instr::Random(..) | Instr::Binary(Binary::Div, ..) => false,
            Instr::Unary(f, _) => matches!(f, Unary::Neg | Unary::Abs | Unary::Sign | Unary::Step | Unary::Relu),
            _ => true,
        };
        self.instrs.len() <= 6 && self.instrs.iter().all(cheap)
    }

    /// Whether a one-input program keeps zero, so that it commutes with zero padding.
    pub fn maps_zero_to_zero(&self) -> bool {
        self.evaluate(&[0.0]) == 0.0
    }

    /// This program with each input `k` replaced by `inputs[k]`, a program over a shared, renumbered input list.
    pub fn substitute(&self, inputs: &[Expr]) -> Expr {
        Expr::build(|b| {
            let values: Vec<Value> = inputs.iter().map(|e| b.inline(e, |b, k| b.input(k))).collect();
            b.inline(self, |_, k| values[k])
        })
    }

    /// This program with its inputs renumbered by `to`.
    pub fn renumber(&self, to: &[usize]) -> Expr {
        Expr::build(|b| b.inline(self, |b, k| b.input(to[k])))
    }

    /// The product of `upstream` and the partial derivative with respect to input `wrt`, as a program over the same inputs followed
    /// by `upstream` as one input more (number `inputs`). `None` where the derivative is zero everywhere.
    pub fn gradient(&self, wrt: usize, inputs: usize) -> Option<Expr> {
        let mut b = Builder::default();
        let forward = b.inline_all(self, |b, k| b.input(k));
        let mut adjoint: Vec<Option<Value>> = vec![None; self.instrs.len()];
        let last = self.instrs.len() - 1;
        adjoint[last] = Some(b.input(inputs));
        let mut result: Option<Value> = None;
        for at in (0..self.instrs.len()).rev() {
            let Some(g) = adjoint[at] else { continue };
            let mut push = |b: &mut Builder, to: Value, term: Value| {
                adjoint[to] = Some(match adjoint[to] {
                    Some(sum) => b.add(sum, term),
                    None => term,
                });
            };
            match self.instrs[at] {
                Instr::Input(k) if k == wrt => {
                    result = Some(match result {
                        Some(sum) => b.add(sum, g),
                        None => g,
                    });
                }
                Instr::Input(_) | Instr::Const(_) | Instr::Channel | Instr::Random(..) => {}
                Instr::Unary(f, x) => {
                    if let Some(d) = b.derivative(f, forward[x], forward[at]) {
                        let term = b.mul(g, d);
                        push(&mut b, x, term);
                    }
                }
                Instr::Binary(f, x, y) => {
                    let (vx, vy) = (forward[x], forward[y]);
                    match f {
                        Binary::Add => {
                            push(&mut b, x, g);
                            push(&mut b, y, g);
                        }
                        Binary::Sub => {
                            push(&mut b, x, g);
                            let minus = b.neg(g);
                            push(&mut b, y, minus);
                        }
                        Binary::Mul => {
                            let (tx, ty) = (b.mul(g, vy), b.mul(g, vx));
                            push(&mut b, x, tx);
                            push(&mut b, y, ty);
                        }
                        Binary::Div => {
                            let tx = b.div(g, vy);
                            let slope = b.mul(tx, forward[at]);
                            let ty = b.neg(slope);
                            push(&mut b, x, tx);
                            push(&mut b, y, ty);
                        }
                        Binary::Max | Binary::Min => {
                            let (first, second) = if f == Binary::Max { (vx, vy) } else { (vy, vx) };
                            let other = b.binary(Binary::Greater, second, first);
                            let zero = b.constant(0.0);
                            let (tx, ty) = (b.select(other, zero, g), b.select(other, g, zero));
                            push(&mut b, x, tx);
                            push(&mut b, y, ty);
                        }
                        Binary::Greater | Binary::Equal => {}
                    }
                }
                Instr::Select(c, x, y) => {
                    let zero = b.constant(0.0);
                    let (tx, ty) = (b.select(forward[c], g, zero), b.select(forward[c], zero, g));
                    push(&mut b, x, tx);
                    push(&mut b, y, ty);
                }
            }
        }
        let result = result?;
        if b.as_const(result) == Some(0.0) {
            return None;
        }
        Some(b.finish(result))
    }
}

/// Writes programs: equal instructions are written once, constants fold, and identities (x·1, x+0, …) vanish.
#[derive(Default)]
pub struct Builder {
    instrs: Vec<Instr>,
    known: HashMap<Instr, Value>,
}

impl Builder {
    fn push(&mut self, instr: Instr) -> Value {
        if let Some(&at) = self.known.get(&instr) {
            return at;
        }
        self.instrs.push(instr);
        self.known.insert(instr, self.instrs.len() - 1);
        self.instrs.len() - 1
    }

    /// Drops what `result` does not need and closes the program.
    fn finish(self, result: Value) -> Expr {
        let mut needed = vec![false; self.instrs.len()];
        needed[result] = true;
        for at in (0..=result).rev() {
            if needed[at] {
                operands(self.instrs[at]).into_iter().flatten().for_each(|o| needed[o] = true);
            }
        }
        let mut moved = vec![0; self.instrs.len()];
        let mut instrs = Vec::new();
        for at in 0..=result {
            if needed[at] {
                moved[at] = instrs.len();
                instrs.push(map_operands(self.instrs[at], |o| moved[o]));
            }
        }
        Expr { instrs }
    }

    fn inline(&mut self, expr: &Expr, input: impl FnMut(&mut Self, usize) -> Value) -> Value {
        let values = self.inline_all(expr, input);
        values[values.len() - 1]
    }

    fn inline_all(&mut self, expr: &Expr, mut input: impl FnMut(&mut Self, usize) -> Value) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::with_capacity(expr.instrs.len());
        for &instr in &expr.instrs {
            let value = match instr {
                Instr::Input(k) => input(self, k),
                Instr::Unary(f, x) => self.unary(f, values[x]),
                Instr::Binary(f, x, y) => self.binary(f, values[x], values[y]),
                Instr::Select(c, x, y) => self.select(values[c], values[x], values[y]),
                leaf => self.push(leaf),
            };
            values.push(value);
        }
        values
    }

    fn as_const(&self, v: Value) -> Option<f64> {
        match self.instrs[v] {
            Instr::Const(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Input `k`.
    pub fn input(&mut self, k: usize) -> Value {
        self.push(Instr::Input(k))
    }

    /// A constant.
    pub fn constant(&mut self, value: f64) -> Value {
        self.push(Instr::Const(value.to_bits()))
    }

    /// The coordinate along the innermost axis.
    pub fn channel(&mut self) -> Value {
        self.push(Instr::Channel)
    }

    /// A draw of the given stream.
    pub fn random(&mut self, distribution: Distribution, stream: u32) -> Value {
        self.push(Instr::Random(distribution, stream))
    }

    /// f(x)
    pub fn unary(&mut self, f: Unary, x: Value) -> Value {
        match (f, self.as_const(x)) {
            (Unary::Neg, Some(c)) => return self.constant(-c),
            (Unary::Step, Some(c)) => return self.constant(f64::from(c > 0.0)),
            _ => {}
        }
        if let (Unary::Neg, Instr::Unary(Unary::Neg, inner)) = (f, self.instrs[x]) {
            return inner;
        }
        self.push(Instr::Unary(f, x))
    }

    /// f(a, b)
    pub fn binary(&mut self, f: Binary, a: Value, b: Value) -> Value {
        let (ca, cb) = (self.as_const(a), self.as_const(b));
        if let (Some(x), Some(y)) = (ca, cb) {
            match f {
                Binary::Add => return self.constant(x + y),
                Binary::Sub => return self.constant(x - y),
                Binary::Mul => return self.constant(x * y),
                Binary::Div => return self.constant(x / y),
                _ => {}
            }
        }
        match (f, ca, cb) {
            (Binary::Add, Some(0.0), _) | (Binary::Mul, Some(1.0), _) => b,
            (Binary::Add | Binary::Sub, _, Some(0.0)) | (Binary::Mul | Binary::Div, _, Some(1.0)) => a,
            (Binary::Mul, Some(0.0), _) | (Binary::Mul, _, Some(0.0)) | (Binary::Div, Some(0.0), _) => self.constant(0.0),
            (Binary::Sub, Some(0.0), _) => self.neg(b),
            (Binary::Mul, Some(-1.0), _) => self.neg(b),
            (Binary::Mul, _, Some(-1.0)) => self.neg(a),
            (Binary::Add | Binary::Mul, _, _) if b < a => self.push(Instr::Binary(f, b, a)),
            _ => self.push(Instr::Binary(f, a, b)),
        }
    }

    /// `x` where `condition` ≠ 0, else `y`.
    pub fn select(&mut self, condition: Value, x: Value, y: Value) -> Value {
        match self.as_const(condition) {
            _ if x == y => x,
            Some(c) => {
                if c != 0.0 {
                    x
                } else {
                    y
                }
            }
            None => self.push(Instr::Select(condition, x, y)),
        }
    }

    /// f′(x), given x and f(x); `None` where it is zero everywhere.
    fn derivative(&mut self, f: Unary, x: Value, fx: Value) -> Option<Value> {
        let one = self.constant(1.0);
        Some(match f {
            Unary::Neg => self.constant(-1.0),
            Unary::Abs => self.unary(Unary::Sign, x),
            Unary::Sign | Unary::Step | Unary::Floor => return None,
            Unary::Relu => self.unary(Unary::Step, x),
            Unary::Exp => fx,
            Unary::Log => self.unary(Unary::Recip, x),
            Unary::Softplus => self.unary(Unary::Sigmoid, x),
            Unary::Sigmoid => {
                let rest = self.sub(one, fx);
                self.mul(fx, rest)
            }
            Unary::Tanh => {
                let square = self.mul(fx, fx);
                self.sub(one, square)
            }
            Unary::Sqrt => {
                let half = self.constant(0.5);
                self.div(half, fx)
            }
            Unary::Recip => {
                let square = self.mul(fx, fx);
                self.neg(square)
            }
        })
    }

    /// a + b
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Add, a, b)
    }
    /// a − b
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Sub, a, b)
    }
    /// a · b
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Mul, a, b)
    }
    /// a / b
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        self.binary(Binary::Div, a, b)
    }
    /// −x
    pub fn neg(&mut self, x: Value) -> Value {
        self.unary(Unary::Neg, x)
    }
    /// x scaled by a constant
    pub fn scale(&mut self, x: Value, factor: f64) -> Value {
        let c = self.constant(factor);
        self.mul(x, c)
    }
    /// x plus a constant
    pub fn offset(&mut self, x: Value, amount: f64) -> Value {
        let c = self.constant(amount);
        self.add(x, c)
    }
}

/// An instruction's operands.
pub fn operands(instr: Instr) -> [Option<Value>; 3] {
    match instr {
        Instr::Unary(_, x) => [Some(x), None, None],
        Instr::Binary(_, x, y) => [Some(x), Some(y), None],
        Instr::Select(c, x, y) => [Some(c), Some(x), Some(y)],
        _ => [None; 3],
    }
}

fn map_operands(instr: Instr, to: impl Fn(Value) -> Value) -> Instr {
    match instr {
        Instr::Unary(f, x) => Instr::Unary(f, to(x)),
        Instr::Binary(f, x, y) => Instr::Binary(f, to(x), to(y)),
        Instr::Select(c, x, y) => Instr::Select(to(c), to(x), to(y)),
        leaf => leaf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_subexpressions_are_written_once_and_identities_vanish() {
        let e = Expr::build(|b| {
            let x = b.input(0);
            let (s, t) = (b.unary(Unary::Sigmoid, x), b.unary(Unary::Sigmoid, x));
            let one = b.constant(1.0);
            let product = b.mul(s, t);
            b.mul(product, one)
        });
        assert_eq!(e.instrs().len(), 3);
    }

    #[test]
    fn the_gradient_of_relu_is_a_step_times_upstream() {
        let e = Expr::build(|b| {
            let x = b.input(0);
            b.unary(Unary::Relu, x)
        });
        let g = e.gradient(0, 1).expect("relu has a gradient");
        assert!(g.reads(0) && g.reads(1));
        assert!(e.gradient(1, 2).is_none());
    }

    #[test]
    fn substitution_inlines_programs() {
        let sum = Expr::build(|b| {
            let (x, y) = (b.input(0), b.input(1));
            b.add(x, y)
        });
        let double = sum.substitute(&[Expr::identity(), Expr::identity()]);
        assert_eq!(double.instrs(), [Instr::Input(0), Instr::Binary(Binary::Add, 0, 0)]);
    }
}
