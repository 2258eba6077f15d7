//! `kiln classify`: labels by Bayes' rule, and what is refused; and the keys of training that it is better for.

use crate::program::{Place, noise, npy};

const NET: &str = "--data builtin:digits --limit 64 -q --batch 8 --set layers=2 --set hidden=4 --set head=4 --set binarization=dynamic --set valid_every=0 --set sample_every=0";

fn train(place: &Place, words: &str, out: &str) {
    place.kiln(&format!("train gated-pixelcnn {NET} --steps 6 {words} --out {out}")).ok();
}

/// A place with a conditional run in `run`.
fn named() -> Place {
    let place = Place::new();
    train(&place, "--set conditional=true --set label_weight=2 --set label_others=2", "run");
    place
}

#[test]
fn figures_are_of_all_images_and_a_prior_shifts_what_they_are_taken_for() {
    let place = named();
    let said = place.kiln("classify run --limit 60 --out c.png --predictions p.csv --json").json();
    let rows: Vec<Vec<u64>> = serde_json::from_value(said["confusion"].clone()).expect("a confusion");
    let (total, right): (u64, u64) = (rows.iter().flatten().sum(), (0..10).map(|i| rows[i][i]).sum());
    assert_eq!((total, said["images"].as_u64()), (60, Some(60)));
    let number = |key: &str| said[key].as_f64().unwrap_or_else(|| panic!("{key} in {said}"));
    assert!((number("accuracy") - right as f64 / 60.0).abs() < 1e-12);
    assert!((number("label_information_most") - 10f64.ln()).abs() < 1e-9 && number("label_information") < 10f64.ln());
    // Under an even prior it is what −log p(y|x) leaves of the entropy.
    assert!((number("label_information") - (10f64.ln() - number("nll"))).abs() < 1e-6);
    let fitted = &said["temperature"];
    assert!(fitted["nll"].as_f64() < said["nll"].as_f64() && fitted["fitted_on"].as_str().is_some_and(|on| on.contains("valid")), "{said}");
    assert!(said["likelihood"].as_str().is_some_and(|l| l.contains("exact")));
    image::open(place.path("c.png")).expect("a picture");

    let table = String::from_utf8(place.read("p.csv")).expect("UTF-8");
    let head: Vec<&str> = table.lines().next().expect("a head").split(',').collect();
    assert_eq!(head[..4], ["class", "label", "log_p_x", "log_p_0"]);
    let mut agree = 0;
    for line in table.lines().skip(1) {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().expect("a number")).collect();
        assert!((cells[3..].iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-9);
        agree += u64::from(cells[0] == cells[1]);
    }
    assert_eq!((table.lines().count(), agree), (61, right));

    let skewed = place.kiln("classify run --limit 60 --prior 1e40,1,1,1,1,1,1,1,1,1 --json").json();
    assert!((0..10).all(|i| skewed["confusion"][i][0].as_u64() == Some(rows[i].iter().sum())), "all are taken for zeros: {skewed}");
    let data = place.kiln("classify run --limit 20 --prior data --json").json();
    assert!(data["prior"][0].as_f64().is_some_and(|p| p > 0.0 && p < 0.5), "{data}");
    let words = place.kiln("classify run --limit 20").ok().out;
    for word in ["accuracy", "ECE", "temperature", "label information", "taken for", "prior uniform"] {
        assert!(words.contains(word), "no {word} in {words}");
    }
}

#[test]
fn images_without_labels_are_told_labels_in_a_file() {
    let place = named();
    place.write("scans.npy", &npy(&[5, 28, 28], &noise(5 * 784, 256)));
    place.kiln("classify run --data scans.npy:all").refused(2, &["no labels"]);
    let said = place.kiln("classify run --data scans.npy:all --predictions p.npy --reject 0.1 --json").json();
    assert!(said["accuracy"].is_null() && said["taken_for"].as_array().is_some_and(|c| c.len() == 10), "{said}");
    assert!(said["rejection"]["own"]["images"] == 5 && said["rejection"]["accuracy_of_kept"].is_null(), "{said}");
    let header = place.read("p.npy");
    let header = String::from_utf8_lossy(&header[..400]);
    assert!(["class", "log_p_x", "log_p_9", "oddness", "refused"].iter().all(|name| header.contains(name)), "{header}");
}

