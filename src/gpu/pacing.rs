//! How a run is cut into submits: desktop systems reset a GPU whose submit runs for seconds and stutter long before, so each is kept
//! short by what the first runs took.

use std::ops::Range;

/// Longest a submit should run, in seconds.
const LONGEST: f64 = 0.08;
/// Work of a submit before anything was measured: little enough for a small GPU.
const FIRST_FLOPS: u64 = 2_000_000_000;
const FIRST_BYTES: u64 = 500_000_000;
const FIRST_DISPATCHES: usize = 128;
/// Runs that are measured. The first also compiles kernels in some drivers, so the second counts.
const MEASURED: u32 = 2;

/// The submits of a run.
pub(super) struct Pacing {
    chunks: Vec<Range<usize>>,
    seconds: Vec<f64>,
    runs: u32,
}

impl Pacing {
    /// Cuts dispatches of the given (flops, bytes).
    pub(super) fn new(work: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut chunks = Vec::new();
        let (mut start, mut flops, mut bytes, mut end) = (0, 0, 0, 0);
        for (at, (f, b)) in work.enumerate() {
            if at > start && (flops + f > FIRST_FLOPS || bytes + b > FIRST_BYTES || at - start >= FIRST_DISPATCHES) {
                chunks.push(start..at);
                (start, flops, bytes) = (at, 0, 0);
            }
            flops += f;
            bytes += b;
            end = at + 1;
        }
        if end > start {
            chunks.push(start..end);
        }
        Self { chunks, seconds: Vec::new(), runs: 0 }
    }

    /// The dispatches of each submit.
    pub(super) fn chunks(&self) -> &[Range<usize>] {
        &self.chunks
    }

    /// Whether this run is to be measured, submit by submit.
    pub(super) fn measuring(&self) -> bool {
        self.runs < MEASURED && self.chunks.len() > 1
    }

    /// Notes what a submit of a measured run took, or a part of one where the run is cut elsewhere too.
    pub(super) fn note(&mut self, number: usize, seconds: f64) {
        self.seconds.resize(self.chunks.len(), 0.0);
        self.seconds[number] += seconds;
    }

    /// Ends a run; after the last measured one, joins neighbours that are short together.
    pub(super) fn end(&mut self) {
        self.runs = self.runs.saturating_add(1);
        let seconds = std::mem::take(&mut self.seconds);
        if self.runs != MEASURED || seconds.len() != self.chunks.len() {
            return;
        }
        let mut joined: Vec<(Range<usize>, f64)> = Vec::new();
        for (chunk, took) in self.chunks.drain(..).zip(seconds) {
            match joined.last_mut() {
                Some((last, total)) if *total + took <= LONGEST => {
                    last.end = chunk.end;
                    *total += took;
                }
                _ => joined.push((chunk, took)),
            }
        }
        self.chunks = joined.into_iter().map(|(chunk, _)| chunk).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_submits_are_joined_and_long_ones_stay_apart() {
        let mut pacing = Pacing::new((0..6).map(|_| (1_500_000_000, 0)));
        assert_eq!(pacing.chunks().len(), 6);
        for run in 0..2 {
            assert!(pacing.measuring());
            for (number, seconds) in [0.03, 0.03, 0.03, 0.2, 0.01, 0.01].iter().enumerate() {
                pacing.note(number, seconds * f64::from(1 + run) / 2.0);
            }
            pacing.end();
        }
        assert!(!pacing.measuring());
        assert_eq!(pacing.chunks(), [0..2, 2..3, 3..4, 4..6]);
    }

    #[test]
    fn a_plan_without_work_has_no_submits() {
        assert!(Pacing::new(std::iter::empty()).chunks().is_empty());
    }
}
