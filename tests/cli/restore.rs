//! `kiln colorize` and `kiln upscale`.

use crate::program::{Place, png};

/// 16 training and 6 test images in colour, 8×8.
fn place() -> Place {
    let place = Place::new();
    let picture = |shade: u8| {
        let image = image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([shade.wrapping_add(20 * x as u8), 255 - shade, 30 * y as u8]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
        bytes.into_inner()
    };
    for i in 0..16u8 {
        place.write(&format!("data/train/{i}.png"), &picture(9 * i));
    }
    for i in 0..6u8 {
        place.write(&format!("data/test/{i}.png"), &picture(20 * i + 3));
    }
    place.write("grey.png", &png(8, 8, 90));
    place.write("small.png", &png(4, 4, 90));
    place
}

fn train(place: &Place, out: &str, words: &str) {
    let small = "--set filters=8 --set multipliers=[1,1] --set blocks=1 --set heads=2 --set attention=[] --set timesteps=20 --batch 4 --steps 3 --set sample_every=2";
    place.kiln(&format!("train diffusion --data data {small} --out {out} -q {words}")).ok();
}

#[test]
fn images_are_drawn_from_their_luma_which_stays() {
    let place = place();
    train(&place, "run", "--set task=colorize");
    let words = "colorize run --data data:test -n 4 -k 2 --steps 4";
    let said = place.kiln(&format!("{words} --out c.npy --json")).json();
    let (shape, values) = place.array("c.npy");
    assert_eq!(shape, [4, 2, 8, 8, 3]);
    let figures = &said["figures"];
    // As far as values go: what would leave 0..1 is cut.
    assert!(figures["consistency"].as_f64().is_some_and(|off| off < 0.02), "{said}");
    assert!(figures["of_rule"]["psnr"].as_f64().is_some() && figures["colourfulness_of_truth"].as_f64().is_some_and(|c| c > 10.0));
    assert!(values[..192] != values[192..384], "two samples of one image are one");
    place.kiln(&format!("{words} --out again.npy -q")).ok();
    assert_eq!(place.array("again.npy").1, values);
    place.kiln(&format!("{words} --out c.png -q")).ok();
    place.kiln("colorize run --image grey.png -k 2 --steps 3 --out one.png -q").ok();
    assert!(place.path("c.png").is_file() && place.path("one.png").is_file());
    // A folder of pictures, by whichever flag: each is drawn, and nothing is known of the truth.
    for i in 0..3u8 {
        place.write(&format!("greys/shade{i}.png"), &png(8, 8, 60 * i));
    }
    let folder = |words: &str| place.kiln(&format!("colorize run -k 2 --steps 3 {words}"));
    let said = folder("--image greys --out f.npy --json").json();
    assert!((&said["images"], &said["figures"]) == (&3.into(), &serde_json::Value::Null) && place.array("f.npy").0 == [3, 2, 8, 8, 3]);
    let said = folder("--data greys --out f --json").json();
    assert!((&said["images"], &said["figures"]) == (&3.into(), &serde_json::Value::Null));
    let written = place.files("f");
    let names: Vec<_> = (0..3).flat_map(|i| (1..3).map(move |k| format!("shade{i}-{k}.png"))).collect();
    assert!(written.len() == 6 && names.iter().all(|name| place.path("f").join(name).is_file()), "{:?}", written.keys());
    let (array, first) = (place.array("f.npy").1, image::open(place.path("f/shade0-1.png")).expect("a picture").to_rgb8());
    assert!(first.as_raw().iter().zip(&array).all(|(byte, v)| (f32::from(*byte) - 255.0 * v).abs() <= 0.5), "the same draws");
    folder("--image greys --out f").refused(2, &["holds something already", "new folder"]);
    folder("--image greys -n 2 --out x.png").refused(2, &["-n", "-k"]);
    folder("--data greys -n 2 --out x.png").refused(2, &["-n", "-k"]);
    folder("--image grey.png -n 2 --out x.png").refused(2, &["-n", "-k"]);
    folder("--image grey.png --out x.jpg").refused(2, &[".png or .npy"]);
    place.write("greys/other.png", &png(9, 8, 90));
    folder("--image greys --out x.png").refused(2, &["other.png is 8×9", "8×8", "one size"]);
    std::fs::create_dir(place.path("empty")).expect("a folder");
    folder("--image empty --out x.png").refused(2, &["empty holds no pictures"]);
    // Its bound is that of the image given its luma.
    let bound = place.kiln("eval run --data data:test --set steps=5 --json").json();
    assert!(bound["bits_per_dim"].as_f64().is_some_and(f64::is_finite) && bound["given"] == "its luma", "{bound}");
    // Nothing is drawn of nothing.
    for command in [
        "sample run -n 2 --out x.png",
        "complete run --data data:test -n 2 --keep top:4 --out x.png",
        "encode run --data data:test --out x.npy",
    ] {
        place.kiln(command).refused(2, &["task=colorize"]);
    }
    place.kiln("upscale run --image small.png --out x.png").refused(2, &["task=upscale"]);
    place.kiln("colorize run --image small.png --out x.png").refused(1, &["is 4×4", "8×8"]);
    assert!(!place.path("x.png").exists() && !place.path("x.npy").exists());
}

#[test]
fn small_images_are_enlarged_by_noise_and_pixel_by_pixel() {
    let place = place();
    train(&place, "run", "--set task=upscale --set factor=2");
    let said = place.kiln("upscale run --data data:test -n 3 -k 2 --steps 4 --out u.npy --json").json();
    assert_eq!(place.array("u.npy").0, [3, 2, 8, 8, 3]);
    assert!(said["figures"]["rule"] == "bicubic" && said["figures"]["of_means"]["ssim"].as_f64().is_some());
    place.kiln("upscale run --image small.png --steps 3 --out one.png -q").ok();
    place.write("smalls/a.png", &png(4, 4, 90));
    let said = place.kiln("upscale run --data smalls -k 1 --steps 3 --out s.npy").ok().out;
    assert!(said.starts_with("enlarged 1 image of smalls, 1 time each"), "{said}");
    assert_eq!(place.array("s.npy").0, [1, 1, 8, 8, 3]);
    let scales = "--set scales=2 --set layers=1 --set hidden=6 --set head=6 --set levels=4 --batch 4 --steps 2 --set sample_every=0";
    place.kiln(&format!("train gated-pixelcnn --data data --out fine -q {scales}")).ok();
    let said = place.kiln("upscale fine --data data:test -n 2 -k 2 --out f.npy --json").json();
    assert!(said["how"].as_str().is_some_and(|how| how.contains("pixel by pixel")));
    // Pixels that are given stand in every sample, in the run's levels.
    let (_, values) = place.array("f.npy");
    let at = |sample: usize, y: usize, x: usize| &values[((sample * 8 + y) * 8 + x) * 3..][..3];
    assert!((0..4).all(|y| (0..4).all(|x| at(0, 2 * y, 2 * x) == at(1, 2 * y, 2 * x))));
    assert!((0..8).any(|y| (0..8).any(|x| at(0, y, x) != at(1, y, x))));
    place.kiln("colorize fine --image grey.png --out x.png").refused(2, &["task=colorize"]);
    place.kiln("upscale fine --image smalls -k 1 --out s.npy").ok();
    place.kiln("upscale fine --image small.png --steps 3 --out x.png").refused(2, &["--steps"]);
    place.kiln("upscale run --data data:test -k 0 --out x.png").refused(2, &["-k must be at least 1"]);
    for (words, said) in [
        ("--set task=upscale --set factor=3", "2 or 4"),
        ("--set factor=2", "task=upscale"),
        ("--set task=sharpen", "task=sharpen"),
        ("--set task=colorize --set channels=1", "in colour"),
    ] {
        place.kiln(&format!("train diffusion --data data --out x {words}")).refused(2, &[said]);
    }
}

#[test]
fn colours_of_a_luma_are_drawn_exactly_and_the_luma_stays_bit_for_bit() {
    let place = place();
    let small = "--set task=colorize --set layers=1 --set hidden=6 --set head=6 --batch 4 --steps 2 --set sample_every=1";
    place.kiln(&format!("train gated-pixelcnn --data data --out run -q {small}")).ok();
    let said = place.kiln("colorize run --data data:test -n 4 -k 2 --out c.npy --json").json();
    assert!(said["how"].as_str().is_some_and(|how| how.contains("exactly given the luma")), "{said}");
    assert_eq!(said["figures"]["consistency"], 0.0);
    let (shape, values) = place.array("c.npy");
    assert_eq!(shape, [4, 2, 8, 8, 3]);
    assert!(values[..192] != values[192..384], "two samples of one image are one");
    // Of a grey picture Y is its bytes.
    place.kiln("colorize run --image grey.png -k 2 --out one.npy -q").ok();
    let luma = |pixel: &[f32]| kiln::model::chroma::of_pixel([0, 1, 2].map(|k| (pixel[k] * 255.0).round() as i32)).0;
    let (_, drawn) = place.array("one.npy");
    let grey = image::open(place.path("grey.png")).expect("a picture").to_luma8();
    assert!(drawn.chunks(3).zip(grey.as_raw().iter().cycle()).all(|(pixel, byte)| luma(pixel) == i32::from(*byte)));
    assert!(drawn.chunks(3).any(|pixel| pixel[0] != pixel[1]));
    place.kiln("colorize run --image grey.png -k 2 --out one.png -q").ok();
    // What the colours cost, of all values of an image.
    let said = place.kiln("eval run --data data:test").ok().out;
    assert!(said.contains("−log p = ") && said.contains("of each image given its luma"), "{said}");
    let info = place.kiln("info run").ok().out;
    assert!(info.contains("kiln colorize run") && !info.contains("kiln sample") && !info.contains("kiln complete"), "{info}");
    for command in ["sample run -n 2 --out x.png", "complete run --data data:test -n 2 --keep top:4 --out x.png"] {
        place.kiln(command).refused(2, &["kiln colorize"]);
    }
    place.kiln("upscale run --image small.png --out x.png").refused(2, &["task=upscale"]);
    place.kiln("colorize run --image grey.png --steps 3 --out x.png").refused(2, &["--steps"]);
    place.kiln("colorize run --image small.png --out x.png").refused(1, &["is 4×4", "8×8"]);
    for (words, said) in [
        ("--set task=upscale", "scales=2"),
        ("--set task=colorize --set levels=4", "levels"),
        ("--set task=colorize --set scales=2", "scales"),
        ("--set task=colorize --set likelihood=mixture", "likelihood"),
        ("--set task=colorize --set channels=1", "red, green and blue"),
    ] {
        place.kiln(&format!("train gated-pixelcnn --data data --out x {words}")).refused(2, &[said]);
    }
    assert!(!place.path("x").exists() && !place.path("x.png").exists());
}
