//! Data of every form, and those that are refused.

use crate::program::{Place, Ran, idx, noise, npy, png};
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
    refused("mixed:all", 1, &["b.png", "5×5", "5×6", "resize"]);
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
    place.kiln("sample run -n 1 --out x.png --overwrite").refused(2, &["--overwrite", "folder"]);
    place.kiln("complete run --data builtin:digits:test --keep top:0 --out x.png").refused(2, &["keeps nothing", "kiln sample"]);
    place.kiln("complete run --data builtin:digits:test --keep top:28 --out x.png").refused(2, &["keeps all"]);
    place.kiln("complete run --data builtin:digits:test --keep top:9 --teacher-forced --out x.png").refused(2, &["--teacher-forced"]);
    place.kiln("theory --steps 0 --out x.png").refused(2, &["--steps"]);
    place.train("twice", "--steps 3 --set steps=4").refused(2, &["--steps 3", "steps=4"]);
    place.train("twice", "--set steps=4 --epochs 1").refused(2, &["--epochs", "steps="]);
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

/// The values of the first item of a source as settings read it.
fn first(place: &Place, source: &str, settings: &str) -> ([usize; 3], Vec<f32>) {
    let mut settings = settings.parse().expect("settings");
    let reading = kiln::data::Reading::take(&mut settings).expect("settings");
    let options = kiln::data::OpenOptions { reading, ..Default::default() };
    let path = place.path(source);
    let source = kiln::data::open(path.to_str().expect("UTF-8"), kiln::data::Split::All, &options).expect("opens");
    let mut item = vec![0.0; kiln::data::item_len(source.dims())];
    source.read(0, &mut item).expect("reads");
    (source.dims(), item)
}

/// An array of another type than bytes.
fn of_type(descr: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let plain = npy(shape, bytes);
    let at = plain.windows(3).position(|w| w == b"|u1").expect("a type");
    [&plain[..at], descr.as_bytes(), &plain[at + 3..]].concat()
}

#[test]
fn who_follows_a_hint_gets_the_images_that_were_meant() {
    let place = Place::new();
    let tried = |data: &str| -> Ran { place.train("run", &format!("--data {data}:all --steps 1")) };
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    // A range, as it is proposed.
    place.write("deep.npy", &of_type("<f4", &[2, 3, 1], &floats(&[-4.0, 0.0, 4.0, 1.0, 2.0, 3.0])));
    tried("deep.npy").refused(1, &["--set range=LOW..HIGH, such as range=-4..4"]);
    assert_eq!(first(&place, "deep.npy", "range = '-4..4'").1, [0.0, 128.0, 255.0]);
    // Channels first.
    place.write("planes.npy", &npy(&[1, 3, 2, 2], &(0..12).collect::<Vec<u8>>()));
    tried("planes.npy").refused(1, &["--set layout=nchw"]);
    assert_eq!(first(&place, "planes.npy", "layout = 'nchw'").1[..3], [0.0, 4.0, 8.0]);
    // One picture, or many of three pixels a row: neither is guessed.
    let bytes: Vec<u8> = (0..24).collect();
    place.write("one.npy", &npy(&[2, 4, 3], &bytes));
    tried("one.npy").refused(1, &["x[None] for one picture of 2×4", "x[..., None] for 2 of 4×3"]);
    place.write("none.npy", &npy(&[1, 2, 4, 3], &bytes));
    assert_eq!(first(&place, "none.npy", "").0, [2, 4, 3]);
    place.write("many.npy", &npy(&[2, 4, 3, 1], &bytes));
    assert_eq!(first(&place, "many.npy", "").0, [4, 3, 1]);
    // Rows of pixels.
    place.write("flat.npy", &npy(&[6, 4], &bytes));
    tried("flat.npy").refused(1, &["x.reshape(-1, 2, 2)", "--set window="]);
    place.write("alpha.npy", &npy(&[1, 2, 3, 4], &bytes));
    tried("alpha.npy").refused(1, &["x[..., :3]"]);
    // Half floats need no hint.
    place.write("half.npy", &of_type("<f2", &[1, 1, 2], &[0, 0, 0, 0x3C]));
    assert_eq!(first(&place, "half.npy", "").1, [0.0, 255.0]);
    place.write("complex.npy", &of_type("<c8", &[1, 1, 2], &[0; 16]));
    tried("complex.npy").refused(1, &["<c8", "numpy.float32"]);
    // Sizes that differ.
    place.write("mixed/a.png", &png(6, 4, 10));
    place.write("mixed/b.png", &png(4, 4, 10));
    tried("mixed").refused(1, &["--set size=HxW", "resize=N"]);
    assert_eq!(first(&place, "mixed", "size = '4x6'").0, [4, 6, 1]);
}

#[test]
fn odd_folders_are_read_or_refused_with_the_command_that_works() {
    let place = Place::new();
    let vae = |data: &str, words: &str| {
        let _ = std::fs::remove_dir_all(place.path("run"));
        let small = "--set form=mlp --set hidden=4 --set latent=2 --set binarization=dynamic --steps 1 --set sample_every=0 --out run -q";
        place.kiln(&format!("train vae --data {data} {small} {words}"))
    };
    for i in 0..5 {
        place.write(&format!("stray/{i}.png"), &png(4, 4, i * 40));
        place.write(&format!("deep/a/b/{i}.png"), &png(4, 4, i * 40));
    }
    place.write("stray/thumbs/small.png", &png(4, 4, 9));
    vae("stray:all", "--batch 2").refused(1, &["thumbs", "--data 'stray/*.*'", "'stray/*/*'"]);
    vae("stray/*.*:all", "--batch 5").ok();
    vae("stray/*/*:all", "--batch 1").ok();
    vae("deep:all", "--batch 2").refused(1, &["deep/a/b", "name that folder"]);
    vae("deep/a/b", "").refused(2, &["deep/a/b:train has 4", "--batch 4 or less"]);
    vae("deep/a/b", "--batch 4").ok();
    place.kiln("eval run --data deep/a/b:all").ok();
    // Neighbours are looked for among the training images alone.
    place.kiln("neighbors run -n 2 --out near.png").ok();
    // One image of each class, and a judge's batch of more than there are.
    for class in ["a", "b"] {
        place.write(&format!("two/{class}/0.png"), &png(4, 4, 90));
    }
    vae("two:all", "--batch 2").ok();
    let ran = place.kiln("eval run --data two:all --set quality=true --set samples=2 --set classifier_steps=2");
    assert!(ran.code == Some(0) || ran.code == Some(2) && ran.err.lines().count() == 1, "{}", ran.err);
}
