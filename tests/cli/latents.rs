//! Commands of latent models.

use crate::program::{noise, npy};
use crate::vae;

#[test]
fn ways_between_fewer_images_than_they_need_are_refused() {
    let place = vae();
    place.write("one.npy", &npy(&[1, 28, 28], &noise(784, 256)));
    place.write("five.npy", &npy(&[5, 28, 28], &noise(5 * 784, 256)));
    place.kiln("interpolate vae --data one.npy:all -n 1 --out o.png").refused(2, &["one.npy", "1 image", "two images"]);
    place.kiln("interpolate vae --data five.npy:all -n 3 --out o.png").refused(2, &["five.npy", "5 images", "-n 2"]);
    place.kiln("interpolate vae -n 0 --out o.png").refused(2, &["-n"]);
    assert!(!place.path("o.png").exists());
    let said = place.kiln("interpolate vae --data five.npy:all -n 2 --out o.png --json").json();
    assert_eq!(said["pairs"], 2);
}

#[test]
fn endings_that_are_not_written_are_refused_before_any_work() {
    let place = vae();
    for command in [
        "interpolate vae --out o.svg",
        "encode vae --out o.txt",
        "outliers vae --against builtin:digits --out o.jpg",
        "arithmetic vae --from 1,2,3 --minus 4,5,6 --plus 7,8,9 --out o.gif",
        "neighbors vae --out o.npy",
        "export vae --out o.pt",
        "theory --out o.svg",
    ] {
        place.kiln(command).refused(2, &["ends in ."]);
    }
}

#[test]
fn the_rows_of_extremes_are_as_long_as_the_smaller_set_allows() {
    let place = vae();
    place.write("three.npy", &npy(&[3, 28, 28], &noise(3 * 784, 256)));
    let said = place.kiln("outliers vae --limit 20 --against three.npy:all --out x.png --json").json();
    assert_eq!((&said["images"], &said["images_against"]), (&20.into(), &3.into()));
    assert!(said["score"].as_str().is_some_and(|s| s.contains("ELBO")), "{said}");
    // Four rows of three images of 56 pixels, with captions to their left.
    let (width, height) = image::open(place.path("x.png")).expect("a picture").to_rgb8().dimensions();
    assert!(height == 3 + 4 * 59 && width > 3 * 59 && width < 12 * 59, "{width}×{height}");
}
