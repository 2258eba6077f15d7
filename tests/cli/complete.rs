//! `kiln complete`.

use crate::program::{Place, npy, png};
use crate::{denoiser, trained, vae};

#[test]
fn completions_keep_what_is_given() {
    let place = trained();
    let mut half = image::GrayImage::new(28, 28);
    half.enumerate_pixels_mut().for_each(|(x, y, p)| p.0[0] = if (x * 5 + y * 3) % 7 < 3 { 255 } else { 0 });
    half.save(place.path("half.png")).expect("a picture");
    let given = |x: usize, y: usize| if (x * 5 + y * 3) % 7 < 3 { 1.0 } else { 0.0 };
    #[expect(clippy::type_complexity, reason = "a table of named predicates, read once")]
    let parts: [(&str, fn(usize, usize) -> bool); 4] =
        [("top:14", |_, y| y < 14), ("bottom:3", |_, y| y >= 25), ("left:9", |x, _| x < 9), ("right:27", |x, _| x > 0)];
    for (part, inside) in parts {
        let exact = part == "top:14";
        let words = format!("complete run --image half.png --keep {part} -n 3 --out rest.npy --log-p l.npy --json");
        if !exact {
            place.kiln(&words).refused(2, &[part, "top:N", "--teacher-forced"]);
        }
        let said = place.kiln(&if exact { words } else { format!("{words} --teacher-forced") }).json();
        assert_eq!(said["exact"], exact, "{part}");
        let log_p = place.doubles("l.npy");
        assert!(log_p.len() == 3 && (log_p.iter().sum::<f64>() / 3.0 - said["mean_log_p"].as_f64().expect("a mean")).abs() < 1e-9);
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
        assert!(others > 0, "{part}: nothing was drawn");
    }
    place.kiln("complete run --data builtin:digits:test -n 2 --keep top:14 --out rest.png").ok();
    image::open(place.path("rest.png")).expect("a picture");
    place.kiln("complete run --data builtin:digits:test -n 2 --keep top:14 --out rest.svg").refused(2, &["rest.svg", ".png"]);
    place.kiln("complete run --data builtin:digits:test -n 2 --keep top:14 --out rest").refused(2, &["ending"]);
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

/// p(rest | top rows) through the program is p(image) less p(top): the log p of a whole draw is that of its parts.
#[test]
fn log_p_of_the_rest_is_log_p_of_the_image_less_that_of_what_is_kept() {
    let place = trained();
    place.kiln("sample run -n 3 --seed 5 --out whole.npy --log-p whole_p.npy").ok();
    let (whole, log_p) = (place.array("whole.npy").1, place.doubles("whole_p.npy"));
    let bytes: Vec<u8> = whole.iter().map(|v| (255.0 * v) as u8).collect();
    place.write("bits.npy", &npy(&[3, 28, 28], &bytes));
    place.kiln("score run --data bits.npy:all --out s.npy --per-pixel").ok();
    let map = place.array("s.npy").1;
    for (image, log_p) in map.chunks(784).zip(&log_p) {
        assert!((image.iter().map(|v| f64::from(*v)).sum::<f64>() - log_p).abs() < 1e-3);
    }
    // What top:14 keeps of these images is followed by the same draws, since the seed and the number of the image are the same.
    place.kiln("complete run --data bits.npy:all --keep top:14 -n 3 --seed 5 --out rest.npy --log-p rest_p.npy").ok();
    assert_eq!(place.array("rest.npy").1, whole);
    for (image, rest) in map.chunks(784).zip(place.doubles("rest_p.npy")) {
        assert!((image[14 * 28..].iter().map(|v| f64::from(*v)).sum::<f64>() - rest).abs() < 1e-3);
    }
    place.kiln("complete run --data bits.npy:all --keep top:14 -n 4 --out rest.npy").refused(2, &["3 images", "-n 3"]);
}

#[test]
fn what_any_of_several_flags_names_is_kept() {
    let place = trained();
    let mask = |place: &Place| {
        let white = |x, y| if x < 3 && y == 9 { 255 } else { 0 };
        image::GrayImage::from_fn(28, 28, |x, y| image::Luma([white(x, y)])).save(place.path("mask.png")).expect("a picture");
    };
    mask(&place);
    place.write("given.png", &png(28, 28, 90));
    let given = image::open(place.path("given.png")).expect("a picture").to_luma8();
    // The rows from the top and the first pixels of the next are a beginning in raster order, so they are kept exactly.
    let words = "complete run --data builtin:digits:test -n 2 --out";
    let said = place.kiln(&format!("{words} a.npy --keep top:9 --keep top:2 --mask mask.png --json")).json();
    assert_eq!((&said["exact"], &said["keep"]), (&true.into(), &"top:9 and top:2 and what is white in mask.png".into()));
    place
        .kiln(&format!("{words} x.npy --keep top:9 --keep left:2"))
        .refused(2, &["--keep top:9 --keep left:2", "--teacher-forced", "diffusion", "vae"]);
    place.kiln(&format!("{words} x.npy --keep top:9 --keep middle:2")).refused(2, &["middle:2", "28×28"]);
    let inside = |i: usize| i / 28 < 4 || i % 28 >= 22 || (i % 28 < 3 && i / 28 == 9);
    for (place, run) in [(denoiser(2, ""), "noise --steps 4"), (vae(), "vae --walk 4")] {
        place.write("given.png", &png(28, 28, 90));
        mask(&place);
        place.kiln(&format!("complete {run} --image given.png -n 2 --keep top:4 --keep right:6 --mask mask.png --out rest.npy")).ok();
        let values = place.array("rest.npy").1;
        let same = |i: usize, v: f32| v == f32::from(given.as_raw()[i % 784]) / 255.0;
        assert!(values.iter().enumerate().all(|(i, v)| !inside(i % 784) || same(i, *v)), "{run}");
        assert!(values.iter().enumerate().any(|(i, v)| !inside(i % 784) && !same(i, *v)), "{run}: nothing was drawn");
    }
}

/// A run that makes images of latents finds those that agree with what is kept: they come nearer the longer it looks.
#[test]
fn latents_are_looked_for_around_what_is_kept() {
    let place = vae();
    place.write("given.png", &png(28, 28, 90));
    let off = |words: &str| {
        let said = place.kiln(&format!("complete {words} --data builtin:digits:test -n 3 --keep left:14 --out rest.npy --json")).json();
        assert_eq!(
            (&said["exact"], &said["mean_log_p"], &said["log_p"]),
            (&false.into(), &serde_json::Value::Null, &serde_json::Value::Null)
        );
        let values = place.array("rest.npy").1;
        assert!(values.len() == 3 * 784 && values.iter().all(|v| (0.0..=1.0).contains(v)));
        (said["search"]["off"].as_f64().expect("a figure"), said["search"]["acceptance"].as_f64(), values)
    };
    let (short, none, _) = off("vae --starts 1 --walk 2");
    let (long, _, first) = off("vae --starts 4 --walk 150");
    assert!(none.is_none() && long < short, "{short} after 2 steps, {long} after 150");
    assert_eq!(off("vae --starts 4 --walk 150").2, first, "the same seed finds the same");
    let (_, acceptance, chained) = off("vae --starts 1 --walk 60 --method mala");
    assert!(acceptance.is_some_and(|share| (0.2..0.95).contains(&share)), "{acceptance:?}");
    assert_ne!(chained, first);
    place.kiln("complete vae --image given.png --keep left:9 --walk 5 -n 1 --out rest.png").says("completed 1 image ");
    place.kiln("complete vae --image given.png --keep left:9 --walk 5 -n 2 --out rest.png").says("no draw of p(rest | kept)");
    image::open(place.path("rest.png")).expect("a picture");
    for (words, reasons) in [
        ("--width 0.1", ["--width", "vae"]),
        ("--log-p p.npy", ["--log-p", "vae"]),
        ("--temperature 0.5", ["--temperature", "vae"]),
        ("--teacher-forced", ["--teacher-forced", "vae"]),
        ("--resample 2", ["--resample", "vae"]),
        ("--sampler ddim", ["--sampler", "diffusion"]),
        ("--starts 0", ["--starts", "at least 1"]),
        ("--walk 1", ["--walk", "at least 2"]),
    ] {
        place.kiln(&format!("complete vae --image given.png --keep left:9 {words} --out x.png")).refused(2, &reasons);
    }
    let set = "--data builtin:digits --limit 64 --batch 16 --steps 2 -q --set valid_every=0 --set sample_every=0";
    place.kiln(&format!("train gan {set} --set hidden=16 --set judge=16 --set latent=4 --set conditional=true --out gan")).ok();
    let wide = off("gan --walk 20 --starts 2 --width 5").2;
    assert_ne!(wide, off("gan --walk 20 --starts 2").2, "the prior weighs more where pixels weigh less");
    assert_ne!(wide, off("gan --walk 20 --starts 2 --width 5 --class 3").2, "labels are read");
    place.kiln("complete gan --image given.png --keep left:9 --width 0 --out x.png").refused(2, &["--width", "0.001"]);
    place.kiln(&format!("train autoencoder {set} --set hidden=16 --set latent=4 --out plain")).ok();
    place.kiln("complete plain --image given.png --keep left:9 --out x.png").refused(2, &["autoencoder", "vae", "dcgan", "diffusion"]);
    assert!(!place.path("x.png").exists());
}
