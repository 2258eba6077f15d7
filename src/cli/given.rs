//! Images that a command is given, to complete or to begin from, in the values that the run's model reads.

use std::path::Path;
use std::sync::Arc;

use super::output::counted;
use super::sequences::{Named, dates_of};
use crate::data::{self, Scale, Source};
use crate::error::{Error, Result};
use crate::model::Law;
use crate::train::{DataRequest, Trained, open_data};

/// Images read at a time.
pub const CHUNK: usize = 256;

/// What a model reads of an image's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Levels from 0, so many.
    Levels(usize),
    /// −1..1.
    Signed,
    /// −1 and 1.
    SignedBits,
    /// 0..1.
    Shares,
    /// 0 and 1.
    Bits,
    /// Points, as they are.
    Raw,
}

impl Reads {
    /// What a model that draws by a law reads.
    pub fn of(law: &Law) -> Self {
        law.levels().map_or(Self::Raw, Self::Levels)
    }

    /// What a model that takes noise away reads.
    pub fn signed(trained: &Trained) -> Self {
        match &trained.recipe.data {
            data if data.points => Self::Raw,
            data if data.spec().is_binary() => Self::SignedBits,
            _ => Self::Signed,
        }
    }

    /// What the latents of a model are judged by: values as it shows them.
    pub fn shares(trained: &Trained) -> Self {
        match &trained.recipe.data {
            data if data.points => Self::Raw,
            data if data.spec().is_binary() => Self::Bits,
            _ => Self::Shares,
        }
    }

    /// The value of a byte; bits are rounded, more levels are cut as they are in training.
    pub fn value(self, byte: f32) -> f32 {
        match self {
            Self::Levels(2) => (byte / 255.0).round(),
            Self::Levels(levels) => (byte * levels as f32 / 256.0).floor(),
            Self::Signed => byte / 127.5 - 1.0,
            Self::SignedBits => 2.0 * (byte / 255.0).round() - 1.0,
            Self::Shares => byte / 255.0,
            Self::Bits => (byte / 255.0).round(),
            Self::Raw => byte,
        }
    }

    /// A value as pictures and arrays show it, in 0..1: of a byte where it was one, so that nothing is lost of it.
    pub fn shown(self, value: f32) -> f32 {
        match self {
            Self::Levels(levels) => value / (levels - 1) as f32,
            Self::Signed | Self::SignedBits => ((value + 1.0) * 127.5).round() / 255.0,
            Self::Shares | Self::Bits | Self::Raw => value,
        }
    }
}

/// Images in a model's values, and the labels that they have.
pub type Labelled = (Vec<f32>, Vec<u32>);

/// Images of a source, or one image several times.
pub struct Given {
    source: Option<Arc<dyn Source>>,
    image: Vec<f32>,
    reads: Reads,
    /// How many there are.
    pub count: usize,
}

impl Given {
    /// An image file, so many times.
    ///
    /// # Errors
    /// A file that is missing, no image, or of another size than the run's.
    pub fn image(path: &Path, count: usize, trained: &Trained, reads: Reads) -> Result<Self> {
        let image = bytes_of(path, trained.recipe.data.dims)?;
        Ok(Self { source: None, image: image.into_iter().map(|byte| reads.value(byte)).collect(), reads, count })
    }

    /// So many images of a source, with labels where the model takes them.
    ///
    /// # Errors
    /// Those of the source; [`Error::Usage`] where it has fewer.
    pub fn data(source: &str, count: usize, trained: &Trained, reads: Reads) -> Result<Self> {
        let request = DataRequest { source: Some(source), labels: trained.model.conditional(), ..DataRequest::default() };
        Self::of(open_data(&trained.recipe, &request)?, count, reads)
    }

