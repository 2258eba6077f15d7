//! `Generator` and `Discriminator` of pytorch/examples' `dcgan`, a file each: kiln's `dcgan`, whose layers they number through.
//!
//! Their network is of 64×64 pixels; one with fewer or more doublings counts on in the same way.

use super::family::{Family, Source, size};
use super::file::Weights;
use crate::error::{Error, Result};
use crate::train::Recipe;

/// Models whose networks are these.
const MODELS: &[&str] = &["dcgan", "wgan"];

/// The generator: a transposed convolution, its norm and its activation take three places.
pub const GENERATOR: Family = Family {
    what: "the generator of pytorch/examples' dcgan",
    models: MODELS,
    is: |weights| weights.has("main.0.weight") && weights.has("main.1.weight") && weights.has("main.1.running_mean"),
    settings: |weights| {
        // [latent, filters · 2^(doublings − 1), kh, kw]; the last layer's input has the filters alone.
        let last = (0..).step_by(3).take_while(|at| weights.has(&format!("main.{at}.weight"))).last().unwrap_or(0);
        let inputs = |at: usize| weights.shape(&format!("main.{at}.weight")).and_then(|shape| shape.first()).copied().unwrap_or(0);
        Ok(toml::Table::from_iter([("latent".to_string(), size(inputs(0))), ("filters".to_string(), size(inputs(last)))]))
    },
    check: |weights, recipe| check(weights, recipe, "the generator of pytorch/examples' dcgan"),
    source: |_, name| {
        let (layer, number, part) = numbered(name.strip_prefix("generator.")?)?;
        let first = 3 * (number - 1);
        match layer {
            "deconv" => Some(Source::of(format!("main.{first}.{part}"))),
            "norm" => Some(Source::of(format!("main.{}.{part}", first + 1))),
            _ => None,
        }
    },
    beside: counters,
};

/// The discriminator: its first convolution has no norm.
pub const DISCRIMINATOR: Family = Family {
    what: "the discriminator of pytorch/examples' dcgan",
    models: MODELS,
    is: |weights| weights.has("main.0.weight") && !weights.has("main.1.weight") && weights.has("main.2.weight"),
    settings: |weights| {
        let outputs = weights.shape("main.0.weight").and_then(|shape| shape.first()).copied().unwrap_or(0);
        Ok(toml::Table::from_iter([("filters".to_string(), size(outputs))]))
    },
    check: |weights, recipe| check(weights, recipe, "the discriminator of pytorch/examples' dcgan"),
    source: |_, name| {
        let (layer, number, part) = numbered(name.strip_prefix("discriminator.")?)?;
        match (layer, number) {
            ("conv", 1) => Some(Source::of(format!("main.0.{part}"))),
            ("conv", _) => Some(Source::of(format!("main.{}.{part}", 2 + 3 * (number - 2)))),
            ("norm", 2..) => Some(Source::of(format!("main.{}.{part}", 3 + 3 * (number - 2)))),
            _ => None,
        }
    },
    beside: counters,
};

/// `deconv3.weight` as its word, its number and its part.
fn numbered(name: &str) -> Option<(&str, usize, &str)> {
    let (layer, part) = name.split_once('.')?;
    let digits = layer.find(|c: char| c.is_ascii_digit())?;
    let number = layer[digits..].parse().ok().filter(|number| *number > 0)?;
    Some((&layer[..digits], number, part))
}

/// How many batches a norm has seen, which kiln does not count.
pub fn counters(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

fn check(weights: &Weights, recipe: &Recipe, what: &str) -> Result<()> {
    let shown = weights.path().display();
    let mlp = recipe.hyper.get("form").and_then(toml::Value::as_str) == Some("mlp");
    if mlp {
        return Err(Error::usage(format!("{shown} is {what}, which is made of convolutions; take form=conv")));
    }
    Ok(())
}
