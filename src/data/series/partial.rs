//! Series that are told in part: their beginning whole, and of the steps behind it what is known.

use super::{Cut, MOST, table};
use crate::data::npy;
use crate::{Error, Result};
use std::path::Path;

/// A series of a run's channels, in its units.
pub struct Partial {
    /// What refusals call it.
    name: String,
    /// Values `[steps, C]`; NaN where there is none.
    pub values: Vec<f64>,
    /// Steps.
    pub steps: usize,
    /// What refusals call each step.
    rows: Vec<u64>,
    channels: Vec<String>,
}

impl Partial {
    /// Reads a `.csv` with names of the run's channels above it, where what is empty is not told, or an `.npy` `[T, C]` of all channels or
    /// `[T, actions]` of the actions alone, where NaN is not told. A channel that a table lacks is not told at any step.
    ///
    /// # Errors
    /// [`Error::Usage`] for text, infinities, or an array of another size; errors of the disk.
    pub fn read(path: &Path, cut: &Cut) -> Result<Self> {
        let (name, names) = (path.display().to_string(), &cut.names);
        let (actions, _) = cut.roles(names)?;
        let (values, rows) = match crate::data::picture::ending(path).as_str() {
            "csv" | "tsv" => table::partial(path, &name, names)?,
            _ => {
                let (shape, values) = npy::numbers(path, MOST)?;
                let [steps, columns] = match shape[..] {
                    [steps] => [steps, 1],
                    [steps, columns] => [steps, columns],
                    _ => [0, 0],
                };
                let told: Vec<usize> = match columns {
                    all if all == names.len() => (0..all).collect(),
                    some if some == actions.len() && some > 0 => actions.clone(),
                    _ => {
                        let (all, of) = (names.len(), named(names, &actions));
                        let words = format!("takes [T, {all}], one column each of {}", names.join(", "));
                        let alone = if of.is_empty() { String::new() } else { format!(", or [T, {}] of {of} alone", actions.len()) };
                        return Err(Error::usage(format!("{name} has shape {shape:?}, and this run {words}{alone}")));
                    }
                };
                let mut all = vec![f64::NAN; steps * names.len()];
                for (row, given) in all.chunks_mut(names.len()).zip(values.chunks(columns)) {
                    told.iter().zip(given).for_each(|(channel, value)| row[*channel] = *value);
                }
                (all, (1..=steps as u64).collect())
            }
        };
        let partial = Self { name, steps: rows.len(), values, rows, channels: names.clone() };
        if partial.steps == 0 {
            return Err(Error::usage(format!("{} holds no steps; give some", partial.name)));
        }
        match partial.values.iter().position(|v| v.abs() > f64::from(f32::MAX)) {
            Some(at) => Err(Error::usage(format!(
                "{} holds {}, which is no number that a network reads; repair it",
                partial.place(at),
                partial.values[at]
            ))),
            None => Ok(partial),
        }
    }

    /// Steps from the first on that are told whole.
    pub fn begins(&self) -> usize {
        self.values.chunks(self.channels.len()).take_while(|row| row.iter().all(|v| !v.is_nan())).count()
    }

    /// Refuses a beginning that is not told whole, and steps behind it whose actions are not.
    ///
    /// # Errors
    /// [`Error::Usage`] with the place of what is lacking.
    pub fn check(&self, begins: usize, actions: &[usize]) -> Result<()> {
        let channels = self.channels.len();
        let lacks = |at: &usize| {
            let needed = at / channels < begins || actions.contains(&(at % channels));
            needed && self.values[*at].is_nan()
        };
        let Some(at) = (0..self.values.len()).find(lacks) else { return Ok(()) };
        let why = if at / channels < begins { "and the beginning is given whole" } else { "and actions are given at every step" };
        Err(Error::usage(format!("{} holds no number, {why}; fill it, or leave such steps out", self.place(at))))
    }

    fn place(&self, at: usize) -> String {
        let (step, channel) = (at / self.channels.len(), at % self.channels.len());
        format!("{}: row {}, column {}", self.name, self.rows[step], self.channels[channel])
    }
}

/// Names of some channels.
fn named(names: &[String], some: &[usize]) -> String {
    some.iter().map(|at| names[*at].as_str()).collect::<Vec<_>>().join(", ")
}
