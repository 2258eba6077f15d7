//! The command line: every command once through the real binary, and everything it refuses. (`kiln demo` trains for minutes: `.ci/run`
//! runs it.)

#[path = "support/program.rs"]
mod program;

use program::{Place, Ran, idx, noise, npy, png};

/// A place with a trained run of built-in digits in `run`.
fn trained() -> Place {
    let place = Place::new();
    place.train("run", "--steps 2 --set ema=0.5").ok();
    place
}

#[test]
fn devices_are_listed_and_the_cpu_is_always_one() {
    let place = Place::new();
    let list = place.kiln("devices --json").json();
    let names: Vec<&str> = list["devices"].as_array().expect("a list").iter().filter_map(|d| d["name"].as_str()).collect();
    assert!(names.contains(&"cpu"), "{names:?}");
    assert!(list["auto"].as_str().is_some_and(|auto| names.contains(&auto)));
    assert!(place.kiln("devices").ok().out.contains("auto takes"));
}

#[test]
fn training_leaves_a_whole_run_folder_and_says_what_came_of_it() {
    let place = Place::new();
    let ran = place.train("run", "--steps 3 --json");
    let said = ran.json();
    assert_eq!(
        (&said["run"], &said["model"], &said["step"], &said["stopped"]),
        (&"run".into(), &"pixelcnn".into(), &3.into(), &false.into())
    );
    // 5×5, 3×3 and 1×1 convolutions of 1 → 8 → 4 → 4 → 8 → 4 → 1 channels, with biases.
    let parameters = (25 * 8 + 8) + (8 * 4 + 4) + (9 * 4 * 4 + 4) + (4 * 8 + 8) + (8 * 4 + 4) + (4 + 1);
    assert_eq!(said["parameters"], parameters);
    assert!(said["metrics"]["loss"].as_f64().is_some_and(|loss| loss > 0.0));
    for name in ["recipe.toml", "checkpoint.safetensors", "best.safetensors", "metrics.jsonl", "curves.png", "samples/000003.png"] {
        assert!(!place.read(&format!("run/{name}")).is_empty(), "{name}");
    }
    image::open(place.path("run/curves.png")).expect("a picture");
    let recipe = String::from_utf8(place.read("run/recipe.toml")).expect("UTF-8");
    for line in ["model = \"pixelcnn\"", "source = \"builtin:digits\"", "binarization = \"dynamic\"", "limit = 64", "hidden = 4"] {
        assert!(recipe.contains(line), "{line} is not in\n{recipe}");
    }
}

#[test]
fn progress_goes_to_stderr_and_quiet_silences_it() {
    let place = Place::new();
    let words = place.train_words("loud", "--steps 2").replace(" -q", "");
    let loud = place.kiln(&words).ok();
    assert!(loud.err.contains("pixelcnn") && loud.err.contains("binarization dynamic"), "{}", loud.err);
    assert!(loud.out.contains("trained to step 2") && loud.out.trim_end().lines().count() == 1, "{}", loud.out);
    assert!(!loud.err.contains('\u{1b}'), "control characters in a pipe: {}", loud.err);
    assert_eq!(place.train("quiet", "--steps 2").ok().err, "");
}

#[test]
fn evaluation_names_its_data_and_binarization() {
    let place = trained();
    let said = place.kiln("eval run --limit 5 --json").json();
    assert_eq!(said["data"], "builtin:digits:test");
    assert_eq!((&said["images"], &said["step"], &said["model"]), (&5.into(), &2.into(), &"pixelcnn".into()));
    let (nats, bits) = (said["nats"].as_f64().expect("nats"), said["bits_per_dim"].as_f64().expect("bits"));
    assert!((bits - nats / 784.0 / std::f64::consts::LN_2).abs() < 1e-12 && said["standard_error"].as_f64().is_some_and(|e| e > 0.0));
    let words = place.kiln("eval run --limit 5 --set binarization=threshold").ok().out;
    assert!(["nats", "bits/dim", "5 images", "binarization threshold", "builtin:digits:test"].iter().all(|w| words.contains(w)), "{words}");
}

