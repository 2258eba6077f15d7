//! A pointwise program as a WGSL function that loads its own broadcast inputs.

use std::fmt::Write;

use super::launch::{Binding, Bindings};
use crate::tensor::{Expr, Shape};

/// A program as it stands in a kernel.
#[derive(Debug)]
pub struct Pointwise<'a> {
    /// Name of the WGSL function.
    pub name: &'a str,
    /// The program.
    pub expr: &'a Expr,
    /// Whether input 0 is passed to the function instead of loaded.
    pub given: bool,
    /// The loaded inputs: their number among the operation's inputs, and their shapes.
    pub inputs: Vec<(usize, &'a Shape)>,
    /// The shape the program runs over.
    pub full: &'a Shape,
    /// Whether it computes four adjacent elements at a time.
    pub wide: bool,
}

/// Whether four adjacent elements of `full` can be computed together: each input then runs along them or stands still.
pub fn can_widen(inputs: &[&Shape], full: &Shape) -> bool {
    let axes = collapse(inputs, full);
    !full.is_empty() && axes.last().is_none_or(|a| a.extent.is_multiple_of(4)) && full.len().is_multiple_of(4)
}

impl Pointwise<'_> {
    /// Binds the inputs and writes `fn name([given: T,] index: u32) -> T`.
    pub fn emit(&self, bindings: &mut Bindings) -> String {
        let ty = if self.wide { "vec4<f32>" } else { "f32" };
        if self.expr.is_random() {
            bindings.bind(Binding::Step, "step", "Step");
        }
        let shapes: Vec<&Shape> = self.inputs.iter().map(|(_, s)| *s).collect();
        let axes = collapse(&shapes, self.full);
        let mut body = String::new();
        let mut values: Vec<String> = Vec::new();
        if self.given {
            values.push("given".to_string());
        }
        self.coordinates(&axes, &mut body);
        for (at, &(number, _)) in self.inputs.iter().enumerate() {
            let name = format!("{}_{at}", self.name);
            let runs = axes.last().is_some_and(|a| a.strides[at] == 1);
            let vector = self.wide && runs;
            if self.expr.reads(at + usize::from(self.given)) {
                bindings.bind(Binding::Input(number), &name, if vector { "array<vec4<f32>>" } else { "array<f32>" });
            }
            let offset = offset(&axes, at);
            values.push(match (self.wide, vector) {
                (true, true) => format!("{name}[({offset}) / 4u]"),
                (true, false) => format!("vec4<f32>({name}[{offset}])"),
                (false, _) => format!("{name}[{offset}]"),
            });
        }
        let item = self.full.dims().first().map_or(1, |n| self.full.len() / (*n).max(1));
        body += &super::function(self.expr, &values, self.wide, self.full.channels().max(1), item);
        let given = if self.given { format!("given: {ty}, ") } else { String::new() };
        format!("fn {}({given}index: u32) -> {ty} {{\n{body}}}\n", self.name)
    }

    /// `let x0 = …` for each collapsed axis that any input needs apart.
    fn coordinates(&self, axes: &[Axis], body: &mut String) {
        if axes.len() < 2 {
            return;
        }
        let loads = (0..self.inputs.len()).any(|at| self.expr.reads(at + usize::from(self.given)));
        if !loads || (0..self.inputs.len()).all(|at| is_dense(axes, at)) {
            return;
        }
        let mut behind = 1;
        for (number, axis) in axes.iter().enumerate().rev() {
            let above = if number == 0 { String::new() } else { format!(" % {}u", axis.extent) };
            let below = if behind == 1 { String::new() } else { format!(" / {behind}u") };
            let _ = writeln!(body, "    let x{number} = (index{below}){above};");
            behind *= axis.extent;
        }
    }
}

/// An axis of the iteration after neighbours that every input crosses alike were merged.
struct Axis {
    extent: usize,
    /// Stride of each input.
    strides: Vec<usize>,
}

fn collapse(inputs: &[&Shape], full: &Shape) -> Vec<Axis> {
    let strides: Vec<Vec<usize>> = inputs.iter().map(|s| s.strides_in(full)).collect();
    let mut axes: Vec<Axis> = Vec::new();
    for (number, &extent) in full.dims().iter().enumerate() {
        if extent == 1 {
            continue;
        }
        let here: Vec<usize> = strides.iter().map(|s| s[number]).collect();
        match axes.last_mut() {
            Some(last) if last.strides.iter().zip(&here).all(|(&outer, &inner)| outer == inner * extent) => {
                last.extent *= extent;
                last.strides = here;
            }
            _ => axes.push(Axis { extent, strides: here }),
        }
    }
    axes
}

/// Whether an input has an element for each of the iteration's, in the same order.
fn is_dense(axes: &[Axis], at: usize) -> bool {
    let mut behind = 1;
    axes.iter().rev().all(|a| {
        let fits = a.strides[at] == behind;
        behind *= a.extent;
        fits
    })
}

fn offset(axes: &[Axis], at: usize) -> String {
    if is_dense(axes, at) {
        return if axes.is_empty() { "0u".into() } else { "index".into() };
    }
    let single = axes.len() == 1;
    let terms: Vec<String> = axes
        .iter()
        .enumerate()
        .filter(|(_, a)| a.strides[at] != 0)
        .map(|(number, a)| {
            let x = if single { "index".to_string() } else { format!("x{number}") };
            if a.strides[at] == 1 { x } else { format!("{x} * {}u", a.strides[at]) }
        })
        .collect();
    if terms.is_empty() { "0u".into() } else { terms.join(" + ") }
}
