//! Colours told by a mixture of logistics: trained, scored, drawn and completed.

use crate::program::Place;

const NET: &str = "--set blocks=1 --set hidden=5 --set head=7 --set first_kernel=3 --set valid_items=16";

#[test]
fn a_mixture_of_colours_goes_through_every_command() {
    let place = Place::new();
    let data = "--data builtin:faces --limit 32 -q --batch 8";
    place.kiln(&format!("train pixelcnn {data} {NET} --steps 4 --set likelihood=mixture --set mixtures=3 --out run")).ok();
    let bits = place.kiln("eval run --data builtin:faces:test --limit 16 --json").json();
    assert!(bits["bits_per_dim"].as_f64().is_some_and(|b| b > 1.0 && b < 12.0), "{bits}");

    place.kiln("score run --data builtin:faces:test --limit 3 --out s.npy").ok();
    place.kiln("score run --data builtin:faces:test --limit 3 --out map.npy --per-pixel").ok();
    let ((shape, map), scores) = (place.array("map.npy"), place.array("s.npy").1);
    assert_eq!(shape, [3, 32, 32, 3]);
    for (image, score) in map.chunks(32 * 32 * 3).zip(&scores) {
        let sum: f64 = image.iter().map(|v| f64::from(*v)).sum();
        assert!((sum - f64::from(*score)).abs() < 1e-5 * sum.abs(), "{sum} is not {score}");
    }

    let draw = |words: &str| {
        let said = place.kiln(&format!("sample run -n 2 --seed 5 --out drawn.npy --json {words}")).json();
        (said["mean_log_p"].as_f64().expect("log p"), place.array("drawn.npy").1)
    };
    let drawn = draw("");
    assert_eq!(drawn, draw("--method naive"));
    assert_ne!(drawn.1, draw("--temperature 0.5").1);
    assert!(drawn.1.iter().all(|v| (v * 255.0 - (v * 255.0).round()).abs() < 1e-4 && (0.0..=1.0).contains(v)), "whole levels");

    place.kiln("complete run --data builtin:faces:test -n 2 --keep top:30 --out rest.png").ok();

    let refused = |words: &str, said: &[&str]| place.kiln(&format!("train pixelcnn {words} --out none")).refused(2, said);
    refused("--data builtin:digits --set likelihood=mixture", &["bits", "binarization=none"]);
    refused("--data builtin:faces --set mixtures=5", &["likelihood=mixture"]);
    refused("--data builtin:faces --set likelihood=mixture --set mixtures=65", &["1 to 64"]);
    refused("--data builtin:faces --set likelihood=mixture --set levels=2", &["levels=2"]);
    assert!(!place.path("none").exists());
}
