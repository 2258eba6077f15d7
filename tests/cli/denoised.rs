//! What the commands do with a diffusion run.

use std::fs::File;
use std::io::BufReader;

use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;

use crate::program::{Place, npy, png};
use crate::{denoiser, trained, vae};

/// Mean distance of values.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len() as f64
}

/// The last so many columns of 28×28 images in a row of a grid.
fn cells(place: &Place, name: &str, count: u32) -> image::RgbImage {
    let picture = image::open(place.path(name)).expect("a picture").to_rgb8();
    let width = count * 59;
    image::imageops::crop_imm(&picture, picture.width() - width, picture.height() - 59, width, 59).to_image()
}

#[test]
fn trajectories_go_from_noise_to_the_images() {
    let place = denoiser(2, "");
    let words = "sample noise -n 9 --steps 10 --seed 2 --out grid.png --trajectory";
    let said = place.kiln(&format!("{words} way.png --json")).json();
    assert_eq!(said["trajectory"], "way.png");
    let strip = image::open(place.path("way.png")).expect("a picture").to_rgb8();
    // Eight rows of eleven points, with captions above.
    assert!(strip.width() == 3 + 11 * 59 && strip.height() > 3 + 8 * 59 && strip.height() < 3 + 9 * 59, "{:?}", strip.dimensions());
    let grid = image::open(place.path("grid.png")).expect("a picture").to_rgb8();
    let file = |name: &str| BufReader::new(File::open(place.path(name)).expect("a file"));

    place.kiln(&format!("{words} way.apng")).ok();
    let frames = PngDecoder::new(file("way.apng")).and_then(PngDecoder::apng).expect("an animation").into_frames();
    let frames = frames.collect_frames().expect("frames");
    assert_eq!(frames.len(), 11);
    let shown = |i: usize| image::DynamicImage::from(frames[i].buffer().clone()).to_rgb8();
    assert_eq!(shown(10), grid, "the last frame is what is drawn");
    assert_ne!(shown(0), grid);

    place.kiln(&format!("{words} way.gif")).ok();
    let frames = GifDecoder::new(file("way.gif")).expect("a GIF").into_frames().collect_frames().expect("frames");
    assert_eq!((frames.len(), frames[0].buffer().dimensions()), (11, grid.dimensions()));
    // Heun asks twice a step, and a strip shows no half steps.
    place.kiln("sample noise -n 1 --steps 3 --sampler heun --out one.png --trajectory heun.png").ok();
    assert_eq!(image::open(place.path("heun.png")).expect("a picture").width(), 3 + 4 * 59);

    place.kiln("sample noise -n 1 --out x.png --trajectory way.svg").refused(2, &["way.svg", ".png or .gif or .apng"]);
    place.kiln("sample noise -n 1 --steps 0 --out x.png").refused(2, &["at least 1 step"]);
    place.kiln("sample noise -n 1 --steps 51 --out x.png").refused(2, &["51 steps", "50"]);
    place.kiln("sample noise -n 1 --sampler fast --out x.png").refused(2, &["no sampler fast", "ddim"]);
    place.kiln("sample noise -n 1 --guidance 2 --out x.png").refused(2, &["--guidance", "conditional=true"]);
    let other = trained();
    other.kiln("sample run -n 1 --out x.png --trajectory way.png").refused(2, &["pixelcnn", "--trajectory"]);
    assert!(!place.path("x.png").exists() && !other.path("x.png").exists());
}