#[test]
fn what_is_unlike_the_data_is_refused_by_each_score() {
    let place = named();
    train(&place, "--set mutate=0.2", "noisy");
    place.write("scans.npy", &npy(&[40, 28, 28], &noise(40 * 784, 256)));
    let judged = |more: &str| {
        place.kiln(&format!("classify run --limit 40 --reject 0.1 --against scans.npy:all --json {more}")).json()["rejection"].clone()
    };
    for (score, more) in [
        ("likelihood", "--against-run noisy"),
        ("typicality", "--against-run noisy"),
        ("background", "--background noisy"),
        ("complexity", ""),
    ] {
        let found = judged(&format!("--score {score} {more}"));
        assert_eq!((&found["by"], &found["against"]["images"]), (&score.into(), &40.into()), "{found}");
        assert!(found["own"]["share"].as_f64().is_some_and(|s| s < 0.5) && found["threshold"].as_f64().is_some(), "{found}");
        assert_eq!(found["auroc_back"].as_f64().is_some(), more.contains("against-run"), "{found}");
        if score == "likelihood" {
            // Noise is nothing like digits, even to a network that has hardly learnt.
            assert!(found["auroc"].as_f64() > Some(0.99) && found["against"]["share"] == 1.0, "{found}");
        }
        let words =
            format!("outliers noisy --limit 20 --against scans.npy:all --score {score} --json {}", more.replace("--against-run noisy", ""));
        let said = place.kiln(&words).json();
        assert_eq!(said["by"], score, "{said}");
        assert_eq!(said["caveat"].is_null(), score != "likelihood");
    }
    // Its own images are no outliers, and then it is said how a likelihood can fail.
    let own = place.kiln("classify run --limit 40 --reject 0.1 --against builtin:digits:train --json").json();
    assert!(own["rejection"]["caveat"].as_str().is_some_and(|c| c.contains("Nalisnick")), "{own}");
}

#[test]
fn a_run_with_labels_in_its_loss_goes_on_bit_for_bit() {
    let place = Place::new();
    let set = "--set conditional=true --set label_weight=3 --set label_others=1 --set mutate=0.1 --set dropout=0.2";
    train(&place, set, "whole");
    place.kiln(&format!("train gated-pixelcnn {NET} --steps 3 {set} --out parts")).ok();
    place.kiln("train --resume parts --steps 6 -q").ok();
    assert_eq!(place.tensors("whole/checkpoint.safetensors"), place.tensors("parts/checkpoint.safetensors"));
    train(&place, &set.replace("label_weight=3", "label_weight=1"), "other");
    assert_ne!(place.tensors("whole/checkpoint.safetensors"), place.tensors("other/checkpoint.safetensors"));
    let logged = String::from_utf8(place.read("whole/metrics.jsonl")).expect("UTF-8");
    assert!(logged.contains("\"nll\"") && logged.contains("\"label_nll\""), "{logged}");
}

#[test]
fn what_has_no_labels_to_tell_or_does_not_fit_is_refused_before_anything_is_written() {
    let place = named();
    train(&place, "", "plain");
    place
        .kiln("train vae --data builtin:digits --limit 64 --batch 16 --steps 1 --out vae -q --set form=mlp --set hidden=8 --set latent=2")
        .ok();
    place.kiln("train gated-pixelcnn --data builtin:faces --limit 8 --batch 4 --steps 1 --out faces -q --set layers=1 --set hidden=3 --set head=3 --set levels=2 --set binarization=threshold --set sample_every=0").ok();
    place.kiln("train vae --data builtin:digits --limit 64 --batch 16 --steps 1 --out grey -q --set hidden=8 --set latent=2").ok();
    place.kiln("classify plain --out x.png").refused(2, &["gated-pixelcnn", "without labels", "conditional=true"]);
    place.kiln("classify vae --out x.png").refused(2, &["vae", "p(x|y)", "cvae", "wavenet"]);
    for (words, reasons) in [
        ("--prior 1,2,3", &["10", "not 3"][..]),
        ("--prior 1,1,1,1,1,1,1,1,1,-1", &["above 0", "-1"]),
        ("--prior even", &["uniform", "even"]),
        ("--reject 1.5", &["--reject", "1.5"]),
        ("--score typicality", &["--reject"]),
        ("--reject 0.1 --score background", &["--background"]),
        ("--reject 0.1 --background plain", &["--score background"]),
        ("--reject 0.1 --score background --background faces", &["32×32×3", "28×28×1"]),
        ("--reject 0.1 --against builtin:faces", &["32×32×3", "28×28×1"]),
        ("--reject 0.1 --score background --background plain --against builtin:digits --against-run plain", &["background run of its own"]),
        ("--reject 0.1 --against builtin:faces --against-run faces", &["32×32×3", "28×28×1"]),
        ("--reject 0.1 --against builtin:digits --against-run grey", &["256 levels", "2 levels"]),
        ("--data builtin:faces", &["32×32×3"]),
        ("--predictions x.txt", &[".csv or .npy"]),
        ("--out x.jpg", &[".png"]),
        ("--set guidance=2", &["guidance", "binarization="]),
    ] {
        place
            .kiln(
                &format!("classify run --limit 8 {words} --predictions x.csv")
                    .replace("--predictions x.txt --predictions x.csv", "--predictions x.txt"),
            )
            .refused(2, reasons);
    }
    place.kiln("classify run --against builtin:digits").refused(2, &["--reject"]);
    place.kiln(&format!("train gated-pixelcnn {NET} --steps 1 --set label_weight=1 --out none")).refused(2, &["conditional=true"]);
    place.kiln(&format!("train gated-pixelcnn {NET} --steps 1 --set mutate=1.5 --out none")).refused(2, &["mutate", "probability"]);
    assert!(["x.png", "x.csv", "x.txt", "none"].iter().all(|name| !place.path(name).exists()));
}

