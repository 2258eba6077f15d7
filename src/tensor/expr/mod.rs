//! The pointwise language: small straight-line programs that compute one output element from the matching elements of the inputs.
//!
//! Activations, gates, losses, normalisation and their gradients are all programs, so they differentiate symbolically (to any order),
//! fuse by substitution, and run either as generated WGSL or through the CPU's blockwise interpreter.

mod builder;
mod function;
mod gradient;

pub use builder::Builder;
pub use function::{Binary, Distribution, Unary};

/// An instruction's position in its program.
pub type Value = usize;

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