    /// A picture as often as is asked for, or so many images of a source, all that it has up to `default` where nothing is said. Labels come
    /// along where they are the run's.
    ///
    /// # Errors
    /// As [`Given::image`] and [`Given::data`].
    pub fn to_vary(source: &str, count: Option<usize>, default: usize, trained: &Trained, reads: Reads) -> Result<Self> {
        let path = Path::new(source);
        if reads != Reads::Raw && data::has_ending(path) && !path.is_dir() {
            return Self::image(path, count.unwrap_or(default), trained, reads);
        }
        let source = open_data(&trained.recipe, &DataRequest { source: Some(source), ..DataRequest::default() })?;
        let count = count.unwrap_or(default.min(source.len()));
        Self::of(source, count, reads)
    }

    fn of(source: Arc<dyn Source>, count: usize, reads: Reads) -> Result<Self> {
        let (name, images) = (source.name(), source.len());
        if count > images {
            return Err(Error::usage(format!("{name} has {}, fewer than -n {count}; take -n {images}", counted(images, "image"))));
        }
        Ok(Self { source: Some(data::subset(source, count)?), image: Vec::new(), reads, count })
    }

    /// The dates of all their steps, where they are series whose file tells them.
    pub fn dates(&self) -> Option<Named> {
        self.source.as_deref().and_then(dates_of)
    }

    /// Its images, [`CHUNK`] at a time, with their labels where they have any.
    pub fn parts<'a>(&'a self, trained: &Trained, seed: u64) -> Box<dyn Iterator<Item = Result<Labelled>> + 'a> {
        let reads = self.reads;
        match &self.source {
            Some(source) => {
                let scale = if reads == Reads::Raw { Scale::Raw } else { Scale::Levels };
                let batches = data::sequential(Arc::clone(source), CHUNK, seed, trained.recipe.data.binarization, scale);
                let read = move |values: Vec<f32>| values.into_iter().map(|byte| reads.value(byte)).collect();
                Box::new(batches.map(move |batch| batch.map(|batch| (read(batch.values), batch.labels))))
            }
            None => {
                Box::new((0..self.count).step_by(CHUNK).map(|first| Ok((self.image.repeat(CHUNK.min(self.count - first)), Vec::new()))))
            }
        }
    }

    /// All of them at once.
    ///
    /// # Errors
    /// Those of the source.
    pub fn all(&self, trained: &Trained, seed: u64) -> Result<Labelled> {
        let mut all = Labelled::default();
        for part in self.parts(trained, seed) {
            let (images, labels) = part?;
            all.0.extend(images);
            all.1.extend(labels);
        }
        Ok(all)
    }
}

/// An image file at a run's size: its bytes, as numbers.
///
/// # Errors
/// A file that is missing, no image, or of another size.
pub fn bytes_of(path: &Path, [h, w, c]: [usize; 3]) -> Result<Vec<f32>> {
    if !path.is_file() {
        return Err(Error::format(path, "is no file; name an image"));
    }
    let picture = data::decode(path, data::Colour::default())?;
    if [picture.height() as usize, picture.width() as usize] != [h, w] {
        let reason = format!("is {}×{}, and {h}×{w} is what this run takes; scale it first", picture.height(), picture.width());
        return Err(Error::format(path, reason));
    }
    let bytes = if c == 1 { picture.to_luma8().into_raw() } else { picture.to_rgb8().into_raw() };
    Ok(bytes.into_iter().map(f32::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_shown_as_what_it_was() {
        for byte in 0..=255u8 {
            let byte = f32::from(byte);
            assert_eq!(Reads::Signed.shown(Reads::Signed.value(byte)), byte / 255.0);
            assert_eq!(Reads::Levels(256).shown(Reads::Levels(256).value(byte)), byte / 255.0);
            let bit = f32::from(u8::from(byte > 127.0));
            assert_eq!(Reads::SignedBits.shown(Reads::SignedBits.value(byte)), bit);
            assert_eq!(Reads::Levels(2).shown(Reads::Levels(2).value(byte)), bit);
            assert_eq!(Reads::Shares.shown(Reads::Shares.value(byte)), byte / 255.0);
            assert_eq!(Reads::Bits.shown(Reads::Bits.value(byte)), bit);
        }
    }
}
