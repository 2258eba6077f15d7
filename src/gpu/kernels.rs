//! The kernels of a plan without a device, for the portability gates.

use crate::error::Result;
use crate::graph::{Action, Plan, Signature, StateSpec};
use crate::op::launch;
use crate::shader::{Target, expand};

/// Name and WGSL of every kernel that running a plan takes, in order.
///
/// # Errors
/// [`crate::Error::Device`] where a template is at fault.
pub fn kernels(plan: &Plan, spec: &StateSpec, target: &Target) -> Result<Vec<(&'static str, String)>> {
    let mut updates = 0;
    let mut texts = Vec::new();
    for action in &plan.actions {
        let launch = match action {
            Action::Compute { op, shapes, shape, .. } => op.launch(&Signature { inputs: shapes.iter().collect(), output: shape }, target),
            Action::Copy { len, .. } => launch::copy(*len, target),
            Action::Update(update) => {
                updates += 1;
                launch::update(update, updates - 1, spec.groups[update.group].len, target)
            }
        };
        for stage in &launch.stages {
            texts.push((stage.kernel, expand(stage.kernel, &stage.defines)?));
        }
    }
    Ok(texts)
}
