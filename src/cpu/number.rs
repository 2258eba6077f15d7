//! The two number types of the executor.

use crate::graph::{Eval, Operation};
use crate::native::Real;

/// `f32` (fast) or `f64` (the oracle).
pub trait Number: Real {
    /// Evaluates an operation in this number type.
    fn evaluate(op: &dyn Operation, eval: Eval<'_, Self>);
}

impl Number for f32 {
    fn evaluate(op: &dyn Operation, eval: Eval<'_, Self>) {
        op.eval_f32(eval);
    }
}

impl Number for f64 {
    fn evaluate(op: &dyn Operation, eval: Eval<'_, Self>) {
        op.eval_f64(eval);
    }
}