#[test]
fn scores_are_arrays() {
    let place = trained();
    assert_eq!(place.kiln("score run --limit 4 --out s.npy --json").json()["shape"], serde_json::json!([4]));
    let (shape, scores) = place.array("s.npy");
    assert!(shape == [4] && scores.iter().all(|s| *s < 0.0));
    assert_eq!(place.kiln("score run --limit 4 --out deep/m.npy --per-pixel --json").json()["shape"], serde_json::json!([4, 28, 28, 1]));
    assert!(place.array("deep/m.npy").1.iter().all(|s| *s <= 0.0));
}

#[test]
fn samples_come_as_a_grid_as_files_and_as_an_array() {
    let place = trained();
    let said = place.kiln("sample run -n 5 --seed 3 --out grid.png --json").json();
    assert_eq!((&said["count"], &said["seed"]), (&5.into(), &3.into()));
    let grid = image::open(place.path("grid.png")).expect("a picture");
    assert!(grid.width() >= 3 * 28 && grid.height() >= 2 * 28);
    place.kiln("sample run -n 5 --seed 3 --out files").ok();
    place.kiln("sample run -n 5 --seed 3 --out five.npy").ok();
    let (shape, values) = place.array("five.npy");
    assert_eq!(shape, [5, 28, 28, 1]);
    assert!(values.iter().all(|v| *v == 0.0 || *v == 1.0));
    for (i, image) in values.chunks(784).enumerate() {
        let file = image::open(place.path(&format!("files/{i:05}.png"))).expect("a picture").to_luma8();
        assert_eq!(file.dimensions(), (28, 28));
        assert!(file.as_raw().iter().zip(image).all(|(byte, v)| f32::from(*byte) == 255.0 * v), "image {i}");
    }
    assert!(!place.path("files/00005.png").exists());
    place.kiln("sample run -n 2 --seed 3 --method naive --out naive.npy").ok();
    assert_eq!(place.array("naive.npy").1, values[..2 * 784], "the naive sampler draws the same images, however many");
}

#[test]
fn completions_keep_what_is_given() {
    let place = trained();
    let mut half = image::GrayImage::new(28, 28);
    half.enumerate_pixels_mut().for_each(|(x, y, p)| p.0[0] = if (x * 5 + y * 3) % 7 < 3 { 255 } else { 0 });
    half.save(place.path("half.png")).expect("a picture");
    let given = |x: usize, y: usize| if (x * 5 + y * 3) % 7 < 3 { 1.0 } else { 0.0 };
    #[expect(clippy::type_complexity, reason = "a table of named predicates, read once")]
    let parts: [(&str, fn(usize, usize) -> bool); 4] =
        [("top:14", |_, y| y < 14), ("bottom:3", |_, y| y >= 25), ("left:9", |x, _| x < 9), ("right:28", |_, _| true)];
    for (part, inside) in parts {
        let said = place.kiln(&format!("complete run --image half.png --keep {part} -n 3 --out rest.npy --json")).json();
        assert_eq!((&said["count"], &said["keep"]), (&3.into(), &part.into()));
        let (shape, values) = place.array("rest.npy");
        assert_eq!(shape, [3, 28, 28, 1]);
        let mut others = 0;
        for image in values.chunks(784) {
            for (at, value) in image.iter().enumerate() {
                let (x, y) = (at % 28, at / 28);
                assert!(!inside(x, y) || *value == given(x, y), "{part}: pixel {x}, {y}");
                others += usize::from(*value != given(x, y));
            }
        }
        assert!(part == "right:28" || others > 0, "{part}: nothing was drawn");
    }
    place.kiln("complete run --data builtin:digits:test -n 2 --keep top:14 --out rest.png").ok();
    image::open(place.path("rest.png")).expect("a picture");
    for part in ["top", "top:29", "top:many", "middle:3", "top:-1"] {
        place.kiln(&format!("complete run --image half.png --keep {part} --out x.png")).refused(2, &["--keep", part, "28×28"]);
    }
    place.write("small.png", &png(5, 4, 0));
    place.kiln("complete run --image small.png --keep top:2 --out x.png").refused(1, &["small.png", "4×5", "28×28"]);
    place.write("torn.png", &png(28, 28, 0)[..60]);
    place.kiln("complete run --image torn.png --keep top:2 --out x.png").refused(1, &["torn.png"]);
    place.kiln("complete run --image none.png --keep top:2 --out x.png").refused(1, &["none.png"]);
    place.kiln("complete run --image half.png --keep top:2 -n 0 --out x.png").refused(2, &["at least one image"]);
    place.kiln("complete run --keep top:2 --out x.png").refused(2, &["--image"]);
    assert!(!place.path("x.png").exists());
}

