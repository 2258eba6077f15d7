//! What the data are is settled once, at training: every later command reads its data by the recipe or refuses it in a sentence.
//! Everything goes through the real binary.

#[path = "support/program.rs"]
mod program;

use program::{Place, Ran, idx, npy};

/// Settings of a conditional model, and of a classifier, that train in no time.
const CVAE: &str = "--set form=mlp --set hidden=8 --set latent=2 --set sample_every=0 --batch 8 -q";
const CLASSIFIER: &str = "--set form=mlp --set hidden=16 --set sample_every=0 --batch 8 -q";

/// An image of 6×6, filled with a shade but for a corner that tells it from its like; in colour where asked.
fn picture(shade: u8, corner: u8, colour: bool) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let form = image::ImageFormat::Png;
    let at = |x: u32, y: u32| if (x, y) == (0, 0) { corner } else { shade };
    let made = if colour {
        image::RgbImage::from_fn(6, 6, |x, y| image::Rgb([at(x, y), 10, 200])).write_to(&mut bytes, form)
    } else {
        image::GrayImage::from_fn(6, 6, |x, y| image::Luma([at(x, y)])).write_to(&mut bytes, form)
    };
    made.expect("a PNG");
    bytes.into_inner()
}

/// `count` images of each class below a folder, the class's shade given.
fn classes(place: &Place, folder: &str, count: u8, classes: &[(&str, u8)]) {
    for (class, shade) in classes {
        for i in 0..count {
            place.write(&format!("{folder}/{class}/{i}.png"), &picture(*shade, i, false));
        }
    }
}

const FRUIT: [(&str, u8); 3] = [("apple", 0), ("bear", 120), ("cat", 250)];

fn recipe(place: &Place, run: &str) -> toml::Table {
    toml::from_str(&String::from_utf8(place.read(&format!("{run}/recipe.toml"))).expect("UTF-8")).expect("TOML")
}

fn names(recipe: &toml::Table) -> Vec<&str> {
    recipe["data"]["class_names"].as_array().expect("names").iter().filter_map(toml::Value::as_str).collect()
}

fn accuracy(ran: Ran) -> f64 {
    ran.json()["accuracy"].as_f64().expect("an accuracy")
}

#[test]
fn a_test_folder_that_lacks_a_class_is_read_by_the_names_of_the_run() {
    let place = Place::new();
    classes(&place, "data/train", 24, &FRUIT);
    classes(&place, "data/test", 9, &FRUIT[1..]);
    place.kiln(&format!("train classifier --data data --steps 150 --out judge {CLASSIFIER}")).ok();
    assert_eq!(names(&recipe(&place, "judge")), ["apple", "bear", "cat"]);
    assert_eq!(accuracy(place.kiln("eval judge --json")), 1.0);
    place.kiln(&format!("train cvae --data data --steps 3 --out cvae {CVAE}")).ok();
    assert_eq!(place.kiln("eval cvae --json").json()["images"], 18);
    // The same images, named as the run has them or not, score alike only where the labels are the same.
    classes(&place, "one/train", 9, &FRUIT[1..2]);
    classes(&place, "one/test", 9, &FRUIT[1..2]);
    classes(&place, "two/train", 9, &FRUIT[..2]);
    classes(&place, "two/test", 9, &FRUIT[1..2]);
    place.kiln("score cvae --data one:test --out one.npy").ok();
    place.kiln("score cvae --data two:test --out two.npy").ok();
    assert_eq!(place.array("one.npy"), place.array("two.npy"));
}

