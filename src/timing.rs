//! Times of kernels, as both executors tell them.

use std::sync::Arc;

use crate::shader::Choice;

/// What a time was measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The device's own timestamps, at either end of a kernel.
    Timestamps,
    /// The host's clock around a submit and the wait for it: tens of microseconds more than the kernel takes.
    Submits,
    /// The host's clock around a call on the CPU.
    Calls,
}

impl Clock {
    /// As results name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timestamps => "timestamps",
            Self::Submits => "submits",
            Self::Calls => "calls",
        }
    }
}

/// One dispatch's time.
#[derive(Clone, Debug)]
pub struct StageTime {
    /// The operation.
    pub name: &'static str,
    /// The kernel file.
    pub kernel: &'static str,
    /// Seconds from the beginning of the profiled run to the kernel's. Timestamps count from a submit, since a device's clock and the
    /// host's have no common zero.
    pub start: f64,
    /// Seconds on the device.
    pub seconds: f64,
    /// What measured them.
    pub clock: Clock,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that must move at least.
    pub bytes: u64,
    /// The variant taken for the launch it belongs to, on an adapter.
    pub choice: Option<Arc<Choice>>,
}
