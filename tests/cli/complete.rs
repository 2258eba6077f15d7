//! `kiln complete`.

use crate::program::png;
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