#[test]
fn images_are_noised_part_of_the_way_and_drawn_again() {
    let place = denoiser(2, "");
    place.kiln("sample noise --from builtin:digits:test -n 3 --strength 0 --out same.npy").ok();
    let (shape, same) = place.array("same.npy");
    assert_eq!(shape, [3, 28, 28, 1]);
    let bytes: Vec<u8> = same.iter().map(|v| (255.0 * v).round() as u8).collect();
    assert!(apart(&same, &bytes.iter().map(|b| f32::from(*b) / 255.0).collect::<Vec<_>>()) < 1e-6, "no strength, no change");
    place.write("three.npy", &npy(&[3, 28, 28], &bytes));
    let away = |strength: f64| {
        let words = format!("sample noise --from three.npy:all --steps 20 --strength {strength} --out some.npy --json");
        let said = place.kiln(&words).json();
        assert_eq!((&said["count"], said["strength"].as_f64()), (&3.into(), Some(strength)));
        apart(&place.array("some.npy").1, &same)
    };
    let found = [0.1, 0.4, 1.0].map(away);
    assert!(0.0 < found[0] && found[0] < found[1] && found[1] < found[2], "{found:?}");
    // A picture is varied, each time with other noise.
    place.write("one.png", &png(28, 28, 9));
    place.kiln("sample noise --from one.png -n 2 --steps 10 --strength 0.3 --out two.npy").ok();
    let two = place.array("two.npy").1;
    assert_ne!(two[..784], two[784..]);

    for strength in ["1.1", "-0.1", "nan"] {
        place.kiln(&format!("sample noise --from one.png --strength {strength} --out x.png")).refused(2, &["--strength", "0 (the image"]);
    }
    place.write("small.png", &png(5, 4, 0));
    place.kiln("sample noise --from small.png --out x.png").refused(1, &["small.png", "4×5", "28×28"]);
    place.kiln("sample noise --from none.png --out x.png").refused(1, &["none.png"]);
    place.kiln("sample noise --from three.npy:all -n 4 --out x.png").refused(2, &["3 images", "-n 3"]);
    place.kiln("sample noise --strength 0.5 --out x.png").refused(2, &["--from"]);
    place.kiln("sample noise --from one.png --z z.npy --out x.png").refused(2, &["--z"]);
    let other = vae();
    other.kiln("sample vae --from builtin:digits --out x.png").refused(2, &["vae", "diffusion"]);
    assert!(!place.path("x.png").exists() && !other.path("x.png").exists());
}

#[test]
fn what_becomes_noise_comes_back() {
    let place = denoiser(12, "--set conditional=true");
    let mut off = Vec::new();
    for (sampler, steps) in [("ddim", 10), ("ddim", 40), ("heun", 40)] {
        let words = format!("encode noise --data builtin:digits:test --limit 4 --steps {steps} --sampler {sampler} --out z.npy --json");
        let said = place.kiln(&words).json();
        assert_eq!((&said["images"], &said["latent"]), (&4.into(), &784.into()));
        assert_eq!(place.array("z.npy").0, [4, 784]);
        // The command's own figure is that of anyone who goes back by what it wrote.
        place.kiln(&format!("sample noise --z z.npy --labels z.labels.npy --steps {steps} --sampler {sampler} --out back.npy")).ok();
        place.kiln("sample noise --from builtin:digits:test -n 4 --strength 0 --out given.npy").ok();
        let found = apart(&place.array("back.npy").1, &place.array("given.npy").1);
        let told = said["round_trip"].as_f64().expect("a figure");
        assert!((found - told).abs() < 1e-4, "{sampler} {steps}: {found}, not {told}");
        off.push(told);
    }
    assert!(off[1] < off[0] && off[2] < off[0] && off[1] < 0.05, "more steps come nearer: {off:?}");

    for (words, reason) in
        [("--sampler ddpm", "ddpm"), ("--sampler dpm", "dpm"), ("--eta 0.5", "--eta"), ("--steps 0", "1 step"), ("--steps 51", "50")]
    {
        place.kiln(&format!("encode noise --data builtin:digits:test --limit 2 {words} --out x.npy")).refused(2, &[reason]);
    }
    place.kiln("sample noise --z z.npy --labels z.npy --out x.png").refused(1, &["z.npy", "uint32"]);
    place.kiln("sample noise --labels z.labels.npy --out x.png").refused(2, &["--z"]);
    place.kiln("sample noise --z z.npy --labels z.labels.npy --class 3 --out x.png").refused(2, &["--class"]);
    let other = vae();
    other.kiln("encode vae --steps 10 --out x.npy").refused(2, &["--steps", "vae"]);
    assert!(!place.path("x.npy").exists() && !place.path("x.png").exists() && !other.path("x.npy").exists());
}