#[test]
fn exported_weights_have_pytorchs_names_and_shapes_with_zeros_under_the_mask() {
    let place = trained();
    let said = place.kiln("export run --out w.safetensors --json").json();
    assert_eq!((&said["model"], &said["step"]), (&"pixelcnn".into(), &2.into()));
    let tensors = place.tensors("w.safetensors");
    let shapes: Vec<(&str, &[usize])> = tensors.iter().map(|(name, (shape, _))| (name.as_str(), shape.as_slice())).collect();
    let want: [(&str, &[usize]); 12] = [
        ("blocks.0.expand.bias", &[8]),
        ("blocks.0.expand.weight", &[8, 4, 1, 1]),
        ("blocks.0.masked.bias", &[4]),
        ("blocks.0.masked.weight", &[4, 4, 3, 3]),
        ("blocks.0.reduce.bias", &[4]),
        ("blocks.0.reduce.weight", &[4, 8, 1, 1]),
        ("head.0.bias", &[4]),
        ("head.0.weight", &[4, 8, 1, 1]),
        ("head.1.bias", &[1]),
        ("head.1.weight", &[1, 4, 1, 1]),
        ("input.bias", &[8]),
        ("input.weight", &[8, 1, 5, 5]),
    ];
    assert_eq!(shapes, want);
    let zeros = |name: &str, size: usize, from: usize| {
        let values: Vec<f32> = tensors[name].1.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        for kernel in values.chunks(size * size) {
            assert!(kernel[from..].iter().all(|v| *v == 0.0), "{name}: {kernel:?}");
            assert!(kernel[..from].iter().all(|v| *v != 0.0), "{name}: {kernel:?}");
        }
    };
    zeros("input.weight", 5, 12);
    zeros("blocks.0.masked.weight", 3, 5);
    place.kiln("export run --out a.safetensors --average").ok();
    assert_ne!(place.tensors("a.safetensors"), tensors, "the averaged weights are others");
    let stored = place.tensors("run/checkpoint.safetensors");
    for (name, tensor) in place.tensors("a.safetensors") {
        assert_eq!(stored[&format!("ema.{name}")], tensor, "{name}");
        assert_eq!(stored[&name], tensors[&name], "{name}");
    }
    place.train("plain", "--steps 1").ok();
    place.kiln("export plain --out b.safetensors --average").refused(2, &["plain", "ema"]);
    assert!(!place.path("b.safetensors").exists());
}

#[test]
fn benches_give_rows() {
    let place = Place::new();
    let said = place.kiln("bench train --filter pixelcnn-28-b64 --steps 1 --json").json();
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
    place.kiln("bench train --picture roof.png").refused(2, &["--picture", "bench kernels"]);
    place.kiln("bench sample --trace t.json").refused(2, &["--trace", "bench train"]);
}

#[test]
fn help_has_an_example_under_each_command() {
    let place = Place::new();
    assert!(place.kiln("--help").ok().out.contains("kiln demo"));
    assert!(place.kiln("--version").ok().out.starts_with("kiln "));
    for command in ["devices", "demo", "train", "eval", "score", "sample", "complete", "export", "bench"] {
        let help = place.kiln(&format!("{command} --help")).ok().out;
        assert!(help.contains(&format!("kiln {command}")) && help.contains("Example"), "{help}");
    }
}

#[test]
fn arguments_that_do_not_parse_are_refused_in_one_sentence() {
    let place = Place::new();
    place.kiln("trian").refused(2, &["trian", "train"]);
    place.kiln("train").refused(2, &["--data"]);
    place.kiln("train pixelcnn").refused(2, &["--data"]);
    place.kiln("train pixelcnn --data builtin:digits --stpes 3").refused(2, &["--stpes", "--steps"]);
    place.kiln("train pixelcnn --data builtin:digits --steps many").refused(2, &["--steps", "many"]);
    place.kiln("train pixelcnn --data builtin:digits --steps 3 --epochs 3").refused(2, &["--steps", "--epochs"]);
    place.kiln("sample run").refused(2, &["--out"]);
    place.kiln("sample run --out x.png --method slow").refused(2, &["slow", "cached", "naive"]);
    place.kiln("bench everything").refused(2, &["everything", "kernels"]);
    place.kiln("bench kernels --device cpu --variant tile").refused(2, &["--variant", "--device"]);
    place.kiln("tune --device cpu").refused(2, &["CPU", "--device"]);
}

