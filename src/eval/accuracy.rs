//! How often a classifier is right.

use std::sync::Arc;

use super::LikelihoodOptions;
use crate::data::{self, Source, one_hot};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::{Model, need};
use crate::runtime::{Device, Program, State};

/// A classifier's accuracy on a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Share of items whose label has the largest logit.
    pub share: f64,
    /// Its standard error.
    pub error: f64,
    /// Mean −ln p(label), in nats.
    pub nats: f64,
    /// Items.
    pub count: usize,
}

/// Classifies every item of a source; `progress` hears how many are done.
///
/// # Errors
/// [`Error::Usage`] where the model is no classifier or the source has other classes; errors of the source and the device.
pub async fn accuracy(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    (source, classes): (Arc<dyn Source>, usize),
    options: &LikelihoodOptions,
    mut progress: impl FnMut(usize),
) -> Result<Accuracy> {
    if source.classes() != classes {
        let (name, found) = (source.name(), source.classes());
        return Err(Error::usage(format!("{name} has {found} classes, and the classifier was trained on {classes}; take other data")));
    }
    let judging = need::judges(model)?;
    let most = options.batch.min(source.len());
    let (mut program, _, batch) = Program::of_items(device, state, options.weights, most, |items| judging.judge_graph(items)).await?;
    let item: usize = source.dims().iter().product();
    let (mut right, mut nats, mut count) = (0.0, 0.0, 0);
    for part in data::sequential(source, batch, options.seed, options.binarization, model.scale()) {
        let mut part = part?;
        let here = part.indices.len();
        part.values.resize(batch * item, 0.0);
        program.write("x", &part.values)?;
        program.write("labels", &one_hot(&part.labels, classes, batch))?;
        program.run(state, &Step::default()).await?;
        let told = program.read_all(state, &["correct", "nll"]).await?;
        let sum = |told: &[f32]| told[..here].iter().map(|v| f64::from(*v)).sum::<f64>();
        right += sum(&told[0]);
        nats += sum(&told[1]);
        count += here;
        progress(count);
    }
    let share = right / count as f64;
    Ok(Accuracy { share, error: (share * (1.0 - share) / count as f64).sqrt(), nats: nats / count as f64, count })
}
