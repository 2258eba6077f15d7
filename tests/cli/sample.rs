//! `kiln sample`.

use crate::program::{Place, npy, png};
use crate::{trained, vae};

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
        let file = image::open(place.path(&format!("files/{i:05}.png"))).expect("a picture");
        assert_eq!(file.color(), image::ColorType::L8, "grey samples are grey files");
        let file = file.to_luma8();
        assert_eq!(file.dimensions(), (28, 28));
        assert!(file.as_raw().iter().zip(image).all(|(byte, v)| f32::from(*byte) == 255.0 * v), "image {i}");
    }
    assert!(!place.path("files/00005.png").exists());
    place.kiln("sample run -n 2 --seed 3 --method naive --out naive.npy").ok();
    assert_eq!(place.array("naive.npy").1, values[..2 * 784], "the naive sampler draws the same images, however many");
}

#[test]
fn a_folder_never_holds_the_pictures_of_two_samples() {
    let place = trained();
    place.kiln("sample run -n 7 --out s").ok();
    place.kiln("sample run -n 3 --out s").refused(2, &["7 pictures", "--overwrite"]);
    assert_eq!(place.files("s").len(), 7);
    place.kiln("sample run -n 3 --out s --overwrite").ok();
    assert_eq!(place.files("s").len(), 3);
    place.write("s/holiday.png", b"precious");
    place.kiln("sample run -n 3 --out s --overwrite").refused(2, &["holiday.png", "folder"]);
    assert_eq!(place.read("s/holiday.png"), b"precious");
    assert_eq!(place.files("s").len(), 4);
    std::fs::create_dir(place.path("empty")).expect("a folder");
    place.kiln("sample run -n 1 --out empty").ok();
    place.kiln("sample run -n 100000 --out many.png").refused(2, &["at most 4096", ".npy"]);
}

#[test]
fn samples_of_classes_are_data_with_those_classes() {
    let place = Place::new();
    for i in 0..12 {
        place.write(&format!("data/{}/{i}.png", ["cats", "dogs"][i as usize % 2]), &png(8, 8, i * 20));
    }
    let set = "--set form=mlp --set hidden=8 --set latent=2 --set binarization=threshold --set sample_every=0";
    place.kiln(&format!("train cvae --data data:all {set} --batch 2 --steps 1 --out run -q")).ok();
    place.kiln("sample run -n 5 --out drawn").ok();
    let files: Vec<String> = place.files("drawn").keys().map(|path| path.file_name().expect("a name").to_string_lossy().into()).collect();
    assert_eq!(files, ["00000.png", "00002.png", "00004.png", "00001.png", "00003.png"]);
    place.kiln("score run --data drawn:all --out scores.npy").ok();
    place.kiln("sample run -n 2 --out drawn").refused(2, &["5 pictures", "--overwrite"]);
    place.kiln("sample run -n 2 --class dogs --out drawn --overwrite").ok();
    assert_eq!((place.files("drawn").len(), place.path("drawn/cats").exists()), (2, false));
    place.write("drawn/dogs/photo.png", b"precious");
    place.kiln("sample run -n 2 --out drawn --overwrite").refused(2, &["dogs/photo.png"]);
    place.kiln("sample run -n 3 --class dogs --out a.npy").ok();
    let labels: Vec<i64> = npyz::NpyFile::new(&place.read("a.labels.npy")[..]).expect("npy").into_vec().expect("int64");
    assert_eq!(labels, [1, 1, 1]);
    let place = trained();
    place.write("a.labels.npy", b"of something else");
    place.kiln("sample run -n 3 --out a.npy").refused(2, &["a.labels.npy", "move it away"]);
}

#[test]
fn latents_go_out_and_come_back_in() {
    let place = vae();
    place.kiln("sample vae -n 3 --method naive --out x.npy").refused(2, &["--method naive", "pixel by pixel"]);
    place.kiln("latents vae -n 0 --out lat").refused(2, &["-n 1"]);
    let said = place.kiln("sample vae -n 300 --seed 4 --out a.npy --save-z z.npy --json").json();
    assert!(said["weights"].as_str().is_some_and(|w| w.contains("newest checkpoint")), "{said}");
    let (shape, z) = place.array("z.npy");
    assert_eq!(shape, [300, 3]);
    // More than are drawn at a time; and as many as the file holds, without a seed.
    let said = place.kiln("sample vae --z z.npy --out b.npy --json").json();
    assert_eq!((&said["count"], &said["seed"]), (&300.into(), &serde_json::Value::Null));
    let images = place.array("a.npy").1;
    assert_eq!(place.array("b.npy").1, images);
    place.kiln("sample vae --z z.npy -n 2 --out c.npy").ok();
    assert_eq!(place.array("c.npy").1, images[..2 * 784]);
    // At a temperature the latents are scaled, and saved as they were used.
    place.kiln("sample vae -n 2 --seed 4 --temperature 0.5 --out d.npy --save-z half.npy").ok();
    assert!(place.array("half.npy").1.iter().zip(&z).all(|(half, z)| *half == 0.5 * z));

    place.kiln("sample vae --z z.npy -n 301 --out x.npy").refused(2, &["300 latents", "301"]);
    place.kiln("sample vae --z a.npy --out x.npy").refused(2, &["a.npy", "[N, 3]"]);
    place.write("bytes.npy", &npy(&[2, 3], &[1; 6]));
    place.kiln("sample vae --z bytes.npy --out x.npy").refused(1, &["bytes.npy", "float32"]);
    place.kiln("sample vae --z none.npy --out x.npy").refused(1, &["none.npy"]);
    place.kiln("sample vae --z z.npy --truncation 1 --out x.npy").refused(2, &["--truncation"]);
    place.kiln("sample vae --z z.npy --temperature 2 --out x.npy").refused(2, &["--temperature"]);
    place.kiln("sample vae --log-p p.npy --out x.npy").refused(2, &["vae", "--log-p"]);
    place.kiln("sample vae --save-z z.csv --out x.npy").refused(2, &["z.csv", ".npy"]);
    let place = trained();
    place.kiln("sample run -n 1 --save-z z.npy --out x.npy").refused(2, &["pixelcnn", "--save-z"]);
    place.kiln("sample run -n 1 --truncation 1 --out x.npy").refused(2, &["truncate"]);
    assert!(!place.path("x.npy").exists());
}

#[test]
fn log_p_of_samples_is_that_of_the_scorer() {
    let place = trained();
    let said = place.kiln("sample run -n 4 --out a.npy --log-p p.csv --json").json();
    assert!(said["weights"].as_str().is_some_and(|w| w.contains("averaged")), "{said}");
    let bytes: Vec<u8> = place.array("a.npy").1.iter().map(|v| (255.0 * v) as u8).collect();
    place.write("bits.npy", &npy(&[4, 28, 28], &bytes));
    place.kiln("score run --data bits.npy:all --out s.npy").ok();
    let text = String::from_utf8(place.read("p.csv")).expect("UTF-8");
    let log_p: Vec<f64> = text.lines().skip(1).map(|l| l.parse().expect("a number")).collect();
    assert!(text.starts_with("log_p\n") && log_p.len() == 4);
    for (drawn, scored) in log_p.iter().zip(place.array("s.npy").1) {
        assert!((drawn - f64::from(scored)).abs() < 1e-2, "{drawn}, {scored}");
    }
}
