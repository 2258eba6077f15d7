//! `kiln page`.

use half::f16;
use serde_json::Value;

use crate::program::{Place, noise, npy};
use crate::trained;

fn index(place: &Place) -> Value {
    serde_json::from_slice(&place.read("site/runs/index.json")).expect("JSON")
}

#[test]
fn a_page_holds_the_averaged_weights_of_its_runs_and_no_paths() {
    let place = trained();
    place.write("deep/down/images.npy", &npy(&[16, 28, 28, 1], &noise(16 * 784, 255)));
    place.train("other", "--data deep/down/images.npy --steps 1").ok();
    place.kiln("page run other --out site --weights f32").says("scripts/page site builds it");
    let runs = index(&place)["runs"].clone();
    let told: Vec<&str> = runs.as_array().expect("a list").iter().filter_map(|run| run["name"].as_str()).collect();
    assert_eq!(told, ["other", "run"]);
    assert!(runs[1]["about"].as_str().is_some_and(|about| about.contains("pixelcnn") && about.contains("step 2")), "{runs}");
    let whole = place.tensors("site/runs/run/weights.safetensors");
    let stored = place.tensors("run/checkpoint.safetensors");
    assert!(whole.iter().all(|(name, tensor)| stored[&format!("ema.{name}")] == *tensor));
    let recipe = String::from_utf8(place.read("site/runs/other/recipe.toml")).expect("text");
    assert!(recipe.contains("source = \"images.npy\"") && !recipe.contains("deep"), "{recipe}");

    // Named again, a run is replaced and the others stay.
    place.train("run2", "--steps 1").ok();
    place.write("site/index.html", b"a page");
    place.kiln("page run --out site").says("python3 -m http.server");
    assert_eq!(index(&place)["runs"].as_array().map(Vec::len), Some(2));
    for (name, (shape, bytes)) in place.tensors("site/runs/run/weights.safetensors") {
        let rounded = bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]));
        let whole = whole[&name].1.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        assert_eq!(bytes.len(), 2 * shape.iter().product::<usize>(), "{name}");
        assert!(rounded.eq(whole.map(f16::from_f32)), "{name}");
    }
}

#[test]
fn what_a_page_cannot_show_is_refused_before_anything_is_written() {
    let place = trained();
    place.kiln("train gan --data builtin:gaussians8 --steps 1 --batch 8 --set hidden=4 --out points -q").ok();
    place.kiln("train classifier --data builtin:digits --limit 64 --steps 1 --batch 8 --set hidden=4 --out judge -q").ok();
    place.write("again/run/nothing", b"");
    for (words, said) in [
        ("page run points --out site", &["points", "images"][..]),
        ("page run judge --out site", &["judge"]),
        ("page run again/run --out site", &["again/run", "one name"]),
        ("page --out site", &["RUN"]),
        ("page run", &["--out"]),
    ] {
        place.kiln(words).refused(2, said);
    }
    place.kiln("page nowhere --out site").refused(1, &["nowhere", "no run folder"]);
    assert!(!place.path("site").exists());
    place.write("site/runs/index.json", b"not a list");
    place.kiln("page run --out site").refused(1, &["index.json", "no list of runs"]);
}
