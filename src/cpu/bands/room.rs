//! What a lane keeps, laid out.

use std::ops::Range;

/// Memory that tensors share by liveness.
#[derive(Default)]
pub(super) struct Room {
    /// Elements each tensor takes, and the last action that reads it, by where they begin.
    taken: Vec<(Range<usize>, usize)>,
    pub(super) end: usize,
}

impl Room {
    /// Room for `len` elements that action `at` writes and `last` reads last.
    pub(super) fn take(&mut self, at: usize, last: usize, len: usize) -> usize {
        self.taken.retain(|(_, last)| *last >= at);
        // Tensors begin at cache lines of their own.
        let len = len.next_multiple_of(16);
        let mut first = 0;
        for (taken, _) in &self.taken {
            if taken.start >= first + len {
                break;
            }
            first = taken.end;
        }
        self.taken.push((first..first + len, last));
        self.taken.sort_by_key(|(taken, _)| taken.start);
        self.end = self.end.max(first + len);
        first
    }
}
