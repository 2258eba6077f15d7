//! Graphs that between them use every kernel with every switch: the GPU tests run them, the portability gates compile them.
#![allow(dead_code)] // each test binary uses its part

mod elements;
mod products;

use kiln::Result;
use kiln::graph::{NodeId, Rule, Update};

use crate::Bench;

pub use elements::*;
pub use products::*;

/// A named graph with its outputs declared.
pub type Case = (String, Bench);

fn case(name: impl Into<String>, build: impl FnOnce(&mut Bench) -> Result<Vec<NodeId>>) -> Result<Case> {
    let mut b = Bench::new();
    for (k, id) in build(&mut b)?.into_iter().enumerate() {
        b.graph.output(&format!("out{k}"), id);
    }
    Ok((name.into(), b))
}

/// One step of a rule on a small least-squares problem with a running statistic; leaf 0 is trained.
pub fn update(name: &str, update: Update) -> Result<Case> {
    case(format!("update by {name}"), |b| {
        let w = b.leaf([3, 37]);
        let v = b.leaf([2, 40]);
        let square = b.graph.mul(w, w)?;
        let a = b.graph.sum_all(square)?;
        let quartic = b.graph.map(&[v], |e, x| {
            let s = e.mul(x[0], x[0]);
            e.mul(s, s)
        })?;
        let c = b.graph.mean_all(quartic)?;
        let loss = b.graph.add(a, c)?;
        let gradients = b.graph.gradients(loss, &[w, v])?;
        b.graph.update(&b.spec, Update { average: true, ..update.clone() }, &gradients)?;
        Ok(vec![loss])
    })
}

/// Every update.
pub fn updates() -> Result<Vec<Case>> {
    let adam = Update::new(0, Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
    let rmsprop = Update::new(0, Rule::RmsProp { decay: 0.99, epsilon: 1e-8 });
    let momentum = Update::new(0, Rule::Sgd { momentum: 0.9 });
    Ok(vec![
        update("Adam", adam.clone())?,
        update("Adam, clipped", Update { clip_norm: Some(0.5), ..adam.clone() })?,
        update("Adam, each element clipped", Update { clip_norm: Some(50.0), clip_value: Some(0.7), ..adam.clone() })?,
        update("AdamW", Update { weight_decay: 0.3, ..adam })?,
        update("RMSprop, clamped", Update { clamp: Some(0.3), ..rmsprop.clone() })?,
        update("RMSprop, decayed", Update { weight_decay: 0.1, clip_value: Some(1.0), ..rmsprop })?,
        update("momentum", Update { clip_norm: Some(100.0), ..momentum.clone() })?,
        update("momentum, decayed", Update { weight_decay: 2.0, ..momentum })?,
    ])
}

/// All cases.
pub fn all() -> Result<Vec<Case>> {
    let mut cases = maps()?;
    cases.extend([draws(&[3, 5])?, draws(&[2, 8])?, draws(&[12])?]);
    cases.extend(reductions()?);
    cases.extend(convolutions()?);
    cases.extend(matrices()?);
    cases.extend(fused()?);
    cases.extend(gates()?);
    cases.extend(mixtures()?);
    cases.extend(gaussians()?);
    cases.extend(attentions()?);
    cases.extend(group_norms()?);
    cases.extend(products()?);
    cases.extend(movement()?);
    cases.extend(scans()?);
    cases.extend(updates()?);
    Ok(cases)
}
