//! How large a model may be, counted before anything of its size is allocated.

use std::ops::RangeInclusive;

use super::{DataSpec, Model};
use crate::cpu::memory;
use crate::error::{Error, Result};

/// Most units, channels, latents, pieces or classes of one layer: far beyond any use, and few enough that no product of sizes overflows.
pub(super) const WIDEST: usize = 1 << 20;
/// Most hidden layers of a fully connected network.
pub(super) const DEEPEST: usize = 64;
/// Longest side of an image, and most values of one.
const SIDE: usize = 1 << 16;
const VALUES: usize = 1 << 30;

/// Refuses hyper-parameters outside of their ranges.
pub(super) fn within(model: &str, keys: &[(&str, usize, RangeInclusive<usize>)]) -> Result<()> {
    let Some((key, value, range)) = keys.iter().find(|(_, value, range)| !range.contains(value)) else { return Ok(()) };
    let bound = if value < range.start() { format!("at least {}", range.start()) } else { format!("at most {}", range.end()) };
    Err(Error::usage(format!("{model}: {key} must be {bound}, not {value}")))
}

/// Refuses so many numbers of four bytes where the system has no room for them.
pub(super) fn room(model: &str, numbers: u64) -> Result<()> {
    memory::check(numbers.saturating_mul(4), "the model").map_err(|e| Error::usage(format!("{model}: {e}")))
}

/// Refuses a model whose weights alone the system has no room for.
pub(super) fn check(model: &dyn Model) -> Result<()> {
    room(model.name(), model.state().elements() as u64)
}

/// Refuses data of which there can be no items, or none that a network could read.
pub(super) fn check_data(data: &DataSpec) -> Result<()> {
    let [h, w, c] = data.dims;
    let values = data.dims.iter().fold(1, |product: usize, extent| product.saturating_mul(*extent));
    if data.dims.iter().any(|extent| !(1..=SIDE).contains(extent)) || values > VALUES {
        let words = format!("sides and channels are 1 to {SIDE}, and values at most {VALUES}");
        return Err(Error::usage(format!("items of {h}×{w}×{c} are none that a model can read: {words}; take other data, or resize=")));
    }
    if data.classes > WIDEST {
        return Err(Error::usage(format!("{} classes are more than the {WIDEST} there may be; take other data", data.classes)));
    }
    if let Some(mean) = &data.mean
        && (mean.len() != values || mean.iter().any(|m| !m.is_finite()))
    {
        return Err(Error::usage(format!("the mean of the data has {} finite values, not {values}; train again", mean.len())));
    }
    Ok(())
}
