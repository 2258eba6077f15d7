//! What a run's files prove: that they belong together, are whole, and say what was computed with. Through the real binary.

#[path = "support/program.rs"]
mod program;

use program::{Place, noise, npy};

const CHECKPOINT: &str = "run/checkpoint.safetensors";

fn text(place: &Place, name: &str) -> String {
    String::from_utf8(place.read(name)).expect("UTF-8")
}

#[test]
fn equal_runs_make_equal_files() {
    let place = Place::new();
    for run in ["a", "b"] {
        place.train(run, "--steps 3 --seed 5 --set ema=0.5").ok();
        place.kiln(&format!("export {run} --out {run}.safetensors")).ok();
    }
    for name in ["checkpoint.safetensors", "best.safetensors", "recipe.toml", "curves.png"] {
        assert_eq!(place.read(&format!("a/{name}")), place.read(&format!("b/{name}")), "{name}");
    }
    assert_eq!(place.read("a.safetensors"), place.read("b.safetensors"));
}

#[test]
fn damage_is_refused_wherever_it_is() {
    let place = Place::new();
    place.train("run", "--steps 2 --set ema=0.5").ok();
    let whole = place.read(CHECKPOINT);
    let data = 8 + u64::from_le_bytes(*whole.first_chunk().expect("a length")) as usize;
    let refused = |bytes: &[u8], words: &[&str]| {
        place.write(CHECKPOINT, bytes);
        place.kiln("sample run -n 1 --out x.png").refused(1, words);
    };
    // A bit here and there: header, numbers, end.
    for at in [9, data / 2, data - 1, data, data + 1001, (data + whole.len()) / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        refused(&bytes, &["checkpoint.safetensors"]);
    }
    let mut bytes = whole.clone();
    let end = whole.len() - 700;
    bytes[end..end + 512].fill(0);
    refused(&bytes, &["is damaged", "is not what was written", "train again"]);
    // The weights and their average have one shape: their bytes change places.
    let header = std::str::from_utf8(&whole[8..data]).expect("UTF-8");
    let header: serde_json::Value = serde_json::from_str(header).expect("JSON");
    let range = |name: &str| {
        let offsets = &header[name]["data_offsets"];
        data + offsets[0].as_u64().expect("an offset") as usize..data + offsets[1].as_u64().expect("an offset") as usize
    };
    let (a, b) = (range("head.0.weight"), range("ema.head.0.weight"));
    let mut bytes = whole.clone();
    bytes[a.clone()].copy_from_slice(&whole[b.clone()]);
    bytes[b].copy_from_slice(&whole[a]);
    refused(&bytes, &["is damaged", "head.0.weight"]);
    place.write(CHECKPOINT, &whole);
    place.kiln("sample run -n 1 --out x.png").ok();
}

#[test]
fn files_of_different_runs_are_not_taken_together() {
    let place = Place::new();
    place.train("run", "--steps 2").ok();
    let own = place.read(CHECKPOINT);
    place.train("seed", "--steps 2 --seed 2").ok();
    place.train("larger", "--steps 2 --set hidden=6").ok();
    place.train("rate", "--steps 2 --set beta1=0.5").ok();
    place.kiln("train vae --data builtin:digits --limit 64 --steps 1 --batch 8 --set form=mlp --set hidden=4 --out vae -q").ok();
    for (other, words) in
        [("seed", ["seed was 2", "is 1"]), ("larger", ["hyper.hidden was 6", "is 4"]), ("rate", ["train.beta1 was 0.5", "is 0.9"])]
    {
        place.write(CHECKPOINT, &place.read(&format!("{other}/checkpoint.safetensors")));
        place.kiln("eval run --limit 4").refused(1, &words);
        place.kiln("train --resume run --steps 4 -q").refused(1, &words);
    }
    place.write(CHECKPOINT, &place.read("vae/checkpoint.safetensors"));
    place.kiln("eval run --limit 4").refused(1, &["holds a vae", "pixelcnn"]);
    place.write(CHECKPOINT, &own);
    place.write("run/recipe.toml", &place.read("seed/recipe.toml"));
    place.kiln("eval run --limit 4").refused(1, &["seed was 1", "is 2"]);
}

