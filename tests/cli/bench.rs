//! `kiln bench`.

use crate::program::Place;

#[test]
fn benches_give_rows() {
    let place = Place::new();
    let said = place.kiln("bench train --filter pixelcnn-28-b64 --steps 1 --json").json();
    assert!(said["rows"][0]["ceiling_share"].as_f64().is_some_and(|share| share > 0.0 && share < 2.0));
    let row = &said["rows"][0];
    assert_eq!((&row["workload"], &row["params"], &row["device"]), (&"pixelcnn-28-b64".into(), &53_569.into(), &"cpu".into()));
    for key in ["step_s", "images_per_s", "peak_bytes"] {
        assert!(row[key].as_f64().is_some_and(|v| v > 0.0), "{key} in {row}");
    }
    let words = place.kiln("bench sample --filter cached --steps 1").ok().out;
    assert!(words.contains("pixelcnn-28 cached") && !words.contains("naive"), "{words}");
    place.kiln("bench train --filter nothing-28").refused(2, &["nothing-28", "pixelcnn-28-b64"]);
    place.kiln("bench train --steps 0").refused(2, &["--steps"]);
    let kernels = place.kiln("bench kernels --filter pixelcnn-28-b64 --steps 1 --json").json();
    assert!(kernels["rows"].as_array().is_some_and(|rows| !rows.is_empty()), "{kernels}");
}

/// Events of a timeline that last, by track: name, beginning and end in microseconds, arguments.
fn lasting(place: &Place, path: &str, track: u64) -> Vec<(String, f64, f64, serde_json::Value)> {
    let whole: serde_json::Value = serde_json::from_slice(&place.read(path)).expect("JSON");
    assert!(whole["otherData"]["kernel_clocks"].as_object().is_some_and(|clocks| !clocks.is_empty()), "{}", whole["otherData"]);
    let events = whole["traceEvents"].as_array().expect("events");
    let lasting = events.iter().filter(|e| e["ph"] == "X" && e["tid"] == track);
    let of = |e: &serde_json::Value| {
        let (at, lasts) = (e["ts"].as_f64().expect("a beginning"), e["dur"].as_f64().expect("a duration"));
        assert!(at >= 0.0 && lasts >= 0.0, "{e}");
        (e["name"].as_str().expect("a name").to_string(), at, at + lasts, e["args"].clone())
    };
    lasting.map(of).collect()
}

#[test]
fn benches_show_where_the_time_goes() {
    let place = Place::new();
    let said = place.kiln("bench train --filter vae-mlp --batch 4 --steps 2 --device cpu --json --trace t.json").json();
    let time = &said["rows"][0]["time"];
    let part = |key: &str| time[key].as_f64().unwrap_or_else(|| panic!("{key} in {time}"));
    let parts = ["kernels_s", "gaps_s", "host_s", "transfers_s"].map(part);
    assert!(parts.iter().all(|p| *p >= 0.0) && parts[0] > 0.0, "{time}");
    assert!(parts.iter().sum::<f64>() <= part("step_s") * (1.0 + 1e-9), "{time}");

    let (host, kernels) = (lasting(&place, "t.json", 1), lasting(&place, "t.json", 2));
    for name in ["write inputs", "run", "read loss", "profiled run"] {
        assert_eq!(host.iter().filter(|e| e.0 == name).count(), 2, "{name}");
    }
    assert!(kernels.iter().any(|e| e.0 == "conv" && e.3["flops"].as_u64() > Some(0) && e.3["gflops_per_s"].as_f64() > Some(0.0)));
    // Each kernel lies in a profiled run, and none begins before its forerunner ends: what a viewer needs to draw them.
    let profiled: Vec<_> = host.iter().filter(|e| e.0 == "profiled run").collect();
    assert!(kernels.iter().all(|k| profiled.iter().any(|p| p.1 - 1.0 <= k.1 && k.2 <= p.2 + 1.0)));
    assert!(kernels.windows(2).all(|pair| pair[1].1 >= pair[0].2 - 1e-3));

    let words = place.kiln("bench sample --filter cached --steps 1 --device cpu").ok().out;
    assert!(words.contains("kernels") && words.contains("transfers"), "{words}");
}

#[test]
fn kernels_of_many_sizes_are_drawn_under_the_roof() {
    let place = Place::new();
    let words = "bench kernels --filter sweep-matmul-64 --sweep --steps 1 --device cpu --json --picture roof.png --trace k.json";
    let said = place.kiln(words).json();
    let rows = said["rows"].as_array().expect("rows");
    assert!(rows.len() == 1 && rows[0]["workload"] == "sweep-matmul-64" && rows[0]["flops"] == 2 * 64u64.pow(3), "{said}");
    assert!(place.read("roof.png").starts_with(b"\x89PNG\r\n\x1a\n"));
    assert!(image::open(place.path("roof.png")).expect("a picture").width() > 600);
    assert_eq!(lasting(&place, "k.json", 2).len(), 1);
    place.kiln("bench kernels --sweep --filter sweep-matmul-65").refused(2, &["sweep-matmul-65", "sweep-matmul-64", "dcgan"]);
    place.kiln("bench train --picture roof.png").refused(2, &["--picture", "bench kernels", "bench sweep"]);
    place.kiln("bench sample --trace t.json").refused(2, &["--trace", "bench train"]);
}

