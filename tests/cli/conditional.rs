//! A conditional model that draws pixel by pixel: labels go in at training, scoring, sampling and completion.

use crate::program::Place;

const NET: &str = "--set layers=2 --set hidden=4 --set head=4 --set valid_items=16";

#[test]
fn classes_are_chosen_and_what_is_none_is_refused() {
    let place = Place::new();
    let data = "--data builtin:digits --limit 64 -q --batch 8 --steps 3";
    place.kiln(&format!("train gated-pixelcnn {data} {NET} --set conditional=true --out run")).ok();
    place.kiln(&format!("train gated-pixelcnn {data} {NET} --out plain")).ok();
    let draw = |words: &str| {
        let said = place.kiln(&format!("sample run -n 4 --seed 5 --out drawn.npy --json {words}")).json();
        (said["mean_log_p"].as_f64().expect("log p"), place.array("drawn.npy").1)
    };
    let (three, four) = (draw("--class 3"), draw("--class 4"));
    assert_eq!(three, draw("--class 3"));
    assert_ne!(three.1, four.1, "another class, other images");
    assert_eq!(three, draw("--class 3 --method naive"));
    assert!(three.0.is_finite());
    let in_turn = draw("");
    assert_eq!(in_turn.1[3 * 784..], three.1[3 * 784..], "the fourth image is of the fourth class");

    let nats = place.kiln("eval run --data builtin:digits:test --limit 32 --json").json();
    assert!(nats["nats"].as_f64().is_some_and(|n| n > 0.0), "{nats}");

    image::GrayImage::new(28, 28).save(place.path("black.png")).expect("a picture");
    let complete = |words: &str| {
        place.kiln(&format!("complete run --keep top:10 -n 4 --out rest.npy {words}")).ok();
        place.array("rest.npy").1
    };
    let of_image = complete("--image black.png --class 2");
    assert!((0..4).all(|i| of_image[i * 784..][..280].iter().all(|v| *v == 0.0)));
    assert_ne!(of_image, complete("--image black.png --class 7"));
    let own = complete("--data builtin:digits:test");
    assert_ne!(own, complete("--data builtin:digits:test --class 9"), "images have their own labels");

    place.kiln("sample run -n 2 --class 10 --out x.png").refused(2, &["10"]);
    place.kiln("complete run --image black.png --keep top:2 --class 10 --out x.png").refused(2, &["10"]);
    place.kiln("sample plain -n 2 --class 1 --out x.png").refused(2, &["gated-pixelcnn", "not conditional"]);
    place.kiln("complete plain --image black.png --keep top:2 --class 1 --out x.png").refused(2, &["not conditional"]);
    let train = |words: &str| place.kiln(&format!("train gated-pixelcnn {data} --out none {words}"));
    train("--set kernel=4").refused(2, &["odd"]);
    train("--set layers=0").refused(2, &["layers"]);
    place.kiln("train pixelcnn --data builtin:digits --set blocks=0 --out none").refused(2, &["blocks", "at least 1"]);
    place.kiln("train gated-pixelcnn --data builtin:faces --set hidden=64 --out none").refused(2, &["3 colours"]);
    assert!(!place.path("x.png").exists() && !place.path("none").exists());
}
