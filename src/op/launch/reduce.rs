//! Reductions, in one stage or several.

use super::{Defines, flag, rows, text};
use crate::graph::{Expr, Shape, Signature};
use crate::shader::{Binding, Bindings, Launch, Pointwise, Stage, Target};
use crate::tensor::Reduction;

/// What a chain of stages reduces with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sum,
    Mean,
    Variance,
    Max,
    LogSumExp,
    /// Σ x²
    Squares,
}

impl Kind {
    /// The type of a partial result.
    fn partial(self) -> &'static str {
        match self {
            // Largest exponent, sum of exponentials below it.
            Self::LogSumExp => "vec2<f32>",
            // Count, mean, sum of squares about it.
            Self::Variance => "vec4<f32>",
            _ => "f32",
        }
    }

    /// Numbers of a partial result.
    fn width(self) -> usize {
        match self {
            Self::LogSumExp => 2,
            Self::Variance => 4,
            _ => 1,
        }
    }
}

impl From<Reduction> for Kind {
    fn from(kind: Reduction) -> Self {
        match kind {
            Reduction::Sum => Self::Sum,
            Reduction::Mean => Self::Mean,
            Reduction::Variance => Self::Variance,
            Reduction::Max => Self::Max,
            Reduction::LogSumExp => Self::LogSumExp,
        }
    }
}

/// What a chain of stages starts from.
pub(super) enum Source<'a> {
    /// A program over inputs broadcast to a shape.
    Program(&'a Expr, Vec<&'a Shape>, &'a Shape),
    /// Plain numbers in a buffer.
    Buffer(Binding),
}

/// The middle of `extents` (before, along and behind the reduced axes) of a program over a shape.
pub(in crate::op) fn reduce(
    kind: Reduction,
    (expr, full): (&Expr, &Shape),
    extents: [usize; 3],
    s: &Signature<'_>,
    target: &Target,
) -> Launch {
    if s.output.is_empty() {
        return Launch::default();
    }
    if extents[1] == 0 {
        return super::map(&Expr::build(|b| b.constant(kind.of_none())), &Signature { inputs: Vec::new(), output: s.output }, target);
    }
    let mut chain = Chain { kind: kind.into(), count: extents[1], target, launch: Launch::default() };
    chain.run(Source::Program(expr, s.inputs.clone(), full), extents, Binding::Output);
    chain.launch
}

/// Stages that are appended to a launch; each but the last leaves partial results in a scratch buffer of its own.
pub(super) struct Chain<'a> {
    pub(super) kind: Kind,
    /// Elements of each result.
    pub(super) count: usize,
    pub(super) target: &'a Target,
    pub(super) launch: Launch,
}

/// Elements a strand sums before its work is split among workgroups, and with it among stages.
const ONE_STAGE: usize = 40;

/// How one stage divides its work.
struct Division {
    /// Trees in a workgroup, and of each the neighbours along inner and the strands of the reduced axis; `None` for one invocation an output.
    tree: Option<[usize; 3]>,
    splits: usize,
}