#[test]
fn a_class_that_the_run_does_not_know_is_refused_where_labels_count() {
    let place = Place::new();
    classes(&place, "data/train", 12, &FRUIT);
    classes(&place, "data/test", 4, &[("apple", 0), ("dog", 60), ("eel", 70)]);
    place.kiln(&format!("train classifier --data data --steps 2 --out judge {CLASSIFIER}")).ok();
    place.kiln(&format!("train cvae --data data --steps 2 --out cvae {CVAE}")).ok();
    for run in ["judge", "cvae"] {
        place.kiln(&format!("eval {run}")).refused(2, &["dog, eel", "apple, bear, cat"]);
    }
    place.kiln("score cvae --out s.npy").refused(2, &["dog, eel"]);
    place.kiln("encode cvae --out s.npy").refused(2, &["dog, eel"]);
    classes(&place, "flat", 4, &[("apple", 0)]);
    for file in 0..4 {
        place.write(&format!("plain/{file}.png"), &picture(7, file, false));
    }
    place.kiln("eval cvae --data plain:all").refused(2, &["plain", "no labels"]);
    place.kiln("eval cvae --data flat:all").ok();
    // What does not look at labels reads the images.
    place.kiln(&format!("train vae --data data --steps 2 --out vae {CVAE}")).ok();
    assert_eq!(place.kiln("eval vae --json").json()["images"], 12);
}

#[test]
fn numbers_are_classes_in_their_order_and_a_class_goes_by_its_name() {
    let place = Place::new();
    let numbers: Vec<(String, u8)> = [0, 1, 2, 9, 10, 11].iter().map(|n| (n.to_string(), 10 + 20 * n)).collect();
    let listed: Vec<(&str, u8)> = numbers.iter().map(|(name, shade)| (name.as_str(), *shade)).collect();
    classes(&place, "data", 8, &listed);
    place.kiln(&format!("train cvae --data data --steps 400 --set learning_rate=0.01 --out run {CVAE}")).ok();
    assert_eq!(names(&recipe(&place, "run")), ["0", "1", "2", "9", "10", "11"]);
    let mean = |class: &str| {
        place.kiln(&format!("sample run --class {class} -n 4 --out s.npy")).ok();
        let (_, values) = place.array("s.npy");
        255.0 * values.iter().sum::<f32>() / values.len() as f32
    };
    for (class, shade) in [("2", 50.0), ("11", 230.0)] {
        let found = mean(class);
        assert!((found - shade).abs() < 30.0, "class {class} has a mean of {found}");
    }
    for wrong in ["3", "bear", "02", "-1", "4294967297"] {
        place.kiln(&format!("sample run --class={wrong} -n 1 --out s.png")).refused(2, &[wrong, "0, 1, 2, 9, 10, 11"]);
    }
    classes(&place, "fruit", 8, &FRUIT);
    place.kiln(&format!("train cvae --data fruit --steps 2 --out fruits {CVAE}")).ok();
    place.kiln("sample fruits --class bear -n 1 --out s.png").ok();
    place.kiln("sample fruits --class 1 -n 1 --out s.png").refused(2, &["apple, bear, cat"]);
}

/// IDX files of 4×4 whose images hold 60 times their label, in `folder`.
fn digits(place: &Place, folder: &str, part: &str, labels: &[u8]) {
    let pixels: Vec<u8> = labels.iter().enumerate().flat_map(|(i, l)| (0..16).map(move |p| 60 * l % 251 + u8::from(p == i % 16))).collect();
    let count = labels.len() as u32;
    place.write(&format!("{folder}/{part}-images-idx3-ubyte"), &idx(&[count, 4, 4], &pixels));
    place.write(&format!("{folder}/{part}-labels-idx1-ubyte"), &idx(&[count], labels));
}

#[test]
fn idx_labels_mean_in_every_file_what_they_meant_in_training() {
    let place = Place::new();
    digits(&place, "data", "train", &[1, 2, 4].repeat(16));
    digits(&place, "data", "t10k", &[2, 1].repeat(6));
    place.kiln(&format!("train classifier --data data --steps 200 --out judge {CLASSIFIER}")).ok();
    assert_eq!(names(&recipe(&place, "judge")), ["1", "2", "4"]);
    assert_eq!(accuracy(place.kiln("eval judge --json")), 1.0);
    place.kiln(&format!("train cvae --data data --steps 2 --out cvae {CVAE}")).ok();
    place.kiln("eval cvae").ok();
    digits(&place, "data", "t10k", &[2, 1, 3, 4].repeat(3));
    for run in ["judge", "cvae"] {
        place.kiln(&format!("eval {run}")).refused(2, &["class 3", "1, 2, 4"]);
    }
}