#[test]
fn nothing_that_is_no_number_replaces_what_is() {
    let place = Place::new();
    place.train("run", "--steps 2 --set sample_every=0").ok();
    let good = place.read(CHECKPOINT);
    // So steep a loss: the weights are finite still when the squares of their gradients are not.
    place
        .kiln("train --resume run --steps 40 -q --set learning_rate=1e25 --set save_every=1")
        .refused(1, &["last good checkpoint", "learning_rate"]);
    for (name, (_, bytes)) in place.tensors(CHECKPOINT) {
        let mut values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        assert!(values.all(f32::is_finite), "{name}");
    }
    assert!(place.step(CHECKPOINT) >= 2 && place.read(CHECKPOINT).len() >= good.len());
}

#[test]
fn what_a_run_is_computed_with_is_written_down_and_changes_are_said() {
    let place = Place::new();
    let run = |words: &str, vectors: &str| {
        let output = place.command(words).env("KILN_SIMD", vectors).output().expect("the binary runs");
        program::Ran::of(&output).ok()
    };
    run(&place.train_words("run", "--steps 2"), "portable");
    let recipe = text(&place, "run/recipe.toml");
    assert!(recipe.contains("vectors = \"portable\"") && recipe.contains("device = \"cpu\"") && !recipe.contains("history"), "{recipe}");
    let ran = run("train --resume run --steps 3", "portable");
    assert!(ran.err.contains("steps: 3 from here on, 2 before") && !ran.err.contains("vectors"), "{}", ran.err);
    if place.kiln("devices").ok().out.contains("portable vectors") {
        return;
    }
    let ran = run("train --resume run --steps 4", "");
    assert!(ran.err.contains("vectors: ") && ran.err.contains("portable before"), "{}", ran.err);
    let recipe = text(&place, "run/recipe.toml");
    assert!(recipe.contains("key = \"vectors\"\nwas = \"portable\"") && !recipe.contains("\nvectors = \"portable\""), "{recipe}");
}

#[test]
fn keys_that_may_change_are_changed_and_written_down() {
    let place = Place::new();
    place.train("run", "--steps 2").ok();
    let ran = place.kiln("train --resume run --steps 4 --set learning_rate=.0001 --set save_every=1").ok();
    assert!(ran.err.contains("learning_rate: [0.0001] from here on, [0.001] before"), "{}", ran.err);
    let recipe = text(&place, "run/recipe.toml");
    for line in [
        "learning_rate = [0.0001]",
        "save_every = 1\n",
        "steps = 4\n",
        "[[history]]",
        "step = 2\nkey = \"learning_rate\"\nwas = [0.001]\nnow = [0.0001]",
    ] {
        assert!(recipe.contains(line), "{line} is not in\n{recipe}");
    }
    let before = place.files("run");
    for (words, said) in [
        ("batch=4", "batch stays"),
        ("hidden=8", "hidden stays"),
        ("beta1=0.5", "beta1 stays"),
        ("learning_rate=-1", "learning_rate"),
        ("schedule=sudden", "schedule"),
    ] {
        place.kiln(&format!("train --resume run --steps 9 --set {words} -q")).refused(2, &[said]);
        assert_eq!(place.files("run"), before, "{words}");
    }
    // The smaller rate was used: as it is in a run that is told so by its recipe.
    place.train("other", "--steps 2").ok();
    let edited = text(&place, "other/recipe.toml").replace("learning_rate = [0.001]", "learning_rate = [0.0001]");
    place.write("other/recipe.toml", edited.as_bytes());
    place.kiln("train --resume other --steps 4 -q").ok();
    assert_eq!(place.tensors(CHECKPOINT), place.tensors("other/checkpoint.safetensors"));
}

