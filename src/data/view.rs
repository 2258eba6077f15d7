//! A run of consecutive items of another source, under its own name: held-out splits and `--limit`.

use super::{Kind, Source, check_read};
use crate::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// Items `start .. start + len` of `inner`.
pub struct View {
    inner: Arc<dyn Source>,
    start: usize,
    len: usize,
    name: String,
}

impl View {
    /// The items `range` of `inner`, which lie within it.
    pub fn new(inner: Arc<dyn Source>, range: Range<usize>, name: String) -> Result<Self> {
        if range.is_empty() || range.end > inner.len() {
            return Err(Error::usage(format!("{name} would hold no items: there are {} to take them from", inner.len())));
        }
        Ok(Self { start: range.start, len: range.len(), inner, name })
    }
}

impl Source for View {
    fn len(&self) -> usize {
        self.len
    }
    fn dims(&self) -> [usize; 3] {
        self.inner.dims()
    }
    fn kind(&self) -> Kind {
        self.inner.kind()
    }
    fn classes(&self) -> usize {
        self.inner.classes()
    }
    fn class_names(&self) -> Vec<String> {
        self.inner.class_names()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        self.inner.read(self.start + index, out)
    }
    fn label(&self, index: usize) -> Option<u32> {
        if index < self.len { self.inner.label(self.start + index) } else { None }
    }
    fn attributes(&self, index: usize) -> Vec<(&'static str, f32)> {
        if index < self.len { self.inner.attributes(self.start + index) } else { Vec::new() }
    }
    fn name(&self) -> String {
        self.name.clone()
    }
    fn costly(&self) -> bool {
        self.inner.costly()
    }
}