#[test]
fn a_run_on_bytes_reads_bytes_and_a_run_on_bits_bits() {
    let place = Place::new();
    let greys: Vec<u8> = (0..24 * 36).map(|i| (i * 5 % 256) as u8).collect();
    let bits: Vec<u8> = (0..20 * 36).map(|i| u8::from(i % 3 == 0)).collect();
    let white: Vec<u8> = bits.iter().map(|b| b * 255).collect();
    place.write("greys.npy", &npy(&[24, 6, 6], &greys));
    place.write("dark.npy", &npy(&[20, 6, 6], &bits));
    place.write("white.npy", &npy(&[20, 6, 6], &white));
    // One byte more says that these are bytes; the first twenty images are the same.
    let plus = [&bits[..], &[2; 36]].concat();
    place.write("plus.npy", &npy(&[21, 6, 6], &plus));
    let scores = |run: &str, words: &str| {
        place.kiln(&format!("score {run} --out s.npy {words}")).ok();
        place.array("s.npy").1
    };
    place.train("levels", "--data greys.npy:all --set levels=256 --steps 2").ok();
    assert_eq!(scores("levels", "--data dark.npy:all"), scores("levels", "--data plus.npy:all")[..20]);
    // A run that makes bits of bytes must be told what 1 is.
    place.train("drawn", "--data greys.npy:all --set binarization=threshold --steps 2").ok();
    place.kiln("score drawn --data dark.npy:all --out t.npy").refused(2, &["dark.npy", "bytes 0 and 1", "--set binarization=static"]);
    let as_bits = scores("drawn", "--data dark.npy:all --set binarization=static");
    assert_eq!(as_bits, scores("drawn", "--data white.npy:all"));
    let nearly_black = scores("drawn", "--data dark.npy:all --set binarization=threshold");
    assert!(nearly_black.iter().all(|v| *v == nearly_black[0]) && nearly_black != as_bits);
    // Black and white is bits for a run on bits, and grey is not.
    place.train("bits", "--data dark.npy:all --steps 2").ok();
    assert_eq!(scores("bits", "--data dark.npy:all"), scores("bits", "--data white.npy:all"));
    place.kiln("score bits --data greys.npy:all --out t.npy").refused(2, &["greys.npy", "not binary", "threshold"]);
    scores("bits", "--data greys.npy:all --set binarization=threshold");
    assert!(!place.path("t.npy").exists());
}

#[test]
fn a_test_file_of_dark_images_beside_bright_training_images_is_bytes() {
    let place = Place::new();
    let greys: Vec<u8> = (0..24 * 16).map(|i| (i * 5 % 256) as u8).collect();
    place.write("data/train-images-idx3-ubyte", &idx(&[24, 4, 4], &greys));
    place.write("data/t10k-images-idx3-ubyte", &idx(&[8, 4, 4], &[1; 128]));
    place.train("run", "--data data --set levels=256 --steps 2").ok();
    place.write("ones.npy", &npy(&[8, 4, 4], &[1; 128]));
    let nats = |words: &str| place.kiln(&format!("eval run --json {words}")).json()["nats"].as_f64().expect("nats");
    assert_eq!(nats(""), nats("--data ones.npy:all"));
    // And the reverse: training images that are dark by chance, in a set whose test images are not.
    place.write("dark/train-images-idx3-ubyte", &idx(&[24, 4, 4], &[1; 384]));
    place.write("dark/t10k-images-idx3-ubyte", &idx(&[8, 4, 4], &greys[..128]));
    place.train("dark_run", "--data dark --set levels=256 --steps 2").ok();
    assert_eq!(recipe(&place, "dark_run")["data"]["binary"].as_bool(), Some(false));
    place.kiln("eval dark_run").ok();
}