#[test]
fn numbers_beyond_what_can_be_kept_are_refused_before_anything_is_written() {
    let place = Place::new();
    for (words, said) in [
        ("--steps 3 --seed 9223372036854775808", "seed"),
        ("--steps 3 --seed 18446744073709551615", "seed"),
        ("--steps 9223372036854775808", "steps"),
        ("--steps 99999999999", "steps"),
        ("--epochs 1e30", "steps"),
        ("--steps 3 --set warmup=9223372036854775807", "warmup"),
        ("--steps 3 --set accumulate=9223372036854775807", "accumulate"),
        ("--steps 3 --set beta1=1", "beta1"),
        ("--steps 3 --set beta2=1", "beta2"),
        ("--steps 3 --set beta1=1.5", "beta1"),
        ("--steps 3 --set beta1=-1", "beta1"),
        ("--steps 3 --set epsilon=0", "epsilon"),
        ("--steps 3 --set clip_norm=-1", "clip_norm"),
        ("--steps 3 --set rate_decay=-1", "rate_decay"),
        ("--steps 3 --set weight_decay=nan", "weight_decay"),
        ("--steps 3 --set preset=tiny", "preset"),
        ("--steps 3 --data builtin:digits:all --set patience=2", "patience"),
    ] {
        let words = place.train_words("run", words);
        let words = if said == "accumulate" { words.replace("--batch 8", "") } else { words };
        let ran = place.kiln(&words);
        ran.refused(2, &[said]);
        assert!(!place.path("run").exists(), "{words}");
    }
}

#[test]
fn folders_with_others_files_are_left_alone() {
    let place = Place::new();
    place.write("run/notes.txt", b"precious");
    place.train("run", "--steps 1").refused(2, &["notes.txt", "left alone", "--out"]);
    for (name, within) in
        [("a", "samples/000001.png"), ("b", "metrics.jsonl"), ("c", "recipe.toml"), ("d", "classifier/weights.bin"), ("e", ".hidden")]
    {
        place.write(&format!("{name}/{within}"), b"precious");
        let first = within.split('/').next().expect("a name");
        place.train(name, "--steps 1").refused(2, &[first, "left alone"]);
        assert_eq!(place.read(&format!("{name}/{within}")), b"precious");
    }
    std::fs::create_dir(place.path("empty")).expect("a folder");
    place.train("empty", "--steps 1").ok();
}

#[test]
fn pictures_of_steps_that_are_not_reached_again_go() {
    let place = Place::new();
    place.train("run", "--steps 4 --set sample_every=2").ok();
    let old = place.read(CHECKPOINT);
    place.kiln("train --resume run --steps 8 -q").ok();
    assert!(place.path("run/samples/000008.png").exists());
    place.write(CHECKPOINT, &old);
    place.write("run/samples/mine.png", b"a friend's");
    place.kiln("train --resume run --steps 7 -q").ok();
    let names: Vec<String> = std::fs::read_dir(place.path("run/samples"))
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let mut names = names;
    names.sort();
    assert_eq!(names, ["000002.png", "000004.png", "000006.png", "000007.png", "mine.png"]);
}

#[test]
fn no_steps_write_the_weights_that_training_begins_with() {
    let place = Place::new();
    let said = place.train("run", "--steps 0 --json").json();
    assert_eq!((&said["step"], &said["stopped"]), (&0.into(), &false.into()));
    assert_eq!(place.step(CHECKPOINT), 0);
    place.kiln("eval run --limit 4").ok();
    place.kiln("train --resume run -q").refused(2, &["0 of 0 steps", "--steps"]);
    place.kiln("train --resume run --steps 3 -q").ok();
    place.train("whole", "--steps 3").ok();
    assert_eq!(place.tensors(CHECKPOINT), place.tensors("whole/checkpoint.safetensors"));
}

