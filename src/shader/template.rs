//! The template language of `shaders/`: plain WGSL plus a few lines that start with `//!`, so that editors still read it as WGSL.
//!
//! * `{{NAME}}` is replaced by a definition or a loop variable;
//! * `//!include shared/x` inserts another file, once: declarations; `//!insert shared/x` inserts it each time: statements;
//! * `//!if NAME` or `//!if !NAME`, `//!else`, `//!end` keep lines where the definition is there and neither empty, `0` nor `false`;
//! * `//!for I in A..B`, `//!end` repeats lines with `{{I}}` = A, …, B − 1: register tiles need unrolling and WGSL has none.

use std::collections::HashSet;

use super::sources::source;
use crate::error::{Error, Result};

/// The WGSL of a kernel: the file `shaders/<kernel>.wgsl` under the given definitions.
///
/// # Errors
/// [`Error::Device`] where the file, a definition or the end of a block is missing.
pub fn expand(kernel: &str, defines: &[(&'static str, String)]) -> Result<String> {
    let mut expander = Expander { kernel, defines, loops: Vec::new(), included: HashSet::new(), out: String::new() };
    expander.file(kernel)?;
    Ok(expander.out)
}

struct Expander<'a> {
    kernel: &'a str,
    defines: &'a [(&'static str, String)],
    loops: Vec<(&'a str, i64)>,
    included: HashSet<String>,
    out: String,
}

impl<'a> Expander<'a> {
    fn file(&mut self, name: &str) -> Result<()> {
        let text = source(name).ok_or_else(|| self.fault(format!("there is no file {name}.wgsl")))?;
        let lines: Vec<&'static str> = text.lines().collect();
        self.block(&lines)
    }

    fn block(&mut self, lines: &[&'a str]) -> Result<()> {
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            let Some(directive) = line.trim_start().strip_prefix("//!") else {
                let text = self.fill(line)?;
                self.out.push_str(&text);
                self.out.push('\n');
                at += 1;
                continue;
            };
            let (word, rest) = directive.trim().split_once(' ').unwrap_or((directive.trim(), ""));
            match word {
                "include" => {
                    if self.included.insert(rest.to_string()) {
                        self.file(rest)?;
                    }
                    at += 1;
                }
                "insert" => {
                    self.file(rest)?;
                    at += 1;
                }
                "if" => {
                    let (other, end) = self.extent(lines, at)?;
                    let split = other.unwrap_or(end);
                    if self.holds(rest) {
                        self.block(&lines[at + 1..split])?;
                    } else if let Some(other) = other {
                        self.block(&lines[other + 1..end])?;
                    }
                    at = end + 1;
                }
                "for" => {
                    let (_, end) = self.extent(lines, at)?;
                    let (name, from, to) = self.range(rest)?;
                    for value in from..to {
                        self.loops.push((name, value));
                        self.block(&lines[at + 1..end])?;
                        self.loops.pop();
                    }
                    at = end + 1;
                }
                _ => return Err(self.fault(format!("cannot read `{}`", line.trim()))),
            }
        }
        Ok(())
    }

    /// The lines of the `//!else` (if any) and the `//!end` that belong to the block opened at `at`.
    fn extent(&self, lines: &[&str], at: usize) -> Result<(Option<usize>, usize)> {
        let mut depth = 0;
        let mut other = None;
        for (here, line) in lines.iter().enumerate().skip(at) {
            let Some(directive) = line.trim_start().strip_prefix("//!") else { continue };
            match directive.split_whitespace().next() {
                Some("if" | "for") => depth += 1,
                Some("else") if depth == 1 => other = Some(here),
                Some("end") => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok((other, here));
                    }
                }
                _ => {}
            }
        }
        Err(self.fault(format!("`{}` has no //!end", lines[at].trim())))
    }

    fn range(&self, rest: &'a str) -> Result<(&'a str, i64, i64)> {
        let parse = || {
            let (name, range) = rest.split_once(" in ")?;
            let (from, to) = range.split_once("..")?;
            let number = |text: &str| self.fill(text).ok()?.trim().parse().ok();
            Some((name.trim(), number(from)?, number(to)?))
        };
        parse().ok_or_else(|| self.fault(format!("cannot read `//!for {rest}`")))
    }

    fn holds(&self, condition: &str) -> bool {
        let (name, wanted) = match condition.trim().strip_prefix('!') {
            Some(name) => (name, false),
            None => (condition.trim(), true),
        };
        self.value(name).is_some_and(|v| !matches!(v.as_str(), "" | "0" | "false")) == wanted
    }

    fn value(&self, name: &str) -> Option<String> {
        if let Some((_, value)) = self.loops.iter().rev().find(|(known, _)| *known == name) {
            return Some(value.to_string());
        }
        self.defines.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn fill(&self, line: &str) -> Result<String> {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(start) = rest.find("{{") {
            let Some(len) = rest[start..].find("}}") else { break };
            let name = &rest[start + 2..start + len];
            let value = self.value(name).ok_or_else(|| self.fault(format!("{name} is not defined")))?;
            out.push_str(&rest[..start]);
            out.push_str(&value);
            rest = &rest[start + len + 2..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn fault(&self, what: String) -> Error {
        Error::Device(format!("shader {}: {what}", self.kernel))
    }
}
