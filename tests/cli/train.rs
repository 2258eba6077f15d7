//! `kiln train`.

use kiln::runtime::Device;
use kiln::tensor::Precision;
use kiln::wait::Wait;

use crate::program::{Place, Ran};
use crate::trained;

#[test]
fn training_leaves_a_whole_run_folder_and_says_what_came_of_it() {
    let place = Place::new();
    let ran = place.train("run", "--steps 3 --json");
    let said = ran.json();
    assert_eq!(
        (&said["run"], &said["model"], &said["step"], &said["stopped"]),
        (&"run".into(), &"pixelcnn".into(), &3.into(), &false.into())
    );
    // 5×5, 3×3 and 1×1 convolutions of 1 → 8 → 4 → 4 → 8 → 4 → 1 channels, with biases.
    let parameters = (25 * 8 + 8) + (8 * 4 + 4) + (9 * 4 * 4 + 4) + (4 * 8 + 8) + (8 * 4 + 4) + (4 + 1);
    assert_eq!(said["parameters"], parameters);
    assert!(said["metrics"]["loss"].as_f64().is_some_and(|loss| loss > 0.0));
    for name in ["recipe.toml", "checkpoint.safetensors", "best.safetensors", "metrics.jsonl", "curves.png", "samples/000003.png"] {
        assert!(!place.read(&format!("run/{name}")).is_empty(), "{name}");
    }
    image::open(place.path("run/curves.png")).expect("a picture");
    let recipe = String::from_utf8(place.read("run/recipe.toml")).expect("UTF-8");
    for line in ["model = \"pixelcnn\"", "source = \"builtin:digits\"", "binarization = \"dynamic\"", "limit = 64", "hidden = 4"] {
        assert!(recipe.contains(line), "{line} is not in\n{recipe}");
    }
}

#[test]
fn progress_goes_to_stderr_and_quiet_silences_it() {
    let place = Place::new();
    let words = place.train_words("loud", "--steps 2").replace(" -q", "");
    let loud = place.kiln(&words).ok();
    assert!(loud.err.contains("pixelcnn") && loud.err.contains("binarization dynamic"), "{}", loud.err);
    assert!(loud.out.contains("trained to step 2") && loud.out.trim_end().lines().count() == 1, "{}", loud.out);
    assert!(!loud.err.contains('\u{1b}'), "control characters in a pipe: {}", loud.err);
    assert_eq!(place.train("quiet", "--steps 2").ok().err, "");
}

#[test]
fn unknown_models_keys_and_values_are_refused_with_the_known_ones() {
    let place = Place::new();
    let train = |words: &str| place.kiln(&format!("train pixelcnn --data builtin:digits --limit 32 --out run -q {words}"));
    place.kiln("train pixelcn --data builtin:digits").refused(2, &["pixelcn", "pixelcnn"]);
    train("--set hiden=3").refused(2, &["hiden", "did you mean hidden?", "blocks", "kiln help training"]);
    train("--set hidden").refused(2, &["hidden", "key=value"]);
    train("--set hidden=wide").refused(2, &["hidden=wide"]);
    train("--set hidden=0").refused(2, &["hidden"]);
    train("--set hidden=-4").refused(2, &["hidden=-4"]);
    train("--set hidden=9999999999").refused(2, &["hidden"]);
    train("--set kernel=4").refused(2, &["kernel", "odd"]);
    train("--set levels=300").refused(2, &["levels", "300"]);
    train("--set preset=huge").refused(2, &["huge", "tiny"]);
    train("--set learning_rate=fast").refused(2, &["learning_rate", "fast"]);
    train("--set learning_rate=-1").refused(2, &["learning_rate"]);
    train("--set optimiser=adamw").refused(2, &["optimiser", "adamw", "adam", "sgd"]);
    train("--set ema=1").refused(2, &["ema"]);
    train("--set save_every=0").refused(2, &["save_every"]);
    train("--set binarization=dinamic").refused(2, &["dinamic", "dynamic"]);
    train("--set binarization=static").refused(2, &["binarization", "dynamic"]);
    train("--set binarization=none --set levels=2").refused(2, &["binarization"]);
    train("--set levels=16 --set binarization=threshold").refused(2, &["levels"]);
    train("--set resize=0").refused(2, &["resize"]);
    train("--steps -1").refused(2, &["-1", "--steps"]);
    train("--batch 8 --epochs 0").refused(2, &["--epochs"]);
    train("--batch 0").refused(2, &["batch"]);
    train("--batch 33").refused(2, &["33", "32", "--batch"]);
    assert!(!place.path("run").exists(), "a refused run leaves a folder");
}

