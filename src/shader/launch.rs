//! What an operation asks of the device: which kernels, specialised how, over which buffers. Plain data; `gpu/` carries it out.

use std::sync::Arc;

use super::variant::{Choice, Choices};
use crate::tensor::Arena;

/// The kernels that compute one operation, run in order.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Kernels in order; a later one sees what an earlier one wrote.
    pub stages: Vec<Stage>,
    /// Sizes of the temporary buffers the stages share, in `f32` elements.
    pub scratch: Vec<usize>,
    /// Sizes of the temporary storage textures they share, in texels of four `f32`.
    pub textures: Vec<usize>,
    /// The variant taken, where there are several.
    pub choice: Option<Choice>,
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

/// A buffer or texture a kernel reads or writes.
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
    /// Scratch texture `k`, written.
    Texture(usize),
    /// Scratch texture `k`, read.
    TextureRead(usize),
    /// The step's seed and counters, read only (`shaders/shared/step.wgsl`).
    Step,
    /// A constant table, read only.
    Table(Arc<[u32]>),
    /// One of an optimiser group's arenas, whole, read and write (gradients are only read).
    Arena(Arena),
}

/// How a kernel uses what is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// A buffer it only reads.
    Read,
    /// A buffer it reads and writes.
    ReadWrite,
    /// A storage texture it only reads.
    TextureRead,
    /// A storage texture it only writes.
    TextureWrite,
}

impl Binding {
    /// How the kernel uses it.
    pub fn access(&self) -> Access {
        match self {
            Self::Arena(Arena::Gradient) => Access::Read,
            Self::Output | Self::Scratch(_) | Self::Arena(_) => Access::ReadWrite,
            Self::Texture(_) => Access::TextureWrite,
            Self::TextureRead(_) => Access::TextureRead,
            _ => Access::Read,
        }
    }
}

/// What kernels may assume of the adapter.
#[derive(Clone, Debug)]
pub struct Target {
    /// Invocations in one workgroup at most.
    pub max_invocations: u32,
    /// Workgroup memory in bytes.
    pub workgroup_bytes: u32,
    /// What kind of adapter it is.
    pub class: Class,
    /// Texels a scratch texture can hold; 0 where kernels cannot have one.
    pub texels: usize,
    /// Whether loads from storage textures were found to be cheaper than from buffers.
    pub prefers_textures: bool,
    /// Cooperative matrices that products may be computed with, operands rounded to f16; `None` computes in f32 alone.
    pub matrices: Option<Matrices>,
    /// Which variants are taken instead of the default ones.
    pub choices: Arc<Choices>,
}

impl Target {
    /// Most rounds that all loops of an invocation may go where the adapter is a CPU: lavapipe ends them, without a word, after some 65,535.
    pub const MOST_ROUNDS: usize = 60_000;

    /// Whether the adapter is a CPU, where loads from storage and workgroup memory are slow.
    pub fn is_cpu(&self) -> bool {
        self.class == Class::Software
    }
}

/// Kinds of adapters that default choices differ for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A software driver on the CPU.
    Software,
    /// A GPU that shares the CPU's memory, with some dozen multiprocessors at most.
    Integrated,
    /// A GPU of its own, or one of which nothing is known.
    Discrete,
}

/// Cooperative matrices: square tiles that a subgroup multiplies together, operands in f16, sums in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrices {
    /// Side of a tile: 8 or 16.
    pub side: usize,
    /// Invocations of the adapter's largest subgroup.
    pub subgroup: usize,
}

/// The declarations of a stage's buffers, in binding order, and what is bound there.
#[derive(Debug, Default)]
pub struct Bindings {
    list: Vec<Binding>,
    text: String,
}

impl Bindings {
    /// Binds the next buffer as `name`, a WGSL variable of type `ty` (textures have a type of their own).
    pub fn bind(&mut self, binding: Binding, name: &str, ty: &str) {
        let declared = match binding.access() {
            Access::Read => format!("var<storage, read> {name}: {ty}"),
            Access::ReadWrite => format!("var<storage, read_write> {name}: {ty}"),
            Access::TextureRead => format!("var {name}: texture_storage_2d<rgba32float, read>"),
            Access::TextureWrite => format!("var {name}: texture_storage_2d<rgba32float, write>"),
        };
        self.text += &format!("@group(0) @binding({}) {declared};\n", self.list.len());
        self.list.push(binding);
    }

    /// Buffers bound so far.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether none is bound.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What is bound and the WGSL that declares it.
    pub fn finish(self) -> (Vec<Binding>, String) {
        (self.list, self.text)
    }
}
