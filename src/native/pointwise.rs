//! The interpreter of pointwise programs: one instruction at a time over blocks that stay in the first cache.

use crate::parallel::prelude::*;

use super::{Real, simd};
use crate::random;
use crate::tensor::{Binary, Distribution, Expr, Instr, Shape, Step, Unary};

/// Elements an instruction works on at a time.
const BLOCK: usize = 256;
/// Elements one task evaluates.
const TASK: usize = 16 * 1024;

/// An input as it appears at the elements of a larger shape.
pub struct Operand<'a, T> {
    data: &'a [T],
    /// Trailing elements over which the input runs along (`run`) or stands still.
    inner: usize,
    runs: bool,
    /// Extents and strides of the axes before, innermost last.
    outer: Vec<(usize, usize)>,
}

impl<'a, T: Copy> Operand<'a, T> {
    /// `data` of shape `shape`, broadcast to `full`.
    pub fn new(data: &'a [T], shape: &Shape, full: &Shape) -> Self {
        let strides = shape.strides_in(full);
        let mut axes: Vec<(usize, usize)> = full.dims().iter().copied().zip(strides).filter(|(extent, _)| *extent != 1).collect();
        let runs = axes.last().is_some_and(|(_, stride)| *stride == 1);
        let mut inner = 1;
        while let Some(&(extent, stride)) = axes.last() {
            if stride != if runs { inner } else { 0 } {
                break;
            }
            inner *= extent;
            axes.pop();
        }
        let mut outer: Vec<(usize, usize)> = Vec::new();
        for (extent, stride) in axes {
            match outer.last_mut() {
                // Two axes that step like one are one.
                Some(last) if last.1 == stride * extent => *last = (last.0 * extent, stride),
                _ => outer.push((extent, stride)),
            }
        }
        if outer.iter().all(|(_, stride)| *stride == 0) {
            outer.clear();
        }
        Self { data, inner, runs, outer }
    }

    /// Cells of `channels` elements that lie `stride` apart, the channels of `full`; where `full` has more, they come again.
    pub fn cells(data: &'a [T], channels: usize, stride: usize, full: &Shape) -> Self {
        let count = data.len().div_ceil(stride);
        if channels == stride && channels == full.channels() {
            let own = Shape::from([1, count, 1, channels]);
            return Self::new(data, if count * channels == full.len() { full } else { &own }, full);
        }
        if channels == full.channels() {
            return Self { data, inner: channels, runs: true, outer: vec![(count, stride)] };
        }
        Self { data, inner: full.channels(), runs: false, outer: vec![(count, stride)] }
    }

    fn load(&self, start: usize, out: &mut [T]) {
        let (mut row, mut column) = (start / self.inner, start % self.inner);
        let mut done = 0;
        while done < out.len() {
            let count = (self.inner - column).min(out.len() - done);
            let base = self.base(row);
            let target = &mut out[done..done + count];
            if self.runs {
                target.copy_from_slice(&self.data[base + column..base + column + count]);
            } else {
                target.fill(self.data[base]);
            }
            done += count;
            column = 0;
            row += 1;
        }
    }

    /// The elements from `start` on, where they lie next to each other.
    #[inline(always)]
    fn dense(&self, start: usize, len: usize) -> Option<&'a [T]> {
        if !self.runs || !self.outer.is_empty() {
            return None;
        }
        let first = if start < self.inner { start } else { start % self.inner };
        (first + len <= self.inner).then(|| &self.data[first..first + len])
    }

    /// Whether each block of elements is the same as the one before.
    fn repeats(&self) -> bool {
        self.outer.is_empty() && (!self.runs || BLOCK.is_multiple_of(self.inner))
    }

    fn base(&self, mut row: usize) -> usize {
        let mut base = 0;
        for &(extent, stride) in self.outer.iter().rev() {
            base += (row % extent) * stride;
            row /= extent;
        }
        base
    }
}

/// A program ready to be evaluated over any range of a tensor.
pub struct Evaluator<'a, T> {
    expr: &'a Expr,
    operands: &'a [Operand<'a, T>],
    /// Whether input 0 is what the output holds already, the operands being inputs 1 and up.
    in_place: bool,
    channels: usize,
    item: usize,
    step: &'a Step,
    /// Instructions whose results are the same in every block, as bits.
    fixed: u128,
}

