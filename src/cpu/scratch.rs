//! Buffers that threads keep between jobs, so that a training step allocates nothing once it is warm.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `work` a buffer of `len` elements with arbitrary contents.
pub fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // The buffer leaves the pool while it is used: a thread may pick up another job in the middle of this one.
    let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    let result = work(&mut buffer[..len]);
    KEPT.with_borrow_mut(|kept| kept.push(buffer));
    result
}
