//! How unlikely each step of a series is, and which stretches of it are the unlikeliest.

use std::sync::Arc;

use super::likelihood::{LikelihoodOptions, score};
use crate::data::Source;
use crate::data::series::Between;
use crate::error::Result;
use crate::model::Model;
use crate::runtime::{Device, State};

/// −ln p of every step given those before it.
#[derive(Clone, Debug)]
pub struct Surprise {
    /// Nats of each step, all channels together, window after window.
    pub nats: Vec<f64>,
    /// Steps of each run of windows that follow one another.
    pub runs: Vec<usize>,
    /// Steps that have no half a window before them: the first of each run.
    pub bare: usize,
}

/// A part of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Its first step, from 0, of all windows laid end to end.
    pub start: usize,
    /// Its steps.
    pub steps: usize,
    /// Mean nats of a step in it.
    pub nats: f64,
}

/// −ln p of every step of a source whose items are windows of series, each given the steps before it in its window, or in the one half a window
/// earlier where that tells more: at least half a window, but at the beginning of a series. `progress` hears how many windows are done, of
/// those of the source and those between.
///
/// # Errors
/// [`crate::Error::Usage`] where the model tells no steps; errors of the source and the device.
pub async fn surprise(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    source: &Arc<dyn Source>,
    options: &LikelihoodOptions,
    mut progress: impl FnMut(usize),
) -> Result<Surprise> {
    let options = LikelihoodOptions { per_pixel: true, ..options.clone() };
    let [steps, _, channels] = source.dims();
    let told = |map: &[f32]| -> Vec<f64> { map.chunks(channels).map(|step| step.iter().map(|v| f64::from(*v)).sum()).collect() };
    let own = score(device, model, state, Arc::clone(source), &options, &mut progress).await?;
    let mut nats = told(&own.map);
    let mut runs: Vec<usize> = Vec::new();
    for index in 0..source.len() {
        match runs.last_mut() {
            Some(run) if source.follows(index) => *run += steps,
            _ => runs.push(steps),
        }
    }
    if let Some(between) = Between::new(Arc::clone(source)) {
        let between = Arc::new(between);
        let done = source.len();
        let later = score(device, model, state, Arc::clone(&between) as Arc<dyn Source>, &options, |n| progress(done + n)).await?;
        let half = steps / 2;
        for (first, window) in between.firsts().iter().zip(told(&later.map).chunks(steps)) {
            let next = (first + 1) * steps;
            nats[next..next + half].copy_from_slice(&window[steps - half..]);
        }
    }
    Ok(Surprise { nats, runs, bare: steps / 2 })
}

impl Surprise {
    /// Mean nats of a step.
    pub fn mean(&self) -> f64 {
        self.nats.iter().sum::<f64>() / self.nats.len() as f64
    }

    /// Mean nats over the `steps` steps around each step, as many as its run has there.
    pub fn smoothed(&self, steps: usize) -> Vec<f64> {
        let mut smooth = Vec::with_capacity(self.nats.len());
        let mut first = 0;
        for run in &self.runs {
            let own = &self.nats[first..first + run];
            let sums: Vec<f64> = std::iter::once(0.0)
                .chain(own.iter().scan(0.0, |sum, v| {
                    *sum += v;
                    Some(*sum)
                }))
                .collect();
            smooth.extend((0..*run).map(|at| {
                let (low, high) = (at.saturating_sub(steps / 2), (at + steps.div_ceil(2)).min(*run));
                (sums[high] - sums[low]) / (high - low) as f64
            }));
            first += run;
        }
        smooth
    }

    /// The `count` unlikeliest stretches of `steps` steps that do not overlap, the unlikeliest first. None lies across two runs, and none among the
    /// steps at the beginning of a run that have no half a window before them, unless the run has no others.
    pub fn unlikeliest(&self, steps: usize, count: usize) -> Vec<Stretch> {
        let mut all = Vec::new();
        let mut first = 0;
        for run in &self.runs {
            let bare = if self.bare + steps <= *run { self.bare } else { 0 };
            let starts = first + bare..(first + run + 1).saturating_sub(steps);
            all.extend(starts.map(|start| {
                let nats = self.nats[start..start + steps].iter().sum::<f64>() / steps as f64;
                Stretch { start, steps, nats }
            }));
            first += run;
        }
        all.sort_by(|a, b| b.nats.total_cmp(&a.nats).then(a.start.cmp(&b.start)));
        let mut found: Vec<Stretch> = Vec::new();
        for stretch in all {
            if found.len() == count {
                break;
            }
            if found.iter().all(|other| stretch.start.abs_diff(other.start) >= steps) {
                found.push(stretch);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_neither_overlap_nor_lie_across_runs_nor_at_a_bare_beginning() {
        let mut nats = vec![1.0; 40];
        nats[2] = 9.0;
        (18..22).for_each(|at| nats[at] = 5.0);
        nats[33] = 4.0;
        let surprise = Surprise { nats, runs: vec![20, 20], bare: 5 };
        let found = surprise.unlikeliest(2, 3);
        assert_eq!(found.iter().map(|s| s.start).collect::<Vec<_>>(), [18, 32, 5]);
        assert_eq!((found[0].nats, found[1].nats), (5.0, 2.5));
        assert!((surprise.mean() - (40.0 + 8.0 + 16.0 + 3.0) / 40.0).abs() < 1e-12);
        let smooth = surprise.smoothed(2);
        assert_eq!((smooth[2], smooth[3], smooth[19], smooth[20]), (5.0, 5.0, 5.0, 5.0));
        // A run with no step that has half a window before it is looked through whole.
        let short = Surprise { nats: vec![1.0, 8.0, 1.0, 1.0], runs: vec![4], bare: 4 };
        assert_eq!(short.unlikeliest(1, 1)[0].start, 1);
        assert!(short.unlikeliest(5, 1).is_empty());
    }
}
