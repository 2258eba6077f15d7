//! `kiln eval` of samples, and the judge they are measured with.

use crate::program::{Place, png};

/// 40 training images, of which 3 are held out, and 20 test images of two classes, 16×16.
fn small(place: &Place) {
    for i in 0..20u8 {
        for (class, shade) in [("bear", 0), ("cat", 128)] {
            place.write(&format!("data/train/{class}/{i}.png"), &png(16, 16, shade + 3 * i));
            if i < 10 {
                place.write(&format!("data/test/{class}/{i}.png"), &png(16, 16, shade + 3 * i + 1));
            }
        }
    }
}

fn train(place: &Place, out: &str, words: &str) {
    let words = format!("train dcgan --data data --set filters=4 --steps 2 --batch 8 --set sample_every=0 --out {out} -q {words}");
    place.kiln(&words).ok();
}

#[test]
fn one_judge_a_data_set_serves_every_run_and_nothing_of_a_users_is_touched() {
    let place = Place::new();
    small(&place);
    train(&place, "one", "--seed 1");
    train(&place, "two", "--seed 2 --limit 16");
    place.write("one/classifier/thesis.txt", b"precious");
    let eval = |run: &str, more: &str| place.kiln(&format!("eval {run} --set samples=12 --set classifier_steps=15 --json {more}")).json();
    let first = eval("one", "");
    let judge = &first["judge"];
    assert_eq!((&judge["reused"], &judge["steps"], &judge["batch"], &judge["version"]), (&false.into(), &15.into(), &37.into(), &1.into()));
    assert!(judge["accuracy"].as_f64().is_some() && judge["accuracy_on"].as_str().is_some_and(|on| on.contains("test")), "{judge}");
    // 20 real items and 12 samples are fewer than the 128 features have dimensions.
    assert!(first["frechet"].is_null() && first["frechet_note"].as_str().is_some_and(|n| n.contains("129")), "{first}");
    for key in ["kernel", "precision", "recall", "two_sample_accuracy", "nearest_training", "classes_covered"] {
        assert!(first[key].as_f64().is_some(), "{key} in {first}");
    }
    assert_eq!((&first["samples"], &first["real_items"]), (&12.into(), &20.into()));
    // Another run on the same data, of another seed and a part of the data, is judged by the same judge; so is the first again.
    let same = |other: &serde_json::Value| {
        let (mut a, mut b) = (first["judge"].clone(), other["judge"].clone());
        assert_eq!(b["reused"], true);
        (a["reused"], b["reused"]) = (serde_json::Value::Null, serde_json::Value::Null);
        assert_eq!(a, b);
    };
    same(&eval("two", ""));
    let again = eval("one", "");
    same(&again);
    assert_eq!(first["kernel"], again["kernel"]);
    let words = place.kiln("eval one --set samples=12 --set classifier_steps=15").ok().out;
    assert!(words.contains("from the cache") && words.contains("15 steps of 37") && words.contains("too few"), "{words}");
    place.kiln("neighbors one -n 2 --classifier-steps 15 --out n.png").ok();
    image::open(place.path("n.png")).expect("a picture");
    assert_eq!(place.read("one/classifier/thesis.txt"), b"precious");

    // Other steps are another judge; one of another version, or a spoiled one, is made again, and what lay there is kept.
    assert_eq!(place.kiln("eval one --set samples=12 --set classifier_steps=14 --json").json()["judge"]["reused"], false);
    let judges = || -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(place.path("cache/judges")).expect("judges").map(|e| e.expect("an entry").path());
        all.filter(|p| p.to_string_lossy().contains("-15")).collect()
    };
    let found = judges();
    assert_eq!(found.len(), 1, "{found:?}");
    let facts = found[0].join("judge.toml");
    let text = std::fs::read_to_string(&facts).expect("facts");
    std::fs::write(&facts, text.replace("version = 1", "version = 0")).expect("written");
    assert_eq!(eval("one", "")["judge"], first["judge"]);
    assert_eq!(judges().len(), 2);
    std::fs::write(found[0].join("checkpoint.safetensors"), b"spoiled").expect("written");
    assert_eq!(eval("one", "")["judge"], first["judge"]);
    assert_eq!(judges().len(), 3);

    // Other data is another judge.
    place.write("data/train/cat/more.png", &png(16, 16, 77));
    train(&place, "three", "");
    let third = eval("three", "");
    assert!(third["judge"]["reused"] == false && third["judge"]["digest"] != first["judge"]["digest"], "{third}");

    place.kiln("eval one --set samples=1").refused(2, &["samples", "at least 2"]);
    place.kiln("eval one --set smaples=20").refused(2, &["smaples", "samples="]);
}

#[test]
fn samples_of_a_model_of_bits_are_compared_with_bits() {
    let place = crate::trained();
    let said = place.kiln("eval run --set quality=true --set samples=4 --set classifier_steps=2 --limit 12 --json").json();
    assert!(said["likeness"].as_str().is_some_and(|l| l.contains("bits") && l.contains("dynamic")), "{said}");
    assert!(said["data"].as_str().is_some_and(|d| d.contains("12")), "the part that was taken is named: {said}");
    assert!(said["weights"].as_str().is_some_and(|w| w.contains("averaged")), "{said}");
}