impl Chain<'_> {
    /// Reduces the middle of `extents` into `output`.
    pub(super) fn run(&mut self, source: Source<'_>, extents: [usize; 3], output: Binding) {
        let [outer, reduced, inner] = extents;
        let division = self.divide(extents);
        let partials = matches!(source, Source::Buffer(Binding::ScratchRead(_)));
        if division.splits == 1 {
            self.stage(&source, partials, extents, &division, output, false);
            return;
        }
        let splits = reduced.div_ceil(reduced.div_ceil(division.splits));
        let number = self.launch.scratch.len();
        self.launch.scratch.push(outer * splits * inner * self.kind.width());
        self.stage(&source, partials, extents, &Division { splits, ..division }, Binding::Scratch(number), true);
        if self.kind == Kind::Squares {
            self.kind = Kind::Sum;
        }
        self.run(Source::Buffer(Binding::ScratchRead(number)), [outer, splits, inner], output);
    }

    fn divide(&self, [outer, reduced, inner]: [usize; 3]) -> Division {
        if self.target.is_cpu() {
            let splits = if outer * inner < 256 { (reduced / 256).clamp(1, 256) } else { 1 };
            return Division { tree: None, splits };
        }
        // Enough invocations already, or rows too short for a tree to pay.
        if reduced <= 64 && (outer * inner >= 4096 || reduced <= 16) {
            return Division { tree: None, splits: 1 };
        }
        let threads = 256.min(self.target.max_invocations as usize);
        let lanes = inner.next_power_of_two().min(64);
        let strands = (threads / lanes).min(reduced.next_power_of_two());
        // Every workgroup has as many invocations, so that any two reductions can share a dispatch.
        let trees = threads / (lanes * strands);
        let groups = outer * inner.div_ceil(lanes);
        // Another stage costs as much as some forty more elements a strand do (5 µs on an H200): what fits one is not split.
        let most = if reduced <= strands * ONE_STAGE { 1 } else { reduced.div_ceil(strands * 8) };
        Division { tree: Some([trees, lanes, strands]), splits: 512usize.div_ceil(groups).min(most) }
    }

    fn stage(&mut self, source: &Source<'_>, partials: bool, extents: [usize; 3], division: &Division, output: Binding, keep: bool) {
        let [outer, reduced, inner] = extents;
        let partial = format!("array<{}>", self.kind.partial());
        let mut bindings = Bindings::default();
        bindings.bind(output, "output", if keep { &partial } else { "array<f32>" });
        let mut random = false;
        let (program, work, read) = match source {
            Source::Program(expr, shapes, full) => {
                random = expr.is_random();
                let inputs = shapes.iter().copied().enumerate().collect();
                let program = Pointwise { name: "program", expr, given: false, inputs, full, wide: false }.emit(&mut bindings);
                (program, expr.instrs().len(), super::bytes(shapes.iter().copied()))
            }
            Source::Buffer(binding) => {
                bindings.bind(binding.clone(), "partials", if partials { &partial } else { "array<f32>" });
                let program =
                    if partials { String::new() } else { "fn program(index: u32) -> f32 {\n    return partials[index];\n}\n".into() };
                (program, 1, 4 * (outer * reduced * inner) as u64)
            }
        };
        let splits = division.splits;
        let (threads, groups) = match division.tree {
            Some([trees, lanes, strands]) => {
                (trees * lanes * strands, rows((outer * splits * inner.div_ceil(lanes)).div_ceil(trees) as u64))
            }
            None => {
                let flat = super::flat(outer * splits * inner, self.target);
                (flat.threads as usize, flat.groups)
            }
        };
        let [trees, lanes, strands] = division.tree.unwrap_or([1; 3]);
        let (bindings, declared) = bindings.finish();
        let defines: Defines = vec![
            ("BINDINGS", declared),
            ("PROGRAM", program),
            ("RANDOM", flag(random)),
            ("PARTIAL", self.kind.partial().into()),
            ("LSE", flag(self.kind == Kind::LogSumExp)),
            ("MEAN", flag(self.kind == Kind::Mean)),
            ("VARIANCE", flag(self.kind == Kind::Variance)),
            ("MAX", flag(self.kind == Kind::Max)),
            ("SQUARES", flag(self.kind == Kind::Squares)),
            ("FROM_PARTIALS", flag(partials)),
            ("TO_PARTIALS", flag(keep)),
            ("TREE", flag(division.tree.is_some())),
            ("SHARE", format!("{:?}f", (1.0 / self.count as f64) as f32)),
            ("OUTER", text(outer)),
            ("REDUCE", text(reduced)),
            ("INNER", text(inner)),
            ("SPLITS", text(splits)),
            ("CHUNK", text(reduced.div_ceil(splits))),
            ("TREES", text(trees)),
            ("LANES", text(lanes)),
            ("ROWS", text(strands)),
            ("THREADS", text(threads)),
            ("GRID_X", text(groups[0])),
        ];
        let elements = (outer * reduced * inner) as u64;
        self.launch.stages.push(Stage {
            kernel: "reduce",
            defines,
            bindings,
            groups,
            flops: elements * work as u64,
            bytes: read + 4 * (outer * splits * inner) as u64,
        });
    }
}