#[test]
fn a_step_in_lanes_is_timed() {
    let place = Place::new();
    let rows = place.kiln("bench ranks --filter vae-mlp --batch 8 --lanes 2 --steps 2 --device cpu --json").json()["rows"].clone();
    let row = &rows[0];
    assert_eq!((row["ranks"].as_u64(), row["lanes"].as_u64(), row["batch"].as_u64()), (Some(1), Some(2), Some(8)));
    assert_eq!(row["exchanged_bytes"].as_u64(), Some(4 * 652_824));
    assert!(
        ["one_rank_s", "apart_s", "together_s"].iter().all(|name| row[name].as_f64().is_some_and(|s| s > 0.0))
            && row["exchange_s"].is_null()
    );
    place.kiln("bench ranks --filter vae-mlp --batch 9 --lanes 2 --device cpu").refused(2, &["9", "--batch"]);
    place.kiln("bench ranks --lanes 3 --device cpu").refused(2, &["--lanes", "3"]);
    place.kiln("bench train --lanes 2").refused(2, &["--lanes", "bench ranks"]);
}

#[test]
fn growth_is_measured_along_axes() {
    let place = Place::new();
    let said = place.kiln("bench sweep train --filter rnn-gru --steps 2 --device cpu --json --picture growth.png").json();
    let (rows, slopes) = (said["rows"].as_array().expect("rows"), said["slopes"].as_array().expect("slopes"));
    let axes: Vec<_> = slopes.iter().map(|line| line["axis"].as_str().expect("an axis")).collect();
    assert_eq!(axes, ["batch", "width", "depth", "side", "data"]);
    assert!(rows.len() == 25 && rows.iter().all(|row| row["seconds"].as_f64() > Some(0.0) && row["peak_bytes"].as_u64() > Some(4096)));
    // Twice the layers are about twice the operations, and hold more.
    let depth: Vec<_> = rows.iter().filter(|row| row["axis"] == "depth").collect();
    let ratio = depth[4]["work"].as_f64().expect("operations") / depth[3]["work"].as_f64().expect("operations");
    assert!(ratio > 1.8 && ratio < 2.05 && depth[4]["peak_bytes"].as_u64() > depth[0]["peak_bytes"].as_u64(), "{ratio}");
    assert!(slopes.iter().all(|line| line["seconds_n"].is_f64() && line["seconds_work"].is_f64() == (line["axis"] != "data")));
    assert!(image::open(place.path("growth.png")).expect("a picture").height() > 5 * 600);

    let words = place.kiln("bench sweep train --filter rnn-gru-data --steps 1 --device cpu").ok().out;
    assert!(words.contains("1024–16384"), "{words}");
    place.kiln("bench sweep train --filter transformer").refused(2, &["transformer", "rnn-gru", "depth"]);
    place.kiln("bench sweep eval --filter transformer").refused(2, &["transformer", "nearest"]);
    place.kiln("bench sweep").refused(2, &["bench sweep train", "bench sweep eval"]);
    place.kiln("bench sweep sample").refused(2, &["sample", "train"]);
    place.kiln("bench train eval").refused(2, &["bench sweep", "eval"]);
    place.kiln("bench sweep train --batch 4").refused(2, &["--batch"]);
    place.kiln("bench sweep train --files .").refused(2, &["--files", "bench sweep eval"]);
    place.kiln("bench sweep train --trace t.json").refused(2, &["--trace", "bench train"]);
}

#[test]
fn reading_pictures_is_timed() {
    let place = Place::new();
    std::fs::create_dir(place.path("pictures")).expect("a folder");
    for at in 0..20 {
        image::RgbImage::new(8, 8).save(place.path(&format!("pictures/{at}.jpg"))).expect("a picture");
    }
    let said = place.kiln("bench sweep eval --filter jpeg --files pictures --steps 2 --device cpu --json").json();
    assert_eq!((said["rows"].as_array().map(Vec::len), said["rows"][0]["n"].as_u64()), (Some(1), Some(20)));
    place.kiln("bench sweep eval --filter jpeg --files nowhere --device cpu").refused(2, &["nowhere"]);
}

#[test]
fn the_hosts_part_is_timed_on_a_device_that_does_nothing() {
    let place = Place::new();
    let row = place.kiln("bench train --filter vae-mlp --batch 8 --steps 2 --device noop --json").json()["rows"][0].clone();
    assert_eq!((row["device"].as_str(), row["time"].is_null()), (Some("noop"), true));
    assert!(row["dispatches"].as_u64().is_some_and(|count| (10..25).contains(&count)) && row["step_s"].as_f64().is_some_and(|s| s > 0.0));
    // Nothing else has it.
    place.kiln("train vae --data builtin:digits --device noop").refused(2, &["noop"]);
    assert!(!place.kiln("devices").ok().out.contains("noop"));
}
