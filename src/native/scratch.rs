//! Buffers that threads keep between jobs, so that a training step allocates nothing once it is warm.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Elements of a cache line, where buffers begin: a vector that lies across two lines is read twice.
const LINE: usize = 16;

/// Lends `work` a buffer of `len` elements with arbitrary contents.
pub fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // The buffer leaves the pool while it is used: a thread may pick up another job in the middle of this one.
    let mut buffer = KEPT.with_borrow_mut(|kept| take(kept, len + LINE));
    if buffer.len() < len + LINE {
        buffer = vec![0.0; len + LINE];
    }
    let first = buffer.as_ptr().align_offset(LINE * size_of::<f32>());
    let result = work(&mut buffer[first..first + len]);
    KEPT.with_borrow_mut(|kept| kept.push(buffer));
    result
}

/// The shortest buffer that is long enough, or else the longest: long ones are kept for those who need them.
fn take(kept: &mut Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let fits = kept.iter().enumerate().filter(|(_, b)| b.len() >= len).min_by_key(|(_, b)| b.len());
    let best = fits.or_else(|| kept.iter().enumerate().max_by_key(|(_, b)| b.len())).map(|(at, _)| at);
    best.map(|at| kept.swap_remove(at)).unwrap_or_default()
}
