//! The models whose training steps are looked at.

use kiln::data::{Binarization, Kind};
use kiln::model::{self, DataSpec, Model};

/// A model and the data it steps on.
pub struct Case {
    pub name: &'static str,
    model: &'static str,
    hyper: &'static str,
    /// `[H, W, C]`
    dims: [usize; 3],
    /// Items of a step.
    pub batch: usize,
}

pub const CASES: [Case; 6] = [
    Case { name: "pixelcnn-28-b64", model: "pixelcnn", hyper: "preset = 'tiny'", dims: [28, 28, 1], batch: 64 },
    Case { name: "gated-pixelcnn-28-b32", model: "gated-pixelcnn", hyper: "preset = 'small'", dims: [28, 28, 1], batch: 32 },
    Case { name: "vae-mlp-28-b128", model: "vae", hyper: "form = 'mlp'", dims: [28, 28, 1], batch: 128 },
    Case { name: "vae-conv-28-b128", model: "vae", hyper: "form = 'conv'", dims: [28, 28, 1], batch: 128 },
    Case { name: "dcgan-32-b64", model: "dcgan", hyper: "", dims: [32, 32, 1], batch: 64 },
    Case { name: "dcgan-64-b32", model: "dcgan", hyper: "", dims: [64, 64, 3], batch: 32 },
];

impl Case {
    pub fn build(&self) -> Box<dyn Model> {
        let hyper = toml::from_str(self.hyper).expect("hyper-parameters");
        let (kind, binarization) =
            if self.model == "dcgan" { (Kind::Pixels, Binarization::None) } else { (Kind::Binary, Binarization::Static) };
        model::build(self.model, &hyper, &DataSpec { dims: self.dims, classes: 10, kind, binarization, mean: None }).expect("a model")
    }
}
