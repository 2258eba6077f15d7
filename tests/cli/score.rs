//! `kiln score`.

use crate::{trained, vae};

#[test]
fn scores_are_arrays() {
    let place = trained();
    let said = place.kiln("score run --limit 4 --out s.npy --json").json();
    assert_eq!((&said["shape"], &said["score"]), (&serde_json::json!([4]), &"log p".into()));
    let (shape, scores) = place.array("s.npy");
    assert!(shape == [4] && scores.iter().all(|s| *s < 0.0));
    assert_eq!(place.kiln("score run --limit 4 --out deep/m.npy --per-pixel --json").json()["shape"], serde_json::json!([4, 28, 28, 1]));
    assert!(place.array("deep/m.npy").1.iter().all(|s| *s <= 0.0));
}

/// Columns of a table by their names.
fn table(text: &str) -> std::collections::BTreeMap<String, Vec<f64>> {
    let mut lines = text.lines();
    let names: Vec<String> = lines.next().expect("names").split(',').map(String::from).collect();
    let rows: Vec<Vec<f64>> = lines.map(|l| l.split(',').map(|v| v.parse().expect("a number")).collect()).collect();
    names.into_iter().enumerate().map(|(i, name)| (name, rows.iter().map(|r| r[i]).collect())).collect()
}

#[test]
fn terms_stand_in_named_columns_and_a_bound_is_called_one() {
    let place = vae();
    let said = place.kiln("score vae --limit 5 --out s.npy --parts p.csv --json").json();
    assert!(said["score"].as_str().is_some_and(|s| s.contains("ELBO")) && said.get("mean_log_p").is_none(), "{said}");
    let columns = table(std::str::from_utf8(&place.read("p.csv")).expect("UTF-8"));
    assert_eq!(columns.keys().collect::<Vec<_>>(), ["elbo", "kl", "reconstruction"]);
    let scores = place.array("s.npy").1;
    for (i, score) in scores.iter().enumerate() {
        assert!((columns["elbo"][i] - f64::from(*score)).abs() < 1e-3);
        assert!((columns["elbo"][i] + columns["reconstruction"][i] + columns["kl"][i]).abs() < 1e-2);
    }
    let mean = columns["elbo"].iter().sum::<f64>() / 5.0;
    assert!((said["mean_elbo"].as_f64().expect("a mean") - mean).abs() < 1e-6);
    let words = place.kiln("score vae --limit 5 --out s.npy").ok().out;
    assert!(words.contains("ELBO") && words.contains("lower bound") && words.contains("newest checkpoint"), "{words}");

    // With importance samples the array holds their bound, and eval says the same of it.
    let said = place.kiln("score vae --limit 5 --out b.npy --parts b.npy.csv --set iw=20 --json").json();
    let columns = table(std::str::from_utf8(&place.read("b.npy.csv")).expect("UTF-8"));
    let eval = place.kiln("eval vae --limit 5 --set iw=20 --json").json();
    let bound = -columns["importance_bound"].iter().sum::<f64>() / 5.0;
    assert!((bound - eval["importance"]["nats"].as_f64().expect("nats")).abs() < 1e-6 && bound < -mean);
    assert!((said["mean_importance_bound"].as_f64().expect("a mean") + bound).abs() < 1e-6);
    let squares: f64 = columns["importance_error"].iter().map(|e| e * e).sum();
    assert!((squares.sqrt() / 5.0 - eval["importance"]["monte_carlo_error"].as_f64().expect("an error")).abs() < 1e-9);
    assert!(columns["effective_samples"].iter().all(|e| (1.0..=20.0).contains(e)));
}

#[test]
fn settings_that_score_does_not_take_and_endings_it_does_not_write_are_refused() {
    let place = vae();
    place.kiln("score vae --limit 2 --out s.npy --set depth=3").refused(2, &["depth", "iw="]);
    place.kiln("score vae --limit 2 --out s.npy --set iw=many").refused(2, &["iw"]);
    place.kiln("score vae --limit 2 --out s.txt").refused(2, &["s.txt", ".npy"]);
    place.kiln("score vae --limit 2 --out s").refused(2, &["no ending", ".npy"]);
    place.kiln("score vae --limit 2 --out s.npy --parts p.json").refused(2, &["p.json", ".csv"]);
    place.kiln("score vae --limit 2 --out s.npy --per-pixel --set iw=3").refused(2, &["--per-pixel"]);
    let place = trained();
    place.kiln("score run --limit 2 --out s.npy --set iw=3").refused(2, &["pixelcnn", "bound"]);
    for name in ["s.npy", "s.txt", "s", "p.json"] {
        assert!(!place.path(name).exists());
    }
}