#[test]
fn a_batch_that_does_not_fit_memory_is_refused_before_it_is_taken() {
    let place = Place::new();
    let words = "train pixelcnn --data builtin:digits --out run -q --batch 18000 --set preset=paper";
    place.kiln(words).refused(1, &["GiB", "--batch"]);
    let words = "train pixelcnn --data builtin:digits --out run -q --set hidden=8192 --set blocks=1000";
    place.kiln(words).refused(2, &["GiB", "smaller"]);
}

#[test]
fn mixed_precision_trains_and_resumes_where_a_device_has_it_and_is_refused_in_words_elsewhere() {
    let place = trained();
    place.train("half", "--steps 1 --device cpu --precision half").refused(2, &["f32 or mixed"]);
    let words = place.train_words("mixed", "--steps 1 --device cpu --precision mixed");
    let portable = place.command(&words).env("KILN_SIMD", "portable").output().expect("kiln runs");
    Ran::of(&portable).refused(2, &["cooperative matrices", "AVX512-BF16", "precision f32"]);
    assert!(!place.path("mixed").exists());
    if Device::CPU.with_precision(Precision::Mixed).wait().is_ok() {
        trains_and_resumes(&place, "cpu");
        place.train("single", &format!("--steps 4 --device cpu {WIDE}")).ok();
        let [mixed, single] = ["cpu", "single"].map(|run| place.tensors(&format!("{run}/checkpoint.safetensors")));
        assert!(single.iter().any(|(name, tensor)| mixed[name] != *tensor), "nothing was rounded");
    } else {
        place.kiln(&words).refused(2, &["AVX512-BF16", "precision f32"]);
    }
    let devices = place.kiln("devices --json").json();
    let Some(gpu) = devices["devices"].as_array().and_then(|list| list.iter().find(|d| d["name"] != "cpu")) else { return };
    // The proof decides; without the feature it cannot come out right.
    let offers = gpu["details"].as_str().is_some_and(|d| d.contains("cooperative matrix"));
    if !offers {
        place.train("mixed", "--steps 1 --device gpu --precision mixed").refused(2, &["cooperative matrices", "precision f32"]);
        return;
    }
    trains_and_resumes(&place, "gpu");
    let recipe = String::from_utf8(place.read("gpu/recipe.toml")).expect("UTF-8");
    assert!(recipe.contains("= \"matrix-"), "{recipe}");
}

/// Settings with which products are large enough for pairs and matrices.
const WIDE: &str = "--set hidden=16 --set head=16";

/// Trains in mixed precision, at once and in two parts, into a run that is named as the device.
fn trains_and_resumes(place: &Place, device: &str) {
    let words = format!("--device {device} --precision mixed {WIDE}");
    let again = format!("{device}-again");
    place.train(device, &format!("--steps 4 {words}")).ok();
    place.train(&again, &format!("--steps 2 {words}")).ok();
    place.kiln(&format!("train --resume {again} --steps 4 --device {device} -q")).ok();
    let [whole, resumed] = [device, &again].map(|run| place.tensors(&format!("{run}/checkpoint.safetensors")));
    assert!(whole == resumed, "a resumed run went another way");
    assert!(whole.contains_key("optimizer.loss_scale.0"), "{:?}", whole.keys());
    place.kiln(&format!("export {device} --out weights.safetensors -q")).ok();
    assert!(!place.tensors("weights.safetensors").keys().any(|name| name.contains("loss_scale")));
    let recipe = String::from_utf8(place.read(&format!("{device}/recipe.toml"))).expect("UTF-8");
    assert!(recipe.contains("precision = \"mixed\""), "{recipe}");
    // Scores are of f32, wherever it was trained.
    place.kiln(&format!("eval {device} --device cpu --json")).json();
}

#[test]
fn a_batch_of_one_is_no_collapse() {
    let place = crate::program::Place::new();
    let set = "--set log_every=1 --set sample_every=0 --set hidden=8";
    let said = place.kiln(&format!("train gan --data builtin:gaussians8 --batch 1 --steps 140 --out gan {set}")).ok();
    assert!(!said.err.contains("collapsed"), "{}", said.err);
    let lines = String::from_utf8(place.read("gan/metrics.jsonl")).expect("UTF-8");
    let spreads: Vec<f64> = lines.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()?["spread"].as_f64()).collect();
    assert!(spreads.len() >= 140 && spreads.iter().all(|s| *s == 1.0), "{spreads:?}");
}
