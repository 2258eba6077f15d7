//! `PixelCNN` of pytorch-generative: kiln's `pixelcnn` for bits, but for factors.
//!
//! Its residual blocks add their input twice: x' = 2x + f(x), so the map before block i is 2^i times one that adds its input once. With
//! h = x / 2^i, h' = h + f(2^i·h) / 2^(i + 1): since the block begins with a ReLU, the factor 2^i goes into the weights behind it, and the other into
//! the weights and the bias of its last layer. Powers of two round nothing, so the network is the same number by number.

use super::family::{Family, Source, size};
use super::file::Weights;
use crate::error::{Error, Result};
use crate::train::Recipe;

/// Most blocks whose powers of two leave weights normal numbers.
const MOST_BLOCKS: usize = 60;

/// The family.
pub const FAMILY: Family = Family {
    what: "the PixelCNN of pytorch-generative",
    models: &["pixelcnn"],
    is: |weights| weights.has("_input.weight") && weights.has("_head.1.weight"),
    settings,
    check,
    source,
    beside: |name| name == "_input.mask" || name.ends_with("._net.3.mask"),
};

/// The gated network, which is none of kiln's.
pub const GATED: Family = Family {
    what: "the GatedPixelCNN of pytorch-generative",
    models: &[],
    is: |weights| weights.has("_input._vstack_1xN.weight"),
    settings: |weights| Err(gated(weights)),
    check: |weights, _| Err(gated(weights)),
    source: |_, _| None,
    beside: |_| true,
};

fn gated(weights: &Weights) -> Error {
    Error::format(
        weights.path(),
        "is the GatedPixelCNN of pytorch-generative, whose vertical stack hands the horizontal one less than its own gate reads (the pixel itself), \
         and whose vertical kernels are two convolutions with a bias between; no setting of gated-pixelcnn computes that, so train one with \
         kiln train gated-pixelcnn",
    )
}

/// How many blocks there are.
fn blocks(weights: &Weights) -> usize {
    (0..).take_while(|i| weights.has(&format!("_causal_layers.{i}._net.1.weight"))).count()
}

fn settings(weights: &Weights) -> Result<toml::Table> {
    let sizes = |name: &str, axis: usize| weights.shape(name).and_then(|shape| shape.get(axis)).copied().unwrap_or(0);
    let pairs = [
        ("blocks", blocks(weights)),
        ("hidden", sizes("_input.weight", 0) / 2),
        ("head", sizes("_head.1.weight", 0)),
        ("first_kernel", sizes("_input.weight", 2)),
    ];
    Ok(pairs.into_iter().map(|(key, value)| (key.to_string(), size(value))).collect())
}

fn check(weights: &Weights, recipe: &Recipe) -> Result<()> {
    let shown = weights.path().display();
    let refuse = |reason: &str| Err(Error::usage(format!("{shown} is {}{reason}", FAMILY.what)));
    if recipe.data.dims[2] != 1 {
        return refuse(", which does not tell the colours of a pixel one after another, as kiln's pixelcnn does; take grey data");
    }
    if !recipe.data.spec().is_binary() {
        return refuse(" and reads bits as 0 and 1, as kiln's does of binary data alone; take binarization=dynamic, static or threshold");
    }
    if blocks(weights) > MOST_BLOCKS {
        return refuse(&format!(" with more than {MOST_BLOCKS} blocks, whose factors of two are beyond the numbers of an f32"));
    }
    Ok(())
}

fn source(weights: &Weights, name: &str) -> Option<Source> {
    let (layer, part) = name.rsplit_once('.')?;
    let power = |exponent: usize| 2f32.powi(exponent.min(MOST_BLOCKS + 1) as i32);
    let weight = part == "weight";
    let (other, factor) = match layer {
        "input" => ("_input".to_string(), 1.0),
        "head.0" => ("_head.1".to_string(), if weight { power(blocks(weights)) } else { 1.0 }),
        "head.1" => ("_head.3".to_string(), 1.0),
        _ => {
            let (number, kind) = layer.strip_prefix("blocks.")?.split_once('.')?;
            let number: usize = number.parse().ok()?;
            let net = |place: usize| format!("_causal_layers.{number}._net.{place}");
            match kind {
                "reduce" => (net(1), if weight { power(number) } else { 1.0 }),
                "masked" => (net(3), 1.0),
                "expand" => (net(5), 1.0 / power(number + 1)),
                _ => return None,
            }
        }
    };
    Some(Source { factor, ..Source::of(format!("{other}.{part}")) })
}
