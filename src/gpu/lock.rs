//! Locks.

use std::sync::{Mutex, MutexGuard};

/// A lock whose holder cannot have left it half written: a panic elsewhere does not spoil it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