/// A flow ends in noise of which nothing is the item's, and an EDM process in noise many times its size.
#[test]
fn processes_of_continuous_time_go_all_ways() {
    for noise in ["flow", "edm"] {
        let place = Place::new();
        let set = format!("--set preset=tiny --set noise={noise} --set ema=0 --set valid_every=0 --set sample_every=0");
        place.kiln(&format!("train diffusion --data builtin:digits --limit 32 --batch 8 --steps 2 --out noise -q {set}")).ok();
        let said = place.kiln("encode noise --data builtin:digits:test --limit 2 --steps 40 --out z.npy --json").json();
        let z = place.array("z.npy").1;
        let size = (z.iter().map(|v| f64::from(v * v)).sum::<f64>() / z.len() as f64).sqrt();
        assert!(size > 0.2 && size < 5.0, "{noise}: noise of deviation {size}");
        assert!(said["round_trip"].as_f64().is_some_and(|away| away < 0.1), "{noise}: {said}");
        place.kiln("complete noise --data builtin:digits:test -n 2 --steps 5 --keep left:9 --out rest.npy").ok();
        place.kiln("sample noise --from builtin:digits:test -n 2 --steps 8 --strength 0.5 --out some.npy --trajectory way.png").ok();
        assert!(["rest.npy", "some.npy"].iter().all(|name| place.array(name).1.iter().all(|v| (0.0..=1.0).contains(v))), "{noise}");
    }
}

#[test]
fn completions_keep_whatever_is_given_to_the_last_bit() {
    let place = denoiser(2, "");
    let inside = |i: usize| (i % 28) / 4 % 2 == (i / 28) / 4 % 2;
    image::GrayImage::from_fn(28, 28, |x, y| image::Luma([if inside((28 * y + x) as usize) { 255 } else { 0 }]))
        .save(place.path("board.png"))
        .expect("a picture");
    place.write("given.png", &png(28, 28, 90));
    let given = image::open(place.path("given.png")).expect("a picture").to_luma8();
    let mut drawn = Vec::new();
    for (words, passes) in
        [("--mask board.png --resample 1", 8), ("--mask board.png --resample 3", 24), ("--mask board.png --sampler dpm", 8)]
    {
        let said = place.kiln(&format!("complete noise --image given.png -n 2 --steps 8 {words} --out rest.npy --json")).json();
        assert_eq!(
            (&said["passes"], &said["exact"], &said["mean_log_p"]),
            (&passes.into(), &false.into(), &serde_json::Value::Null),
            "{words}"
        );
        let (shape, values) = place.array("rest.npy");
        assert_eq!(shape, [2, 28, 28, 1]);
        for (i, value) in values.iter().enumerate() {
            let byte = f32::from(given.as_raw()[i % 784]) / 255.0;
            assert!((0.0..=1.0).contains(value) && (!inside(i % 784) || *value == byte), "{words}: value {i}");
        }
        assert_ne!(values[..784], values[784..], "each completion is another");
        drawn.push(values);
    }
    assert!(drawn[0] != drawn[1] && drawn[0] != drawn[2]);
    for part in ["top:5", "bottom:5", "left:5", "right:5"] {
        place.kiln(&format!("complete noise --data builtin:digits:test -n 2 --steps 3 --resample 2 --keep {part} --out rest.png")).ok();
    }
    image::open(place.path("rest.png")).expect("a picture");

    place.write("small.png", &png(5, 4, 0));
    place.kiln("complete noise --image given.png --mask small.png --out x.png").refused(1, &["small.png", "4×5", "28×28"]);
    place.kiln("complete noise --image given.png --mask none.png --out x.png").refused(1, &["none.png"]);
    place.kiln("complete noise --image given.png --out x.png").refused(2, &["--keep"]);
    for (words, reasons) in [
        ("--keep top:5 --starts 4", ["diffusion", "--starts"]),
        ("--keep top:5 --resample 0", ["--resample", "at least 1"]),
        ("--keep top:5 --resample 2 --sampler heun", ["--resample 2", "heun"]),
        ("--keep top:5 --log-p p.npy", ["diffusion", "--log-p"]),
        ("--keep top:5 --temperature 0.5", ["diffusion", "--temperature"]),
        ("--keep top:5 --teacher-forced", ["diffusion", "--teacher-forced"]),
        ("--keep top:5 -n 0", ["at least one image", "-n 1"]),
        ("--keep top:5 --steps 51", ["51 steps", "50"]),
    ] {
        place.kiln(&format!("complete noise --image given.png {words} --out x.png")).refused(2, &reasons);
    }
    assert!(!place.path("x.png").exists());
}

