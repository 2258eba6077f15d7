//! The launches of the operations: which kernel, specialised how, over how many workgroups.

use super::{Concat, Embed, Gather, Reduce, Slice};
use crate::graph::{Expr, Signature};
use crate::shader::{Launch, Target};

pub(super) fn map(_expr: &Expr, _signature: &Signature<'_>, _target: &Target) -> Launch {
    Launch::default()
}
pub(super) fn conv(_g: &Gather, _transposed: bool, _p: &Option<Expr>, _e: &Option<Expr>, _s: &Signature<'_>, _t: &Target) -> Launch {
    Launch::default()
}
pub(super) fn conv_weight(_g: &Gather, _p: &Option<Expr>, _s: &Signature<'_>, _t: &Target) -> Launch {
    Launch::default()
}
pub(super) fn reduce(_r: &Reduce, _s: &Signature<'_>, _t: &Target) -> Launch {
    Launch::default()
}
pub(super) fn slice(_r: &Slice, _s: &Signature<'_>, _t: &Target) -> Launch {
    Launch::default()
}
pub(super) fn embed(_r: &Embed, _s: &Signature<'_>, _t: &Target) -> Launch {
    Launch::default()
}
pub(super) fn concat(_r: &Concat, _s: &Signature<'_>, _t: &Target) -> Launch {
    Launch::default()
}