impl<'a, T: Real> Evaluator<'a, T> {
    /// A program over operands that are its inputs 0 and up.
    pub fn new(expr: &'a Expr, operands: &'a [Operand<'a, T>], shape: &Shape, step: &'a Step) -> Self {
        Self::over(false, expr, operands, shape, step)
    }

    /// A program whose input 0 is the output's own old contents and whose operands are its inputs 1 and up.
    pub fn in_place(expr: &'a Expr, operands: &'a [Operand<'a, T>], shape: &Shape, step: &'a Step) -> Self {
        Self::over(true, expr, operands, shape, step)
    }

    fn over(in_place: bool, expr: &'a Expr, operands: &'a [Operand<'a, T>], shape: &Shape, step: &'a Step) -> Self {
        let item = shape.dims().first().map_or(1, |n| shape.len() / (*n).max(1));
        let mut evaluator = Self { expr, operands, in_place, channels: shape.channels(), item, step, fixed: 0 };
        evaluator.fixed = evaluator.fixed();
        evaluator
    }

    /// Evaluates the elements from `start` on into `out`.
    pub fn run(&self, start: usize, out: &mut [T]) {
        let fixed = if out.len() > BLOCK { self.fixed } else { 0 };
        T::with_scratch(self.expr.instrs().len() * BLOCK, |registers| {
            simd::dispatch(Blocks { evaluator: self, start, out, registers, fixed });
        });
    }

    /// Hands `work` the `len` elements from `start` on: where they lie already, if the program is just an operand.
    pub fn read<R>(&self, start: usize, len: usize, work: impl FnOnce(&[T]) -> R) -> R {
        let dense = match *self.expr.instrs() {
            [Instr::Input(k)] if k >= self.own() => self.operands[k - self.own()].dense(start, len),
            _ => None,
        };
        match dense {
            Some(values) => work(values),
            None => T::with_scratch(len, |values| {
                self.run(start, values);
                work(values)
            }),
        }
    }

    /// Instructions whose results are the same in every block: what is made of constants, and of channels that a block holds whole rows
    /// of. A standard deviation is one of them, so that its root is not taken anew for every position.
    fn fixed(&self) -> u128 {
        let mut fixed = 0u128;
        for (at, &instr) in self.expr.instrs().iter().enumerate().take(u128::BITS as usize) {
            let is_fixed = |v: usize| fixed >> v & 1 == 1;
            let same = match instr {
                Instr::Input(k) => k >= self.own() && self.operands[k - self.own()].repeats(),
                Instr::Const(_) => true,
                Instr::Channel => BLOCK.is_multiple_of(self.channels),
                Instr::Random(..) => false,
                Instr::Unary(_, x) => is_fixed(x),
                Instr::Binary(_, x, y) => is_fixed(x) && is_fixed(y),
                Instr::Select(c, x, y) => is_fixed(c) && is_fixed(x) && is_fixed(y),
            };
            fixed |= u128::from(same) << at;
        }
        fixed
    }

    /// Evaluates one block. `held` are the instructions, as bits, whose results the registers hold of the block before.
    #[inline(always)]
    fn block(&self, start: usize, out: &mut [T], registers: &mut [T], held: u128) {
        let len = out.len();
        let instrs = self.expr.instrs();
        let last = instrs.len() - 1;
        for (at, &instr) in instrs.iter().enumerate() {
            if at != last && at < u128::BITS as usize && held >> at & 1 == 1 {
                continue;
            }
            let (before, rest) = registers.split_at_mut(at * BLOCK);
            // Inputs that lie next to each other are read where they are.
            let get = |v: usize| match instrs[v] {
                Instr::Input(k) if k >= self.own() => match self.operands[k - self.own()].dense(start, len) {
                    Some(dense) => dense,
                    None => &before[v * BLOCK..v * BLOCK + len],
                },
                _ => &before[v * BLOCK..v * BLOCK + len],
            };
            // The old contents of `out` were read by an earlier instruction, so the last may overwrite them.
            if let (Instr::Input(0), true) = (instr, self.in_place) {
                if at != last {
                    rest[..len].copy_from_slice(out);
                }
                continue;
            }
            let r: &mut [T] = if at == last { &mut *out } else { &mut rest[..len] };
            match instr {
                Instr::Input(k) => {
                    let operand = &self.operands[k - self.own()];
                    if at == last || operand.dense(start, len).is_none() {
                        operand.load(start, r);
                    }
                }
                Instr::Const(bits) => r.fill(T::of(f64::from_bits(bits))),
                Instr::Channel => r.iter_mut().enumerate().for_each(|(i, v)| *v = T::of(((start + i) % self.channels) as f64)),
                Instr::Random(distribution, stream) => self.draw(distribution, stream, start, r),
                Instr::Unary(f, x) => unary(f, get(x), r),
                Instr::Binary(f, x, y) => binary(f, get(x), get(y), r),
                Instr::Select(c, x, y) => {
                    for (((v, &c), &x), &y) in r.iter_mut().zip(get(c)).zip(get(x)).zip(get(y)) {
                        *v = if c == T::default() { y } else { x };
                    }
                }
            }
        }
    }

    /// Inputs that are no operands: the output's own old contents.
    #[inline(always)]
    fn own(&self) -> usize {
        usize::from(self.in_place)
    }

    fn draw(&self, distribution: Distribution, stream: u32, start: usize, out: &mut [T]) {
        let first = u64::from(self.step.first_item) * self.item as u64 + start as u64;
        let key = [self.step.seed as u32, (self.step.seed >> 32) as u32];
        let mut words = [0; 4];
        let mut held = u64::MAX;
        for (i, v) in out.iter_mut().enumerate() {
            let element = first + i as u64;
            let block = element >> 2;
            if block != held {
                words = random::philox4x32([block as u32, (block >> 32) as u32, self.step.step, stream], key);
                held = block;
            }
            let word = words[(element & 3) as usize];
            *v = T::of(f64::from(match distribution {
                Distribution::Uniform => random::unit(word),
                Distribution::Normal => random::normal(word),
            }));
        }
    }
}

struct Blocks<'a, 'b, T> {
    evaluator: &'a Evaluator<'b, T>,
    start: usize,
    out: &'a mut [T],
    registers: &'a mut [T],
    /// As of [`Evaluator::fixed`].
    fixed: u128,
}

impl<T: Real> simd::Job for Blocks<'_, '_, T> {
    #[inline(always)]
    fn run(self, _: impl simd::Arithmetic) {
        let Self { evaluator, mut start, out, registers, fixed } = self;
        let mut held = 0;
        // Blocks of known length are what the compiler makes short code of.
        let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
        for block in blocks {
            evaluator.block(start, block, registers, held);
            held = fixed;
            start += BLOCK;
        }
        if !rest.is_empty() {
            evaluator.block(start, rest, registers, held);
        }
    }
}

// Loops, not `for_each`: where that is not inlined, its body is compiled without the level's vectors.
#[inline(always)]
fn each<T: Real>(x: &[T], out: &mut [T], f: impl Fn(T) -> T) {
    for (v, &x) in out.iter_mut().zip(x) {
        *v = f(x);
    }
}

#[inline(always)]
fn pairs<T: Real>(x: &[T], y: &[T], out: &mut [T], f: impl Fn(T, T) -> T) {
    for ((v, &x), &y) in out.iter_mut().zip(x).zip(y) {
        *v = f(x, y);
    }
}

#[inline(always)]
fn unary<T: Real>(f: Unary, x: &[T], out: &mut [T]) {
    let (zero, one) = (T::default(), T::of(1.0));
    match f {
        Unary::Neg => each(x, out, |x| zero.minus(x)),
        Unary::Abs => each(x, out, Real::magnitude),
        Unary::Sign => each(x, out, |x| {
            if x > zero {
                one
            } else if x < zero {
                T::of(-1.0)
            } else {
                x
            }
        }),
        Unary::Step => each(x, out, |x| if x > zero { one } else { zero }),
        // Not `max`: a NaN must stay one, so that a broken run is seen.
        Unary::Relu => each(x, out, |x| if x < zero { zero } else { x }),
        Unary::Exp => each(x, out, Real::exponential),
        Unary::Log => each(x, out, Real::logarithm),
        Unary::Softplus => each(x, out, Real::softened),
        Unary::Sigmoid => each(x, out, Real::logistic),
        Unary::Tanh => each(x, out, Real::hyperbolic_tangent),
        Unary::Sqrt => each(x, out, Real::root),
        Unary::Recip => each(x, out, |x| one.over(x)),
        Unary::Floor => each(x, out, Real::floored),
        Unary::Held => out.copy_from_slice(x),
    }
}

#[inline(always)]
fn binary<T: Real>(f: Binary, x: &[T], y: &[T], out: &mut [T]) {
    let (zero, one) = (T::default(), T::of(1.0));
    match f {
        Binary::Add => pairs(x, y, out, Real::plus),
        Binary::Sub => pairs(x, y, out, Real::minus),
        Binary::Mul => pairs(x, y, out, Real::times),
        Binary::Div => pairs(x, y, out, Real::over),
        Binary::Max => pairs(x, y, out, |x, y| if y > x { y } else { x }),
        Binary::Min => pairs(x, y, out, |x, y| if y < x { y } else { x }),
        Binary::Greater => pairs(x, y, out, |x, y| if x > y { one } else { zero }),
        Binary::Equal => pairs(x, y, out, |x, y| if x == y { one } else { zero }),
    }
}

/// Evaluates a program over a whole tensor, on all cores.
pub fn map<T: Real>(expr: &Expr, operands: &[Operand<'_, T>], shape: &Shape, step: &Step, out: &mut [T]) {
    let evaluator = Evaluator::new(expr, operands, shape, step);
    if out.len() <= TASK {
        evaluator.run(0, out);
    } else {
        out.par_chunks_mut(TASK).enumerate().for_each(|(i, chunk)| evaluator.run(i * TASK, chunk));
    }
}
