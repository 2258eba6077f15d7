//! The demo, once: its page stands alone, its commands make what it shows, and its digits are read as the digits they were to be by a
//! classifier that the demo knows nothing of.

#[path = "support/program.rs"]
mod program;

use program::{Place, npy};

/// Samples of each model that are judged.
const JUDGED: usize = 500;

#[test]
fn the_demo_makes_digits_that_are_read_and_its_commands_make_its_pictures() {
    let place = Place::new();
    let object = place.kiln("demo --out demo -q --json --device cpu").ok().json();
    let html = String::from_utf8(place.read("demo/index.html")).expect("text").replace(" \\\n    ", " ");

    // One file: every picture lies within, nothing is fetched.
    assert!(html.matches("<img").count() >= 10 && html.matches("src=\"data:image/png;base64,").count() == html.matches("<img").count());
    assert!(!html.contains("http") && !html.contains("<script") && !html.contains("<link"), "something is fetched");
    assert!(html.contains("lang=\"en\"") && html.matches("<h1>").count() == 1 && html.contains("docs/guide.md"));

    // Each file it names is there, and a command of the page makes the very picture.
    for made in object["files"].as_array().expect("files") {
        assert!(place.path(made["file"].as_str().expect("a path")).exists(), "{made}");
    }
    for model in ["pixelrnn", "cvae", "dcgan"] {
        let command = format!("kiln sample demo/{model} ");
        let shown = html.lines().find(|line| line.contains(&command)).expect("a command");
        let shown = shown.trim_start_matches("<pre tabindex=\"0\">");
        let picture = format!("demo/{model}-sample.png");
        let before = place.read(&picture);
        place.kiln(&shown.replacen("kiln ", "", 1).replace(&picture, "again.png")).ok();
        assert!(place.read("again.png") == before, "{shown}");
    }

    let judge = "train classifier --data builtin:digits --set size=16x16 --steps 800 --set valid_every=0 --seed 7 --out judge -q";
    place.kiln(judge).ok();
    let accuracy = |data: &str| {
        let told = place.kiln(&format!("eval judge {data} --json -q")).ok().json();
        told["accuracy"].as_f64().unwrap_or_else(|| panic!("{told}"))
    };
    let of_data = accuracy("");
    assert!(of_data > 0.98, "the judge itself is right of {of_data}");
    let labels: Vec<u8> = (0..JUDGED).map(|i| (i % 10) as u8).collect();
    for (model, words) in [("pixelrnn", "--temperature 0.9"), ("cvae", ""), ("dcgan", "")] {
        place.kiln(&format!("sample demo/{model} -n {JUDGED} {words} --out {model}.npy -q")).ok();
        place.write(&format!("{model}.labels.npy"), &npy(&[JUDGED], &labels));
        let read = accuracy(&format!("--data {model}.npy:all"));
        println!("{model}: {read} of {JUDGED} samples are read as the digit asked for");
        assert!(read >= 0.9, "{model}: only {read} of its samples are read as the digit asked for");
    }
}
