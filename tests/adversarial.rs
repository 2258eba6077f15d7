//! What the command line does with adversarial models, through the real binary.

#[path = "support/words.rs"]
mod words;

use kiln::report;
use words::{json, kiln, refused};

const SMALL: &str = "--data builtin:digits --batch 16 --set filters=8 --set sample_every=5 --set save_every=5";

#[test]
fn a_dcgan_is_trained_resumed_sampled_and_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let trained = json(at, &format!("train dcgan {SMALL} --steps 10 --out whole"));
    for metric in ["loss", "loss_g", "d_real", "d_fake", "grad_d", "grad_g", "spread"] {
        assert!(trained["metrics"][metric].is_number(), "{metric}");
    }
    assert!(at.join("whole/samples/000010.png").exists() && at.join("whole/curves.png").exists());
    // Stopped halfway and gone on with, the weights are the same.
    json(at, &format!("train dcgan {SMALL} --steps 5 --out half"));
    json(at, "train --resume half --steps 10");
    for run in ["whole", "half"] {
        json(at, &format!("export {run} --out {run}.safetensors"));
    }
    let read = |name: &str| std::fs::read(at.join(name)).expect("an export");
    assert!(read("whole.safetensors") == read("half.safetensors"), "a resumed run differs");
    json(at, "sample whole -n 6 --truncation 0.5 --out six.npy");
    refused(at, "sample whole -n 6 --truncation 0 --out six.npy", 2, "--truncation");
    let quality = json(at, "eval whole --limit 130 --set samples=130 --set classifier_steps=3");
    for figure in
        ["two_sample_accuracy", "nearest_training", "frechet", "kernel", "precision", "recall", "classes_covered", "linear_accuracy"]
    {
        assert!(quality[figure].is_number(), "{figure} in {quality}");
    }
    refused(at, "eval whole --set steps=3", 2, "steps");
    json(at, "neighbors whole -n 3 --limit 50 --classifier-steps 3 --out near.png");
    json(at, "interpolate whole -n 2 --steps 4 --path both --out ways.png");
    json(at, "arithmetic whole --from 1,2,3 --minus 4,5,6 --plus 7,8,9 --out sum.png");
    assert!(["near.png", "ways.png", "sum.png"].iter().all(|f| at.join(f).exists()));
    refused(at, "arithmetic whole --from 1,2 --minus 4,5,6 --plus 7,8,9 --out sum.png", 2, "3 samples a concept");
    refused(at, "arithmetic whole --attribute glasses --on smile --out sum.png", 2, "builtin:faces");
}

#[test]
fn each_family_is_trained_on_points_and_a_ring_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    for model in ["gan", "wgan", "wgan-gp"] {
        let words = format!("train {model} --data builtin:gaussians8 --batch 32 --steps 4 --set conditional=true --out {model}");
        json(folder.path(), &words);
    }
    let quality = json(folder.path(), "eval wgan-gp --set samples=100");
    assert!(quality["modes"].is_number() && quality["within_3_sigma"].is_number(), "{quality}");
}

#[test]
fn a_generator_that_collapses_is_told_of_and_a_sound_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let ring = "train gan --data builtin:gaussians8 --batch 32 --set hidden=32 --set judge=32 --steps 1100 --out";
    // D ten times slower than G, which goes to one cloud between two modes.
    for (run, settings, collapses) in [("slow", "--set loss=minimax --set learning_rate=[0.002,0.0002]", true), ("sound", "", false)] {
        let output = kiln(folder.path(), &format!("{ring} {run} {settings}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("the generator has collapsed"), collapses, "{run}: {said}");
    }
}

#[test]
fn the_theory_is_drawn_and_the_value_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = json(folder.path(), "theory --steps 600 --out theory.png");
    for game in found["games"].as_array().expect("games") {
        let [value, best] = ["value", "best_value"].map(|key| game[key].as_f64().expect("a number"));
        assert!((value - best).abs() < 0.01 && value <= best + 1e-6, "{game}");
    }
    assert!(folder.path().join("theory.png").exists());
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();

    // A folder of pictures without sub-folders has no labels.
    for i in 0..40 {
        let picture = report::image(&[i as f32 / 40.0; 256], [16, 16, 1]);
        report::save_png(&at.join(format!("plain/{i}.png")), &picture).expect("a picture");
    }
    let refusals = [
        ("dcgan --data plain --set conditional=true", "labelled data"),
        ("dcgan --data builtin:digits --set k=0", "k must be at least 1"),
        ("dcgan --data builtin:digits --set resize=31", "must be even"),
        ("wgan --data builtin:digits --set penalty=10", "clip and penalty"),
        ("wgan-gp --data builtin:digits --set discriminator_norm=batch", "batch norm mixes"),
        ("dcgan --data builtin:digits --set r1=1", "take discriminator_norm=none or r1=0"),
        ("dcgan --data builtin:digits --set loss=best", "dcgan"),
        ("dcgan --data builtin:digits --set latent=0", "latent"),
    ];
    for (words, named) in refusals {
        refused(at, &format!("train {words} --out run"), 2, named);
        assert!(!at.join("run").exists(), "{words} left a folder");
    }
}