#[test]
fn a_classifier_chooses_what_a_model_without_labels_draws() {
    let place = Place::new();
    train(&place, "", "plain");
    let judge = |words: &str, out: &str| {
        let set = "--set form=mlp --set hidden=8 --set valid_every=0";
        place.kiln(&format!("train classifier --data builtin:digits --limit 64 -q --batch 16 --steps 4 {set} {words} --out {out}")).ok();
    };
    judge("--set binarization=dynamic", "judge");
    let drawn = |words: &str| {
        let said = place.kiln(&format!("sample plain --guide judge --class 3 -n 6 --out drawn.npy --json {words}")).json();
        (said, place.array("drawn.npy"))
    };
    let (said, (shape, images)) = drawn("--method rejection");
    assert_eq!((&said["method"], &said["class"], shape), (&"rejection".into(), &"3".into(), vec![6, 28, 28, 1]));
    let number = |said: &serde_json::Value, key: &str| said[key].as_f64().unwrap_or_else(|| panic!("{key} in {said}"));
    assert!((number(&said, "acceptance") - 6.0 / number(&said, "drawn")).abs() < 1e-12 && number(&said, "mean_p") > 0.0);
    assert_eq!(drawn("").1.1, images, "rejection is what is done unasked");
    let (other, (_, resampled)) = drawn("--method importance --draws 40");
    assert!(number(&other, "effective_samples") <= 40.0 && other["drawn"] == 40 && other["distinct"].as_u64() <= Some(6), "{other}");
    assert_eq!(resampled.len(), 6 * 784);
    let words = place.kiln("sample plain --guide judge --class 3 -n 2 --out d.png").ok().out;
    assert!(words.contains("rejection") && words.contains("were kept") && words.contains("p(3|x)"), "{words}");
    place.kiln("train dcgan --data builtin:digits --limit 64 --batch 8 --steps 1 --out gan -q --set filters=4 --set sample_every=0").ok();
    judge("", "grey");
    place.kiln("sample gan --guide grey --class 3 -n 2 --out g.npy").ok();
    let said = place.kiln("sample gan --guide grey --class 3 -n 3 --method mala --walk 6 --out g.npy --json").json();
    assert!(said["method"] == "mala" && said["steps"] == 6 && said["acceptance"].as_f64().is_some(), "{said}");
    assert_eq!(place.array("g.npy").0, [3, 28, 28, 1]);

    judge("--set binarization=dynamic --set rows=true", "rows");
    let said = place.kiln("sample plain --guide rows --class 3 -n 3 --method smc --draws 12 --out g.npy --json").json();
    assert!(said["method"] == "smc" && said["drawn"] == 12 && said["ancestors"].as_u64() <= Some(3), "{said}");
    assert!(place.array("g.npy").1.iter().all(|v| *v == 0.0 || *v == 1.0));
    train(&place, "--set conditional=true", "run");
    place.kiln("train classifier --data builtin:faces --limit 16 --batch 8 --steps 1 --out faces -q --set form=mlp --set hidden=8").ok();
    for (words, reasons) in [
        ("plain --guide judge", &["--class", "0, 1, 2"][..]),
        ("plain --guide judge --class 11", &["11"]),
        ("plain --guide plain --class 1", &["classifier"]),
        ("plain --guide faces --class 1", &["32×32×3", "28×28×1"]),
        ("plain --guide grey --class 1", &["bits", "binarization=dynamic"]),
        ("run --guide judge --class 1", &["gated-pixelcnn", "--class alone"]),
        ("judge --guide judge --class 1", &["a classifier has no way to draw images", "dcgan"]),
        ("plain --guide judge --class 1 --method naive", &["naive"]),
        ("plain --guide judge --class 1 --draws 0", &["--draws"]),
        ("plain --guide judge --class 1 -n 5 --draws 5", &["5 draws", "--draws"]),
        ("plain --guide judge --class 1 --method importance --draws 99999999999", &["--draws", "at most"]),
        ("plain --guide judge --class 1 --log-p l.npy", &["--log-p"]),
        ("plain --guide judge --class 1 --method mala", &["latents", "vae"]),
        ("plain --guide judge --class 1 --walk 9", &["--walk"]),
        ("plain --guide judge --class 1 --method smc", &["rows=true"]),
        ("plain --guide rows --class 1 --method smc -n 5 --draws 4", &["--draws"]),
        ("gan --guide grey --class 1 --method smc", &["order to draw pixels in"]),
        ("gan --guide grey --class 1 --method mala --walk 1", &["--walk"]),
        ("gan --guide grey --class 1 --method mala --temperature 0.5", &["--temperature"]),
        ("plain --method rejection", &["--guide"]),
        ("plain --draws 5", &["--guide"]),
    ] {
        place.kiln(&format!("sample {words} --out x.npy")).refused(2, reasons);
    }
    assert!(!place.path("x.npy").exists());
}

