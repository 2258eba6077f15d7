//! Writing programs.

use std::collections::HashMap;

use super::{Binary, Distribution, Expr, Instr, Unary, Value, operands};

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
    pub(super) fn finish(self, result: Value) -> Expr {
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

    pub(super) fn inline(&mut self, expr: &Expr, input: impl FnMut(&mut Self, usize) -> Value) -> Value {
        let values = self.inline_all(expr, input);
        values[values.len() - 1]
    }

    pub(super) fn inline_all(&mut self, expr: &Expr, mut input: impl FnMut(&mut Self, usize) -> Value) -> Vec<Value> {
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

    pub(super) fn as_const(&self, v: Value) -> Option<f64> {
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

fn map_operands(instr: Instr, to: impl Fn(Value) -> Value) -> Instr {
    match instr {
        Instr::Unary(f, x) => Instr::Unary(f, to(x)),
        Instr::Binary(f, x, y) => Instr::Binary(f, to(x), to(y)),
        Instr::Select(c, x, y) => Instr::Select(to(c), to(x), to(y)),
        leaf => leaf,
    }
}
