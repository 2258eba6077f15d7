//! Metrics on their way from the device, and the warnings drawn from them.

use crate::error::Result;
use crate::lanes::Lanes;
use crate::model::Model;
use crate::runtime::{Reading, State};

/// The metrics of a step, not yet fetched.
pub struct Sent {
    /// The step.
    pub step: u64,
    /// Items of data a second up to it.
    pub rate: f64,
    values: Vec<Reading>,
    /// Those of the step's earlier passes.
    pub passes: Vec<Vec<f32>>,
}

impl Sent {
    /// Begins to read a model's metrics after a step's last pass; `told` are those that several lanes told already.
    ///
    /// # Errors
    /// Those of the device.
    pub fn begin(lanes: &mut Lanes, state: &State, model: &dyn Model, step: u64, told: Option<Vec<f32>>) -> Result<Self> {
        let values = match told {
            Some(told) => told.into_iter().map(|value| Reading::Here(vec![value])).collect(),
            None => model.metrics().iter().map(|(name, _)| lanes.program().begin_read(state, name)).collect::<Result<_>>()?,
        };
        Ok(Self { step, rate: 0.0, values, passes: Vec::new() })
    }

    /// Waits for the metrics, in the order of the model's names: their means over the step's passes.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn end(self, lanes: &Lanes) -> Result<Vec<f32>> {
        let mut last = Vec::with_capacity(self.values.len());
        for reading in self.values {
            last.push(lanes.first().end_read(reading).await?.first().copied().unwrap_or(f32::NAN));
        }
        let mean = |(k, last): (usize, f32)| (self.passes.iter().map(|p| p[k]).sum::<f32>() + last) / (self.passes.len() + 1) as f32;
        Ok(last.into_iter().enumerate().map(mean).collect())
    }
}

/// Logged metrics that a model's warnings are drawn from.
const WATCHED: usize = 20;

/// Keeps the last metrics and says each warning once.
#[derive(Default)]
pub struct Watch {
    heard: usize,
    rows: Vec<Vec<f32>>,
    said: Vec<String>,
}

impl Watch {
    /// The warning that the last metrics are reason for, if it was not said before.
    pub fn hear(&mut self, model: &dyn Model, metrics: &[f32]) -> Option<String> {
        self.heard += 1;
        self.rows.push(metrics.to_vec());
        if self.rows.len() > WATCHED {
            self.rows.remove(0);
        }
        if self.rows.len() < WATCHED {
            return None;
        }
        let mean = |k: usize| self.rows.iter().map(|r| r[k]).sum::<f32>() / WATCHED as f32;
        let words = model.warning(self.heard, &(0..metrics.len()).map(mean).collect::<Vec<f32>>())?;
        if self.said.contains(&words) {
            return None;
        }
        self.said.push(words.clone());
        Some(words)
    }
}