#[test]
fn channels_are_settled_over_the_whole_data_set() {
    let place = Place::new();
    let vae = "--set form=mlp --set hidden=8 --set latent=2 --set sample_every=0 --set valid_every=2 --batch 4 --steps 4 -q";
    // One image of many has colour, wherever it lies.
    for (folder, colour) in [("flat", "flat/7.png"), ("split", "split/test/b/0.png"), ("valid", "valid/valid/a/1.png")] {
        for i in 0..12u8 {
            let path = match folder {
                "flat" => format!("flat/{i}.png"),
                _ => format!("{folder}/train/{}/{i}.png", if i % 2 == 0 { "a" } else { "b" }),
            };
            place.write(&path, &picture(20 * i, i, path == colour));
        }
        if folder != "flat" {
            for (part, class) in [("test", "b"), ("valid", "a")] {
                for i in 0..4 {
                    let path = format!("{folder}/{part}/{class}/{i}.png");
                    place.write(&path, &picture(40 + i, i, path == colour));
                }
            }
        }
        place.kiln(&format!("train vae --data {folder} --out {folder}_run {vae}")).ok();
        let dims = recipe(&place, &format!("{folder}_run"))["data"]["dims"].to_string();
        assert!(dims.replace(' ', "").ends_with("6,3]"), "{folder}: {dims}");
        let text = String::from_utf8(place.read(&format!("{folder}_run/metrics.jsonl"))).expect("UTF-8");
        assert!(text.contains("valid_error"), "{folder}: {text}");
    }
    place.kiln("eval split_run").ok();
    // Grey images fit a run in colour; images in colour fit a grey run only where their channels are equal.
    for i in 0..6u8 {
        place.write(&format!("grey/{i}.png"), &picture(30 * i, i, false));
        place.write(&format!("coloured/{i}.png"), &picture(30 * i, i, true));
        let mut bytes = std::io::Cursor::new(Vec::new());
        let same = image::RgbImage::from_fn(6, 6, |x, y| image::Rgb([if (x, y) == (0, 0) { i } else { 30 * i }; 3]));
        same.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
        place.write(&format!("same/{i}.png"), &bytes.into_inner());
    }
    place.kiln("eval split_run --data grey:all").ok();
    place.kiln(&format!("train vae --data grey:all --out grey_run {vae}")).ok();
    let nats = |data: &str| place.kiln(&format!("eval grey_run --data {data} --json")).json()["nats"].as_f64().expect("nats");
    assert_eq!(nats("grey:all"), nats("same:all"));
    place.kiln("eval grey_run --data coloured:all").refused(2, &["coloured", "6×6×3", "6×6×1", "colour"]);
}

/// Training lines of a run's metrics, for what is not said elsewhere.
fn metrics(place: &Place, run: &str) -> String {
    String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))).expect("UTF-8")
}

#[test]
fn what_is_measured_unasked_was_not_trained_on() {
    let place = Place::new();
    let set: String = program::SMALL.iter().map(|s| format!(" --set {s}")).collect();
    let train = |data: &str, out: &str| place.kiln(&format!("train pixelcnn --data {data} --out {out} --steps 1 --batch 2 -q{set}")).ok();
    place.write("latest.npy", &npy(&[40, 6, 6], &program::noise(40 * 36, 256)));
    // A lone file has no test split, whatever it is called, and its name holds "test".
    for (split, way_out) in [("", "latest.npy:valid"), (":train", "latest.npy:valid"), (":all", "--data"), (":valid", "latest.npy:train")] {
        let run = format!("run{}", split.replace(':', "-"));
        train(&format!("latest.npy{split}"), &run);
        for command in ["eval", "score --out s.npy"] {
            place.kiln(&format!("{command} {run}")).refused(2, &["latest.npy has no test split", way_out]);
        }
    }
    train("latest.npy --limit 16", "few");
    place.kiln("eval few").refused(2, &["no test split", "latest.npy:valid"]);
    place.kiln("eval few --data latest.npy:valid").ok();
    // Where there is a test split it is taken, unless it was trained on.
    digits(&place, "data", "train", &[0, 1].repeat(20));
    digits(&place, "data", "t10k", &[0, 1].repeat(4));
    for split in ["", ":train", ":all", ":valid"] {
        let run = format!("of-data{}", split.replace(':', "-"));
        train(&format!("data{split}"), &run);
        let said = place.kiln(&format!("eval {run} --json")).json();
        assert_eq!(said["images"], 8, "{split}");
        assert!(said["data"].as_str().is_some_and(|data| data.ends_with("data:test")), "{said}");
    }
    train("data:test", "tested");
    place.kiln("eval tested").refused(2, &["trained on", "data:test", ":train"]);
    // In a folder of IDX files a word of the name is a split; a part of a word is none.
    digits(&place, "other", "latest", &[0, 1].repeat(20));
    train("other", "other_run");
    place.kiln("eval other_run").refused(2, &["no test split"]);
    // A lone IDX file is training data too.
    train("data/t10k-images-idx3-ubyte", "lone");
    assert_eq!(recipe(&place, "lone")["data"]["count"].as_integer(), Some(7));
}

