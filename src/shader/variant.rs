//! The forms a product's kernel comes in, and which one is taken where.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Tiles of `bm` rows by `bn` columns, `bk` deep, in workgroup memory; `tm` by `tn` in the registers of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Rows of a workgroup.
    pub bm: usize,
    /// Columns of a workgroup.
    pub bn: usize,
    /// Depth of a tile.
    pub bk: usize,
    /// Rows of an invocation.
    pub tm: usize,
    /// Columns of an invocation.
    pub tn: usize,
}

impl Tile {
    /// Invocations of a workgroup.
    pub fn threads(&self) -> usize {
        self.bm / self.tm * (self.bn / self.tn)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bm, bn, bk, tm, tn } = self;
        write!(f, "{bm}x{bn}x{bk}-{tm}x{tn}")
    }
}

/// One form of a product's kernel. Every form of a convolution in f32 sums in the same order, so that a choice changes no bit of it, but
/// for a split one and a dot; forms of a weight gradient may split its long sum at other places, and cooperative matrices round operands to f16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// Tiles in workgroup memory.
    Tile(Tile),
    /// The same with the sum over taps and channels cut into so many parts, which are then added up in order.
    Split(Tile, usize),
    /// `tm` rows by `tn` columns in registers, operands read from buffers.
    Direct {
        /// Rows of an invocation.
        tm: usize,
        /// Columns of an invocation.
        tn: usize,
    },
    /// So many invocations to the sum of four channels of one position, joined by a tree.
    Dot(usize),
    /// `tm` rows by `tn` columns in registers, operands packed into storage textures first.
    Texture {
        /// Rows of an invocation.
        tm: usize,
        /// Columns of an invocation.
        tn: usize,
    },
    /// Tiles of `bm` rows by `bn` columns, `bk` deep, multiplied by `rows` by `columns` subgroups through cooperative matrices.
    Matrix {
        /// Rows of a workgroup.
        bm: usize,
        /// Columns of a workgroup.
        bn: usize,
        /// Depth of a tile.
        bk: usize,
        /// Subgroups that share the rows.
        rows: usize,
        /// Subgroups that share the columns.
        columns: usize,
    },
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(tile) => write!(f, "tile-{tile}"),
            Self::Split(tile, parts) => write!(f, "split-{tile}-{parts}"),
            Self::Direct { tm, tn } => write!(f, "direct-{tm}x{tn}"),
            Self::Dot(threads) => write!(f, "dot-{threads}"),
            Self::Texture { tm, tn } => write!(f, "texture-{tm}x{tn}"),
            Self::Matrix { bm, bn, bk, rows, columns } => write!(f, "matrix-{bm}x{bn}x{bk}-{rows}x{columns}"),
        }
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = |part: &str| part.split('x').map(|n| n.parse().ok()).collect::<Option<Vec<usize>>>();
        let parts: Vec<&str> = text.split('-').collect();
        let read = match parts[..] {
            [kind @ ("tile" | "matrix"), outer, inner] => match (numbers(outer).as_deref(), numbers(inner).as_deref()) {
                (Some(&[bm, bn, bk]), Some(&[tm, tn])) if kind == "tile" => Some(Self::Tile(Tile { bm, bn, bk, tm, tn })),
                (Some(&[bm, bn, bk]), Some(&[rows, columns])) => Some(Self::Matrix { bm, bn, bk, rows, columns }),
                _ => None,
            },
            ["split", outer, inner, parts] => match (numbers(outer).as_deref(), numbers(inner).as_deref(), parts.parse()) {
                (Some(&[bm, bn, bk]), Some(&[tm, tn]), Ok(parts)) => Some(Self::Split(Tile { bm, bn, bk, tm, tn }, parts)),
                _ => None,
            },
            ["dot", threads] => threads.parse().ok().map(Self::Dot),
            [kind @ ("direct" | "texture"), inner] => match numbers(inner).as_deref() {
                Some(&[tm, tn]) if kind == "direct" => Some(Self::Direct { tm, tn }),
                Some(&[tm, tn]) => Some(Self::Texture { tm, tn }),
                _ => None,
            },
            _ => None,
        };
        read.ok_or_else(|| Error::usage(format!("there is no kernel variant {text}; {EXAMPLES}")))
    }
}

