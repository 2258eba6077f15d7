//! `kiln compare`.

use crate::program::{Place, png};

/// 24 training and 12 test images of two classes, 8×8.
fn place() -> Place {
    place_of(12)
}

/// So many training images of each of two classes, and 12 test images.
fn place_of(each: u8) -> Place {
    let place = Place::new();
    for i in 0..each {
        for (class, shade) in [("bear", 0), ("cat", 128)] {
            place.write(&format!("data/train/{class}/{i}.png"), &png(8, 8, shade + 5 * (i % 24)));
            if i < 6 {
                place.write(&format!("data/test/{class}/{i}.png"), &png(8, 8, shade + 5 * i + 1));
            }
        }
    }
    place
}

const SMALL: &str = "--batch 4 --steps 3 --set sample_every=0 --set valid_every=0 -q";

#[test]
fn runs_of_all_families_are_set_side_by_side() {
    let place = place();
    place.kiln(&format!("train gated-pixelcnn --data data --set layers=1 --set hidden=4 --set head=4 --out exact {SMALL}")).ok();
    place.kiln(&format!("train cvae --data data --set form=mlp --set hidden=8 --set latent=2 --out bound {SMALL}")).ok();
    place.kiln(&format!("train dcgan --data data --set filters=4 --out none {SMALL}")).ok();
    place
        .kiln(&format!(
            "train diffusion --data data --set filters=8 --set multipliers=[1] --set blocks=1 --set heads=2 --set timesteps=20 --out noise {SMALL}"
        ))
        .ok();
    let said = place.kiln("compare exact bound none noise --samples 8 --set classifier_steps=4 --out page --json").json();
    let run = |name: &str| said["runs"].as_array().expect("runs").iter().find(|run| run["run"] == name).cloned().expect("a run");
    let (exact, bound, none, noise) = (run("exact"), run("bound"), run("none"), run("noise"));
    // Each has the kind of likelihood that it has, and an adversarial model none.
    assert!(exact["likelihood"]["figure"].as_str().is_some_and(|f| f.contains("exact")) && none["likelihood"].is_null());
    assert!(bound["likelihood"]["figure"].as_str().is_some_and(|f| f.contains("ELBO")) && noise["likelihood"]["steps"] == 20);
    let nats = |run: &serde_json::Value, key: &str| run[key].as_f64().expect("nats");
    let lost = nats(&exact, "mixed_with_noise_nats") - nats(&exact["likelihood"], "nats");
    assert!(lost <= 100f64.ln() + 1e-6, "{lost}");
    assert!(bound["mixed_with_noise_nats"].is_null());
    for run in [&exact, &bound, &none, &noise] {
        for key in ["kernel", "sharpness", "precision"] {
            assert!(run["quality"][key].as_f64().is_some(), "{key} of {run}");
        }
        assert!(run["train_flops"].as_f64().is_some_and(|f| f > 0.0) && run["sampling"]["ms_of_64"].as_f64().is_some_and(|ms| ms > 0.0));
    }
    let steps = |run: &serde_json::Value| run["sampling"]["sequential_steps"].as_u64();
    assert_eq!((steps(&exact), steps(&bound), steps(&none)), (Some(64), Some(1), Some(1)));
    assert!(bound["latent"]["linear_accuracy"].as_f64().is_some() && none["latent"]["size"] == 100);
    assert!(bound["quality"]["one_nn_error"].as_f64().is_some() && none["quality"]["one_nn_error"].is_null());
    let html = String::from_utf8(place.read("page/index.html")).expect("text");
    assert!(html.contains("Theis") && html.matches("<img").count() == 4);
    assert!(place.path("page/samples.png").is_file());
    let kept: serde_json::Value = serde_json::from_slice(&place.read("page/compare.json")).expect("JSON");
    assert_eq!(kept, said);
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_is_written() {
    let place = place();
    place.kiln(&format!("train dcgan --data data --set filters=4 --out one {SMALL}")).ok();
    place.train("other", "--steps 1").ok();
    for (words, said) in [
        ("compare one other --out page", "a comparison is of runs on the same data"),
        ("compare one --samples 1 --out page", "at least 2"),
        ("compare one ./one --out page", "./one is named twice"),
        ("compare", "RUNS"),
        ("compare --suite s --out page", "--data"),
        ("compare --suite s --data data --budget 0 --out page", "number of operations"),
        ("compare one --suite s --data data --out page", "cannot be used with"),
    ] {
        place.kiln(words).refused(2, &[said]);
    }
    place.kiln("compare one nowhere --out page").refused(1, &["nowhere"]);
    assert!(!place.path("page").exists() && !place.path("s").exists());
}

#[test]
fn a_suite_goes_on_with_what_it_was_begun_with_alone() {
    let place = place_of(190);
    let suite = |words: &str| place.kiln(&format!("compare --suite s --samples 4 --limit 4 --set classifier_steps=2 -q {words}"));
    let said = suite("--data data --budget 2e8 --json").json();
    let runs = said["runs"].as_array().expect("runs");
    let names: Vec<&str> = runs.iter().filter_map(|run| run["run"].as_str()).collect();
    assert_eq!(names, ["s/gated-pixelcnn", "s/pixelcnn-pp", "s/vae", "s/dcgan", "s/wgan-gp", "s/diffusion"]);
    let paid = |run: &serde_json::Value| run["train_flops"].as_f64().expect("operations") / run["steps"].as_f64().expect("steps");
    // As many steps as are nearest to the budget, at least one.
    for run in runs {
        let nearest = (2e8 / paid(run)).round().max(1.0);
        assert_eq!(run["steps"].as_f64(), Some(nearest), "{run}");
    }
    let again = suite("--data data --budget 2e8 --json").json();
    assert_eq!(again["runs"][0]["likelihood"], said["runs"][0]["likelihood"]);
    suite("--data data --budget 3e9").refused(2, &["was begun on", "--budget"]);
    suite("--data data --budget 2e8 --seed 5").refused(2, &["was begun on", "seed 1"]);
    suite("--data builtin:digits --budget 2e8").refused(2, &["was begun on", "--data"]);
    place.kiln("compare --suite s/vae --data data --budget 2e8").refused(2, &["is a run's folder"]);
    place.kiln("compare s/vae --samples 4 --set steps=3 --set classifier_steps=2 --out page -q").ok();
    place.write("taken", b"precious");
    for (words, said) in [
        ("compare s/vae --out taken", "is a file"),
        ("compare s/vae --set foo=1 --out page", "takes no setting foo"),
        ("compare s/vae --limit 0 --out page", "at least 1"),
    ] {
        place.kiln(words).refused(2, &[said]);
    }
    assert_eq!(place.read("taken"), b"precious");
}