#[test]
fn every_way_of_training_resumes_to_the_bit() {
    for settings in [
        "--set schedule=cosine --set decay_steps=10 --set warmup=3 --set clip_value=0.01",
        "--set schedule=linear --set decay_steps=12 --set weight_decay=0.1 --set ema=0.9",
        "--set accumulate=2 --batch 4 --set clip_norm=1 --set optimiser=sgd --set weight_decay=0.01 --set rate_decay=1",
        "--set patience=3 --set valid_every=2 --set learning_rate=0.3",
    ] {
        let place = Place::new();
        let train = |run: &str, steps: u32| {
            let words = place.train_words(run, &format!("--steps {steps} {settings}"));
            let words = if settings.contains("--batch") { words.replace("--batch 8", "") } else { words };
            place.kiln(&words).ok()
        };
        train("whole", 11);
        train("parts", 4);
        let end = place.step("whole/checkpoint.safetensors");
        // The last step is scored whatever its number: the parts end at steps that are scored anyhow.
        place.kiln(&format!("train --resume parts --steps {} -q", end.min(8))).ok();
        if end > 8 {
            place.kiln("train --resume parts --steps 11 -q").ok();
        }
        assert!(place.tensors("whole/checkpoint.safetensors") == place.tensors("parts/checkpoint.safetensors"), "{settings}");
    }
}

#[test]
fn passes_add_up_to_the_large_batch() {
    let place = Place::new();
    place.write("data.npy", &npy(&[48, 8, 8], &noise(48 * 64, 256)));
    // Its latents are random: each item draws the same ones in either way.
    let vae = "train vae --data data.npy --set form=mlp --set hidden=8 --set latent=3 --steps 5 -q --set log_every=1 --set valid_every=0";
    let net = place.train_words("X", "--steps 5 --set clip_norm=5 --set weight_decay=0.1").replace("--batch 8", "");
    for (name, words) in [("vae", vae.to_string()), ("net", net.replace("--out X", ""))] {
        place.kiln(&format!("{words} --batch 12 --out {name}-large")).ok();
        place.kiln(&format!("{words} --batch 4 --set accumulate=3 --out {name}-passes")).ok();
        let [large, passes] = ["large", "passes"].map(|kind| place.tensors(&format!("{name}-{kind}/checkpoint.safetensors")));
        assert!(large.keys().eq(passes.keys()), "sums are not kept");
        let floats = |bytes: &[u8]| bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>();
        for (tensor, (_, bytes)) in &large {
            // A gradient near zero has no sign that rounding could not turn, and Adam steps by the sign: the moments are compared.
            if tensor.starts_with("optimizer.first") {
                let (a, b) = (floats(bytes), floats(&passes[tensor].1));
                let size = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let off = a.iter().zip(&b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(off <= 2e-3 * size, "{name}: {tensor} is off by {off} of {size}");
            }
        }
        let losses = |run: &str| -> Vec<f64> {
            let lines = text(&place, &format!("{run}/metrics.jsonl"));
            lines.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()?["loss"].as_f64()).collect()
        };
        let (a, b) = (losses(&format!("{name}-large")), losses(&format!("{name}-passes")));
        assert!(!a.is_empty() && a.len() == b.len());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * a.abs()), "{name}: {a:?} {b:?}");
    }
    place
        .kiln("train dcgan --data builtin:digits --limit 64 --set accumulate=2 --batch 8 --steps 1 --out g -q")
        .refused(2, &["accumulate", "dcgan", "--batch"]);
}

#[test]
fn a_run_whose_validation_no_longer_improves_ends() {
    let place = Place::new();
    // So high a rate that the score soon rises.
    let ran = place.train("run", "--steps 400 --set learning_rate=0.3 --set valid_every=1 --set patience=3 --json").json();
    assert_eq!(ran["ended_early"], true);
    let end = place.step(CHECKPOINT);
    assert!(end < 400);
    assert_eq!(place.step("run/best.safetensors"), end - 3);
    place.kiln("train --resume run --steps 500 -q").refused(2, &["3 scores", "patience"]);
    place.kiln(&format!("train --resume run --steps {} --set patience=0 -q", end + 2)).ok();
    assert_eq!(place.step(CHECKPOINT), end + 2);
}
