//! What training costs.

use crate::error::Result;
use crate::graph::{Rule, Update};
use crate::model::Model;
use crate::train::Recipe;

/// Floating-point operations of one step of a run, forward and backward; the optimiser's own are not counted.
///
/// # Errors
/// [`crate::Error::Shape`] where the step has no graph.
pub fn of_a_step(recipe: &Recipe, model: &dyn Model) -> Result<f64> {
    let graph = model.train_graph(recipe.train.batch, &|group| Update::new(group, Rule::Sgd { momentum: 0.0 }))?;
    Ok(graph.flops() as f64 * recipe.train.accumulate as f64)
}