#[test]
fn a_part_is_seeded_stratified_and_named() {
    let place = Place::new();
    // Sorted by class, as binarized MNIST's test split is.
    let sorted: Vec<u8> = (0..4).flat_map(|class| [class; 60]).collect();
    digits(&place, "data", "train", &sorted);
    digits(&place, "data", "t10k", &sorted);
    place.kiln(&format!("train vae --data data --steps 2 --set valid_items=12 --set valid_every=1 --out run {CVAE}")).ok();
    assert!(metrics(&place, "run").contains("a seeded random 12 of ") && metrics(&place, "run").contains("data:valid"));
    let said = place.kiln("eval run --limit 40 --json").json();
    assert!(said["data"].as_str().is_some_and(|d| d.starts_with("a seeded random 40 of ") && d.ends_with("data:test")), "{said}");
    assert!(place.kiln("eval run --limit 40").ok().out.contains("a seeded random 40 of "));
    place.kiln("encode run --limit 40 --out c.npy").ok();
    let bytes = place.read("c.labels.npy");
    let labels: Vec<u32> = npyz::NpyFile::new(&bytes[..]).expect("npy").into_vec().expect("labels");
    for class in 0..4 {
        let count = labels.iter().filter(|l| **l == class).count();
        assert!((9..=11).contains(&count), "class {class} has {count} of 40");
    }
    // Another run, of another seed, holds out the same images and takes the same part.
    place.kiln(&format!("train vae --data data --steps 1 --seed 9 --out other {CVAE}")).ok();
    place.kiln("encode other --limit 40 --out d.npy").ok();
    assert_eq!(place.read("d.labels.npy"), bytes);
    place.kiln("encode run --limit 20 --out e.npy").ok();
    assert_eq!(place.array("e.npy").1, place.array("c.npy").1[..20 * 2]);
}

