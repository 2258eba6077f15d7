//! `VAE` of pytorch/examples: kiln's `vae` of form `mlp` with one hidden layer a side.

use super::family::{Family, Source, size};
use super::file::Weights;
use crate::error::{Error, Result};
use crate::train::Recipe;

/// Its layers, by the names of kiln's.
const LAYERS: [(&str, &str); 5] = [
    ("encoder.hidden", "fc1"),
    ("encoder.mean", "fc21"),
    ("encoder.log_var", "fc22"),
    ("decoder.hidden", "fc3"),
    ("decoder.logits", "fc4"),
];

/// The family.
pub const FAMILY: Family = Family {
    what: "the VAE of pytorch/examples",
    models: &["vae"],
    is: |weights| LAYERS.iter().all(|(_, name)| weights.has(&format!("{name}.weight"))),
    settings,
    check,
    source: |_, name| {
        let (layer, part) = name.rsplit_once('.')?;
        LAYERS.iter().find(|(own, _)| *own == layer).map(|(_, other)| Source::of(format!("{other}.{part}")))
    },
    beside: |_| false,
};

fn settings(weights: &Weights) -> Result<toml::Table> {
    let rows = |name: &str| weights.shape(name).and_then(|shape| shape.first()).copied().unwrap_or(0);
    let mut settings = toml::Table::from_iter([("form".to_string(), toml::Value::String("mlp".into()))]);
    settings.insert("hidden".into(), size(rows("fc1.weight")));
    settings.insert("latent".into(), size(rows("fc21.weight")));
    Ok(settings)
}

fn check(weights: &Weights, recipe: &Recipe) -> Result<()> {
    let word = |key: &str| recipe.hyper.get(key).and_then(toml::Value::as_str).unwrap_or_default();
    let shown = weights.path().display();
    for (key, wrong, right) in [("form", "conv", "mlp"), ("activation", "tanh", "relu")] {
        if word(key) == wrong {
            return Err(Error::usage(format!(
                "{shown} is {}, whose {key} is {right}; leave {key} out, or take {key}={right}",
                FAMILY.what
            )));
        }
    }
    Ok(())
}
