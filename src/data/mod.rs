//! Data sources: IDX, CIFAR-10 binary, image folders, archives, `.npy`, `.amat`, series in `.csv` and `.wav`, and the built-in sets, behind one
//! [`Source`].
//!
//! A source holds N items of H×W×C values, channels last. Every reader checks a file against its actual size before it allocates,
//! and refuses what is missing, torn or foreign in one sentence. [`open`] turns the command line's SOURCE into a source,
//! [`Loader`] makes endless shuffled training batches of it, [`sequential`] one pass in order.

mod amat;
mod archive;
mod augment;
mod binarize;
mod builtin;
mod cache;
mod cifar;
mod classes;
mod digest;
mod entry;
mod fit;
mod folder;
mod frame;
#[cfg(test)]
mod fuzz;
mod idx;
mod jpeg;
mod layer;
mod loader;
mod matching;
mod npy;
mod npy_header;
mod npz;
mod number;
mod one_hot;
mod open;
mod picture;
mod positioned;
mod reading;
pub mod series;
mod subset;

pub use augment::{Augment, Flip};
pub use binarize::Binarization;
pub use builtin::{System, SystemStep};
pub use classes::{find_class, listed};
pub use digest::{Digest, check_same, digest};
pub use fit::{Wanted, fit};
pub use folder::images_in;
pub use loader::{Batch, Loader, LoaderOptions, Scale, sequential, sequential_within};
pub use one_hot::one_hot;
pub use open::{Settled, is_there, named_split, open, settle, with_split};
pub use picture::{decode, has_ending, look};
pub use reading::{Colour, Fit, Layout, Range, Reading};
pub use subset::{labelled, subset};

use crate::keys::{self, Key};
use crate::{Error, Result};
use std::fmt;

/// The `--set` keys that say what data are and how they are read, those of series last.
pub fn keys() -> [Vec<Key>; 2] {
    let bits = "How grey levels become bits; unsaid, dynamic for a pixelcnn of grey images and static for data that hold bits.";
    let images = [vec![keys::named::<Binarization>("binarization", bits)], keys::of::<Reading>(), keys::of::<Augment>()].concat();
    [images, keys::of::<series::Cut>()]
}

/// The random streams of this folder; see [`crate::random`]. Other folders keep off 0xDA7A_0000..=0xDA7A_FFFF.
pub mod streams {
    /// The permutation of an epoch; the step is the epoch.
    pub const SHUFFLE: u32 = 0xDA7A_0001;
    /// Dynamic binarization in training; the step is the epoch.
    pub const BINARIZE_TRAIN: u32 = 0xDA7A_0002;
    /// Dynamic binarization in evaluation; the step is 0.
    pub const BINARIZE_EVAL: u32 = 0xDA7A_0003;
    /// Which items `--limit`, `valid_items` and pictures take; the seed is 0, the step twice the class (the order within it) or one
    /// more (its offset).
    pub const SUBSET: u32 = 0xDA7A_0004;
    /// Which items are held out for validation; seed and step as of [`SUBSET`].
    pub const HOLD_OUT: u32 = 0xDA7A_0005;
    /// Which items of a large set its digest reads; seed and step are 0.
    pub const DIGEST: u32 = 0xDA7A_0006;
    /// Flips, shifts and crops in training; the step is the epoch, element 8i + j word j of item i.
    pub const AUGMENT: u32 = 0xDA7A_0007;
    /// Values replaced by noise in training; the step is the epoch, element 2(i·len + v) + j word j of value v of item i.
    pub const MUTATE: u32 = 0xDA7A_0008;
    /// Built-in items, plus 16 × the set plus the split; the step is the item.
    pub const BUILTIN: u32 = 0xDA7A_1000;
}

/// What the values of a source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Integers 0..=255.
    Pixels,
    /// 0 or 255 only: the file holds bytes 0 and 1.
    Binary,
    /// Raw floats of no fixed range.
    Points,
}

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// What models are fitted to; without the validation items where those are held out from it.
    Train,
    /// What choices are made on.
    Valid,
    /// What is reported.
    Test,
    /// Everything that is not [`Split::Test`]: the training data with nothing held out; for a lone file, all of it.
    All,
}

impl Split {
    /// The word of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
            Self::All => "all",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Train, Self::Valid, Self::Test, Self::All].into_iter().find(|split| split.as_str() == word)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The share of the training data held out by default: 5,000 of the 60,000 of MNIST.
const VALID_FRACTION: f32 = 1.0 / 12.0;

/// How a source is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenOptions {
    /// Seed of the built-in sets; files do not depend on it.
    pub seed: u64,
    /// Only a seeded random so many items of the split; see [`subset`].
    pub limit: Option<usize>,
    /// How pictures and arrays are read.
    pub reading: Reading,
    /// Share of the training data held out as validation where the data set has no such split, in 0..1; the default share
    /// holds out no more than 5,000 items.
    pub valid_fraction: f32,
}