#[test]
fn masks_are_for_models_that_draw_around_anything_or_begin_at_the_top() {
    let place = trained();
    let mask = |name: &str, kept: fn(u32) -> bool| {
        image::GrayImage::from_fn(28, 28, |_, y| image::Luma([if kept(y) { 255 } else { 0 }])).save(place.path(name)).expect("a picture");
    };
    mask("top.png", |y| y < 9);
    mask("low.png", |y| y > 9);
    let words = "complete run --data builtin:digits:test -n 2 --out";
    place.kiln(&format!("{words} a.npy --mask top.png")).ok();
    place.kiln(&format!("{words} b.npy --keep top:9")).ok();
    assert_eq!(place.array("a.npy"), place.array("b.npy"), "the same places are kept");
    place.kiln(&format!("{words} x.npy --mask low.png")).refused(2, &["--mask", "--teacher-forced", "diffusion"]);
    place.kiln(&format!("{words} x.npy --keep top:9 --resample 2")).refused(2, &["--resample", "pixelcnn"]);
    place.kiln(&format!("{words} x.npy --keep top:9 --steps 2")).refused(2, &["--steps", "pixelcnn"]);
    place.kiln(&format!("{words} x.npy --keep top:9 --walk 20")).refused(2, &["--walk", "pixelcnn"]);
    assert!(!place.path("x.npy").exists());
}

#[test]
fn ways_between_latents_begin_and_end_with_what_these_make() {
    let place = denoiser(2, "");
    place.kiln("interpolate noise -n 1 --steps 2 --noise-steps 6 --seed 4 --out ends.png").ok();
    place.kiln("sample noise -n 2 --steps 6 --sampler ddim --seed 4 --out two.png").ok();
    assert_eq!(cells(&place, "ends.png", 2), cells(&place, "two.png", 2));
    let said =
        place.kiln("interpolate noise -n 1 --data builtin:digits:test --steps 4 --noise-steps 6 --path both --out way.png --json").json();
    assert_eq!(said["pairs"], 1);
    // The image, four points, the image.
    let width = image::open(place.path("way.png")).expect("a picture").width();
    assert!(width > 6 * 59 && width < 8 * 59, "{width}");
    place.kiln("interpolate noise --sampler ddpm --out x.png").refused(2, &["ddpm", "ddim"]);
    place.kiln("interpolate noise --noise-steps 0 --out x.png").refused(2, &["at least 1 step"]);
    place.kiln("interpolate noise --data builtin:digits:test -n 1 --sampler dpm --out x.png").refused(2, &["dpm", "ddim"]);
    let other = vae();
    other.kiln("interpolate vae -n 1 --sampler ddim --out x.png").refused(2, &["--sampler", "vae"]);
    assert!(!place.path("x.png").exists() && !other.path("x.png").exists());
}

#[test]
fn a_bound_and_the_flow_are_told_with_what_they_cost() {
    let place = denoiser(2, "");
    let said = place.kiln("eval noise --limit 4 --set steps=12 --json").json();
    let terms: Vec<f64> = said["terms"].as_array().expect("terms").iter().filter_map(|t| t.as_f64()).collect();
    assert_eq!((said["steps"].as_u64(), terms.len()), (Some(12), 12));
    let nats = said["nats"].as_f64().expect("nats");
    assert!((terms.iter().sum::<f64>() - nats).abs() < 1e-3 * nats.abs());
    place.kiln("eval noise --limit 6 --set steps=12 --set terms=t.csv -q").ok();
    assert_eq!(String::from_utf8(place.read("t.csv")).expect("text").lines().count(), 13);
    place.kiln("eval noise --limit 6 --set steps=12 --set terms=t.png -q").ok();
    assert!(place.path("t.png").is_file());
    place.kiln("eval noise --set terms=t.txt").refused(2, &[".png or .csv"]);
    let parts: f64 = ["prior", "between", "decoder"].iter().filter_map(|part| said[*part].as_f64()).sum();
    assert!((parts - nats).abs() < 1e-3 * nats.abs(), "{said}");
    let said = place.kiln("eval noise --limit 4 --set ode=6 --json").json();
    assert!(said["nats"].as_f64().is_some_and(f64::is_finite) && said["ode_steps"] == 6);
    place.kiln("eval noise --limit 4 --set steps=51").refused(2, &["2 to 50", "51"]);
    place.kiln("eval noise --limit 4 --set ode=2").refused(2, &["4 to 49"]);
    place.kiln("eval noise --limit 4 --set steps=many").refused(2, &["steps"]);
    let other = trained();
    other.kiln("eval run --limit 4 --set steps=5").refused(2, &["steps="]);
    other.kiln("eval run --limit 4 --set ode=5").refused(2, &["way to take noise away", "diffusion has one"]);
}
