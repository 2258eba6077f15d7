//! The kernels of a plan without a device, for the portability gates and for looking at what compilers make of them.

use crate::error::Result;
use crate::graph::{Action, Plan, Signature, StateSpec};
use crate::op::launch;
use crate::shader::{Choice, Target, expand};

/// One dispatch of a plan: its kernel as text, and what for.
#[derive(Clone, Debug)]
pub struct KernelText {
    /// The operation.
    pub operation: &'static str,
    /// The file under `shaders/`.
    pub kernel: &'static str,
    /// The variant taken, where there are several.
    pub choice: Option<Choice>,
    /// The WGSL.
    pub text: String,
    /// Workgroups.
    pub groups: [u32; 3],
    /// Floating-point operations.
    pub flops: u64,
}

/// Every kernel that running a plan takes, in order.
///
/// # Errors
/// [`crate::Error::Device`] where a template is at fault.
pub fn kernels(plan: &Plan, spec: &StateSpec, target: &Target) -> Result<Vec<KernelText>> {
    let mut updates = 0;
    let mut all = Vec::new();
    for action in &plan.actions {
        let (operation, launch) = match action {
            Action::Compute { op, shapes, shape, .. } => {
                (op.name(), op.launch(&Signature { inputs: shapes.iter().collect(), output: shape }, target))
            }
            Action::Copy { len, .. } => ("copy", launch::copy(*len, target)),
            Action::Update(update) => {
                updates += 1;
                ("update", launch::update(update, updates - 1, spec.groups[update.group].len, target))
            }
        };
        let choice = launch.choice;
        for stage in launch.stages {
            let text = expand(stage.kernel, &stage.defines)?;
            all.push(KernelText {
                operation,
                kernel: stage.kernel,
                choice: choice.clone(),
                text,
                groups: stage.groups,
                flops: stage.flops,
            });
        }
    }
    Ok(all)
}
