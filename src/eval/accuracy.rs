//! How often a classifier is right.

use std::sync::Arc;

use super::LikelihoodOptions;
use crate::data::{Source, one_hot};
use crate::error::{Error, Result};
use crate::graph::Step;
use crate::model::{Model, need};
use crate::runtime::{Device, Program, State};
use crate::shares::Share;

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
    progress: impl FnMut(usize),
) -> Result<Accuracy> {
    let share = Share::of(&options.ranks, source.len());
    let own = told_own(device, model, state, (source, &share, classes), options, progress).await;
    let [mut correct, mut nll] = options.ranks.agree(own)?;
    share.join(&mut correct)?;
    share.join(&mut nll)?;
    let (sum, count) = (|told: &[f32]| told.iter().map(|v| f64::from(*v)).sum::<f64>(), nll.len());
    let share = sum(&correct) / count as f64;
    Ok(Accuracy { share, error: (share * (1.0 - share) / count as f64).sqrt(), nats: sum(&nll) / count as f64, count })
}

/// Of each item of a share of a source whether it is taken for what it is, and −ln p of that.
async fn told_own(
    device: &Device,
    model: &dyn Model,
    state: &mut State,
    (source, share, classes): (Arc<dyn Source>, &Share, usize),
    options: &LikelihoodOptions,
    mut progress: impl FnMut(usize),
) -> Result<[Vec<f32>; 2]> {
    if source.classes() != classes {
        let (name, found) = (source.name(), source.classes());
        return Err(Error::usage(format!("{name} has {found} classes, and the classifier was trained on {classes}; take other data")));
    }
    let judging = need::judges(model)?;
    let most = share.at_once(device, options.batch);
    let (mut program, _, batch) = Program::of_items(device, state, options.weights, most, |items| judging.judge_graph(items)).await?;
    let item: usize = source.dims().iter().product();
    let [mut correct, mut nll] = [Vec::new(), Vec::new()];
    for part in options.batches(source, share, batch, model) {
        let mut part = part?;
        let here = part.indices.len();
        part.values.resize(batch * item, 0.0);
        program.write("x", &part.values)?;
        program.write("labels", &one_hot(&part.labels, classes, batch))?;
        program.run(state, &Step::default()).await?;
        let told = program.read_all(state, &["correct", "nll"]).await?;
        correct.extend_from_slice(&told[0][..here]);
        nll.extend_from_slice(&told[1][..here]);
        progress(share.done(nll.len()));
    }
    Ok([correct, nll])
}
