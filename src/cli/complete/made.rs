//! Where completed images go.

use std::path::Path;

use crate::cli::endings;
use crate::cli::pictures::check_grid;
use crate::cli::sequences::Sequences;
use crate::error::Result;
use crate::report::{self, GridOptions, NpyStream};
use crate::train::Trained;

/// What was completed, and where it goes.
pub enum Made {
    Array(NpyStream),
    Series(Box<Sequences>),
    /// Rows of a picture: images, what is kept of them, and what they became.
    Rows([Vec<f32>; 3]),
}

impl Made {
    /// Prepares for so many.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file that they do not go to; errors of the disk.
    pub fn new(path: &Path, count: usize, trained: &Trained) -> Result<Self> {
        let (dims, cut) = (trained.recipe.data.dims, &trained.recipe.data.reading.series);
        if cut.is_settled() {
            return Ok(Self::Series(Box::new(Sequences::new(path, count, dims, cut)?)));
        }
        endings::check(path, "completed images", &["png", "npy"])?;
        if endings::of(path) == "png" {
            check_grid(3 * count, dims, false)?;
            return Ok(Self::Rows(Default::default()));
        }
        let shape: Vec<usize> = [count].into_iter().chain(dims).collect();
        Ok(Self::Array(NpyStream::create(path, &shape)?))
    }

    pub fn take(&mut self, images: &[f32], mask: &[bool], completed: Vec<f32>) -> Result<()> {
        match self {
            Self::Array(array) => array.extend(&completed)?,
            Self::Series(series) => series.take(&completed),
            Self::Rows([whole, seen, rest]) => {
                whole.extend_from_slice(images);
                seen.extend(images.iter().enumerate().map(|(i, v)| if mask[i % mask.len()] { *v } else { 0.5 }));
                rest.extend(completed);
            }
        }
        Ok(())
    }

    pub fn finish(self, path: &Path, dims: [usize; 3], kept: &str) -> Result<()> {
        match self {
            Self::Array(array) => array.finish(),
            Self::Series(series) => series.finish(&format!("series from their beginning on, kept {kept}")),
            Self::Rows(rows) => {
                let count = rows[0].len() / dims.iter().product::<usize>();
                let captions = ["image", "what is kept", "completed"].map(String::from).to_vec();
                let options = GridOptions { columns: count, row_captions: captions, ..GridOptions::default() };
                report::save_png(path, &report::grid_with(&rows.concat(), dims, &options))
            }
        }
    }
}
