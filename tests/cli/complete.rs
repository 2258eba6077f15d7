//! `kiln complete`.

use crate::program::{npy, png};
use crate::trained;

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
        let exact = ["top:14", "right:28"].contains(&part);
        let words = format!("complete run --image half.png --keep {part} -n 3 --out rest.npy --log-p l.npy --json");
        if !exact {
            place.kiln(&words).refused(2, &[part, "top:N", "--teacher-forced"]);
        }
        let said = place.kiln(&format!("{words} --teacher-forced")).json();
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
        assert!(part == "right:28" || others > 0, "{part}: nothing was drawn");
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