const EXAMPLES: &str = "names are like tile-64x64x16-4x4, split-32x32x16-4x4-4, direct-8x8, dot-64, texture-8x8, matrix-64x64x32-2x2";

/// Which variants are taken instead of the default ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Start of the names of the variants to take wherever one can run: `tile`, `texture-8x8`, ….
    pub forced: Option<String>,
    /// Variants by problem, as a tuning or a recipe keeps them.
    pub by_problem: BTreeMap<String, Variant>,
}

impl Choices {
    /// Takes the variants whose names start so wherever one can run.
    ///
    /// # Errors
    /// [`Error::Usage`] where no variant's name can start so.
    pub fn forcing(start: &str) -> Result<Self> {
        let known = ["tile-", "split-", "direct-", "dot-", "texture-", "matrix-"]
            .iter()
            .any(|family| family.starts_with(start) || start.starts_with(family));
        if start.is_empty() || !known {
            return Err(Error::usage(format!("no kernel variant starts with {start}; {EXAMPLES}")));
        }
        Ok(Self { forced: Some(start.into()), ..Self::default() })
    }

    /// The variants of a table of texts.
    ///
    /// # Errors
    /// [`Error::Usage`] where a name is none.
    pub fn parse(table: &BTreeMap<String, String>) -> Result<Self> {
        let by_problem = table.iter().map(|(problem, name)| Ok((problem.clone(), name.parse()?))).collect::<Result<_>>()?;
        Ok(Self { forced: None, by_problem })
    }

    /// The variant of a problem among those that can run; the first is the default. What a table names but cannot run is passed over: a
    /// table may come from another adapter.
    pub(crate) fn pick(&self, problem: String, candidates: Vec<Variant>) -> Choice {
        let forced = self.forced.as_ref().and_then(|start| candidates.iter().find(|v| v.to_string().starts_with(start.as_str())));
        let known = || self.by_problem.get(&problem).filter(|v| candidates.contains(v));
        let variant = *forced.or_else(known).unwrap_or(&candidates[0]);
        Choice { problem: problem.into(), variant, candidates: candidates.into() }
    }
}

/// What was taken for one launch.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The problem: operation, shapes and taps.
    pub problem: Arc<str>,
    /// The variant taken.
    pub variant: Variant,
    /// All that can run, the default one first.
    pub candidates: Arc<[Variant]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let all = [
            Variant::Tile(Tile { bm: 64, bn: 32, bk: 16, tm: 4, tn: 4 }),
            Variant::Split(Tile { bm: 64, bn: 32, bk: 16, tm: 8, tn: 4 }, 8),
            Variant::Direct { tm: 8, tn: 4 },
            Variant::Dot(64),
            Variant::Texture { tm: 8, tn: 8 },
            Variant::Matrix { bm: 64, bn: 32, bk: 32, rows: 2, columns: 1 },
        ];
        for variant in all {
            assert_eq!(variant.to_string().parse::<Variant>().ok(), Some(variant));
        }
        for wrong in ["", "tile", "tile-64x64", "split-64x64x16-4x4", "direct-8", "direct-axb", "dot-x", "texture-8x8x8"] {
            assert!(wrong.parse::<Variant>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_run_is_passed_over() {
        let [default, other] = [Variant::Direct { tm: 8, tn: 8 }, Variant::Direct { tm: 4, tn: 4 }];
        let mut choices = Choices::default();
        assert_eq!(choices.pick("p".into(), vec![default, other]).variant, default);
        choices.by_problem.insert("p".into(), other);
        assert_eq!(choices.pick("p".into(), vec![default, other]).variant, other);
        assert_eq!(choices.pick("p".into(), vec![default]).variant, default);
        let forced = Choices::forcing("direct-8").expect("a name's start");
        assert_eq!(forced.pick("p".into(), vec![other, default]).variant, default);
        assert!(Choices::forcing("tiles").is_err() && Choices::forcing("").is_err());
    }
}
