//! `kiln eval`.

use crate::trained;

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
