//! Data made by the program from a seed, so that a first run needs no download and what was drawn is known.

mod canvas;
mod cartpole;
mod digits;
mod faces;
mod gaussians;
mod glyphs;
mod pendulum;
mod process;
mod system;
mod waves;

pub use system::{Step as SystemStep, System};

use super::series::Cut;
use super::{Kind, Source, Split, check_read, item_len, streams};
use crate::random::Draws;
use crate::{Error, Result};
use std::sync::{Arc, OnceLock};

/// What SOURCE calls the built-in sets.
pub const NAMES: [&str; 6] =
    ["builtin:digits", "builtin:faces", "builtin:gaussians8", "builtin:waves", "builtin:pendulum", "builtin:cartpole"];

const TRAIN_LEN: usize = 20_000;
const HELD_LEN: usize = 2_000;

/// Draws of one item: a pure function of (seed, set, split, index).
fn draws(seed: u64, set: u32, split: Split, index: usize) -> Draws {
    let split = match split {
        Split::Train | Split::All => 0,
        Split::Valid => 1,
        Split::Test => 2,
    };
    Draws::new(seed, streams::BUILTIN + 16 * set + split, index as u32)
}

/// Version of the drawings: another one draws other items.
const VERSION: u32 = 1;

/// What the items of a set follow from.
fn origin(set: &str, split: Split, seed: u64) -> String {
    let split = if split == Split::All { Split::Train } else { split };
    format!("builtin:{set}:{split}, seed {seed}, version {VERSION}")
}

fn split_len(split: Split) -> usize {
    if matches!(split, Split::Train | Split::All) { TRAIN_LEN } else { HELD_LEN }
}

/// Opens `digits`, `faces`, `gaussians8`, or the series `waves`, `pendulum` or `cartpole`, cut as asked: 20,000 items to train on, 2,000 to
/// validate, 2,000 to test.
pub fn open(set: &str, split: Split, seed: u64, cut: &Cut) -> Result<Arc<dyn Source>> {
    match set {
        "digits" => Ok(Arc::new(Drawn::new(digits::Digits, split, seed))),
        "faces" => Ok(Arc::new(Drawn::new(faces::Faces, split, seed))),
        "gaussians8" => Ok(Arc::new(gaussians::Gaussians::new(split, seed, split_len(split)))),
        "waves" => Ok(Arc::new(process::Series::new(waves::Waves::new(cut), split, seed, cut)?)),
        "pendulum" => Ok(Arc::new(process::Series::new(pendulum::Pendulum, split, seed, cut)?)),
        "cartpole" => Ok(Arc::new(process::Series::new(cartpole::Cartpole, split, seed, cut)?)),
        _ => Err(Error::usage(format!("there is no builtin:{set}; there are {}", NAMES.join(", ")))),
    }
}

/// A set of pictures that are drawn.
trait Drawing: Send + Sync {
    const NAME: &'static str;
    /// Tells the streams of the sets apart.
    const SET: u32;
    const DIMS: [usize; 3];
    fn classes(&self) -> Vec<String>;
    fn label(&self, draws: Draws, index: usize) -> u32;
    fn attributes(&self, draws: Draws, index: usize) -> Vec<(&'static str, f32)>;
    /// H×W×C bytes.
    fn draw(&self, draws: Draws, index: usize) -> Box<[u8]>;
}

/// Pictures drawn when first read, then kept: drawing costs more than an epoch should pay twice.
struct Drawn<D> {
    drawing: D,
    split: Split,
    seed: u64,
    items: Vec<OnceLock<Box<[u8]>>>,
}

impl<D: Drawing> Drawn<D> {
    fn new(drawing: D, split: Split, seed: u64) -> Self {
        Self { drawing, split, seed, items: (0..split_len(split)).map(|_| OnceLock::new()).collect() }
    }

