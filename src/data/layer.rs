//! A source on top of another: what every such wrapper has in common, written once.

use super::series::Cut;
use super::{Kind, Source, check_read};
use crate::Result;
use std::sync::Arc;

/// Another source with something changed; what is not said here stays as it is.
pub trait Layer: Send + Sync {
    /// The source beneath.
    fn inner(&self) -> &Arc<dyn Source>;

    /// Number of items.
    fn count(&self) -> usize {
        self.inner().len()
    }
    /// Which item of the source beneath item `index` is.
    fn below(&self, index: usize) -> usize {
        index
    }
    /// `[H, W, C]` of every item.
    fn shape(&self) -> [usize; 3] {
        self.inner().dims()
    }
    /// What the values are.
    fn values(&self) -> Kind {
        self.inner().kind()
    }
    /// One name a class.
    fn names(&self) -> Vec<String> {
        self.inner().class_names()
    }
    /// The label here of a label beneath.
    fn mapped(&self, label: u32) -> Option<u32> {
        Some(label)
    }
    /// Reads an item of the source beneath; `index` and `out` were checked.
    fn fill(&self, below: usize, out: &mut [f32]) -> Result<()> {
        self.inner().read(below, out)
    }
    /// What reports call it.
    fn title(&self) -> String {
        self.inner().name()
    }
    /// Whether reading costs much more than a copy.
    fn slow(&self) -> bool {
        self.inner().costly()
    }
}

impl<L: Layer> Source for L {
    fn len(&self) -> usize {
        self.count()
    }
    fn dims(&self) -> [usize; 3] {
        self.shape()
    }
    fn kind(&self) -> Kind {
        self.values()
    }
    fn class_names(&self) -> Vec<String> {
        self.names()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        self.fill(self.below(index), out)
    }
    fn label(&self, index: usize) -> Option<u32> {
        if index < self.count() { self.inner().label(self.below(index)).and_then(|label| self.mapped(label)) } else { None }
    }
    fn attributes(&self, index: usize) -> Vec<(&'static str, f32)> {
        if index < self.count() { self.inner().attributes(self.below(index)) } else { Vec::new() }
    }
    fn name(&self) -> String {
        self.title()
    }
    fn costly(&self) -> bool {
        self.slow()
    }
    fn knows_white(&self) -> bool {
        self.inner().knows_white()
    }
    fn notes(&self) -> Vec<String> {
        self.inner().notes()
    }
    fn origin(&self) -> Option<String> {
        self.inner().origin()
    }
    fn series(&self) -> Option<&Cut> {
        self.inner().series()
    }
    fn dates(&self, index: usize) -> Option<(&str, &[Box<str>])> {
        if index < self.count() { self.inner().dates(self.below(index)) } else { None }
    }
    fn follows(&self, index: usize) -> bool {
        let (Some(before), true) = (index.checked_sub(1), index < self.count()) else { return false };
        let below = self.below(index);
        below == self.below(before) + 1 && self.inner().follows(below)
    }
    fn stored_size(&self, index: usize) -> Result<u64> {
        self.inner().stored_size(self.below(index))
    }
    fn stored(&self, index: usize) -> Result<Vec<u8>> {
        self.inner().stored(self.below(index))
    }
}
