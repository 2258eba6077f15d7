//! What the command line does with latent models, through the real binary.

#[path = "support/words.rs"]
mod words;

use std::path::Path;

use words::{json, refused};

fn train(folder: &Path, words: &str) -> serde_json::Value {
    let quick = "--data builtin:digits --steps 40 --batch 32 --set valid_every=0 --set sample_every=20";
    json(folder, &format!("train {words} {quick}"))
}

fn shape(path: &Path) -> Vec<u64> {
    let bytes = std::fs::read(path).expect("file");
    npyz::NpyFile::new(&bytes[..]).expect(".npy").shape().to_vec()
}

#[test]
fn a_vae_goes_through_every_command() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let trained = train(at, "vae --out vae --set hidden=64 --set latent=2");
    assert!(trained["metrics"]["recon"].as_f64() > Some(0.0) && trained["metrics"]["kl"].is_number());
    assert!(at.join("vae/samples/000040.png").exists());

    let eval = |more: &str| json(at, &format!("eval vae --limit 50 {more}"));
    let (elbo, bound) = (eval(""), eval("--set iw=40"));
    let sum = elbo["recon"].as_f64().expect("recon") + elbo["kl"].as_f64().expect("kl");
    assert!((sum - elbo["nats"].as_f64().expect("nats")).abs() < 1e-3);
    assert!(elbo["note"].as_str().expect("grey pixels").contains("cross-entropy"));
    assert!(bound["importance"]["nats"].as_f64() < elbo["nats"].as_f64());
    // Neither the batch nor the number of samples asked for changes what was drawn.
    let whole = |v: &serde_json::Value| v["importance"]["nats"].as_f64().expect("bound");
    assert!((whole(&eval("--set iw=40 --batch 7")) - whole(&bound)).abs() < 1e-3);

    json(at, "score vae --limit 9 --out scores.npy");
    assert_eq!(shape(&at.join("scores.npy")), [9]);
    json(at, "encode vae --limit 30 --out codes.npy");
    assert_eq!(shape(&at.join("codes.npy")), [30, 2]);
    assert_eq!(shape(&at.join("codes.log_var.npy")), [30, 2]);
    assert_eq!(shape(&at.join("codes.labels.npy")), [30]);
    let latents = json(at, "latents vae --limit 60 --out latents");
    assert_eq!(latents["kl"].as_array().map(Vec::len), Some(2));
    for name in ["reconstructions", "traversals", "sheet", "codes"] {
        assert!(at.join(format!("latents/{name}.png")).exists(), "{name}");
    }
    json(at, "interpolate vae -n 2 --out random.png");
    json(at, "interpolate vae --data builtin:digits -n 2 --path both --out images.png");
    json(at, "sample vae -n 5 --out samples.npy");
    assert_eq!(shape(&at.join("samples.npy")), [5, 28, 28, 1]);
    let own = json(at, "outliers vae --limit 40 --against builtin:digits:train --out extremes.png");
    let area = own["auroc"].as_f64().expect("area");
    assert!((0.3..0.7).contains(&area), "digits are no outliers among digits: {area}");
    assert!(own["caveat"].as_str().expect("words").contains("likelihood"));

    refused(at, "eval vae --set iw=0", 2, "iw");
    refused(at, "eval vae --set depth=1", 2, "depth");
    refused(at, "score vae --out map.npy --per-pixel", 2, "sum over pixels");
    refused(at, "encode vae --out codes.txt", 2, ".npy");
    refused(at, "interpolate vae --steps 1 --out ways.png", 2, "--steps");
    refused(at, "outliers vae --against builtin:faces", 2, "32×32");
}

#[test]
fn a_conditional_vae_draws_the_class_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    train(at, "cvae --out cvae --set hidden=64 --set latent=4");
    json(at, "sample cvae -n 3 --class 7 --out sevens.npy");
    json(at, "interpolate cvae -n 2 --out ways.png");
    json(at, "latents cvae --limit 40 --out latents");
    assert!(json(at, "eval cvae --limit 40 --set iw=16")["importance"]["nats"].is_number());
    refused(at, "sample cvae --class 10 --out none.png", 2, "class 10");
    refused(at, "train cvae --data builtin:gaussians8 --out no --set layers=0", 2, "cvae");
}

#[test]
fn an_autoencoder_encodes_but_draws_nothing_new() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    train(at, "autoencoder --out plain --set hidden=64 --set latent=4");
    json(at, "encode plain --limit 8 --out codes.npy");
    assert_eq!(shape(&at.join("codes.npy")), [8, 4]);
    assert!(!at.join("codes.log_var.npy").exists());
    json(at, "latents plain --limit 40 --out latents");
    json(at, "interpolate plain --data builtin:digits -n 2 --out ways.png");
    refused(at, "sample plain --out samples.png", 2, "no distribution");
    refused(at, "interpolate plain --out ways.png", 2, "--data");
    refused(at, "eval plain --set iw=4", 2, "autoencoder");
}

#[test]
fn a_classifier_starts_from_a_trained_encoder() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    train(at, "vae --out vae --set form=conv --set filters=8 --set latent=4");
    train(at, "classifier --out scratch");
    let frozen = train(at, "classifier --out frozen --encoder vae --set frozen=true --labels-per-class 5");
    assert!(frozen["metrics"]["accuracy"].is_number());
    let recipe = std::fs::read_to_string(at.join("frozen/recipe.toml")).expect("recipe");
    assert!(recipe.contains("filters = 8") && recipe.contains("labels_per_class = 5"), "{recipe}");
    // What was frozen is what the encoder learnt, to the bit.
    let tensor = |run: &str| {
        let bytes = std::fs::read(at.join(run).join("checkpoint.safetensors")).expect("checkpoint");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
        file.tensor("encoder.conv1.weight").expect("tensor").data().to_vec()
    };
    assert_eq!(tensor("vae"), tensor("frozen"));
    train(at, "classifier --out tuned --encoder vae");
    assert_ne!(tensor("vae"), tensor("tuned"));
    let found = json(at, "eval scratch --limit 100");
    assert!((0.0..=1.0).contains(&found["accuracy"].as_f64().expect("accuracy")));

    refused(at, "train vae --data builtin:digits --encoder vae --out no", 2, "--encoder");
    refused(at, "train classifier --data builtin:faces --encoder vae --out no", 2, "28×28");
    refused(at, "train classifier --data builtin:digits --encoder scratch --out no", 2, "autoencoder");
    refused(at, "train classifier --data builtin:digits --encoder nowhere --out no", 1, "nowhere");
    refused(at, "train classifier --data builtin:digits --labels-per-class 1000000 --out no", 2, "fewer");
    refused(at, "train classifier --data builtin:gaussians8 --out no", 2, "classifier");
}
