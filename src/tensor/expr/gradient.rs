//! Symbolic differentiation: a gradient is a program too.

use super::{Binary, Builder, Expr, Instr, Unary, Value};

impl Expr {
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

impl Builder {
    /// f′(x), given x and f(x); `None` where it is zero everywhere.
    fn derivative(&mut self, f: Unary, x: Value, fx: Value) -> Option<Value> {
        let one = self.constant(1.0);
        Some(match f {
            Unary::Neg => self.constant(-1.0),
            Unary::Abs => self.unary(Unary::Sign, x),
            Unary::Sign | Unary::Step | Unary::Floor | Unary::Held => return None,
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
}
