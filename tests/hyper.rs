//! Hyper-parameters over their whole range: each model is a graph, or a sentence that refuses it. Never a panic, never a long wait.

mod support;

use std::time::{Duration, Instant};

use kiln::data::{Binarization, Kind};
use kiln::graph::Graph;
use kiln::model::{self, DataSpec, Model};
use kiln::{Error, Result};
use proptest::prelude::*;
use proptest::sample::select;
use support::models::{adam, images};

/// Whole numbers, mostly of a size that can be built, some of any size.
fn number() -> impl Strategy<Value = String> {
    let any = (0..63u32, any::<u64>()).prop_map(|(bits, word)| (word >> 1 >> (62 - bits)) as i64);
    prop_oneof![6 => 0..=9i64, 2 => 10..=200i64, 1 => any, 1 => select(vec![i64::MAX, -1, 1 << 20, 1 << 32])].prop_map(|n| n.to_string())
}

/// Sides of kernels: small ones, and any beyond the largest, for between them a test takes long.
fn kernel() -> impl Strategy<Value = String> {
    prop_oneof![8 => -1..=9i64, 1 => 100..=i64::MAX].prop_map(|n| n.to_string())
}

fn real() -> impl Strategy<Value = String> {
    let odd = select(vec!["0.0", "1.0", "0.5", "0.2", "-1.0", "nan", "inf", "1e300", "1e-300", "10.0"]).prop_map(String::from);
    prop_oneof![odd, (0.0..1.0f64).prop_map(|v| format!("{v:?}"))]
}

