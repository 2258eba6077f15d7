//! Windows half a window later.

use crate::Result;
use crate::data::{Kind, Source, check_read};
use std::sync::Arc;

/// The second half of each window joined to the first half of the one that follows it, so that every step of a series but those of its first half
/// window has at least half a window before it in one of the two sets.
pub struct Between {
    windows: Arc<dyn Source>,
    /// The earlier of the two windows of each item.
    firsts: Vec<usize>,
}

impl Between {
    /// The items between those of `windows`; `None` where no window follows another.
    pub fn new(windows: Arc<dyn Source>) -> Option<Self> {
        let firsts: Vec<usize> = (1..windows.len()).filter(|index| windows.follows(*index)).map(|index| index - 1).collect();
        (!firsts.is_empty()).then_some(Self { windows, firsts })
    }

    /// The window whose second half begins each item.
    pub fn firsts(&self) -> &[usize] {
        &self.firsts
    }
}

impl Source for Between {
    fn len(&self) -> usize {
        self.firsts.len()
    }
    fn dims(&self) -> [usize; 3] {
        self.windows.dims()
    }
    fn kind(&self) -> Kind {
        self.windows.kind()
    }
    fn class_names(&self) -> Vec<String> {
        self.windows.class_names()
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.windows.label(*self.firsts.get(index)?)
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let [steps, width, channels] = self.dims();
        let half = steps / 2 * width * channels;
        let mut window = vec![0.0; out.len()];
        self.windows.read(self.firsts[index], &mut window)?;
        let (head, tail) = out.split_at_mut(window.len() - half);
        head.copy_from_slice(&window[half..]);
        self.windows.read(self.firsts[index] + 1, &mut window)?;
        tail.copy_from_slice(&window[..half]);
        Ok(())
    }
    fn name(&self) -> String {
        self.windows.name()
    }
    fn knows_white(&self) -> bool {
        self.windows.knows_white()
    }
    fn series(&self) -> Option<&super::Cut> {
        self.windows.series()
    }
}