    fn draws(&self, index: usize) -> Draws {
        draws(self.seed, D::SET, self.split, index)
    }
}

impl<D: Drawing> Source for Drawn<D> {
    fn len(&self) -> usize {
        self.items.len()
    }
    fn dims(&self) -> [usize; 3] {
        D::DIMS
    }
    fn kind(&self) -> Kind {
        Kind::Pixels
    }
    fn origin(&self) -> Option<String> {
        Some(origin(D::NAME, self.split, self.seed))
    }
    fn class_names(&self) -> Vec<String> {
        self.drawing.classes()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let item = self.items[index].get_or_init(|| self.drawing.draw(self.draws(index), index));
        debug_assert_eq!(item.len(), item_len(D::DIMS));
        for (value, &byte) in out.iter_mut().zip(item) {
            *value = f32::from(byte);
        }
        Ok(())
    }
    fn label(&self, index: usize) -> Option<u32> {
        Some(self.drawing.label(self.draws(index), index))
    }
    fn attributes(&self, index: usize) -> Vec<(&'static str, f32)> {
        self.drawing.attributes(self.draws(index), index)
    }
    fn name(&self) -> String {
        format!("builtin:{}:{}", D::NAME, self.split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(set: &str, split: Split, seed: u64, index: usize) -> Vec<f32> {
        let source = open(set, split, seed, &Cut::default()).unwrap();
        let mut out = vec![0.0; item_len(source.dims())];
        source.read(index, &mut out).unwrap();
        out
    }

    #[test]
    fn an_item_is_a_function_of_seed_split_and_index() {
        for set in ["digits", "faces", "gaussians8", "waves", "pendulum", "cartpole"] {
            let first = item(set, Split::Train, 1, 17);
            assert_eq!(first, item(set, Split::Train, 1, 17));
            assert_ne!(first, item(set, Split::Valid, 1, 17));
            assert_ne!(first, item(set, Split::Test, 1, 17));
            assert_ne!(first, item(set, Split::Train, 2, 17));
            assert_ne!(first, item(set, Split::Train, 1, 27));
        }
    }

    #[test]
    fn sizes_and_classes_are_those_promised() {
        for (set, dims, classes) in [("digits", [28, 28, 1], 10), ("faces", [32, 32, 3], 16), ("gaussians8", [1, 1, 2], 8)] {
            for (split, len) in [(Split::Train, 20_000), (Split::Valid, 2_000), (Split::Test, 2_000)] {
                let source = open(set, split, 0, &Cut::default()).unwrap();
                assert_eq!((source.len(), source.dims(), source.classes()), (len, dims, classes));
                assert_eq!(source.class_names().len(), classes);
                assert!((0..len).all(|i| source.label(i).is_some_and(|label| (label as usize) < classes)));
            }
        }
    }

    #[test]
    fn digits_have_ink_inside_a_margin() {
        let source = open("digits", Split::Train, 0, &Cut::default()).unwrap();
        let mut out = vec![0.0; 784];
        for index in 0..500 {
            source.read(index, &mut out).unwrap();
            let ink: f32 = out.iter().sum::<f32>() / 255.0;
            assert!((18.0..260.0).contains(&ink), "digit {index} has {ink} pixels of ink");
            let border: f32 = (0..28).map(|i| out[i] + out[27 * 28 + i] + out[28 * i] + out[28 * i + 27]).sum();
            assert!(border < 255.0, "digit {index} runs off the picture");
        }
    }

    #[test]
    fn points_lie_on_the_ring() {
        let source = open("gaussians8", Split::Test, 3, &Cut::default()).unwrap();
        let mut p = [0.0; 2];
        for index in 0..2000 {
            source.read(index, &mut p).unwrap();
            let angle = source.label(index).unwrap() as f32 * std::f32::consts::TAU / 8.0;
            let off = (p[0] - 2.0 * angle.cos()).hypot(p[1] - 2.0 * angle.sin());
            assert!(off < 0.02 * 5.5 * 1.42, "{off}");
        }
    }
}
