//! Data of every form, and those that are refused.

use crate::program::{Place, idx, noise, npy, png};
use crate::trained;

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
