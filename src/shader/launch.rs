//! What an operation asks of the device: which kernels, specialised how, over which buffers. Plain data; `gpu/` carries it out.

use std::sync::Arc;

/// The kernels that compute one operation, run in order.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Kernels in order; a later one sees what an earlier one wrote.
    pub stages: Vec<Stage>,
    /// Sizes of the temporary buffers the stages share, in `f32` elements.
    pub scratch: Vec<usize>,
}

/// One dispatch of one kernel.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The WGSL file under `shaders/`, without its ending.
    pub kernel: &'static str,
    /// Values for the template's `{{NAME}}` holes and `//!if NAME` switches.
    pub defines: Vec<(&'static str, String)>,
    /// Buffers at `@group(0) @binding(i)`, in order.
    pub bindings: Vec<Binding>,
    /// Workgroups along x, y and z.
    pub groups: [u32; 3],
    /// Floating-point operations, for the bench.
    pub flops: u64,
    /// Bytes that must cross the memory bus at least once, for the bench.
    pub bytes: u64,
}

/// A buffer a kernel reads or writes.
#[derive(Clone, Debug)]
pub enum Binding {
    /// The operation's input `k`, read only.
    Input(usize),
    /// The operation's output, read and write.
    Output,
    /// Scratch buffer `k`, read and write.
    Scratch(usize),
    /// Scratch buffer `k`, read only.
    ScratchRead(usize),
    /// The step's seed and counters, read only (`shaders/shared/step.wgsl`).
    Step,
    /// A constant table, read only.
    Table(Arc<[u32]>),
}

/// What kernels may assume of the adapter.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Invocations in one workgroup at most.
    pub max_invocations: u32,
    /// Workgroup memory in bytes.
    pub workgroup_bytes: u32,
    /// Whether the adapter is a CPU, where loads from storage and workgroup memory are slow.
    pub is_cpu: bool,
}
