//! What a program is made of.

use std::sync::Arc;

use crate::shader::Choice;

/// One dispatch, ready to record.
pub(super) struct Dispatch {
    pub(super) name: &'static str,
    pub(super) kernel: &'static str,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) groups: [u32; 3],
    pub(super) flops: u64,
    pub(super) bytes: u64,
    /// The variant taken for the launch it belongs to.
    pub(super) choice: Option<Arc<Choice>>,
}
