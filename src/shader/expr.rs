//! Pointwise programs as WGSL functions.
//!
//! Drivers may assume that no infinity or NaN ever occurs (Metal's fast math does), so the functions of `shared/functions.wgsl` are
//! written to make none from finite operands.

use std::fmt::Write;

use crate::tensor::{Binary, Distribution, Expr, Instr, Unary};

/// The WGSL body of a program whose input `k` is the WGSL value `inputs[k]`, all of type `{ty}`; ends in a `return`. `index` is the
/// WGSL flat element, `channels` the innermost extent and `item` the elements of one item of the shape the program runs over.
pub fn function(expr: &Expr, inputs: &[String], wide: bool, channels: usize, item: usize) -> String {
    let ty = if wide { "vec4<f32>" } else { "f32" };
    let mut body = String::new();
    for (at, &instr) in expr.instrs().iter().enumerate() {
        let value = match instr {
            Instr::Input(k) => inputs.get(k).cloned().unwrap_or_else(|| format!("{ty}(0.0)")),
            Instr::Const(bits) => format!("{ty}({})", literal(f64::from_bits(bits))),
            Instr::Channel => channel(wide, channels),
            Instr::Random(distribution, stream) => random(distribution, stream, wide, item),
            Instr::Unary(f, x) => unary(f, &format!("v{x}"), ty),
            Instr::Binary(f, x, y) => binary(f, &format!("v{x}"), &format!("v{y}"), ty),
            Instr::Select(c, x, y) => format!("select(v{y}, v{x}, v{c} != {ty}(0.0))"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(body, "    let v{at} = {value};");
    }
    let _ = writeln!(body, "    return v{};", expr.instrs().len().saturating_sub(1));
    body
}

/// An `f32` literal; infinities become the largest finite number, which no driver may assume away.
fn literal(value: f64) -> String {
    let value = value as f32;
    if value.abs() >= f32::MAX {
        // Its shortest decimal rounds to it, but is above it, which WGSL refuses.
        return if value > 0.0 { "3.4028234e38".into() } else { "-3.4028234e38".into() };
    }
    format!("{value:?}")
}

fn channel(wide: bool, channels: usize) -> String {
    match (wide, channels % 4) {
        (false, _) => format!("f32(index % {channels}u)"),
        (true, 0) => format!("f32(index % {channels}u) + vec4<f32>(0.0, 1.0, 2.0, 3.0)"),
        (true, _) => format!("vec4<f32>((vec4<u32>(index) + vec4<u32>(0u, 1u, 2u, 3u)) % vec4<u32>({channels}u))"),
    }
}

fn random(distribution: Distribution, stream: u32, wide: bool, item: usize) -> String {
    let shape = match distribution {
        Distribution::Uniform => "random_unit",
        Distribution::Normal => "random_normal",
    };
    match (wide, item % 4) {
        (false, _) => format!("{shape}(random_word({stream}u, {item}u, index))"),
        // Four elements of one Philox block.
        (true, 0) => format!("{shape}4(random_block({stream}u, {item}u, index))"),
        (true, _) => {
            let lanes = [0, 1, 2, 3].map(|l| format!("{shape}(random_word({stream}u, {item}u, index + {l}u))")).join(", ");
            format!("vec4<f32>({lanes})")
        }
    }
}

fn unary(f: Unary, x: &str, ty: &str) -> String {
    let wide = if ty == "f32" { "" } else { "4" };
    match f {
        Unary::Neg => format!("-{x}"),
        Unary::Abs => format!("abs({x})"),
        Unary::Sign => format!("sign({x})"),
        Unary::Step => format!("select({ty}(0.0), {ty}(1.0), {x} > {ty}(0.0))"),
        // Not `max`: a NaN must stay one, so that a broken run is seen.
        Unary::Relu => format!("select({x}, {ty}(0.0), {x} < {ty}(0.0))"),
        Unary::Exp => format!("exp({x})"),
        Unary::Log => format!("log({x})"),
        Unary::Softplus => format!("softplus{wide}({x})"),
        Unary::Sigmoid => format!("sigmoid{wide}({x})"),
        Unary::Tanh => format!("tanh_stable{wide}({x})"),
        Unary::Sqrt => format!("sqrt({x})"),
        Unary::Recip => format!("{ty}(1.0) / {x}"),
        Unary::Floor => format!("floor({x})"),
        Unary::Held => x.to_string(),
    }
}

fn binary(f: Binary, a: &str, b: &str, ty: &str) -> String {
    match f {
        Binary::Add => format!("{a} + {b}"),
        Binary::Sub => format!("{a} - {b}"),
        Binary::Mul => format!("{a} * {b}"),
        Binary::Div => format!("{a} / {b}"),
        Binary::Max => format!("select({a}, {b}, {b} > {a})"),
        Binary::Min => format!("select({a}, {b}, {b} < {a})"),
        Binary::Greater => format!("select({ty}(0.0), {ty}(1.0), {a} > {b})"),
        Binary::Equal => format!("select({ty}(0.0), {ty}(1.0), {a} == {b})"),
    }
}
