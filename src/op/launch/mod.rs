//! The launches of the operations: which kernel, specialised how, over how many workgroups.

mod attention;
mod conv;
mod conv_weight;
mod copy;
mod defaults;
mod gate;
mod group_norm;
mod map;
mod mixture;
mod pack;
mod product;
mod reduce;
mod scan;
mod update;
mod variants;

pub(super) use attention::{attention, attention_gradient};
pub(super) use conv::conv;
pub(super) use conv_weight::conv_weight;
pub(crate) use copy::copy;
pub(super) use copy::{concat, embed, slice};
pub(super) use gate::{concat_elu, concat_elu_gradient, gate, gate_gradient, gated_residual, gated_residual_gradient};
pub(super) use group_norm::{GroupNormPart, group_norm};
pub(super) use map::map;
pub(super) use mixture::mixture;
pub(crate) use pack::TEXTURE_WIDTH;
pub(super) use product::product;
pub(super) use reduce::reduce;
pub(super) use scan::{scan, scan_adjoint};
pub(crate) use update::update;

use crate::graph::Shape;
use crate::shader::Target;

/// Workgroups along one dimension at most, on every adapter.
const MAX_GROUPS: u32 = 65_535;

type Defines = Vec<(&'static str, String)>;

/// A flat dispatch: the invocations of a workgroup, the workgroups of one row, and the dispatch.
struct Flat {
    threads: u32,
    grid_x: u32,
    groups: [u32; 3],
}

/// `count` workgroups in as few rows as fit.
fn rows(count: u64) -> [u32; 3] {
    let y = count.div_ceil(u64::from(MAX_GROUPS)).max(1);
    [count.div_ceil(y) as u32, y as u32, 1]
}

fn flat(invocations: usize, target: &Target) -> Flat {
    let threads = if target.is_cpu() { 64 } else { 256.min(target.max_invocations) };
    let groups = rows((invocations as u64).div_ceil(u64::from(threads)));
    Flat { threads, grid_x: groups[0], groups }
}

fn flag(on: bool) -> String {
    if on { "1".into() } else { String::new() }
}

fn text(value: impl ToString) -> String {
    value.to_string()
}

/// Bytes of the given shapes.
fn bytes<'a>(shapes: impl IntoIterator<Item = &'a Shape>) -> u64 {
    shapes.into_iter().map(|s| 4 * s.len() as u64).sum()
}