#[test]
fn unknown_models_keys_and_values_are_refused_with_the_known_ones() {
    let place = Place::new();
    let train = |words: &str| place.kiln(&format!("train pixelcnn --data builtin:digits --limit 32 --out run -q {words}"));
    place.kiln("train pixelcn --data builtin:digits").refused(2, &["pixelcn", "pixelcnn"]);
    train("--set hiden=3").refused(2, &["hiden", "hidden", "blocks", "learning_rate", "binarization"]);
    train("--set hidden").refused(2, &["hidden", "key=value"]);
    train("--set hidden=wide").refused(2, &["hidden=wide"]);
    train("--set hidden=0").refused(2, &["hidden"]);
    train("--set hidden=-4").refused(2, &["hidden=-4"]);
    train("--set hidden=9999999999").refused(2, &["hidden"]);
    train("--set kernel=4").refused(2, &["kernel", "odd"]);
    train("--set levels=300").refused(2, &["levels", "300"]);
    train("--set preset=huge").refused(2, &["huge", "tiny"]);
    train("--set learning_rate=fast").refused(2, &["learning_rate", "fast"]);
    train("--set learning_rate=-1").refused(2, &["learning_rate"]);
    train("--set optimiser=adamw").refused(2, &["optimiser", "adamw", "adam", "sgd"]);
    train("--set ema=1").refused(2, &["ema"]);
    train("--set save_every=0").refused(2, &["save_every"]);
    train("--set binarization=dinamic").refused(2, &["dinamic", "dynamic"]);
    train("--set binarization=static").refused(2, &["binarization", "dynamic"]);
    train("--set binarization=none --set levels=2").refused(2, &["binarization"]);
    train("--set levels=16 --set binarization=threshold").refused(2, &["levels"]);
    train("--set resize=0").refused(2, &["resize"]);
    train("--steps 0").refused(2, &["steps"]);
    train("--batch 8 --epochs 0").refused(2, &["--epochs"]);
    train("--batch 0").refused(2, &["batch"]);
    train("--batch 33").refused(2, &["33", "32", "--batch"]);
    assert!(!place.path("run").exists(), "a refused run leaves a folder");
}

#[test]
fn devices_that_are_not_there_are_refused_with_those_that_are() {
    let place = Place::new();
    place.kiln("train pixelcnn --data builtin:digits --device nonesuch").refused(2, &["nonesuch", "cpu"]);
}

#[test]
fn a_batch_that_does_not_fit_memory_is_refused_before_it_is_taken() {
    let place = Place::new();
    let words = "train pixelcnn --data builtin:digits --out run -q --batch 18000 --set preset=paper";
    place.kiln(words).refused(1, &["GiB", "--batch"]);
    let words = "train pixelcnn --data builtin:digits --out run -q --set hidden=8192 --set blocks=1000";
    place.kiln(words).refused(1, &["GiB", "smaller"]);
}