fn word(words: &[&'static str]) -> BoxedStrategy<String> {
    select(words.to_vec()).prop_map(|w| if ["true", "false"].contains(&w) { w.to_string() } else { format!("'{w}'") }).boxed()
}

fn list(lists: &[&'static str]) -> BoxedStrategy<String> {
    select(lists.to_vec()).prop_map(String::from).boxed()
}

/// Every key of a model, with what it may be set to.
fn keys(model: &str) -> Vec<(&'static str, BoxedStrategy<String>)> {
    let numbers = |keys: &[&'static str]| keys.iter().map(|k| (*k, number().boxed())).collect::<Vec<_>>();
    let reals = |keys: &[&'static str]| keys.iter().map(|k| (*k, real().boxed())).collect::<Vec<_>>();
    let flag = || word(&["true", "false"]);
    let scales = || prop_oneof![4 => (1..=4usize).prop_map(|n| n.to_string()), 1 => number()].boxed();
    let mixture = [("likelihood", word(&["logits", "mixture", "mixture"])), ("mixtures", number().boxed())];
    let form = || ("form", word(&["mlp", "conv"]));
    match model {
        "pixelcnn" => {
            let mut keys = numbers(&["blocks", "hidden", "head", "levels", "scale_channels"]);
            keys.extend(["first_kernel", "kernel"].map(|k| (k, kernel().boxed())));
            keys.extend([("preset", word(&["tiny", "paper", "custom"])), ("scales", scales()), ("conditional", flag())]);
            keys.extend(reals(&["dropout"]));
            keys.extend(mixture);
            keys
        }
        "gated-pixelcnn" => {
            let mut keys = numbers(&["layers", "hidden", "head", "levels", "scale_channels"]);
            keys.extend(["first_kernel", "kernel"].map(|k| (k, kernel().boxed())));
            keys.push(("dilations", prop::collection::vec(number(), 0..=3).prop_map(|d| format!("[{}]", d.join(", "))).boxed()));
            keys.extend([("preset", word(&["tiny", "small", "k5", "whole", "custom"])), ("scales", scales()), ("conditional", flag())]);
            keys.extend(reals(&["dropout"]));
            keys.extend(mixture);
            keys
        }
        "pixelcnn-pp" => {
            let mut keys = numbers(&["stages", "blocks", "filters", "mixtures"]);
            keys.extend(reals(&["dropout"]));
            keys.extend([("preset", word(&["tiny", "small", "custom"])), ("conditional", flag())]);
            keys
        }
        "pixelrnn" => {
            let mut keys = numbers(&["layers", "hidden", "head", "levels", "scale_channels"]);
            keys.extend(["first_kernel", "kernel"].map(|k| (k, kernel().boxed())));
            keys.extend([
                ("layer", word(&["row", "diagonal"])),
                ("preset", word(&["small", "mnist", "custom"])),
                ("scales", scales()),
                ("conditional", flag()),
            ]);
            keys.extend(reals(&["dropout"]));
            keys.extend(mixture);
            keys
        }
        "classifier" => {
            let mut keys = numbers(&["hidden", "layers", "filters", "stages", "features"]);
            keys.extend([form(), ("activation", word(&["relu", "tanh"])), ("frozen", flag())]);
            keys
        }
        "vae" | "cvae" | "autoencoder" => {
            let mut keys = numbers(&["latent", "hidden", "layers", "filters", "stages"]);
            keys.extend(reals(&["scale", "beta"]));
            let likelihood = word(&["auto", "bernoulli", "gaussian", "logistic"]);
            keys.extend([
                form(),
                ("likelihood", likelihood),
                ("variance", word(&["learnt", "fixed"])),
                ("activation", word(&["relu", "tanh"])),
            ]);
            keys
        }
        "gan" | "dcgan" | "wgan" | "wgan-gp" => {
            let mut keys = numbers(&["k", "latent", "filters", "hidden", "judge", "layers", "pieces"]);
            keys.extend(reals(&["dropout", "input_dropout", "label_smoothing", "clip", "penalty", "r1"]));
            let loss = word(&["minimax", "non-saturating", "wasserstein", "least-squares", "hinge"]);
            keys.extend([form(), ("loss", loss), ("discriminator_norm", word(&["batch", "none"])), ("conditional", flag())]);
            keys
        }
        "diffusion" => {
            let mut keys = numbers(&["filters", "blocks", "heads", "timesteps", "hidden", "layers"]);
            keys.extend(reals(&["dropout", "label_dropout"]));
            keys.extend([("conditional", flag()), ("importance", flag()), ("film", flag())]);
            keys.extend([
                ("preset", word(&["tiny", "small", "vast"])),
                ("noise", word(&["linear", "cosine", "edm", "flow"])),
                ("target", word(&["eps", "v", "x0"])),
                ("variance", word(&["fixed_small", "fixed_large", "learnt"])),
                ("multipliers", list(&["[1]", "[1, 2]", "[]", "[0]", "[1, 1, 1]"])),
                ("attention", list(&["[]", "[8]", "[4, 16]"])),
            ]);
            keys
        }
        "wavenet" => {
            let mut keys = numbers(&["residual", "skip", "head", "depth", "stacks", "kernel", "levels"]);
            keys.push(("conditional", flag()));
            keys.extend(reals(&["dropout"]));
            keys.extend(mixture);
            keys
        }
        "rnn" => {
            let mut keys = numbers(&["layers", "hidden", "levels"]);
            keys.extend([("cell", word(&["gru", "lstm"])), ("conditional", flag())]);
            keys.extend(reals(&["dropout"]));
            keys.extend(mixture);
            keys
        }
        other => panic!("the keys of {other} are not listed here"),
    }
}

/// A model's name and some of its keys, set.
fn hyper() -> impl Strategy<Value = (&'static str, String)> {
    select(model::names().to_vec()).prop_flat_map(|name| {
        let lines = keys(name).into_iter().map(|(key, value)| {
            (prop::bool::weighted(0.35), value).prop_map(move |(set, value)| set.then(|| format!("{key} = {value}\n")))
        });
        lines.collect::<Vec<_>>().prop_map(move |lines| (name, lines.into_iter().flatten().collect::<String>()))
    })
}

fn data() -> impl Strategy<Value = DataSpec> {
    let side = prop_oneof![8 => 1..=33usize, 4 => select(vec![8usize, 16, 28, 32]), 1 => select(vec![0usize, 1 << 17, usize::MAX])];
    let channels = prop_oneof![9 => select(vec![1usize, 3]), 1 => select(vec![0usize, 2, 4, usize::MAX])];
    let classes = prop_oneof![9 => select(vec![0usize, 1, 2, 10]), 1 => select(vec![1usize << 19, usize::MAX])];
    let kind = select(vec![Kind::Binary, Kind::Pixels, Kind::Pixels, Kind::Points]);
    let binarization = select(vec![Binarization::None, Binarization::Dynamic, Binarization::Static]);
    // Series are one column wide.
    let width = prop_oneof![4 => side.clone(), 1 => Just(1usize)];
    (side, width, channels, classes, kind, binarization, 0..=4usize).prop_map(|(h, w, c, classes, kind, binarization, mean)| DataSpec {
        dims: if kind == Kind::Points { [1, 1, 2] } else { [h, w, c] },
        classes,
        kind,
        binarization,
        mean: (mean == 0).then(|| vec![0.5; 4]),
    })
}

/// Every graph that a model has.
fn graphs(model: &dyn Model) -> Result<Vec<Graph>> {
    let mut graphs = vec![model.train_graph(2, &adam)?];
    let more = [
        model.scores().map(|m| m.likelihood_graph(2)),
        model.bounds().map(|m| m.bound_graph(2, 3)),
        model.raster().map(|m| m.raster_graph(2)),
        model.decodes().map(|m| m.decode_graph(2)),
        model.encodes().map(|m| m.encode_graph(2)),
        model.judges().map(|m| m.judge_graph(2)),
        model.features().map(|m| m.features_graph(2)),
    ];
    for graph in more.into_iter().flatten() {
        graphs.push(graph?);
    }
    if let Some(coarser) = model.raster().and_then(|m| m.coarser()) {
        graphs.push(coarser.raster_graph(2)?);
    }
    Ok(graphs)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_setting_is_a_graph_or_a_sentence((name, hyper) in hyper(), data in data()) {
        let begun = Instant::now();
        match model::build(name, &toml::from_str(&hyper).expect("TOML"), &data) {
            Ok(model) => prop_assert!(graphs(model.as_ref())?.iter().all(|g| !g.outputs().is_empty())),
            Err(error) => {
                let said = error.to_string();
                prop_assert!(matches!(error, Error::Usage(_)), "{:?}", error);
                prop_assert!(!said.contains("unknown field") && said.lines().count() == 1, "{}", said);
            }
        }
        prop_assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

#[test]
fn colour_trains_with_the_defaults_of_every_model() -> Result<()> {
    for (name, colours) in model::names().into_iter().flat_map(|name| [(name, 1), (name, 3)]) {
        let width = if ["rnn", "wavenet"].contains(&name) { 1 } else { 32 };
        let model = model::build(name, &toml::Table::new(), &images([32, width, colours], Kind::Pixels))?;
        assert!(!graphs(model.as_ref())?.is_empty(), "{name}");
    }
    for preset in ["tiny", "paper", "custom"] {
        let hyper = toml::from_str(&format!("preset = '{preset}'")).expect("TOML");
        let model = model::build("pixelcnn", &hyper, &images([8, 8, 3], Kind::Pixels))?;
        let head = if preset == "paper" { 1026 } else { 33 };
        let found = model.state().groups[0].tensors.iter().find(|t| t.name == "head.0.bias").map(|t| t.shape.len());
        assert_eq!(found, Some(head), "{preset}");
    }
    Ok(())
}

#[test]
fn small_and_rectangular_images_are_taken_or_a_form_is_named() -> Result<()> {
    for dims in [[8, 8, 1], [2, 2, 3], [4, 4, 1], [16, 24, 3], [28, 14, 1], [30, 8, 1], [48, 96, 3]] {
        for (name, hyper) in [
            ("vae", "form = 'conv'"),
            ("cvae", "form = 'conv'"),
            ("classifier", ""),
            ("dcgan", "filters = 2"),
            ("wgan-gp", "filters = 2"),
            ("gan", ""),
        ] {
            let model = support::models::build(name, hyper, &images(dims, Kind::Pixels))?;
            assert!(!graphs(model.as_ref())?.is_empty(), "{name} {dims:?}");
        }
    }
    for (name, hyper) in [("vae", "form = 'conv'"), ("classifier", ""), ("dcgan", "")] {
        let said = support::models::refusal(name, hyper, &images([7, 8, 1], Kind::Pixels));
        assert!(said.contains("form=mlp") && said.contains("7×8"), "{said}");
        assert!(support::models::build(name, "form = 'mlp'", &images([7, 8, 1], Kind::Pixels)).is_ok());
    }
    Ok(())
}
