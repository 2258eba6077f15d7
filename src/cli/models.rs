//! `kiln models`: what there is to train.

use serde_json::json;

use super::output::Output;
use crate::data::{Binarization, Kind};
use crate::error::Result;
use crate::model::{self, DataSpec, Defaults, Model, Score};

/// What parameters are counted for: grey images of ten classes, bits, or series.
fn data(height: usize, width: usize, kind: Kind) -> DataSpec {
    DataSpec { dims: [height, width, 1], classes: 10, kind, binarization: Binarization::None, mean: None }
}

/// A model as the table has it.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Parameters at its defaults.
    pub parameters: usize,
    /// On what data.
    pub of: &'static str,
    /// What it can do.
    pub abilities: Vec<&'static str>,
    /// How it prefers to be trained.
    pub defaults: Defaults,
}

/// What a model can do, in words; `labelled` says whether it can be made with labels.
pub fn abilities(model: &dyn Model, labelled: bool) -> Vec<&'static str> {
    let score = model.scores().map(|scores| scores.score());
    let raster = model.raster().is_some();
    let latents = model.decodes().is_some_and(|d| d.has_prior());
    let all = [
        (score == Some(Score::Exact), "exact log p"),
        (score == Some(Score::Bound), "a bound of log p"),
        (raster || latents || model.denoises().is_some(), "sample"),
        (raster || latents || model.denoises().is_some(), "complete"),
        (model.encodes().is_some(), "encode"),
        (latents, "interpolate"),
        (model.judges().is_some(), "tell labels"),
        (labelled && model.judges().is_none(), "conditional"),
    ];
    all.into_iter().filter(|(has, _)| *has).map(|(_, word)| word).collect()
}

/// A model on the first of some data that it takes, by its defaults.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) for a name that no model has.
pub fn row(name: &'static str) -> Result<Row> {
    let images = ("28×28 grey", data(28, 28, Kind::Pixels));
    let bits = ("28×28 bits", data(28, 28, Kind::Binary));
    let series = ("series of 256 steps", data(256, 1, Kind::Pixels));
    let order = if ["wavenet", "rnn"].contains(&name) { [series, images, bits] } else { [images, bits, series] };
    let mut refused = None;
    for (of, spec) in order {
        match model::build(name, &toml::Table::new(), &spec) {
            Ok(made) => {
                let conditional = toml::Table::from_iter([("conditional".to_string(), toml::Value::Boolean(true))]);
                let labelled = made.conditional() || model::build(name, &conditional, &spec).is_ok_and(|m| m.conditional());
                let (parameters, defaults) = (made.state().parameters(true), made.defaults());
                return Ok(Row { name, parameters, of, abilities: abilities(made.as_ref(), labelled), defaults });
            }
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| crate::error::Error::usage(format!("{name} takes none of these data"))))
}

/// `kiln models`
pub fn run(output: &Output) -> Result<()> {
    let rows = model::names().into_iter().map(row).collect::<Result<Vec<Row>>>()?;
    let widest = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut words = format!("{:<widest$}  {:>10}  {:<20}  what it can do", "model", "parameters", "of");
    for row in &rows {
        words += &format!("\n{:<widest$}  {:>10}  {:<20}  {}", row.name, row.parameters, row.of, row.abilities.join(", "));
    }
    words += "\nparameters are those of the defaults; kiln train MODEL --data SOURCE --set KEY=VALUE changes them, and kiln help MODEL tells every key";
    let list: Vec<_> =
        rows.iter().map(|row| json!({ "name": row.name, "parameters": row.parameters, "of": row.of, "can": row.abilities })).collect();
    output.result(&words, &json!({ "models": list }))
}