#[test]
fn data_that_are_missing_torn_or_foreign_are_refused() {
    let place = Place::new();
    let refused = |data: &str, code: i32, words: &[&str]| {
        place.train("run", &format!("--data {data} --steps 1")).refused(code, words);
        assert!(!place.path("run").exists(), "{data}: a refused run leaves a folder");
    };
    refused("nowhere", 2, &["nowhere", "builtin:digits"]);
    refused("builtin:letters", 2, &["letters", "builtin:digits"]);
    refused("builtin:gaussians8", 2, &[]);
    place.write("notes.txt", b"no images");
    refused("notes.txt", 1, &["notes.txt"]);
    std::fs::create_dir(place.path("empty")).expect("a folder");
    refused("empty", 1, &["empty"]);
    place.write("zero.npy", b"");
    refused("zero.npy", 1, &["zero.npy", "empty"]);
    place.write("torn.npy", &npy(&[9, 4, 4], &noise(100, 256)));
    refused("torn.npy", 1, &["torn.npy", "144"]);
    place.write("foreign.npy", b"not an array at all");
    refused("foreign.npy", 1, &["foreign.npy"]);
    place.write("two/train-images-idx3-ubyte", &idx(&[9, 4, 4], &noise(144, 256)));
    place.write("two/train-labels-idx1-ubyte", &idx(&[8], &noise(8, 10)));
    refused("two", 1, &["8 labels", "9 images"]);
    place.write("mixed/a.png", &png(6, 5, 0));
    place.write("mixed/b.png", &png(5, 5, 9));
    refused("mixed:all", 1, &["b.png", "5×5", "6×5", "resize"]);
    place.write("torn/a.png", &png(6, 5, 0));
    place.write("torn/b.png", &png(6, 5, 0)[..20]);
    refused("torn:all", 1, &["b.png"]);
    place.write("cifar/data_batch_1.bin", &[0; 3072]);
    refused("cifar", 1, &["data_batch_1.bin", "CIFAR-10"]);
    place.write("good.npy", &npy(&[40, 4, 4], &noise(640, 256)));
    refused("good.npy:tset", 2, &["tset", "test"]);
    refused("good.npy:test", 2, &["no test split", "good.npy:valid"]);
    refused("good.npy --limit 0", 2, &["limit"]);
    refused("good.npy:all --limit 7", 2, &["8", "7", "--batch"]);
}

#[test]
fn data_that_do_not_fit_the_run_are_refused() {
    let place = trained();
    let before = place.files("run");
    place.write("small.npy", &npy(&[24, 9, 8], &noise(24 * 72, 256)));
    place.write("colour.npy", &npy(&[24, 28, 28, 3], &noise(24 * 28 * 28 * 3, 256)));
    for command in ["eval run", "score run --out x.npy", "complete run --keep top:1 --out x.npy"] {
        place.kiln(&format!("{command} --data small.npy:all")).refused(2, &["small.npy", "9×8×1", "28×28×1"]);
        place.kiln(&format!("{command} --data colour.npy:all")).refused(2, &["colour.npy", "28×28×3", "28×28×1"]);
        place.kiln(&format!("{command} --data nowhere")).refused(2, &["nowhere"]);
    }
    place.kiln("eval run --set binarization=none").refused(2, &["grey", "binarization"]);
    place.kiln("eval run --set binarization=static").refused(2, &["not binary"]);
    place.kiln("eval run --set depth=3").refused(2, &["depth"]);
    place.kiln("eval run --batch 0").refused(2, &["--batch"]);
    place.kiln("eval run --limit 0").refused(2, &["limit"]);
    place.kiln("sample run -n 0 --out x.png").refused(2, &["at least one image"]);
    place.kiln("sample run -n 1 --temperature 0 --out x.png").refused(2, &["--temperature"]);
    place.kiln("sample run -n 1 --class 3 --out x.png").refused(2, &["--class"]);
    place.kiln("sample run -n 1 --out x.gif").refused(2, &[".gif", ".png"]);
    place.train("unscored", "--steps 1 --set valid_every=0").ok();
    place.kiln("eval unscored --best").refused(1, &["unscored", "best.safetensors"]);
    assert!(!place.path("x.png").exists() && !place.path("x.npy").exists());
    assert_eq!(place.files("run"), before);
}

#[test]
fn what_stands_in_the_way_is_left_alone() {
    let place = trained();
    let before = place.files("run");
    place.train("run", "--steps 2").refused(2, &["run", "--resume", "--out"]);
    assert_eq!(place.files("run"), before);
    place.write("demo/pixelcnn/thesis.txt", b"precious");
    place.kiln("demo --out demo -q").refused(2, &["pixelcnn", "--out"]);
    assert_eq!(place.read("demo/pixelcnn/thesis.txt"), b"precious");
    place.write("file", b"precious");
    for command in
        ["demo -q --out file", "sample run -n 1 --out file/x.png", "score run --limit 1 --out file/x.npy", "export run --out file/w"]
    {
        place.kiln(command).refused(1, &["file"]);
    }
    assert_eq!(place.read("file"), b"precious");
}

