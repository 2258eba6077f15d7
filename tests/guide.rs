//! docs/guide.md is true: its commands are carried out one after another, on small folders and for a few steps.

#[path = "support/program.rs"]
mod program;

use image::{ImageFormat, Rgb, RgbImage};
use program::Place;

/// A picture with something in it.
fn picture(seed: u32, side: u32) -> Vec<u8> {
    let mut draws = kiln::random::Draws::new(9, seed, 0);
    let (x, y, r) = (draws.range(0.2, 0.8), draws.range(0.2, 0.8), draws.range(0.1, 0.3));
    let colour = [0; 3].map(|_: u8| draws.below(256) as u8);
    let disc = |px: u32, py: u32| (px as f32 / side as f32 - x).hypot(py as f32 / side as f32 - y) < r;
    let image =
        RgbImage::from_fn(side, side + 8, |px, py| if disc(px, py) { Rgb(colour) } else { Rgb([(px * 3) as u8, 90, (py * 2) as u8]) });
    let mut bytes = Vec::new();
    image.write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png).expect("encoded");
    bytes
}

#[test]
fn every_command_of_the_guide_runs() {
    let place = Place::new();
    for i in 0..60 {
        place.write(&format!("photos/{i:03}.png"), &picture(i, 40));
        place.write(&format!("flowers/{}/{i:03}.png", ["rose", "tulip"][i as usize % 2]), &picture(i, 40));
    }
    let guide = include_str!("../docs/guide.md");
    let blocks = guide.split("```sh\n").skip(1).map(|block| block.split("```").next().expect("an end"));
    let commands: Vec<&str> = blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty()).collect();
    assert!(commands.len() >= 18 && commands.iter().all(|line| line.starts_with("kiln ")), "{commands:?}");
    for command in commands {
        let words = command.strip_prefix("kiln ").expect("a command");
        let mut words = words.replace("--device auto", "--device cpu").replace("--steps 8000", "--steps 4");
        if let Some((head, tail)) = words.split_once("--steps ").filter(|_| words.starts_with("train") && !words.contains("--resume")) {
            let rest = tail.split_once(' ').map_or("", |(_, rest)| rest);
            words = format!("{head}--steps 2 --set valid_every=0 --set sample_every=0 --batch 8 {rest}");
        }
        if words.starts_with("train dcgan") {
            words += " --set filters=4";
        }
        if words.starts_with("eval runs/photos") || words.starts_with("compare") {
            words += " --set classifier_steps=4";
        }
        let ran = place.kiln(&words);
        assert_eq!(ran.code, Some(0), "{command}\n{words}\n{}{}", ran.out, ran.err);
    }
    for file in ["new.png", "many/00099.png", "ways.png", "way.gif", "halves.png", "copies.png", "roses.png", "compare/index.html"] {
        assert!(place.path(file).exists(), "{file}");
    }
}
