//! The kernels of a plan without a device, for the portability gates and for looking at what compilers make of them.

use super::draft::{Draft, Drafted};
use super::state::Weights;
use crate::error::Result;
use crate::graph::{Plan, StateSpec};
use crate::shader::{Choice, Target};

/// One dispatch of a plan: its kernel as text, and what for.
#[derive(Clone, Debug)]
pub struct KernelText {
    /// The operation; `merged` for several.
    pub operation: &'static str,
    /// The file under `shaders/`; `merged` for several.
    pub kernel: &'static str,
    /// The variant taken, where there are several.
    pub choice: Option<Choice>,
    /// The WGSL.
    pub text: String,
    /// Workgroups.
    pub groups: [u32; 3],
    /// Floating-point operations.
    pub flops: u64,
    /// The kernels it is made of: their numbers in the list where none is merged.
    pub parts: Vec<usize>,
}

/// Every kernel that running a plan takes, in order. Small ones are merged into dispatches of so many storage buffers at most, or not at all.
///
/// # Errors
/// [`crate::Error::Device`] where a template is at fault.
pub fn kernels(plan: &Plan, spec: &StateSpec, target: &Target, merged: Option<usize>) -> Result<Vec<KernelText>> {
    let draft = Draft::new(plan, spec, Weights::Current, target, merged)?;
    let text = |(drafted, parts): (Drafted, Vec<usize>)| KernelText {
        operation: drafted.name,
        kernel: drafted.kernel,
        choice: drafted.choice.map(|choice| choice.as_ref().clone()),
        text: drafted.text,
        groups: drafted.groups,
        flops: drafted.flops,
        parts,
    };
    Ok(draft.dispatches.into_iter().zip(draft.order).map(text).collect())
}
