//! The one place where a program that may stand still does.
//!
//! What asks a device for anything is a future: in a browser nothing may wait. Natively whoever is at the edge writes `.wait()` where a
//! browser's page would await.

/// Futures that a native program waits for.
pub trait Wait: Future + Sized {
    /// Stands still until the future is done.
    fn wait(self) -> Self::Output {
        pollster::block_on(self)
    }
}

impl<F: Future> Wait for F {}
