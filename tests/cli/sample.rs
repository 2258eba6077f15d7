//! `kiln sample`.

use crate::trained;

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
        let file = image::open(place.path(&format!("files/{i:05}.png"))).expect("a picture").to_luma8();
        assert_eq!(file.dimensions(), (28, 28));
        assert!(file.as_raw().iter().zip(image).all(|(byte, v)| f32::from(*byte) == 255.0 * v), "image {i}");
    }
    assert!(!place.path("files/00005.png").exists());
    place.kiln("sample run -n 2 --seed 3 --method naive --out naive.npy").ok();
    assert_eq!(place.array("naive.npy").1, values[..2 * 784], "the naive sampler draws the same images, however many");
}
