//! Series: what is measured step by step, cut into windows of T steps of C channels, each an image T×1×C.
//!
//! A series is split in time, training before validation before test, so that no window sees what is told of another split. Its values are
//! brought to levels (or kept continuous) by a scale that is measured on the training part and kept in the recipe.

mod between;
mod cut;
mod dates;
mod partial;
mod resample;
mod scaling;
mod table;
mod wave;
mod windows;

pub use between::Between;
pub use cut::{Cut, Gaps};
pub use dates::{Dates, go_on};
pub use partial::Partial;
pub use scaling::{Quantize, Scaling, byte};
pub use windows::Windows;

use super::npy;
use crate::{Error, Result};
use std::path::Path;

/// Most values of a series; they are held in memory, eight bytes each.
const MOST: usize = 1 << 27;

/// Series as their file has them.
pub struct Raw {
    /// What refusals call it.
    pub name: String,
    /// Values `[series, steps, channels]`.
    pub values: Vec<f64>,
    /// Series that lie side by side; their steps are not of one time.
    pub series: usize,
    /// Steps of each.
    pub steps: usize,
    /// One name a channel.
    pub channels: Vec<String>,
    /// Steps a second, where the file tells.
    pub rate: Option<u32>,
    /// What its steps are called, where the file tells.
    pub dates: Option<Dates>,
    /// Sentences worth saying of how it was read.
    pub notes: Vec<String>,
}

impl Raw {
    /// Refuses what is no number, what is empty, and what is too long to be held.
    fn checked(self) -> Result<Self> {
        let Self { name, values, steps, channels, .. } = &self;
        if values.is_empty() {
            return Err(Error::usage(format!("{name} holds no values; take a series of some steps")));
        }
        if let Some(at) = values.iter().position(|v| v.is_nan() || v.abs() > f64::from(f32::MAX)) {
            let c = channels.len();
            let (step, channel, series) = (at / c % steps + 1, &channels[at % c], at / c / steps + 1);
            let of = if self.series > 1 { format!(" of series {series}") } else { String::new() };
            let value = values[at];
            return Err(Error::usage(format!(
                "{name}: row {step}{of}, column {channel} holds {value}, which is no number; repair it, or leave it out"
            )));
        }
        Ok(self)
    }
}

/// The names of channels that have none: 1, 2, …
fn numbered(channels: usize) -> Vec<String> {
    (1..=channels).map(|channel| channel.to_string()).collect()
}

/// Whether a file by its name can be nothing but series.
pub fn is_series(path: &Path) -> bool {
    matches!(super::picture::ending(path).as_str(), "csv" | "tsv" | "wav")
}

/// Opens a `.csv`, a `.wav` or an `.npy` of shape `[T]`, `[T, C]` or `[N, T, C]`.
///
/// # Errors
/// [`Error::Usage`] with row and column of what is wrong in it; errors of the disk.
pub fn read(path: &Path, cut: &Cut) -> Result<Raw> {
    let shown = path.display().to_string();
    // Data of another form are read for a run whose settings are of its own.
    let is_wave = super::picture::ending(path) == "wav";
    if !is_wave && !cut.is_settled() && (cut.channel.is_some() || cut.rate.is_some()) {
        return Err(Error::usage(format!("{shown} is no .wav, which alone has a channel and a rate; leave channel and rate out")));
    }
    match super::picture::ending(path).as_str() {
        "csv" | "tsv" => table::read(path, shown, cut)?.checked(),
        "wav" => wave::read(path, shown, cut)?.checked(),
        _ => array(path, shown)?.checked(),
    }
}

fn array(path: &Path, name: String) -> Result<Raw> {
    let (shape, values) = npy::numbers(path, MOST)?;
    let [series, steps, channels] = match shape[..] {
        [steps] => [1, steps, 1],
        [steps, channels] => [1, steps, channels],
        [series, steps, channels] => [series, steps, channels],
        _ => {
            return Err(Error::usage(format!("{name} has shape {shape:?}; a series is [T], [T, C] or [N, T, C]")));
        }
    };
    Ok(Raw { name, values, series, steps, channels: numbered(channels), rate: None, dates: None, notes: Vec::new() })
}

/// Refuses more values than are held.
fn room(name: &str, values: usize) -> Result<()> {
    if values <= MOST { Ok(()) } else { Err(Error::usage(format!("{name} holds more than the {MOST} values that are read; cut it"))) }
}