#[test]
fn a_run_goes_on_with_moved_data_that_is_the_same() {
    let place = Place::new();
    let bytes = program::noise(40 * 36, 256);
    place.write("data.npy", &npy(&[40, 6, 6], &bytes));
    for (split, out) in [("", "parts"), (":all", "all")] {
        place.train(out, &format!("--data data.npy{split} --steps 2")).ok();
        place.train(&format!("{out}_whole"), &format!("--data data.npy{split} --steps 4")).ok();
    }
    let digest = recipe(&place, "all")["data"]["digest"].clone();
    assert!(digest.as_str().is_some_and(|d| d.starts_with("sha256:") && d.len() == 71), "{digest}");
    assert_eq!(recipe(&place, "all")["data"]["digest_of"].as_str(), Some("all 40 items"));
    std::fs::rename(place.path("data.npy"), place.path("moved.npy")).expect("moved");
    let mut changed = bytes.clone();
    changed[700] ^= 1;
    place.write("changed.npy", &npy(&[40, 6, 6], &changed));
    place.write("longer.npy", &npy(&[41, 6, 6], &[&bytes[..], &[7; 36]].concat()));
    let before = place.files("all");
    place.kiln("train --resume all --steps 4 -q").refused(2, &["data.npy", "--data"]);
    place.kiln("train --resume all --steps 4 -q --data changed.npy").refused(2, &["changed.npy", "digest differs"]);
    place.kiln("train --resume all --steps 4 -q --data longer.npy:all").refused(2, &["41 items", "40"]);
    place.kiln("train --resume all --steps 4 -q --data moved.npy:train").refused(2, &["items", "40"]);
    assert_eq!(place.files("all"), before);
    for run in ["parts", "all"] {
        // The split stays where none is named.
        place.kiln(&format!("train --resume {run} --steps 4 -q --data moved.npy")).ok();
        let (ours, whole) = (format!("{run}/checkpoint.safetensors"), format!("{run}_whole/checkpoint.safetensors"));
        assert_eq!(place.tensors(&ours), place.tensors(&whole), "{run}");
        let recipe = recipe(&place, run);
        assert!(recipe["data"]["source"].as_str().is_some_and(|s| s.contains("moved.npy")));
        let change = &recipe["history"].as_array().expect("a history")[0];
        assert_eq!(change["step"].as_integer(), Some(2));
        assert_eq!(change["key"].as_str(), Some("data.source"));
        assert!(change["was"].to_string().contains("data.npy") && change["now"].to_string().contains("moved.npy"), "{change}");
        place.kiln(&format!("train --resume {run} --steps 5 -q")).ok();
    }
    // The same place with other content is not the same data.
    place.write("moved.npy", &npy(&[40, 6, 6], &changed));
    place.kiln("train --resume all --steps 9 -q").refused(2, &["digest differs"]);
}

#[test]
fn a_class_or_an_image_added_before_a_run_goes_on_is_refused() {
    let place = Place::new();
    classes(&place, "data", 8, &FRUIT);
    place.kiln(&format!("train cvae --data data --steps 2 --out run {CVAE}")).ok();
    let before = place.files("run");
    classes(&place, "data", 8, &[("aardvark", 120)]);
    place.kiln("train --resume run --steps 4 -q").refused(2, &["4 classes", "aardvark", "3 classes (apple, bear, cat)"]);
    std::fs::remove_dir_all(place.path("data/aardvark")).expect("removed");
    place.write("data/bear/9.png", &picture(120, 9, false));
    place.kiln("train --resume run --steps 4 -q").refused(2, &["items"]);
    std::fs::rename(place.path("data/bear/9.png"), place.path("data/bear/7.png")).expect("replaced");
    place.kiln("train --resume run --steps 4 -q").refused(2, &["digest differs"]);
    assert_eq!(place.files("run"), before);
    place.write("data/bear/7.png", &picture(120, 7, false));
    place.kiln("train --resume run --steps 4 -q").ok();
}

#[test]
fn a_run_reads_its_own_pictures() {
    let place = Place::new();
    place.train("run", "--steps 3").ok();
    place.kiln("sample run -n 5 --out s").ok();
    place.kiln("score run --data s:all --out o.npy").ok();
    assert_eq!(place.array("o.npy").0, [5]);
    assert!(place.array("o.npy").1.iter().all(|v| v.is_finite() && *v < 0.0));
    // What was drawn scores as it was drawn: black and white needs no binarization.
    let drawn = place.kiln("sample run -n 5 --out t --json").json()["mean_log_p"].as_f64().expect("log p");
    let read = -place.kiln("eval run --data t:all --json").json()["nats"].as_f64().expect("nats");
    assert!((drawn - read).abs() < 1e-3 * drawn.abs(), "{drawn} against {read}");
}

#[test]
fn a_recipe_whose_classes_contradict_themselves_is_refused() {
    let place = Place::new();
    place.train("run", "--steps 1").ok();
    let whole = String::from_utf8(place.read("run/recipe.toml")).expect("UTF-8");
    place.write("run/recipe.toml", whole.replace("classes = 10", "classes = 11").as_bytes());
    place.kiln("eval run --limit 4").refused(1, &["recipe.toml", "class_names"]);
}