#[test]
fn every_form_of_data_trains_and_scores() {
    let place = Place::new();
    place.write("grey.npy", &npy(&[40, 6, 9], &noise(40 * 54, 256)));
    place.write("bits.npy", &npy(&[40, 6, 9], &noise(40 * 54, 2)));
    place.write("colour.npy", &npy(&[24, 5, 4, 3], &noise(24 * 60, 256)));
    place.write("idx/train-images-idx3-ubyte", &idx(&[40, 5, 5], &noise(1000, 256)));
    place.write("idx/train-labels-idx1-ubyte", &idx(&[40], &noise(40, 10)));
    place.write("idx/t10k-images-idx3-ubyte", &idx(&[12, 5, 5], &noise(300, 250)));
    place.write("plain/train-images-idx3-ubyte", &idx(&[40, 5, 5], &noise(1000, 256)));
    for i in 0..20 {
        place.write(&format!("classes/{}/{i}.png", i % 2), &png(7, 6, i * 10));
        place.write(&format!("sizes/{i}.png"), &png(7 + u32::from(i), 6, i * 10));
    }
    let mut record = vec![3];
    record.extend(noise(3072, 256));
    place.write("cifar/data_batch_1.bin", &record.repeat(12));
    let cases = [
        ("grey.npy", "", "valid", "dynamic"),
        ("grey.npy:all", "--set binarization=none", "all", "none"),
        ("grey.npy", "--set binarization=none --set levels=16", "all", "none"),
        ("bits.npy", "", "valid", "static"),
        ("colour.npy", "--set hidden=3 --set head=3", "valid", "none"),
        ("idx", "--set binarization=threshold", "test", "threshold"),
        ("plain", "", "valid", "dynamic"),
        ("classes", "", "valid", "dynamic"),
        ("sizes", "--set resize=6", "valid", "dynamic"),
        ("cifar", "--set hidden=3 --set head=3 --set levels=4 --set sample_every=0", "valid", "none"),
    ];
    for (number, (data, words, split, binarization)) in cases.into_iter().enumerate() {
        let run = format!("run{number}");
        place.train(&run, &format!("--data {data} --steps 2 {words}")).ok();
        let base = data.split(':').next().unwrap_or_default();
        let said = place.kiln(&format!("eval {run} --data {base}:{split} --json")).json();
        assert_eq!(said["binarization"], binarization, "{data}");
        assert!(said["nats"].as_f64().is_some_and(|nats| nats > 0.0), "{data}: {said}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::new();
    let binary = env!("CARGO_BIN_EXE_kiln");
    let shell = format!("{binary} devices --device cpu; echo $? >&2");
    let output = std::process::Command::new("sh").current_dir(place.path("")).args(["-c", &format!("({shell}) | true")]).output();
    let ran = Ran::of(&output.expect("sh runs"));
    assert_eq!(ran.err.trim(), "0", "{}", ran.err);
}

/// On an adapter, where there is one (`KILN_REQUIRE_GPU=1`: there must be): the same commands, and the same likelihoods.
#[test]
fn a_gpu_trains_resumes_scores_and_samples() {
    let place = trained();
    let devices = place.kiln("devices --json").json();
    if devices["devices"].as_array().is_some_and(|list| list.len() < 2) {
        assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none_or(|v| v != "1"), "KILN_REQUIRE_GPU is set and there is no adapter");
        return;
    }
    let eval = |device: &str| place.kiln(&format!("eval run --limit 8 --json --device {device}")).json()["nats"].as_f64().expect("nats");
    let (cpu, gpu) = (eval("cpu"), eval("gpu"));
    assert!((cpu - gpu).abs() < 1e-4 * cpu, "{cpu} on the CPU, {gpu} on the GPU");
    place.train("whole", "--steps 3 --device gpu").ok();
    place.train("parts", "--steps 1 --device gpu").ok();
    place.kiln("train --resume parts --steps 3 -q --device gpu").ok();
    assert_eq!(place.tensors("whole/checkpoint.safetensors"), place.tensors("parts/checkpoint.safetensors"));
    place.kiln("sample whole -n 2 --out g.npy --device gpu").ok();
    assert!(place.array("g.npy").1.iter().all(|v| *v == 0.0 || *v == 1.0));
}

#[test]
fn mixed_precision_trains_and_resumes_where_an_adapter_has_it_and_is_refused_in_words_elsewhere() {
    let place = trained();
    place.train("half", "--steps 1 --device cpu --precision half").refused(2, &["f32 or mixed"]);
    place.train("mixed", "--steps 1 --device cpu --precision mixed").refused(2, &["cooperative matrices", "CPU"]);
    assert!(!place.path("mixed").exists());
    let devices = place.kiln("devices --json").json();
    let Some(gpu) = devices["devices"].as_array().and_then(|list| list.iter().find(|d| d["name"] != "cpu")) else { return };
    // The proof decides; without the feature it cannot come out right.
    let offers = gpu["details"].as_str().is_some_and(|d| d.contains("cooperative matrix"));
    if !offers {
        place.train("mixed", "--steps 1 --device gpu --precision mixed").refused(2, &["cooperative matrices", "precision f32"]);
        return;
    }
    let wide = "--device gpu --precision mixed --set hidden=16 --set head=16";
    place.train("mixed", &format!("--steps 4 {wide}")).ok();
    place.train("again", &format!("--steps 2 {wide}")).ok();
    place.kiln("train --resume again --steps 4 --device gpu -q").ok();
    let [whole, resumed] = ["mixed", "again"].map(|run| place.tensors(&format!("{run}/checkpoint.safetensors")));
    assert!(whole == resumed, "a resumed run went another way");
    assert!(whole.contains_key("optimizer.loss_scale.0"), "{:?}", whole.keys());
    place.kiln("export mixed --out weights.safetensors -q").ok();
    assert!(!place.tensors("weights.safetensors").keys().any(|name| name.contains("loss_scale")));
    let recipe = String::from_utf8(place.read("mixed/recipe.toml")).expect("UTF-8");
    assert!(recipe.contains("precision = \"mixed\"") && recipe.contains("= \"matrix-"), "{recipe}");
    // Scores are of f32, wherever it was trained.
    place.kiln("eval mixed --device cpu --json").json();
}

#[test]
fn a_tuning_is_kept_exported_recorded_and_refused_elsewhere() {
    let place = trained();
    let devices = place.kiln("devices --json").json();
    if devices["devices"].as_array().is_some_and(|list| list.len() < 2) {
        return; // The test above says so where a GPU is required.
    }
    // A variant forced on the whole suite would stand above any tuning.
    let kiln = |words: &str| {
        let mut command = place.command(words);
        command.env("XDG_CACHE_HOME", place.path("cache")).env_remove("KILN_VARIANT");
        Ran::of(&command.output().expect("kiln runs"))
    };
    kiln("tune --device gpu --export early.toml").refused(2, &["kiln tune"]);
    let tuned = kiln("tune run --device gpu --steps 1 --json").json();
    let variants = tuned["variants"].as_object().expect("variants").clone();
    assert!(variants.keys().any(|problem| problem.starts_with("conv_weight ")), "{variants:?}");
    for row in tuned["rows"].as_array().expect("rows") {
        let least = row["measured"].as_object().expect("times").values().filter_map(|s| s.as_f64()).fold(f64::INFINITY, f64::min);
        assert!(least > 0.0 && row["seconds"].as_f64().expect("seconds") <= 1.03 * least, "{row}");
    }
    kiln("tune --device gpu --export tuning.toml -q").ok();
    let text = String::from_utf8(place.read("tuning.toml")).expect("UTF-8");
    place.write("foreign.toml", text.replace("driver = \"", "driver = \"another ").as_bytes());
    kiln("tune --device gpu --import foreign.toml").refused(2, &["driver", "kiln tune"]);
    kiln("tune --device gpu --import tuning.toml -q").ok();
    // What a run computed with is in its recipe.
    kiln(&place.train_words("tuned", "--steps 1 --device gpu")).ok();
    let recipe: toml::Table = toml::from_str(&String::from_utf8(place.read("tuned/recipe.toml")).expect("UTF-8")).expect("TOML");
    let kernels = recipe["kernels"].as_table().expect("kernels");
    for (problem, variant) in kernels {
        assert_eq!(variants.get(problem).and_then(|v| v.as_str()), variant.as_str(), "{problem}");
    }
    assert!(!kernels.is_empty());
}
