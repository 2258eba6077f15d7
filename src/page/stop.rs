//! What ends what is under way.

use std::sync::atomic::AtomicBool;

/// Whether what is under way is to end.
pub static STOP: AtomicBool = AtomicBool::new(false);
