//! Sample quality: generated items against data, in pixels and in the features of a classifier.
//!
//! Distances in the features of kiln's own classifier compare runs of kiln with one another. They are not the FID or KID of papers,
//! which are defined by the features of one particular network trained on other images.

mod fidelity;
mod frechet;
mod kernel;
mod modes;
mod neighbours;
mod sharpness;

pub use fidelity::{colourfulness, psnr, ssim};
pub use frechet::frechet_distance;
pub use kernel::kernel_distance;
pub use modes::{Modes, modes_of_ring};
pub use neighbours::{PrecisionRecall, nearest, precision_recall, two_sample_accuracy};
pub use sharpness::sharpness;

/// Items as rows of `width` numbers.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The numbers, row after row.
    pub values: &'a [f32],
    /// Numbers of a row, at least 1.
    pub width: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `width` numbers.
    pub fn new(values: &'a [f32], width: usize) -> Self {
        Self { values, width: width.max(1) }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row.
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    /// The first `count` rows, or all.
    pub fn first(&self, count: usize) -> Self {
        Self { values: &self.values[..count.min(self.len()) * self.width], width: self.width }
    }
}

/// The share of `classes` that at least one label in `least` of them has.
pub fn coverage(labels: &[u32], classes: usize, least: f64) -> (usize, Vec<usize>) {
    let mut counts = vec![0; classes];
    labels.iter().for_each(|l| {
        if let Some(count) = counts.get_mut(*l as usize) {
            *count += 1;
        }
    });
    let needed = (labels.len() as f64 * least).max(1.0);
    (counts.iter().filter(|c| **c as f64 >= needed).count(), counts)
}
