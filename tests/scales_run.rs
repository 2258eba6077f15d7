//! Models of several scales through the real binary, as a user meets them.

#[path = "support/program.rs"]
mod program;

use program::Place;

/// Trains a small model of three scales on digits of 8×8 bits.
fn trained() -> Place {
    let place = Place::new();
    place
        .kiln(
            "train gated-pixelcnn --data builtin:digits --limit 64 --set resize=8 --set binarization=threshold --set scales=3 --set layers=1 \
             --set hidden=4 --set head=4 --set first_kernel=3 --set valid_items=16 --set conditional=true --batch 8 --steps 4 -q --out run",
        )
        .ok();
    place
}

#[test]
fn figures_are_told_scale_by_scale() {
    let place = trained();
    let eval = "eval run --data builtin:digits:test --limit 20";
    let said = place.kiln(eval).ok().out;
    let rows: Vec<&str> = said.lines().filter(|line| line.trim_start().starts_with("scale ")).collect();
    assert_eq!(rows.len(), 3, "{said}");
    assert!(rows[0].contains("2×2") && !rows[0].contains("given"), "{said}");
    assert!(rows[2].contains("8×8") && rows[2].contains("given the scale above"), "{said}");
    let object = place.kiln(&format!("{eval} --json")).json();
    let shares: Vec<f64> = object["scales"].as_array().expect("scales").iter().filter_map(|s| s["nats"].as_f64()).collect();
    assert_eq!(object["scales"][1]["size"], "4x4");
    let nats = object["nats"].as_f64().expect("nats");
    assert!(shares.len() == 3 && (shares.iter().sum::<f64>() - nats).abs() < 1e-4 * nats, "{shares:?} of {nats}");
    // Of a model of one scale nothing is said of scales.
    place.train("plain", "--steps 1").ok();
    assert!(place.kiln("eval plain --data builtin:digits:test --limit 8 --json").json().get("scales").is_none());

    place.kiln("score run --data builtin:digits:test --limit 20 --out log_p.npy --parts terms.csv").ok();
    let terms = String::from_utf8(place.read("terms.csv")).expect("UTF-8");
    assert_eq!(terms.lines().next(), Some("log_p,nats_2x2,nats_4x4,nats_8x8"));
    for row in terms.lines().skip(1) {
        let values: Vec<f64> = row.split(',').map(|v| v.parse().expect("a number")).collect();
        assert!((values.iter().sum::<f64>()).abs() < 1e-4 * values[0].abs(), "{row}");
    }
}

#[test]
fn samples_and_completions_keep_what_they_are_given_and_say_what_did_not_guide_them() {
    let place = trained();
    place.kiln("sample run -n 5 --class 3 --out drawn.npy").ok();
    let (shape, drawn) = place.array("drawn.npy");
    assert_eq!(shape, [5, 8, 8, 1]);
    place.kiln("sample run -n 5 --class 3 --method naive --out naive.npy").ok();
    assert_eq!(place.array("naive.npy").1, drawn);
    let complete = |words: &str| place.kiln(&format!("complete run --data builtin:digits:test -n 4 --out rest.npy {words}"));
    let said = complete("--keep top:5").ok().out;
    assert!(said.contains("an approximation: pixels are drawn scale by scale"), "{said}");
    assert_eq!(complete("--keep top:5 --json").json()["exact"], false);
    // Nothing kept is a sample, and everything is drawn already.
    complete("--keep top:0").refused(2, &["keeps nothing", "kiln sample"]);
    complete("--keep top:8").refused(2, &["keeps all"]);
    complete("--keep top:7").ok();
    let whole = place.array("rest.npy").1;
    complete("--keep top:5").ok();
    let (_, rest) = place.array("rest.npy");
    for (at, (rest, whole)) in rest.iter().zip(&whole).enumerate().filter(|(at, _)| at / 8 % 8 < 5) {
        assert_eq!(rest, whole, "value {at} was given");
    }
    complete("--keep left:3").refused(2, &["--teacher-forced"]);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let place = Place::new();
    for (words, said) in [
        ("pixelcnn --data builtin:digits --set scales=0", "scales must be at least 1"),
        ("gated-pixelcnn --data builtin:digits --set scales=4", "28×28 can be halved 2 times; take scales=3"),
        ("pixelrnn --data builtin:digits --set resize=27 --set scales=2", "27×27"),
        ("pixelcnn --data builtin:gaussians8 --set scales=2", "points"),
        ("vae --data builtin:digits --set scales=2", "scales"),
    ] {
        place.kiln(&format!("train {words} --out run -q")).refused(2, &[said]);
        assert!(!place.path("run").exists(), "{words}");
    }
}
