//! `kiln eval`.

use crate::{trained, vae};

#[test]
fn evaluation_names_its_data_and_binarization() {
    let place = trained();
    let said = place.kiln("eval run --limit 5 --json").json();
    assert_eq!(said["data"], "a seeded random 5 of builtin:digits:test");
    assert_eq!((&said["images"], &said["step"], &said["model"]), (&5.into(), &2.into(), &"pixelcnn".into()));
    let (nats, bits) = (said["nats"].as_f64().expect("nats"), said["bits_per_dim"].as_f64().expect("bits"));
    assert!((bits - nats / 784.0 / std::f64::consts::LN_2).abs() < 1e-12 && said["standard_error"].as_f64().is_some_and(|e| e > 0.0));
    let words = place.kiln("eval run --limit 5 --set binarization=threshold").ok().out;
    assert!(["nats", "bits/dim", "5 images", "binarization threshold", "builtin:digits:test"].iter().all(|w| words.contains(w)), "{words}");
}

#[test]
fn of_one_image_the_bounds_error_is_that_of_its_samples_and_nothing_else_has_one() {
    let place = vae();
    let said = place.kiln("eval vae --limit 1 --set iw=30 --json").json();
    assert!(said["standard_error"].is_null(), "{said}");
    let error = |key: &str| said["importance"][key].as_f64().expect("a number");
    assert!(error("standard_error") > 0.0 && error("standard_error") == error("monte_carlo_error") && error("gap") > 0.0, "{said}");
    let words = place.kiln("eval vae --limit 1 --set iw=30").ok().out;
    assert!(words.contains("from the samples") && words.contains("weights of the newest checkpoint"), "{words}");
    let said = place.kiln("eval vae --limit 6 --set iw=1 --json").json();
    assert!(said["importance"]["monte_carlo_error"].is_null() && said["importance"]["standard_error"].as_f64() > Some(0.0), "{said}");
    assert!(said["figure"].as_str().is_some_and(|f| f.contains("ELBO")));
}