#[test]
fn diffusion_follows_the_slope_of_a_classifier_of_noised_images() {
    let place = crate::denoiser(2, "");
    let judge = |steps: usize, words: &str, out: &str| {
        let set = "--set form=mlp --set hidden=32 --set valid_every=0 --set learning_rate=0.005";
        place
            .kiln(&format!("train classifier --data builtin:digits --limit 64 -q --batch 32 --steps {steps} {set} {words} --out {out}"))
            .ok();
    };
    judge(200, "--set noised=true", "judge");
    judge(2, "", "plain");
    place.kiln("eval judge --limit 20").ok();
    let drawn = |words: &str| {
        let said = place.kiln(&format!("sample noise -n 4 --steps 5 --out drawn.npy --json {words}")).json();
        (said["mean_p"].as_f64(), place.array("drawn.npy").1)
    };
    let with = |scale: &str| drawn(&format!("--guide judge --class 3 --guidance {scale}"));
    let (none, some) = (with("0"), with("30"));
    assert_eq!(none.1, drawn("").1, "without a slope it is what is drawn without a guide");
    assert!(some.0 > none.0.map(|p| p + 0.3), "{:?}, {:?}", none.0, some.0);
    assert_ne!(with("1").1, none.1);
    let said = place.kiln("sample noise -n 2 --steps 3 --guide judge --class 3 --out drawn.npy --json").json();
    assert_eq!((&said["method"], &said["guidance"]), (&"gradient".into(), &1.0.into()));
    let said = place.kiln("sample noise -n 2 --steps 3 --guide plain --class 3 --out drawn.npy --json").json();
    assert_eq!(said["method"], "rejection");
    train(&place, "", "digits");
    for (words, reasons) in [
        ("noise --guide plain --class 3 --method gradient", &["noised=true"][..]),
        ("noise --guide plain --class 3 --guidance 2", &["--guidance", "--method gradient"]),
        ("noise --guide judge --class 3 --draws 5", &["--draws"]),
        ("noise --guide judge --class 3 --guidance -1", &["--guidance"]),
        ("digits --guide judge --class 3 --method gradient", &["bits"]),
    ] {
        place.kiln(&format!("sample {words} --out x.npy")).refused(2, reasons);
    }
    place.kiln("train classifier --data builtin:digits --set noised=true --set frozen=true --out none").refused(2, &["frozen"]);
    assert!(!place.path("x.npy").exists() && !place.path("none").exists());
}