impl Default for OpenOptions {
    /// Seed 0, everything, as it is, a twelfth held out.
    fn default() -> Self {
        Self { seed: 0, limit: None, reading: Reading::default(), valid_fraction: VALID_FRACTION }
    }
}

/// One data set, held or streamed: N items of H×W×C values.
pub trait Source: Send + Sync {
    /// Number of items N, at least 1.
    fn len(&self) -> usize;

    /// Whether there are no items; [`open`] never returns such a source.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[H, W, C]` of every item; points in the plane are `[1, 1, 2]`.
    fn dims(&self) -> [usize; 3];

    /// What the values are.
    fn kind(&self) -> Kind;

    /// Number of classes; 0 where the set has no labels.
    fn classes(&self) -> usize {
        self.class_names().len()
    }

    /// One name a class, in the order of the labels; empty where the set has no labels.
    fn class_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Reads item `index` (below [`len`](Source::len)) into `out` of H×W×C values, channels last, in the range of [`kind`](Source::kind).
    ///
    /// # Errors
    /// An index or an `out` that does not fit, or a file that can no longer be read.
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()>;

    /// The class of an item, an index of [`class_names`](Source::class_names); `None` where the set has no labels.
    fn label(&self, _index: usize) -> Option<u32> {
        None
    }

    /// Known attributes of an item, by name; 0 or 1 for those that are there or not.
    fn attributes(&self, _index: usize) -> Vec<(&'static str, f32)> {
        Vec::new()
    }

    /// What reports call it.
    fn name(&self) -> String;

    /// Whether reading an item costs much more than a copy, so that a batch is worth reading on several threads.
    fn costly(&self) -> bool {
        false
    }

    /// Whether it is certain which of two values is white: not where bytes 0 and 1 may be bits or two dark greys.
    fn knows_white(&self) -> bool {
        false
    }

    /// Sentences worth saying of how it was read.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How its series were cut and scaled, where its items are windows of series: `[T, 1, C]`.
    fn series(&self) -> Option<&series::Cut> {
        None
    }

    /// What the steps of item `index` are called in their file, such as their dates, and how the file calls that.
    fn dates(&self, _index: usize) -> Option<(&str, &[Box<str>])> {
        None
    }

    /// Whether item `index` is the window of a series that begins where the item before it ends.
    fn follows(&self, _index: usize) -> bool {
        false
    }

    /// What all items follow from, where the program makes them.
    fn origin(&self) -> Option<String> {
        None
    }

    /// Bytes of [`stored`](Source::stored).
    ///
    /// # Errors
    /// A file that can no longer be found.
    fn stored_size(&self, _index: usize) -> Result<u64> {
        Ok(item_len(self.dims()) as u64)
    }

    /// What an item is known by again: the bytes of its own file, or its values where many lie in one.
    ///
    /// # Errors
    /// As [`read`](Source::read).
    fn stored(&self, index: usize) -> Result<Vec<u8>> {
        let mut values = vec![0.0; item_len(self.dims())];
        self.read(index, &mut values)?;
        let whole = self.kind() != Kind::Points && values.iter().all(|v| (0.0..=255.0).contains(v) && v.fract() == 0.0);
        Ok(if whole { values.iter().map(|v| *v as u8).collect() } else { values.iter().flat_map(|v| v.to_le_bytes()).collect() })
    }
}

/// Number of values of one item.
pub fn item_len(dims: [usize; 3]) -> usize {
    dims[0] * dims[1] * dims[2]
}

/// Refuses an index or a buffer that does not fit `source`; every `read` starts with it.
fn check_read(source: &dyn Source, index: usize, out: &[f32]) -> Result<()> {
    let (len, [h, w, c]) = (source.len(), source.dims());
    if index >= len {
        return Err(Error::usage(format!("{} has {len} items, so item {index} does not exist", source.name())));
    }
    if out.len() != h * w * c {
        return Err(Error::Shape(format!("an item of {} is {h}×{w}×{c} values, the buffer holds {}", source.name(), out.len())));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A made-up source sorted by class: item i of 1×2 holds i and 255 − i % 256.
    pub struct Sorted {
        /// Items of each class.
        pub each: Vec<usize>,
        /// Whether it has labels.
        pub named: bool,
    }

    impl Source for Sorted {
        fn len(&self) -> usize {
            self.each.iter().sum()
        }
        fn dims(&self) -> [usize; 3] {
            [1, 2, 1]
        }
        fn kind(&self) -> Kind {
            Kind::Pixels
        }
        fn class_names(&self) -> Vec<String> {
            let count = if self.named { self.each.len() } else { 0 };
            (0..count).map(|class| class.to_string()).collect()
        }
        fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
            check_read(self, index, out)?;
            out.copy_from_slice(&[index as f32, 255.0 - (index % 256) as f32]);
            Ok(())
        }
        fn label(&self, index: usize) -> Option<u32> {
            let ends = self.each.iter().scan(0, |end, each| {
                *end += each;
                Some(*end)
            });
            if self.named { ends.into_iter().position(|end| index < end).map(|class| class as u32) } else { None }
        }
        fn name(&self) -> String {
            "sorted".into()
        }
    }
}
